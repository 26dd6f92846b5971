"""The same numbers in other forms: strides, alignment, order, read-only."""

from __future__ import annotations

import numpy as np


def every_other(array: np.ndarray) -> np.ndarray:
    """The same numbers, each axis in steps of two through a larger array of NaN."""
    larger = np.full([2 * extent for extent in array.shape], np.nan, array.dtype)
    view = larger[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def misaligned(array: np.ndarray) -> np.ndarray:
    """The same numbers at an odd address."""
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
    view = np.ndarray(array.shape, array.dtype, raw)
    view[...] = array
    return view


def frozen(array: np.ndarray) -> np.ndarray:
    copied = array.copy()
    copied.flags.writeable = False
    return copied


FORMS = {
    "Fortran order": np.asfortranarray,
    "steps of two": every_other,
    "reversed": lambda array: array[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "features first": lambda array: array.transpose(2, 0, 1).copy().transpose(1, 2, 0),
    "misaligned": misaligned,
    "read-only": frozen,
    "field of a record": lambda array: np.rec.fromarrays([np.zeros(array.shape, "u1"), array], names="a,b")["b"].view(
        np.ndarray
    ),
}
