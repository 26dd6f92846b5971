"""Weights and columns as the kernels have them: in gate order, in panels, in a flat array."""

from __future__ import annotations

from itertools import product

import numpy as np

from nblstm.kernels.simd import BYTES
from nblstm.kernels.tile import VECTORS

Dtype = type[np.floating]
THREADS = (1, 3)


def lanes(dtype: Dtype) -> int:
    return BYTES // np.dtype(dtype).itemsize


def padded(count: int, dtype: Dtype) -> int:
    return -(-count // lanes(dtype)) * lanes(dtype)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def alike(gates: int) -> np.ndarray:
    """Every weighted sum takes the same block of rows from x and from h."""
    return np.stack([np.arange(gates), np.arange(gates), np.full(gates, -1)], axis=1)


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
            self.offsets = [1 + units, units + inputs, 1, units + inputs]
            end = 1 + rows * (units + inputs)
        else:
            self.offsets = [2, inputs, 5 + rows * inputs, units]
            end = 5 + rows * (inputs + units)
        self.biases = [end + 3 + n * (rows + 2) for n in range(biases)]
        self.size = (self.biases[-1] if biases else end - rows) + rows
        self.offsets += [*self.biases, -1, -1][:2]
        at = np.arange(rows)
        self.of_x = self.offsets[0] + at[:, None] * self.offsets[1] + np.arange(inputs)
        self.of_h = self.offsets[2] + at[:, None] * self.offsets[3] + np.arange(units)
        self.of_biases = [place + at for place in self.biases]


def layers(dtype: Dtype) -> list[tuple[int, int, int, int, bool]]:
    """Gates, units, inputs, biases, joined: fewer units than lanes, panels that are full and that are not."""
    L = lanes(dtype)
    units = (1, L - 1, L, L + 1, 4 * L, 4 * L + 3)
    return [
        (gates, each, inputs, n % 3, n % 2 == 1)
        for n, (gates, each, inputs) in enumerate(product((1, 4), units, (1, 5, 4 * L + 1)))
    ]
