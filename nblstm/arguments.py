"""Checks of what a caller hands in; each raises a sentence that names the argument, what was expected and what came."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

DTYPES = (np.dtype("float32"), np.dtype("float64"))
KINDS: dict[Any, str] = {
    Sequence: "a list", list: "a list", tuple: "a tuple", Mapping: "a dictionary", dict: "a dictionary",
    str: "a string", Path: "a path",
}  # fmt: skip
"""Python's own kinds in plain words; all others are called by their names."""


def as_dtype(dtype: str | np.dtype | type | None) -> np.dtype:
    """`dtype` as one of the two the kernels know."""
    try:
        found = np.dtype(object if dtype is None else dtype)  # None, to NumPy, is float64
    except (TypeError, ValueError):
        found = np.dtype(object)
    if found not in DTYPES:
        raise ValueError(f"dtype must be 'float32' or 'float64', got {shown(dtype)}")
    return found


def shown(value: Any) -> str:
    """`value` as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= 80 and text.isprintable() else type(value).__name__


def as_flag(name: str, value: bool) -> bool:
    """`value` as a bool; a number is refused, for it is more often a mistake than meant."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def as_choice(name: str, value: str, known: Iterable[str]) -> str:
    """`value` as one of the words known."""
    words = list(known)
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"{name} must be {', '.join(map(repr, words[:-1]))} or {words[-1]!r}, got {shown(value)}")
    return str(value)


def as_text(name: str, value: str) -> str:
    """`value` as a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {shown(value)}")
    return str(value)


def as_path(name: str, value: str | os.PathLike[str]) -> Path:
    """`value` as a path that the system can have."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path, got {shown(value)}")
    try:
        possible = os.fspath(value) != "" and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise ValueError(f"{name} must be a path that the system can have, got {value!r}")
    return Path(value)


def check_kind(name: str, value: Any, *kinds: type) -> None:
    """`value` is of one of these kinds."""
    if not isinstance(value, kinds):
        expected = " or ".join(KINDS.get(kind, kind.__name__) for kind in kinds)
        raise TypeError(f"{name} must be {expected}, got {type(value).__name__}")


def as_integer(name: str, value: int, least: int) -> int:
    """`value` as an int of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def as_size(name: str, value: int, least: int = 1) -> int:
    """`value` as an int of at least `least` that NumPy and the kernels can count to."""
    size = as_integer(name, value, least)
    if size >= 2**63:
        raise ValueError(f"{name} must be below 2^63, got {size}")
    return size


def as_seed(seed: int | None) -> int | None:
    """`seed` as an int of at least 0, or None for one that differs each time."""
    return None if seed is None else as_integer("seed", seed, least=0)


def as_float(name: str, value: float) -> float:
    """`value` as a float."""
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must be a number that a float can hold, got a larger integer") from None


def as_number(name: str, value: float, *, positive: bool = False, finite: bool = True) -> float:
    """`value` as a float that is not negative, or above zero if `positive`, and not infinite if `finite`."""
    number = as_float(name, value)
    if not (number > 0 if positive else number >= 0) or (finite and number == math.inf):
        least = "above 0" if positive else "0 or more"
        raise ValueError(f"{name} must be {least}{' and finite' if finite else ''}, got {value!r}")
    return number


def as_rate(name: str, value: float) -> float:
    """`value` as a float in [0, 1)."""
    number = as_float(name, value)
    if not 0 <= number < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")
    return number


def check_array(
    name: str, array: np.ndarray, dtype: np.dtype, shape: tuple[int | None, ...] | None = None
) -> np.ndarray:
    """`array`, which must be of `dtype` and of `shape`, in which None stands for any extent.

    Of a subclass, a memory map for one, it is a plain view: some subclasses, `numpy.matrix` for one, compute otherwise.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked array; fill it first, with {name}.filled(0) say")
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}; {_conversion(name, array, dtype)}")
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, got {array.dtype}; convert with {name}.astype('{dtype}')")
    if shape is not None and (
        array.ndim != len(shape) or any(e is not None and e != g for e, g in zip(shape, array.shape, strict=True))
    ):
        extents = ["any" if extent is None else str(extent) for extent in shape]
        expected = f"({extents[0]},)" if len(extents) == 1 else f"({', '.join(extents)})"
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
    return np.asarray(array)


def _conversion(name: str, value: Any, dtype: np.dtype) -> str:
    """The line that makes an array of what people have instead of one."""
    if callable(getattr(value, "detach", None)):  # PyTorch's tensors
        return f"convert with {name}.detach().numpy()"
    if callable(getattr(value, "to_numpy", None)):  # frames and series
        return f"convert with {name}.to_numpy({dtype.name!r})"
    sequences = value if isinstance(value, list | tuple) else ()
    if len({len(one) for one in sequences if hasattr(one, "__len__") and not isinstance(one, str)}) > 1:
        return f"of sequences of unequal length make one, and lengths, with nblstm.pad_sequences({name})"
    return f"convert with np.asarray({name})"


def check_integers(name: str, values: ArrayLike) -> np.ndarray:
    """`values` as a plain array of int64, or of the smaller unsigned type that they have, which saves memory."""
    try:
        array = np.asanyarray(values)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be integers, got {type(values).__name__}") from None
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked array")
    if array.dtype.kind not in "iu" and (array.size or isinstance(values, np.ndarray)):
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    if array.dtype.kind == "u" and array.size and int(array.max()) >= 2**63:
        raise ValueError(f"{name} must be below 2^63, got {array.max()}")
    small = array.dtype.kind == "u" and array.dtype.itemsize < 8
    return np.asarray(array).astype(array.dtype if small else np.int64, copy=False)


def as_weights(name: str, values: ArrayLike, shape: tuple[int | None, ...], *, positive: bool = False) -> np.ndarray:
    """`values` as float64 of `shape`, None being any extent: finite, not negative, not all 0, none if `positive`."""
    try:
        array = np.asanyarray(values)
    except (TypeError, ValueError, OverflowError):
        array = np.asanyarray(None)
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"{name} must be real numbers, got {type(values).__name__ if array.dtype == object else array.dtype}"
        )
    found = check_array(name, array.astype(np.float64, copy=False), np.dtype("float64"), shape)
    wrong = ~((found > 0 if positive else found >= 0) & (found < math.inf))
    if wrong.any():
        position = tuple(int(i) for i in np.argwhere(wrong)[0])
        least = "above 0" if positive else "0 or more"
        raise ValueError(f"{name} must be {least} and finite, got {found[position]} at {position}")
    if found.size and not found.any():
        raise ValueError(f"{name} must have a number above 0, got zeros alone")
    return found


def as_integers(name: str, values: ArrayLike) -> np.ndarray:
    """`values` as a plain array of int64."""
    return check_integers(name, values).astype(np.int64, copy=False)
