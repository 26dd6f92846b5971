"""Packing, products over panels, copies, dropout: each kernel by itself, bit for bit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numba import njit
from support.packed import THREADS, Dtype, Weights, address, alike, in_gate_order, in_panels, lanes, layers, padded
from support.sums import DTYPES, UNTOUCHED, accumulated, between, is_fused, whole

from nblstm.kernels import products
from nblstm.kernels.dropout import dropout, scramble
from nblstm.kernels.plan import PLAN, fill
from nblstm.kernels.products import ROW_BLOCK, rows_times_panels
from nblstm.kernels.simd import pointer, shift
from nblstm.kernels.sweeps import copy_units
from nblstm.kernels.tag import ANY
from nblstm.kernels.tile import ROWS

# ------------------------------------------------------------------------------------------------------------ packing


@pytest.mark.parametrize("dtype", DTYPES)
def test_panels_hold_every_weight_in_its_place(dtype: Dtype, rng: np.random.Generator) -> None:
    for (gates, units, inputs, biases, joined), threads in product(layers(dtype), THREADS):
        said = f"{gates=} {units=} {inputs=} {biases=} {joined=} {threads=}"
        weights = Weights(gates, units, inputs, biases, joined)
        flat = rng.standard_normal(weights.size).astype(dtype)
        offsets, G = np.array(weights.offsets), gates * padded(units, dtype)
        of_x, of_h = (in_gate_order(flat[at], gates, units, dtype) for at in (weights.of_x, weights.of_h))

        for_x, for_h, bias = (np.full(size, UNTOUCHED, dtype) for size in (G * inputs, G * units, G))
        blocks, plan = alike(gates), np.zeros(1, PLAN)
        fill(
            plan, I=inputs, H=units, P=padded(units, dtype), G=G, depth=G, hiddens=units, head=units,
            weights=address(flat), offsets=address(offsets), blocks=address(blocks), parts=products.parts_of(blocks),
            bias=address(bias), input_panels=address(for_x), hidden_panels=address(for_h),
        )  # fmt: skip
        products.pack_forward(np.dtype(dtype), threads, plan)
        summed = sum((flat[at] for at in weights.of_biases), np.zeros(gates * units, dtype))
        assert for_x.tobytes() == in_panels(of_x.T, dtype).tobytes(), said
        assert for_h.tobytes() == in_panels(of_h.T, dtype).tobytes(), said
        assert bias.tobytes() == in_gate_order(summed[:, None], gates, units, dtype).tobytes(), said

        widths = padded(inputs, dtype), padded(units, dtype)
        back_x, back_h = (np.full(width * G, UNTOUCHED, dtype) for width in widths)
        fill(plan, input_back=address(back_x), hidden_back=address(back_h))
        products.pack_backward(np.dtype(dtype), threads, plan)
        for found, rows, width in ((back_x, of_x, widths[0]), (back_h, of_h, widths[1])):
            wide = np.zeros((G, width), dtype)
            wide[:, : rows.shape[1]] = rows
            assert found.tobytes() == in_panels(wide, dtype).tobytes(), said


def test_panels_are_passed_back_and_forth() -> None:
    for first, last, turn in product(range(3), range(3, 7), range(4)):
        passed = [products.back_and_forth(n, first, last, turn) for n in range(first, last)]
        assert passed == list(range(first, last))[:: -1 if turn % 2 else 1]


# ----------------------------------------------------------------------------------------------------------- products


@njit
def rows_by_panels(tag, count, a, a_index, a_scale, a_k, panels, depth, columns, start, add, c, c_index, c_scale):
    rows_times_panels(
        count, pointer(a), pointer(a_index), a_scale, a_k, pointer(panels), depth, columns, pointer(start), add,
        pointer(c), pointer(c_index), c_scale,
    )  # fmt: skip


def check_product(rng, numbers, count, columns, depth, a_k, dtype, fused) -> None:
    """By one caller, added to what is there and not, and by threads."""
    a, b = numbers(rng, (count, depth), dtype), numbers(rng, (depth, columns), dtype)
    start, c = numbers(rng, columns, dtype), numbers(rng, (count, columns), dtype)
    a_index, c_index = rng.permutation(count + 1)[:count], rng.permutation(count + 1)[:count]
    a_scale, c_scale = depth * a_k + 1, columns + 3
    a_memory = np.full((count + 1) * a_scale, UNTOUCHED, dtype)
    a_at = a_index[:, None] * a_scale + np.arange(depth) * a_k
    c_at = c_index[:, None] * c_scale + np.arange(columns)
    a_memory[a_at] = a
    before = np.full((count + 1) * c_scale, UNTOUCHED, dtype)
    before[c_at] = c
    panels, place = in_panels(b, dtype), (c_index, c_scale)
    for how in ("from start", "added", *THREADS):
        begin = c if how == "added" else np.broadcast_to(start, c.shape)
        expected, found = before.copy(), before.copy()
        expected[c_at] = begin + a @ b if numbers is whole else accumulated(begin, a, b, fused)
        if how in THREADS:
            products.product(
                ANY, how, count, address(a_memory), a_index, a_scale, a_k, panels, depth, columns, start, found, *place
            )
        else:
            rows_by_panels(
                ANY, count, a_memory, a_index, a_scale, a_k, panels, depth, columns, start, how == "added", found,
                *place,
            )  # fmt: skip
        assert found.tobytes() == expected.tobytes(), f"{count=} {columns=} {depth=} {a_k=} {how=}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_times_panels(dtype: Dtype, rng: np.random.Generator) -> None:
    counts = (0, 1, ROWS, ROWS + 1, ROW_BLOCK - 1, ROW_BLOCK, ROW_BLOCK + 1, 2 * ROW_BLOCK + 5)
    for count, vectors, depth in product(counts, (1, 4, 7), (0, 1, 17)):
        a_k = 1 + 2 * (count % 2)
        check_product(rng, whole, count, vectors * lanes(dtype), depth, a_k, dtype=dtype, fused=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_times_panels_in_order(dtype: Dtype, rng: np.random.Generator) -> None:
    check_product(rng, between, 5, 5 * lanes(dtype), 17, 3, dtype=dtype, fused=is_fused())


# --------------------------------------------------------------------------------------------------- copies, dropout


@njit
def copy(rows, first, last, h, H, P, y, offset, y_at):
    copy_units(rows, first, last, pointer(h), H, P, shift(pointer(y), offset), pointer(y_at))


@pytest.mark.parametrize("dtype", DTYPES)
def test_units_are_copied_without_their_padding(dtype: Dtype, rng: np.random.Generator) -> None:
    L = lanes(dtype)
    for H, rows in product((1, L - 1, L, L + 1, 3 * L - 2), (0, 1, 4)):
        P = padded(H, dtype)
        for first, last in product(range(0, P, L), range(0, P + 1, L)):
            if first <= last:
                h = rng.standard_normal((rows + 1, P)).astype(dtype)
                y_at = rng.permutation(rows + 1) * (H + 3)
                end = min(last, H)  # y ends where the last number goes
                y = np.full(1 + (y_at[:rows].max() + end if rows else 0), UNTOUCHED, dtype)
                expected = y.copy()
                for row in range(rows):
                    expected[1 + y_at[row] + first : 1 + y_at[row] + end] = h[row, first:end]
                copy(rows, first, last, h.reshape(-1), H, P, y, 1, y_at)
                assert np.array_equal(y, expected), f"{H=} {rows=} {first=} {last=}"


STEP, MASK = 0x9E3779B97F4A7C15, 2**64 - 1


def mixed(z: int) -> int:
    """SplitMix64's output function, in Python's integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_scrambled_counters_are_those_of_splitmix64() -> None:
    """Its first numbers from the seed 1234567, as they are published with it."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    compiled = njit(lambda z: scramble(z))  # Python's own integers do not wrap around
    assert [int(compiled(np.uint64((1234567 + n * STEP) & MASK))) for n in (1, 2, 3, 4)] == published
    assert [mixed((1234567 + n * STEP) & MASK) for n in (1, 2, 3, 4)] == published


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_dropped_depends_on_key_step_sequence_and_unit(dtype: Dtype, rng: np.random.Generator) -> None:
    T, B, width, key, threshold, scale = 3, 2, 5, 2**63 + 12345, int(0.4 * 2**64), dtype(1 / 0.6)
    source = rng.standard_normal((T * B, width + 2)).astype(dtype)
    expected = np.full((T * B, width + 1), UNTOUCHED, dtype)
    for row, unit in product(range(T * B), range(width)):
        row_key = mixed((mixed((key + row // B * STEP) & MASK) + row % B * STEP) & MASK)
        kept = mixed((row_key + unit * STEP) & MASK) >= threshold
        expected[row, unit] = source[row, unit] * (scale if kept else dtype(0))
    for threads in THREADS:
        found = np.full_like(expected, UNTOUCHED)
        dropout(
            ANY, threads, np.uint64(key), np.uint64(threshold), scale, T * B, B, width, address(source), width + 2,
            found.reshape(-1), width + 1,
        )  # fmt: skip
        assert found.tobytes() == expected.tobytes(), threads
    assert 0 < (expected == 0).sum() < T * B * width
