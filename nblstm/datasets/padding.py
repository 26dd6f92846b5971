"""Sequences of unequal length as one array, and their lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nblstm.arguments import as_dtype, shown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def pad_sequences(sequences: Sequence[ArrayLike], dtype: str | np.dtype = "float32") -> tuple[np.ndarray, np.ndarray]:
    """N sequences of steps, as a list has them, in the form that layers and jobs take; zeros stand past the ends.

    Parameters
    ----------
    sequences : sequence of N arrays, each (steps, features), or (steps,) of one feature
        Numbers of any type: NumPy arrays, lists, frames and tensors that NumPy can read. Their steps may differ, also
        be 0, their features not.
    dtype : {"float32", "float64"}

    Returns
    -------
    x : numpy.ndarray of `dtype`, shape (T, N, features)
        T is the largest number of steps, or 1 if all have none.
    lengths : numpy.ndarray of int64, shape (N,)

    Raises
    ------
    TypeError, ValueError
        No sequences, what are no numbers, or features that differ.

    Examples
    --------
    >>> from nblstm import pad_sequences
    >>> x, lengths = pad_sequences([[1, 2, 3], [4]])
    >>> x[:, :, 0]
    array([[1., 4.],
           [2., 0.],
           [3., 0.]], dtype=float32)
    >>> lengths
    array([3, 1])
    """
    found = as_dtype(dtype)
    if not isinstance(sequences, Sequence) or isinstance(sequences, str) or not sequences:
        raise TypeError(f"sequences must be a list of one or more arrays, got {shown(sequences)}")
    arrays = []
    for n, given in enumerate(sequences):
        try:
            array = np.asanyarray(given)
        except (TypeError, ValueError, RuntimeError):
            array = np.asanyarray(None)
        if array.dtype.kind not in "biuf" or isinstance(array, np.ma.MaskedArray):
            raise TypeError(f"sequences[{n}] must be an array of numbers, got {type(given).__name__}")
        if array.ndim not in (1, 2):
            raise ValueError(f"sequences[{n}] must be (steps, features), got shape {array.shape}")
        arrays.append(array[:, None] if array.ndim == 1 else array)
    widths = [array.shape[1] for array in arrays]
    odd = next((n for n, width in enumerate(widths) if width != widths[0]), None)
    if odd is not None:
        raise ValueError(f"sequences[{odd}] must have {widths[0]} features, as sequences[0] has, got {widths[odd]}")
    lengths = np.array([len(array) for array in arrays])
    x = np.zeros((max(1, int(lengths.max())), len(arrays), widths[0]), found)
    for n, array in enumerate(arrays):
        x[: len(array), n] = array
    return x, lengths
