"""Sequences of unequal length as one array, and their lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from nblstm.arguments import DTYPES, as_float, as_integer, shown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def pad_sequences(
    sequences: Sequence[ArrayLike], dtype: str | np.dtype | type = "float32", padding_value: float = 0
) -> tuple[np.ndarray, np.ndarray]:
    """N sequences of steps, as a list has them, in the form that layers and jobs take.

    With a dtype of floats they are vectors, (T, N, features), what a recurrent layer reads. With one of integers they
    are tokens, or the classes of steps, (T, N): what an `Embedding` and a `SequenceTagger` read, and what they learn.

    Parameters
    ----------
    sequences : sequence of N arrays
        NumPy arrays, lists, frames and tensors that NumPy can read. Their steps may differ, also be 0. Vectors are
        numbers of any type, (steps, features), or (steps,) of one feature, and their features may not differ. Tokens
        are integers, (steps,).
    dtype : {"float32", "float64"} or a type of integers, "int64" say
    padding_value : float
        What stands past the ends; of tokens an integer. For classes it is the `ignore_index` of the loss, -100 say.

    Returns
    -------
    x : numpy.ndarray of `dtype`, shape (T, N, features), or (T, N) of tokens
        T is the largest number of steps, or 1 if all have none.
    lengths : numpy.ndarray of int64, shape (N,)

    Raises
    ------
    TypeError, ValueError
        No sequences, what are no numbers or no integers, features that differ, or numbers that `dtype` cannot hold.

    Examples
    --------
    >>> from nblstm import pad_sequences
    >>> x, lengths = pad_sequences([[0.1, 0.2, 0.3], [0.4]])
    >>> x[:, :, 0]
    array([[0.1, 0.4],
           [0.2, 0. ],
           [0.3, 0. ]], dtype=float32)
    >>> lengths
    array([3, 1])
    >>> pad_sequences([[7, 2, 5], [3]], "int64", padding_value=-100)[0]
    array([[   7,    3],
           [   2, -100],
           [   5, -100]])
    """
    if not isinstance(sequences, Sequence) or isinstance(sequences, str) or not sequences:
        raise TypeError(f"sequences must be a list of one or more arrays, got {shown(sequences)}")
    found = _as_type(dtype)
    value: float
    if found.kind == "f":
        value = as_float("padding_value", padding_value)
        if not math.isfinite(value):
            raise ValueError(f"padding_value must be finite, got {value}")
        _check_fits("padding_value", np.array(value), found)
        arrays = [_vectors(n, given, found) for n, given in enumerate(sequences)]
    else:
        value = as_integer("padding_value", cast(int, padding_value), least=np.iinfo(found).min)
        _check_fits("padding_value", np.array(value), found)
        arrays = [_tokens(n, given, found) for n, given in enumerate(sequences)]
    shape = arrays[0].shape[1:]
    odd = next((n for n, array in enumerate(arrays) if array.shape[1:] != shape), None)
    if odd is not None:
        raise ValueError(
            f"sequences[{odd}] must have {shape[0]} features, as sequences[0] has, got {arrays[odd].shape[1]}"
        )
    lengths = np.array([len(array) for array in arrays])
    x = np.full((max(1, int(lengths.max())), len(arrays), *shape), value, found)
    for n, array in enumerate(arrays):
        x[: len(array), n] = array
    return x, lengths


def _as_type(dtype: str | np.dtype | type) -> np.dtype:
    """`dtype` as one of vectors or of tokens."""
    try:
        found = np.dtype(object if dtype is None else dtype)
    except (TypeError, ValueError):
        found = np.dtype(object)
    if found not in DTYPES and found.kind not in "iu":
        raise ValueError(f"dtype must be 'float32', 'float64' or a type of integers, got {shown(dtype)}")
    return found


def _array(n: int, given: ArrayLike, kinds: str, what: str) -> np.ndarray:
    """Sequence n as an array whose numbers are of these kinds; an empty list is one of floats to NumPy."""
    try:
        array = np.asanyarray(given)
    except (TypeError, ValueError, RuntimeError):
        array = np.asanyarray(None)
    empty = array.shape == (0,) and array.dtype.kind == "f"
    if (array.dtype.kind not in kinds and not empty) or isinstance(array, np.ma.MaskedArray):
        of = "" if array.dtype == object else f" of {array.dtype}"
        raise TypeError(f"sequences[{n}] must be an array of {what}, got {type(given).__name__}{of}")
    return array


def _vectors(n: int, given: ArrayLike, dtype: np.dtype) -> np.ndarray:
    """Sequence n as numbers (steps, features) that `dtype` holds."""
    array = _array(n, given, "biuf", "numbers")
    if array.ndim not in (1, 2):
        raise ValueError(f"sequences[{n}] must be (steps, features), got shape {array.shape}")
    _check_fits(f"sequences[{n}]", array, dtype)
    return array[:, None] if array.ndim == 1 else array


def _tokens(n: int, given: ArrayLike, dtype: np.dtype) -> np.ndarray:
    """Sequence n as integers (steps,) that `dtype` holds."""
    array = _array(n, given, "iu", "integers")
    if array.ndim != 1:
        raise ValueError(f"sequences[{n}] must be (steps,), as dtype is {dtype}, got shape {array.shape}")
    _check_fits(f"sequences[{n}]", array, dtype)
    return array


def _check_fits(name: str, numbers: np.ndarray, dtype: np.dtype) -> None:
    """All numbers that are finite are within the range of `dtype`, integers within that which it has without gaps."""
    least: float
    most: float
    if dtype.kind != "f":
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    elif numbers.dtype.kind == "f":
        most = float(np.finfo(dtype).max)
        least = -most
        numbers = numbers[np.isfinite(numbers)]
    else:
        most = 2 ** (np.finfo(dtype).nmant + 1)
        least = -most
    if not numbers.size:
        return
    lowest, highest = numbers.min().item(), numbers.max().item()
    if not least <= lowest <= highest <= most:
        found = f"{lowest}..{highest}" if numbers.size > 1 else lowest
        raise ValueError(f"{name} must lie in {least}..{most}, as dtype is {dtype}, got {found}")
