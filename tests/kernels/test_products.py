"""Packing, products over panels, gradients of weights, copies, dropout: each kernel by itself, bit for bit."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from numba import njit
from support.sums import DTYPES, UNTOUCHED, accumulated, between, is_fused, whole

from nblstm.kernels import products
from nblstm.kernels.dropout import dropout, scramble
from nblstm.kernels.products import ROW_BLOCK, STEP_BLOCK, rows_times_panels
from nblstm.kernels.simd import BYTES, pointer, shift
from nblstm.kernels.sweeps import TILE_VECTORS, copy_units
from nblstm.kernels.tag import ANY
from nblstm.kernels.tile import ROWS, VECTORS

Dtype = type[np.floating]
THREADS = (1, 3)


def lanes(dtype: Dtype) -> int:
    return BYTES // np.dtype(dtype).itemsize


def padded(count: int, dtype: Dtype) -> int:
    return -(-count // lanes(dtype)) * lanes(dtype)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def in_gate_order(weight: np.ndarray, gates: int, units: int, dtype: Dtype) -> np.ndarray:
    """The rows (gates units, K) as (units/lanes, gates, lanes), rows of zeros for the units past the last."""
    by_gate = np.zeros((gates, padded(units, dtype), weight.shape[1]), dtype)
    by_gate[:, :units] = weight.reshape(gates, units, -1)
    blocks = by_gate.reshape(gates, -1, lanes(dtype), weight.shape[1])
    return blocks.transpose(1, 0, 2, 3).reshape(-1, weight.shape[1])


def back_from_gate_order(columns: np.ndarray, gates: int, units: int, dtype: Dtype) -> np.ndarray:
    """The reverse: (K, columns in gate order) as a weight (gates units, K)."""
    blocks = columns.T.reshape(-1, gates, lanes(dtype), len(columns))
    return blocks.transpose(1, 0, 2, 3).reshape(gates, -1, len(columns))[:, :units].reshape(gates * units, -1)


def in_panels(matrix: np.ndarray, dtype: Dtype) -> np.ndarray:
    """A matrix (depth, columns) as panels of four vectors of columns, or what is left."""
    width = VECTORS * lanes(dtype)
    panels = [matrix[:, at : at + width].ravel() for at in range(0, matrix.shape[1], width)]
    return np.concatenate([np.zeros(0, dtype), *panels])


class Weights:
    """Weights of a layer and biases, so many as there are, in a flat array, apart from each other or side by side."""

    def __init__(self, gates: int, units: int, inputs: int, biases: int, joined: bool) -> None:
        rows = gates * units
        if joined:
            self.places = [1 + units, units + inputs, 1, units + inputs]
            end = 1 + rows * (units + inputs)
        else:
            self.places = [2, inputs, 5 + rows * inputs, units]
            end = 5 + rows * (inputs + units)
        self.biases = [end + 3 + n * (rows + 2) for n in range(biases)]
        self.size = (self.biases[-1] if biases else end - rows) + rows
        self.places += [*self.biases, -1, -1][:2]
        at = np.arange(rows)
        self.of_x = self.places[0] + at[:, None] * self.places[1] + np.arange(inputs)
        self.of_h = self.places[2] + at[:, None] * self.places[3] + np.arange(units)
        self.of_biases = [place + at for place in self.biases]


def layers(dtype: Dtype) -> list[tuple[int, int, int, int, bool]]:
    """Gates, units, inputs, biases, joined: fewer units than lanes, panels that are full and that are not."""
    L = lanes(dtype)
    units = (1, L - 1, L, L + 1, 4 * L, 4 * L + 3)
    return [
        (gates, each, inputs, n % 3, n % 2 == 1)
        for n, (gates, each, inputs) in enumerate(product((1, 4), units, (1, 5, 4 * L + 1)))
    ]


# ------------------------------------------------------------------------------------------------------------ packing


@pytest.mark.parametrize("dtype", DTYPES)
def test_panels_hold_every_weight_in_its_place(dtype: Dtype, rng: np.random.Generator) -> None:
    for (gates, units, inputs, biases, joined), threads in product(layers(dtype), THREADS):
        said = f"{gates=} {units=} {inputs=} {biases=} {joined=} {threads=}"
        weights = Weights(gates, units, inputs, biases, joined)
        flat = rng.standard_normal(weights.size).astype(dtype)
        places, G = np.array(weights.places), gates * padded(units, dtype)
        of_x, of_h = (in_gate_order(flat[at], gates, units, dtype) for at in (weights.of_x, weights.of_h))

        for_x, for_h, bias = (np.full(size, UNTOUCHED, dtype) for size in (G * inputs, G * units, G))
        products.pack_forward(ANY, threads, flat, places, gates, units, inputs, units, G, for_x, for_h, bias)
        summed = sum((flat[at] for at in weights.of_biases), np.zeros(gates * units, dtype))
        assert for_x.tobytes() == in_panels(of_x.T, dtype).tobytes(), said
        assert for_h.tobytes() == in_panels(of_h.T, dtype).tobytes(), said
        assert bias.tobytes() == in_gate_order(summed[:, None], gates, units, dtype).tobytes(), said

        widths = padded(inputs, dtype), padded(units, dtype)
        back_x, back_h = (np.full(width * G, UNTOUCHED, dtype) for width in widths)
        products.pack_backward(ANY, threads, flat, places, gates, units, inputs, units, G, back_x, back_h)
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


# ---------------------------------------------------------------------------------------------- gradients of weights


def check_gradient(rng, numbers, layer, steps, pieces, threads, dtype, fused) -> None:
    """A sum over steps that lie anywhere, in so many pieces; what lies between weights stays as it is."""
    gates, units, inputs, *_ = layer
    weights, G, P = Weights(*layer), gates * padded(units, dtype), padded(units, dtype)
    x_feature, x_step = 2, 2 * inputs + 1
    x, h = numbers(rng, (steps, inputs), dtype), numbers(rng, (steps, units), dtype)
    b = numbers(rng, (steps, G), dtype)
    x_index, h_index, b_index = (rng.permutation(steps + 1)[:steps] for _ in range(3))
    x_memory = np.full((steps + 1) * x_step, UNTOUCHED, dtype)
    h_memory, b_memory = (np.full((steps + 1, width), UNTOUCHED, dtype) for width in (P, G))
    x_memory[x_index[:, None] * x_step + np.arange(inputs) * x_feature] = x
    h_memory[h_index, :units], b_memory[b_index] = h, b

    found = numbers(rng, weights.size, dtype)
    expected, taken = found.copy(), np.hstack([x, h, np.ones((steps, 1), dtype)])
    zeros = np.zeros((inputs + units + 1, G), dtype)
    sums = taken.T @ b if numbers is whole else accumulated(zeros, np.ascontiguousarray(taken.T), b, fused)
    by_row = back_from_gate_order(sums, gates, units, dtype)
    expected[weights.of_x] += by_row[:, :inputs]
    expected[weights.of_h] += by_row[:, inputs:-1]
    for at in weights.of_biases:
        expected[at] += by_row[:, -1]

    scratch = np.full(max(G * (inputs + units + 1), threads * TILE_VECTORS * lanes(dtype)), UNTOUCHED, dtype)
    bounds = [steps * n // pieces for n in range(pieces + 1)]
    for first, last in pairwise(bounds):
        part = slice(first, last)
        products.weight_gradient(
            ANY, threads, last - first, address(x_memory), x_index[part] * x_step, x_feature, inputs, address(h_memory),
            h_index[part], P, units, b_memory.reshape(-1), b_index[part], G, gates, units, np.ones(1, dtype),
            first == 0, last == steps, scratch, found, np.array(weights.places),
        )  # fmt: skip
    assert found.tobytes() == expected.tobytes(), f"{layer=} {steps=} {pieces=} {threads=}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_weights(dtype: Dtype, rng: np.random.Generator) -> None:
    for layer, threads in product(layers(dtype), THREADS):
        check_gradient(rng, whole, layer, 7, 1, threads, dtype, fused=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_weights_over_blocks_of_steps(dtype: Dtype, rng: np.random.Generator) -> None:
    """In one call or in pieces, shorter and longer than a block."""
    layer = (4, lanes(dtype) + 1, 5, 2, False)
    for steps, pieces, threads in product((1, STEP_BLOCK, STEP_BLOCK + 1, 2 * STEP_BLOCK + 3), (1, 3), THREADS):
        if steps >= pieces:
            check_gradient(rng, whole, layer, steps, pieces, threads, dtype, fused=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_weights_are_summed_in_order(dtype: Dtype, rng: np.random.Generator) -> None:
    """Of float64 few, for the exact sums cost Python a while."""
    steps = 2 * STEP_BLOCK + 3 if dtype is np.float32 else 9
    for pieces in (1, 3):
        check_gradient(rng, between, (4, 3, 2, 1, True), steps, pieces, 2, dtype, is_fused())


def test_no_steps_add_nothing(rng: np.random.Generator) -> None:
    check_gradient(rng, whole, (4, 3, 2, 2, False), 0, 1, 2, np.float32, fused=True)


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
    assert [int(scramble(np.uint64((1234567 + n * STEP) & MASK))) for n in (1, 2, 3, 4)] == published
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
