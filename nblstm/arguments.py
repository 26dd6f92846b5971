"""Checks of what a caller hands in; each raises a sentence that names the argument, what was expected and what came."""

from __future__ import annotations

import math
import operator

import numpy as np

DTYPES = (np.dtype("float32"), np.dtype("float64"))


def as_dtype(dtype: str | np.dtype | type) -> np.dtype:
    """`dtype` as one of the two the kernels know."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)
    if found not in DTYPES:
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    return found


def as_size(name: str, value: int, least: int = 1) -> int:
    """`value` as an int of at least `least`."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        size = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if size < least:
        raise ValueError(f"{name} must be at least {least}, got {size}")
    return size


def as_seed(seed: int | None) -> int | None:
    """`seed` as an int of at least 0, or None for one that differs each time."""
    return None if seed is None else as_size("seed", seed, least=0)


def _as_float(name: str, value: float) -> float:
    if not isinstance(value, (int, float, np.floating)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return float(value)


def as_number(name: str, value: float, *, positive: bool = False, finite: bool = True) -> float:
    """`value` as a float that is not negative, or above zero if `positive`, and not infinite if `finite`."""
    number = _as_float(name, value)
    if not (number > 0 if positive else number >= 0) or (finite and number == math.inf):
        least = "above 0" if positive else "0 or more"
        raise ValueError(f"{name} must be {least}{' and finite' if finite else ''}, got {value!r}")
    return number


def as_rate(name: str, value: float) -> float:
    """`value` as a float in [0, 1)."""
    number = _as_float(name, value)
    if not 0 <= number < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")
    return number


def check_array(name: str, array: np.ndarray, dtype: np.dtype, shape: tuple[int | None, ...] | None = None) -> None:
    """`array` is a plain NumPy array of `dtype` and of `shape`, in which None stands for any extent."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked array; fill it first, with {name}.filled(0) say")
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}; convert with np.asarray({name})")
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, got {array.dtype}; convert with {name}.astype('{dtype}')")
    if shape is not None and (
        array.ndim != len(shape) or any(e is not None and e != g for e, g in zip(shape, array.shape, strict=True))
    ):
        extents = ["any" if extent is None else str(extent) for extent in shape]
        expected = f"({extents[0]},)" if len(extents) == 1 else f"({', '.join(extents)})"
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
