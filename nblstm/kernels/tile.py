"""The register tile: the innermost loop of every matrix product here, as one function of LLVM's.

A tile is up to `ROWS` rows by up to four vectors of sums that stay in registers while the inner dimension runs; each step loads
four vectors of one operand and spreads one number per row of the other. Neither LLVM nor Numba finds this shape by itself.
Every sum has one accumulator that takes its terms in ascending order, so its bits depend neither on the other rows of the tile
nor on who computes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from nblstm.kernels.simd import BYTES, I64, LANES, call_llvm, llvm_vector, splat, suffix, vector_at

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
    """One tile: sums start at `starts[r]`, take `spread[r](k) * vectors_at(k)` for k in 0..depth-1 and go to `results[r]`."""
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
    for r, result in enumerate(results):
        for q in range(vectors):
            sums[r][q].add_incoming(first[r][q], before)
            sums[r][q].add_incoming(added[r][q], body)
            done[r][q].add_incoming(first[r][q], before)
            done[r][q].add_incoming(added[r][q], body)
    for r, result in enumerate(results):
        for q in range(vectors):
            builder.store(done[r][q], vector_at(builder, result, I64(q * lanes), dtype)).align = align


def _tile_function(module: ir.Module, name: str, signature: ir.FunctionType, emit: Callable[..., None]) -> ir.Function:
    """The function `name` of the module, with one variant for each number of rows and vectors (its first two arguments)."""
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, signature, name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    rows, vectors, *operands = function.args
    variant = builder.add(builder.mul(rows, I64(VECTORS)), vectors)
    end = builder.append_basic_block("end")
    choice = builder.switch(variant, end)
    for r in range(1, ROWS + 1):
        for q in range(1, VECTORS + 1):
            block = builder.append_basic_block(f"rows{r}vectors{q}")
            choice.add_case(I64(r * VECTORS + q), block)
            builder.position_at_end(block)
            emit(builder, r, q, *operands)
            builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def _call_tile(flavour: str, dtype: types.Float, emit: Callable[..., None]) -> Callable[..., ir.Value]:
    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        values = [
            context.cast(builder, value, kind, types.int64) if isinstance(kind, types.Integer) else value
            for value, kind in zip(args, sig.args, strict=True)
        ]
        signature = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        name = f"nblstm.{flavour}.{suffix(dtype)}"
        builder.call(_tile_function(builder.module, name, signature, emit), values)
        return context.get_dummy_value()

    return codegen


@intrinsic
def tile_rows(typing_context, rows, vectors, a, a_index, a_scale, a_k, b, depth, from_c, start, c, c_index, c_scale):
    """Rows that lie anywhere times a panel.

        c[c_index[r] * c_scale + j] = start[j] + sum_k a[a_index[r] * a_scale + k * a_k] * b[k * width + j]

    for r in 0..rows-1 and j in 0..width-1 with width = vectors * lanes. Where `from_c` the sum starts from c itself.
    """
    dtype = a.dtype
    signature = types.void(rows, vectors, a, a_index, a_scale, a_k, b, depth, from_c, start, c, c_index, c_scale)

    def emit(builder, r, q, a, a_index, a_scale, a_k, b, depth, from_c, start, c, c_index, c_scale):
        def row(pointer: ir.Value, index: ir.Value, scale: ir.Value, number: int) -> ir.Value:
            offset = builder.mul(builder.load(builder.gep(index, [I64(number)])), scale)
            return builder.gep(pointer, [offset])

        a_rows = [row(a, a_index, a_scale, i) for i in range(r)]
        c_rows = [row(c, c_index, c_scale, i) for i in range(r)]
        starts = [builder.select(from_c, c_row, start) for c_row in c_rows]
        width = I64(q * LANES[dtype])
        spread: list[Address] = [lambda builder, k, p=p: builder.gep(p, [builder.mul(k, a_k)]) for p in a_rows]
        _emit_variant(
            builder, dtype, depth, starts, c_rows, spread, lambda builder, k: builder.gep(b, [builder.mul(k, width)]), q
        )

    return signature, _call_tile("tile_rows", dtype, emit)


@intrinsic
def tile_outer(typing_context, rows, vectors, a, a_index, a_scale, a_row, b, b_index, b_scale, depth, c):
    """Sum of outer products over steps that lie anywhere, added to c.

        c[r * width + j] += sum_k a[a_index[k] * a_scale + r * a_row] * b[b_index[k] * b_scale + j]

    for r in 0..rows-1 and j in 0..width-1 with width = vectors * lanes.
    """
    dtype = a.dtype
    signature = types.void(rows, vectors, a, a_index, a_scale, a_row, b, b_index, b_scale, depth, c)

    def emit(builder, r, q, a, a_index, a_scale, a_row, b, b_index, b_scale, depth, c):
        def step(pointer: ir.Value, index: ir.Value, scale: ir.Value) -> Address:
            return lambda builder, k: builder.gep(pointer, [builder.mul(builder.load(builder.gep(index, [k])), scale)])

        def spread_row(number: int) -> Address:
            return step(builder.gep(a, [builder.mul(a_row, I64(number))]), a_index, a_scale)

        c_rows = [builder.gep(c, [I64(i * q * LANES[dtype])]) for i in range(r)]
        _emit_variant(
            builder, dtype, depth, c_rows, c_rows, [spread_row(i) for i in range(r)], step(b, b_index, b_scale), q
        )

    return signature, _call_tile("tile_outer", dtype, emit)
