"""The register tile: the innermost loop of every matrix product here, as one function of LLVM's.

A tile is up to `ROWS` rows by up to four vectors of sums that stay in registers while the inner dimension runs; each
step loads four vectors of one operand and spreads one number per row of the other. Neither LLVM nor Numba finds this
shape by itself. Every sum has one accumulator that takes its terms in ascending order, so its bits depend neither on
the other rows of the tile nor on who computes them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from llvmlite.binding import add_symbol
from numba.core import cgutils, types
from numba.core.types.misc import CPointer
from numba.extending import intrinsic

from nblstm.kernels.cache import cfunc
from nblstm.kernels.fingerprint import FINGERPRINT
from nblstm.kernels.simd import I64, LANES, REGISTERS, call_llvm, llvm_vector, prefetch_at, splat, suffix, vector_at

VECTORS = 4
"""Vectors across a full tile: for the LSTM the four gates of the same units."""

ROWS = 6 if REGISTERS == 32 else 3
"""Rows of a full tile: its sums, a number of each row and one vector of the other operand fill the registers.

That is 24 + 6 + 1 of 32 and 12 + 3 + 1 of 16. A processor with two units for multiply-adds of four or five cycles needs
ten sums to keep them busy, one of Apple's with four units sixteen.
"""

Address = Callable[[ir.IRBuilder, ir.Value], ir.Value]


class Product(NamedTuple):
    """What a tile adds to its sums: spread[r](k) * vectors_at(k), for k < depth."""

    depth: ir.Value
    spread: list[Address]
    vectors_at: Address


def _emit_load(builder: ir.IRBuilder, dtype: types.Float, pointer: ir.Value, q: int) -> ir.Value:
    value = builder.load(vector_at(builder, pointer, I64(q * LANES[dtype]), dtype))
    value.align = dtype.bitwidth // 8
    return value


def _emit_product(
    builder: ir.IRBuilder, dtype: types.Float, sums: list[list[ir.Value]], product: Product
) -> list[list[ir.Value]]:
    """The loop over k; sums, a list of vectors per row, as they enter and as they leave it."""
    vector, vectors = llvm_vector(dtype), range(len(sums[0]))
    before, body, after = builder.block, builder.append_basic_block("step"), builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed(">", product.depth, I64(0)), body, after)

    builder.position_at_end(body)
    k = builder.phi(I64)
    totals = [[builder.phi(vector) for _ in vectors] for _ in sums]
    # Numbers first, then one column after the other: sums, numbers and one column fit the registers, more do not.
    numbers = [splat(builder, builder.load(address(builder, k)), vector) for address in product.spread]
    pointer = product.vectors_at(builder, k)
    added: list[list[ir.Value]] = [[] for _ in sums]
    for q in vectors:
        column = _emit_load(builder, dtype, pointer, q)
        for row, number, before_k in zip(added, numbers, totals, strict=True):
            row.append(call_llvm(builder, "fmuladd", vector, [number, column, before_k[q]], suffix(dtype)))
    following = builder.add(k, I64(1))
    k.add_incoming(I64(0), before)
    k.add_incoming(following, body)
    builder.cbranch(builder.icmp_signed("<", following, product.depth), body, after)

    builder.position_at_end(after)
    done = [[builder.phi(vector) for _ in vectors] for _ in sums]
    for r in range(len(sums)):
        for q in vectors:
            totals[r][q].add_incoming(sums[r][q], before)
            totals[r][q].add_incoming(added[r][q], body)
            done[r][q].add_incoming(sums[r][q], before)
            done[r][q].add_incoming(added[r][q], body)
    return done


def _emit_tile(
    builder: ir.IRBuilder, dtype: types.Float, vectors: int, starts: list[ir.Value], products: list[Product],
    results: list[ir.Value],
) -> None:  # fmt: skip
    """One tile: the sums of row r start from `starts[r]`, take the products in their order, go to `results[r]`."""
    sums = [[_emit_load(builder, dtype, start, q) for q in range(vectors)] for start in starts]
    for product in products:
        sums = _emit_product(builder, dtype, sums, product)
    for row, result in zip(sums, results, strict=True):
        for q, total in enumerate(row):
            address = vector_at(builder, result, I64(q * LANES[dtype]), dtype)
            builder.store(total, address).align = dtype.bitwidth // 8


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
    typing_context, source, rows, vectors, a, a_index, a_scale, a_k, b, depth, a2, a2_index, a2_scale, b2, depth2,
    start, start_index, start_scale, c, c_index, c_scale,
):  # fmt: skip
    dtype = a.dtype

    def emit(
        builder, r, q, a, a_index, a_scale, a_k, b, depth, a2, a2_index, a2_scale, b2, depth2,
        start, start_index, start_scale, c, c_index, c_scale,
    ):  # fmt: skip
        def rows_of(pointer: ir.Value, index: ir.Value, scale: ir.Value) -> list[ir.Value]:
            offsets = [builder.mul(builder.load(builder.gep(index, [I64(i)])), scale) for i in range(r)]
            return [builder.gep(pointer, [offset]) for offset in offsets]

        def step(pointer: ir.Value, stride: ir.Value) -> Address:
            return lambda builder, k: builder.gep(pointer, [builder.mul(k, stride)])

        width = I64(q * LANES[dtype])
        first = Product(depth, [step(row, a_k) for row in rows_of(a, a_index, a_scale)], step(b, width))
        second = Product(depth2, [step(row, I64(1)) for row in rows_of(a2, a2_index, a2_scale)], step(b2, width))
        starts, results = rows_of(start, start_index, start_scale), rows_of(c, c_index, c_scale)
        for result in results:
            for vector in range(q):
                prefetch_at(builder, builder.gep(result, [I64(vector * LANES[dtype])]))
        _emit_tile(builder, dtype, q, starts, [first, second], results)

    arguments = (
        source, rows, vectors, a, a_index, a_scale, a_k, b, depth, a2, a2_index, a2_scale, b2, depth2,
        start, start_index, start_scale, c, c_index, c_scale,
    )  # fmt: skip
    return types.void(*arguments), _emit_switch(emit)


# ------------------------------------------------------------ compiled once per dtype, called from every kernel by name


def _signature(dtype: types.Float) -> types.Type:
    size, numbers = types.int64, CPointer(dtype)
    row = [numbers, CPointer(types.int64), size]
    return types.void(size, size, *row, size, numbers, size, *row, numbers, size, *row, *row)


def _compile(dtype: types.Float, source: int) -> Any:
    """The tiles of `dtype` as a C function. `source`, being a variable of its, is part of its key in the cache."""

    @cfunc(_signature(dtype))
    def rows(
        n, vectors, a, a_index, a_scale, a_k, b, depth, a2, a2_index, a2_scale, b2, depth2,
        start, start_index, start_scale, c, c_index, c_scale,
    ):  # fmt: skip
        _tile_rows(
            source, n, vectors, a, a_index, a_scale, a_k, b, depth, a2, a2_index, a2_scale, b2, depth2,
            start, start_index, start_scale, c, c_index, c_scale,
        )  # fmt: skip

    return rows


_installed: list[Any] = []  # keeps the machine code alive


@functools.cache
def install() -> None:
    """Compile the tiles, or load them from the cache, and make them known to LLVM's linker by name."""
    for dtype in LANES:
        tile = _compile(dtype, FINGERPRINT)
        add_symbol(_symbol(dtype), tile.address)
        _installed.append(tile)


def _symbol(dtype: types.Float) -> str:
    return f"nblstm_tile_{dtype}"


@intrinsic
def tile_rows(
    typing_context, rows, vectors, a, a_index, a_scale, a_k, b, depth, a2, a2_index, a2_scale, b2, depth2,
    start, start_index, start_scale, c, c_index, c_scale,
):  # fmt: skip
    """Rows that lie anywhere times a panel, and, where `depth2` is not 0, other rows times a second panel.

        c[c_index[r] * c_scale + j] = start[start_index[r] * start_scale + j]
                                      + sum_{k < depth}  a[a_index[r] * a_scale + k * a_k] * b[k * width + j]
                                      + sum_{k < depth2} a2[a2_index[r] * a2_scale + k] * b2[k * width + j]

    for r in 0..rows-1 and j in 0..width-1 with width = vectors * lanes.
    """

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        function_type = ir.FunctionType(ir.VoidType(), [value.type for value in args])
        builder.call(cgutils.get_or_insert_function(builder.module, function_type, _symbol(a.dtype)), args)
        return context.get_dummy_value()

    return _signature(a.dtype), codegen
