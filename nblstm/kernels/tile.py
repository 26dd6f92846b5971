"""The register tile: the innermost loop of every matrix product here, as one function of LLVM's.

A tile is up to `ROWS` rows by up to four vectors of sums that stay in registers while the inner dimension runs; each
step loads four vectors of one operand and spreads one number per row of the other. Neither LLVM nor Numba finds this
shape by itself. Every sum has one accumulator that takes its terms in ascending order, so its bits depend neither on
the other rows of the tile nor on who computes them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from llvmlite.binding import add_symbol
from numba import cfunc
from numba.core import cgutils, types
from numba.core.types.misc import CPointer
from numba.extending import intrinsic

from nblstm.kernels.fingerprint import FINGERPRINT
from nblstm.kernels.simd import BYTES, I64, LANES, call_llvm, llvm_vector, prefetch_at, splat, suffix, vector_at

VECTORS = 4
"""Vectors across a full tile: for the LSTM the four gates of the same units."""

ROWS = 6 if BYTES == 64 else 3
"""Rows of a full tile: with the four vectors loaded, as many sums as the processor has registers for (32, else 16)."""

Address = Callable[[ir.IRBuilder, ir.Value], ir.Value]


def _emit_variant(
    builder: ir.IRBuilder,
    dtype: types.Float,
    depth: ir.Value,
    starts: list[ir.Value],
    results: list[ir.Value],
    spread: list[Address],
    vectors_at: Address,
    vectors: int,
) -> None:
    """One tile: sums start from `starts[r]`, take spread[r](k) * vectors_at(k) for k < depth, go to `results[r]`."""
    vector, lanes, align = llvm_vector(dtype), LANES[dtype], dtype.bitwidth // 8

    def load(pointer: ir.Value, q: int) -> ir.Value:
        value = builder.load(vector_at(builder, pointer, I64(q * lanes), dtype))
        value.align = align
        return value

    first = [[load(start, q) for q in range(vectors)] for start in starts]
    before, body, after = builder.block, builder.append_basic_block("step"), builder.append_basic_block("write")
    builder.cbranch(builder.icmp_signed(">", depth, I64(0)), body, after)

    builder.position_at_end(body)
    k = builder.phi(I64)
    sums = [[builder.phi(vector) for _ in range(vectors)] for _ in starts]
    pointer = vectors_at(builder, k)
    columns = [load(pointer, q) for q in range(vectors)]
    numbers = [splat(builder, builder.load(address(builder, k)), vector) for address in spread]
    added = [
        [call_llvm(builder, "fmuladd", vector, [number, column, total], suffix(dtype))
         for column, total in zip(columns, row, strict=True)]
        for number, row in zip(numbers, sums, strict=True)
    ]  # fmt: skip
    following = builder.add(k, I64(1))
    k.add_incoming(I64(0), before)
    k.add_incoming(following, body)
    builder.cbranch(builder.icmp_signed("<", following, depth), body, after)

    builder.position_at_end(after)
    done = [[builder.phi(vector) for _ in range(vectors)] for _ in starts]
    for r in range(len(results)):
        for q in range(vectors):
            sums[r][q].add_incoming(first[r][q], before)
            sums[r][q].add_incoming(added[r][q], body)
            done[r][q].add_incoming(first[r][q], before)
            done[r][q].add_incoming(added[r][q], body)
    for r, result in enumerate(results):
        for q in range(vectors):
            builder.store(done[r][q], vector_at(builder, result, I64(q * lanes), dtype)).align = align


def _emit_switch(emit: Callable[..., None]) -> Callable[..., ir.Value]:
    """Code for a tile whose rows and vectors are known at run time: one variant for each pair."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        _, rows, vectors, *operands = args
        end = builder.append_basic_block("end")
        choice = builder.switch(builder.add(builder.mul(rows, I64(VECTORS)), vectors), end)
        for r in range(1, ROWS + 1):
            for q in range(1, VECTORS + 1):
                block = builder.append_basic_block(f"rows{r}vectors{q}")
                choice.add_case(I64(r * VECTORS + q), block)
                builder.position_at_end(block)
                emit(builder, r, q, *operands)
                builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return codegen


@intrinsic
def _tile_rows(
    typing_context, source, rows, vectors, a, a_index, a_scale, a_k, b, depth, from_c, start, c, c_index, c_scale
):
    dtype = a.dtype

    def emit(builder, r, q, a, a_index, a_scale, a_k, b, depth, from_c, start, c, c_index, c_scale):
        def row(pointer: ir.Value, index: ir.Value, scale: ir.Value, number: int) -> ir.Value:
            offset = builder.mul(builder.load(builder.gep(index, [I64(number)])), scale)
            return builder.gep(pointer, [offset])

        a_rows = [row(a, a_index, a_scale, i) for i in range(r)]
        c_rows = [row(c, c_index, c_scale, i) for i in range(r)]
        from_start = builder.icmp_signed("==", from_c, I64(0))
        starts = [builder.select(from_start, start, c_row) for c_row in c_rows]
        for c_row in c_rows:
            for vector in range(q):
                prefetch_at(builder, builder.gep(c_row, [I64(vector * LANES[dtype])]))
        width = I64(q * LANES[dtype])

        def step(pointer: ir.Value, stride: ir.Value) -> Address:
            return lambda builder, k: builder.gep(pointer, [builder.mul(k, stride)])

        _emit_variant(builder, dtype, depth, starts, c_rows, [step(p, a_k) for p in a_rows], step(b, width), q)

    arguments = (source, rows, vectors, a, a_index, a_scale, a_k, b, depth, from_c, start, c, c_index, c_scale)
    return types.void(*arguments), _emit_switch(emit)


@intrinsic
def _tile_outer(typing_context, source, rows, vectors, a, a_index, a_scale, a_row, b, b_index, b_scale, depth, c):
    dtype = a.dtype

    def emit(builder, r, q, a, a_index, a_scale, a_row, b, b_index, b_scale, depth, c):
        def step(pointer: ir.Value, index: ir.Value, scale: ir.Value) -> Address:
            return lambda builder, k: builder.gep(pointer, [builder.mul(builder.load(builder.gep(index, [k])), scale)])

        def spread_row(number: int) -> Address:
            return step(builder.gep(a, [builder.mul(a_row, I64(number))]), a_index, a_scale)

        c_rows = [builder.gep(c, [I64(i * q * LANES[dtype])]) for i in range(r)]
        _emit_variant(
            builder, dtype, depth, c_rows, c_rows, [spread_row(i) for i in range(r)], step(b, b_index, b_scale), q
        )

    return types.void(source, rows, vectors, a, a_index, a_scale, a_row, b, b_index, b_scale, depth, c), _emit_switch(
        emit
    )


# ------------------------------------------------------------ compiled once per dtype, called from every kernel by name


def _signatures(dtype: types.Float) -> dict[str, types.Type]:
    size, numbers, index = types.int64, CPointer(dtype), CPointer(types.int64)
    return {
        "rows": types.void(size, size, numbers, index, size, size, numbers, size, size, numbers, numbers, index, size),
        "outer": types.void(size, size, numbers, index, size, size, numbers, index, size, size, numbers),
    }


def _compile(dtype: types.Float, source: int) -> list[Any]:
    """The tiles of `dtype` as C functions. `source`, being a variable of theirs, is part of their key in the cache."""
    signatures = _signatures(dtype)

    @cfunc(signatures["rows"], cache=True)
    def rows(n, vectors, a, a_index, a_scale, a_k, b, depth, from_c, start, c, c_index, c_scale):
        _tile_rows(source, n, vectors, a, a_index, a_scale, a_k, b, depth, from_c, start, c, c_index, c_scale)

    @cfunc(signatures["outer"], cache=True)
    def outer(n, vectors, a, a_index, a_scale, a_row, b, b_index, b_scale, depth, c):
        _tile_outer(source, n, vectors, a, a_index, a_scale, a_row, b, b_index, b_scale, depth, c)

    return [rows, outer]


_installed: list[Any] = []  # keeps the machine code alive


@functools.cache
def install() -> None:
    """Compile the tiles, or load them from the cache, and make them known to LLVM's linker by name."""
    for dtype in LANES:
        for tile in _compile(dtype, FINGERPRINT):
            add_symbol(f"nblstm_tile_{tile.__name__}_{dtype}", tile.address)
            _installed.append(tile)


def _call_by_name(name: str, dtype: types.Float, signature: Any) -> Any:
    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        function_type = ir.FunctionType(ir.VoidType(), [value.type for value in args])
        symbol = f"nblstm_tile_{name}_{dtype}"
        builder.call(cgutils.get_or_insert_function(builder.module, function_type, symbol), args)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def tile_rows(typing_context, rows, vectors, a, a_index, a_scale, a_k, b, depth, from_c, start, c, c_index, c_scale):
    """Rows that lie anywhere times a panel.

        c[c_index[r] * c_scale + j] = start[j] + sum_k a[a_index[r] * a_scale + k * a_k] * b[k * width + j]

    for r in 0..rows-1 and j in 0..width-1 with width = vectors * lanes. If `from_c` is not 0 the sum starts from c.
    """
    return _call_by_name("rows", a.dtype, _signatures(a.dtype)["rows"])


@intrinsic
def tile_outer(typing_context, rows, vectors, a, a_index, a_scale, a_row, b, b_index, b_scale, depth, c):
    """Sum of outer products over steps that lie anywhere, added to c.

        c[r * width + j] += sum_k a[a_index[k] * a_scale + r * a_row] * b[b_index[k] * b_scale + j]

    for r in 0..rows-1 and j in 0..width-1 with width = vectors * lanes.
    """
    return _call_by_name("outer", a.dtype, _signatures(a.dtype)["outer"])
