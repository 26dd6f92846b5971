"""Packing, products over packed panels, and gradients of weights: against NumPy, bit for bit, at every kind of edge."""

from __future__ import annotations

from itertools import product as combinations

import numpy as np
import pytest
from numba import njit
from support.sums import DTYPES, UNTOUCHED, accumulated, between, is_fused, whole

from nblstm.kernels import products
from nblstm.kernels.products import ROW_BLOCK, STEP_BLOCK, rows_times_panels
from nblstm.kernels.simd import BYTES, pointer
from nblstm.kernels.sweeps import copy_units
from nblstm.kernels.tag import ANY
from nblstm.kernels.tile import VECTORS


def lanes_of(dtype: type[np.floating]) -> int:
    return BYTES // np.dtype(dtype).itemsize


def gate_order(gates: int, units: int, lanes: int) -> list[int]:
    """The row of the weight behind each column: for each vector of units all gates; -1 past the last unit."""
    blocks = range(0, units, lanes)
    return [
        gate * units + unit if unit < units else -1
        for block in blocks
        for gate in range(gates)
        for unit in range(block, block + lanes)
    ]


def packed(matrix: np.ndarray) -> np.ndarray:
    """A matrix (depth, columns) as panels of up to four vectors of columns."""
    width = VECTORS * lanes_of(matrix.dtype.type)
    return np.concatenate([matrix[:, first : first + width].ravel() for first in range(0, matrix.shape[1], width)])


class Weights:
    """Weights and biases in one flat array, in either formulation, with room before, between and behind."""

    def __init__(self, rng, gates: int, units: int, inputs: int, concat: bool, biases: int, dtype) -> None:
        self.rows, depth = gates * units, inputs + units
        self.flat = whole(rng, 3 + self.rows * depth + 2 * self.rows + 5, dtype)
        if concat:  # [h, x] in the same rows
            hidden, self.places = 3, [3 + units, depth, 3, depth]
        else:
            hidden = 3 + self.rows * inputs
            self.places = [3, inputs, hidden, units]
        end = 3 + self.rows * depth
        self.places += [end if biases > 0 else -1, end + self.rows if biases > 1 else -1]
        self.w_x = self.matrix(self.places[0], self.places[1], inputs)
        self.w_h = self.matrix(hidden, self.places[3], units)
        self.biases = [self.flat[at : at + self.rows] for at in self.places[4:] if at >= 0]

    def matrix(self, start: int, row: int, columns: int) -> np.ndarray:
        """A view of one weight."""
        size = self.flat.itemsize
        return np.lib.stride_tricks.as_strided(self.flat[start:], (self.rows, columns), (row * size, size))


# gates, units, inputs: less than a vector, a vector, and one more of each; panels that are full, and not
SIZES = [(1, 1, 1), (1, 5, 3), (4, 3, 2), (4, 8, 16), (4, 9, 17), (3, 16, 33), (4, 17, 1)]
FORMS = list(combinations(SIZES, (False, True), (0, 1, 2), (1, 2)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_packing_for_both_ways(dtype: type[np.floating], rng: np.random.Generator) -> None:
    """Every number in its place, zeros in the padding, biases added up."""
    lanes = lanes_of(dtype)
    for (gates, units, inputs), concat, biases, threads in FORMS:
        weights = Weights(rng, gates, units, inputs, concat, biases, dtype)
        order = np.array(gate_order(gates, units, lanes))
        G = order.size

        def ordered(rows: np.ndarray, order: np.ndarray = order) -> np.ndarray:
            return np.where((order >= 0)[:, None], rows[order], 0)

        panels = [np.full(G * depth, UNTOUCHED, dtype) for depth in (inputs, units)]
        bias = np.full(G, UNTOUCHED, dtype)
        places = np.array(weights.places)
        products.pack_forward(ANY, threads, weights.flat, places, gates, units, inputs, units, G, *panels, bias)
        label = f"{gates=} {units=} {inputs=} {concat=} {biases=} {threads=}"
        for found, rows in zip(panels, (weights.w_x, weights.w_h), strict=True):
            assert np.array_equal(found, packed(ordered(rows).T)), label
        total = sum(weights.biases, np.zeros(weights.rows, dtype))
        assert np.array_equal(bias, ordered(total[:, None])[:, 0]), label

        widths = [-(-features // lanes) * lanes for features in (inputs, units)]
        panels = [np.full(G * width, UNTOUCHED, dtype) for width in widths]
        products.pack_backward(ANY, threads, weights.flat, places, gates, units, inputs, units, G, *panels)
        for found, rows, width in zip(panels, (weights.w_x, weights.w_h), widths, strict=True):
            padded = np.pad(ordered(rows), ((0, 0), (0, width - rows.shape[1])))
            assert np.array_equal(found, packed(padded)), label


@njit
def times(tag, count, a, a_index, a_scale, panels, depth, columns, start, add, c, c_index, c_scale):
    rows_times_panels(
        count, pointer(a), pointer(a_index), a_scale, 1, pointer(panels), depth, columns, pointer(start), add,
        pointer(c), pointer(c_index), c_scale,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_times_panels(dtype: type[np.floating], rng: np.random.Generator) -> None:
    """Rows below, at and above the blocks, panels that are full and not; what lies between the rows stays."""
    lanes = lanes_of(dtype)
    for count, vectors, depth, add in combinations(
        (0, 1, 7, ROW_BLOCK, ROW_BLOCK + 1, 2 * ROW_BLOCK + 5),
        (1, VECTORS, VECTORS + 1, 2 * VECTORS + 3),
        (1, 19),
        (0, 1),
    ):
        columns = vectors * lanes
        a, b, start = (whole(rng, shape, dtype) for shape in ((count + 2, depth), (depth, columns), columns))
        c = whole(rng, (count + 3, columns + 2), dtype)
        a_index, c_index = rng.permutation(count + 2)[:count], rng.permutation(count + 3)[:count]
        expected = c.copy()
        expected[c_index, :columns] = a[a_index] @ b + (c[c_index, :columns] if add else start)
        found = [c.copy(), c.copy()]
        panels = packed(b)
        shared = (count, a.reshape(-1), a_index, depth, panels, depth, columns, start)
        times(ANY, *shared, bool(add), found[0].reshape(-1), c_index, columns + 2)
        assert np.array_equal(found[0], expected), f"{count=} {vectors=} {depth=} {add=}"
        if not add:
            products.product(
                ANY, 2, count, a.ctypes.data, a_index, depth, 1, panels, depth, columns, start, found[1].reshape(-1),
                c_index, columns + 2,
            )  # fmt: skip
            assert np.array_equal(found[1], expected), f"{count=} {vectors=} {depth=} by two threads"


class Steps:
    """Rows of x, of h and of the sums' gradients for so many steps, in any order, for `weight_gradient`."""

    def __init__(self, rng, numbers, steps: int, gates: int, units: int, inputs: int, dtype) -> None:
        self.dtype, self.steps, self.gates, self.units, self.inputs = dtype, steps, gates, units, inputs
        self.order = np.array(gate_order(gates, units, lanes_of(dtype)))
        self.x, self.h = numbers(rng, (steps + 1, 2 * inputs), dtype), numbers(rng, (steps + 1, units + 3), dtype)
        self.b = numbers(rng, (steps + 1, self.order.size), dtype)
        self.index = [rng.permutation(steps + 1)[:steps] for _ in range(3)]

    def matrices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of x, which lie two numbers apart, of h, and of b by row of the weight."""
        x, h, b = (array[index] for array, index in zip((self.x, self.h, self.b), self.index, strict=True))
        by_row = np.argsort(np.where(self.order < 0, self.order.size, self.order), kind="stable")
        return x[:, ::2], h[:, : self.units], b[:, by_row[: self.gates * self.units]]

    def add_to(self, weights: Weights, threads: int, pieces: list[int]) -> None:
        """The gradient, in pieces that end at those steps."""
        depth = self.inputs + self.units + 1
        sums = np.full(max(self.order.size * depth, threads * 64 * VECTORS * lanes_of(self.dtype)), np.nan, self.dtype)
        for first, last in zip([0, *pieces[:-1]], pieces, strict=True):
            index = [part[first:last] for part in self.index]
            products.weight_gradient(
                ANY, threads, last - first, self.x.ctypes.data, index[0] * (2 * self.inputs), 2, self.inputs,
                self.h.ctypes.data, index[1], self.units + 3, self.units, self.b.reshape(-1), index[2],
                self.order.size, self.gates, self.units, np.ones(1, self.dtype), first == 0, last == self.steps, sums,
                weights.flat, np.array(weights.places),
            )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_weight_gradient(dtype: type[np.floating], rng: np.random.Generator) -> None:
    """Steps below, at and above a block, at once and in pieces; all else in the flat array stays as it is."""
    counts = [(n, [n]) for n in (1, 5, STEP_BLOCK, STEP_BLOCK + 1)] + [(2 * STEP_BLOCK + 3, [7, STEP_BLOCK, 515])]
    for ((gates, units, inputs), concat, biases, threads), (steps, pieces) in zip(FORMS, counts * 100, strict=False):
        weights = Weights(rng, gates, units, inputs, concat, biases, dtype)
        given, flat = Steps(rng, whole, steps, gates, units, inputs, dtype), weights.flat.copy()
        given.add_to(weights, threads, pieces)
        found = weights.flat.copy()
        weights.flat[:] = flat
        x, h, b = given.matrices()
        weights.w_x += b.T @ x
        weights.w_h += b.T @ h
        for bias in weights.biases:
            bias += b.sum(axis=0)
        assert np.array_equal(found, weights.flat), (
            f"{gates=} {units=} {inputs=} {concat=} {biases=} {steps=} {pieces=}"
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_weight_gradient_takes_the_steps_in_order(dtype: type[np.floating], rng: np.random.Generator) -> None:
    """The same bits at once, in pieces and by two threads: those of one sum after the other."""
    steps, (gates, units, inputs) = 2 * STEP_BLOCK + 3, (1, 5, 3)
    given = Steps(rng, between, steps, gates, units, inputs, dtype)
    x, h, b = given.matrices()
    for pieces, threads in (([steps], 1), ([steps], 2), ([1, 300, steps], 1)):
        weights = Weights(rng, gates, units, inputs, False, 0, dtype)
        weights.flat[:] = 0
        given.add_to(weights, threads, pieces)
        for found, rows in ((weights.w_x, x), (weights.w_h, h)):
            assert np.array_equal(found, accumulated(np.zeros_like(found), np.ascontiguousarray(b.T), rows, is_fused()))


@njit
def copied(tag, rows, first, last, h, H, P, y, y_at):
    copy_units(rows, first, last, pointer(h), H, P, pointer(y), pointer(y_at))


@pytest.mark.parametrize("dtype", DTYPES)
def test_copy_units_leaves_the_padding_behind(dtype: type[np.floating], rng: np.random.Generator) -> None:
    lanes = lanes_of(dtype)
    for H in (1, lanes - 1, lanes, lanes + 1, 3 * lanes + 2):
        P = -(-H // lanes) * lanes
        for first, last in {(0, P), (0, min(P, 2 * lanes)), (P - lanes, P)}:
            h, y = whole(rng, (4, P), dtype), np.full((5, H + 1), UNTOUCHED, dtype)
            rows, expected = np.array([4, 0, 2]), y.copy()
            expected[rows, first : min(last, H)] = h[:3, first : min(last, H)]
            copied(ANY, 3, first, last, h.reshape(-1), H, P, y.reshape(-1), rows * (H + 1))
            assert np.array_equal(y, expected), f"{H=} {first=} {last=}"
