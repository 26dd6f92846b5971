"""How arrays lie in memory: what a kernel is told of an array whose type it need not know."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nblstm.kernels.simd import BYTES

LINE = 64
"""Bytes of a cache line, and of the widest vector."""

SMALL = 4096
"""Bytes below which it does not matter where an array begins."""


def address(array: np.ndarray) -> int:
    """Where the first number of the array lies."""
    return array.__array_interface__["data"][0]


def addresses(arrays: Sequence[np.ndarray | None]) -> np.ndarray:
    """The address of each array, 0 for None."""
    return np.array([0 if array is None else address(array) for array in arrays], np.int64)


def strides(array: np.ndarray) -> tuple[int, ...]:
    """Strides in numbers, not bytes."""
    return tuple(stride // array.itemsize for stride in array.strides)


def apart_from(array: np.ndarray, buffers: Iterable[np.ndarray]) -> np.ndarray:
    """The array, or, where it may lie in one of `buffers`, which are about to be written, a copy."""
    memory = _memory(array)
    if type(memory) is np.ndarray and memory.flags.owndata:  # all other arrays in it are views of this one
        shared = any(memory is _memory(buffer) for buffer in buffers)
    else:
        shared = any(np.may_share_memory(array, buffer) for buffer in buffers)
    return array.copy() if shared else array


def _memory(array: np.ndarray) -> Any:
    """What the array is a view of, or itself: NumPy keeps no chain of views of views."""
    return array if array.base is None else array.base


def in_whole_numbers(array: np.ndarray) -> np.ndarray:
    """The array, or, where its numbers lie fractions of a number apart (a field of records, say), a copy."""
    return np.ascontiguousarray(array) if any(stride % array.itemsize for stride in array.strides) else array


def padded(count: int, dtype: np.dtype) -> int:
    """`count` rounded up to whole vectors of `dtype`."""
    lanes = BYTES // dtype.itemsize
    return math.ceil(count / lanes) * lanes


def aligned_empty(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array that begins at the start of a cache line, so that no vector in rows of whole vectors lies in two lines.

    (NumPy's own begin anywhere, as a rule 16 bytes from a page.) A small one, which costs more to make than to use,
    begins where NumPy puts it.
    """
    size = (math.prod(shape) if isinstance(shape, tuple) else shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    memory = np.empty(size + LINE, np.uint8)
    start = -address(memory) % LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def aligned_zeros(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The same, filled with zeros."""
    array = aligned_empty(shape, dtype)
    array[...] = 0
    return array
