"""Sums as the kernels take them: one accumulator, the terms in order, each rounded as this processor rounds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numba import njit

from nblstm.kernels.simd import fma, load, pointer, store

DTYPES = (np.float32, np.float64)
UNTOUCHED = -77.0
"""Stands where nothing may be written."""


@njit
def multiply_add(x, y, z):
    """z = x * y + z for the first vector of three arrays."""
    store(pointer(z), 0, fma(load(pointer(x), 0), load(pointer(y), 0), load(pointer(z), 0)))


def is_fused() -> bool:
    """Whether this processor rounds x * y + z once."""
    x, y, z = np.full(16, 1 + 2.0**-52), np.full(16, 1 - 2.0**-52), np.full(16, -1.0)
    multiply_add(x, y, z)
    return z[0] != 0


def accumulated(start: np.ndarray, a: np.ndarray, b: np.ndarray, fused: bool) -> np.ndarray:
    """Start (R, J) plus a (R, K) @ b (K, J), term by term.

    Of float32, a and b are whole multiples of 2^-22 up to 1 and the sums below 512, so that float64 holds x * y + z.
    """
    total = start
    for column, row in zip(a.T[:, :, None], b, strict=True):
        if not fused:
            total = total + column * row
        elif start.dtype == np.float32:
            total = (column.astype(float) * row + total).astype(np.float32)
            assert np.abs(total).max(initial=0) < 512
        else:
            total = np.vectorize(lambda x, y, z: float(Fraction(x) * Fraction(y) + Fraction(z)), otypes=[float])(
                column, row, total
            )
    return total


def whole(rng: np.random.Generator, shape: int | tuple[int, ...], dtype: type[np.floating]) -> np.ndarray:
    """Whole numbers so small that their sums are exact in any order."""
    return rng.integers(-4, 5, shape).astype(dtype)


def between(rng: np.random.Generator, shape: int | tuple[int, ...], dtype: type[np.floating]) -> np.ndarray:
    """Numbers between -1 and 1 whose sums are rounded."""
    bits = 22 if dtype is np.float32 else 50
    return (rng.integers(-(2**bits) + 1, 2**bits, shape) * 2.0**-bits).astype(dtype)
