"""How arrays lie in memory: what a kernel is told of an array whose type it need not know."""

from __future__ import annotations

import math

import numpy as np

from nblstm.kernels.simd import BYTES


def address(array: np.ndarray) -> int:
    """Where the first number of the array lies."""
    return array.__array_interface__["data"][0]


def strides(array: np.ndarray) -> tuple[int, ...]:
    """Strides in numbers, not bytes."""
    return tuple(stride // array.itemsize for stride in array.strides)


def in_whole_numbers(array: np.ndarray) -> np.ndarray:
    """The array, or, where its numbers lie fractions of a number apart (a field of records, say), a copy."""
    return np.ascontiguousarray(array) if any(stride % array.itemsize for stride in array.strides) else array


def padded(count: int, dtype: np.dtype) -> int:
    """`count` rounded up to whole vectors of `dtype`."""
    lanes = BYTES // dtype.itemsize
    return math.ceil(count / lanes) * lanes
