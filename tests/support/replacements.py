"""What may come in place of an argument: the same value in other forms, and values of wrong kinds."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np


class Same(NamedTuple):
    """The result must be, bit for bit, what it is with `clean`; or the argument is refused."""

    clean: Any


REFUSED = "refused"  # the argument must be refused
OPEN = "open"  # anything but another kind of error

Case = tuple[str, Any, Any]  # a label, the value, and what must come of it: Same, REFUSED or OPEN


class Thin(np.ndarray):
    """A subclass that adds nothing."""


class Unknown:
    """Something that no function expects."""

    def __repr__(self) -> str:
        return "Unknown()"


STRANGERS = (("an object", Unknown()), ("a complex number", 1j), ("bytes", b"bytes"), ("a class", Unknown))
HUGE = 10**30


def replacements(value: Any, annotation: str) -> Iterator[Case]:
    """Every case for an argument whose valid `value` and annotation are given; of type Any may be whatever there is."""
    anything = annotation == "Any"
    for label, one, what in _replacements(value, annotation):
        yield label, one, OPEN if what == REFUSED and anything else what


def _replacements(value: Any, annotation: str) -> Iterator[Case]:
    if "None" not in annotation and annotation not in ("Any", "State"):
        yield "None", None, REFUSED
    if not re.search("Any|Mapping|Sequence|dict|list", annotation):
        yield "a dict", {"a": 1}, REFUSED
    yield from ((label, stranger, REFUSED) for label, stranger in STRANGERS)
    if isinstance(value, bool):
        yield from of_bool(value)
    elif isinstance(value, int):
        yield from of_int(value)
    elif isinstance(value, float):
        yield from of_float(value)
    elif isinstance(value, str):
        yield from of_str(value, annotation)
    elif isinstance(value, np.ndarray):
        yield from of_array(value, annotation)
    elif type(value) in (tuple, list):
        yield from of_sequence(value, annotation)
    elif isinstance(value, Mapping):
        yield from of_mapping(value, annotation)
    else:
        wrong = {"a number": 3, "a string": "x", "a list": [], "an array": np.zeros(3), "its class": type(value)}
        yield from ((label, one, REFUSED) for label, one in wrong.items())


def of_bool(value: bool) -> Iterator[Case]:
    yield "NumPy's", np.bool_(value), Same(value)
    for wrong in (0, 1, 2, 1.0, np.nan, "True", "", [], [True], np.array([True]), np.int64(1)):
        yield repr(wrong), wrong, REFUSED


def of_int(value: int) -> Iterator[Case]:
    for kind in (np.int8, np.uint64, np.int64, np.array):
        yield f"as {kind.__name__}", kind(value), Same(value)
    wrong = (float(value), value + 0.5, np.nan, np.inf, np.float64(value), str(value), "", True, np.True_, [value], [])
    for one in (*wrong, np.array([value]), np.array(float(value)), np.array(True), np.datetime64(1, "s")):
        yield repr(one), one, REFUSED
    for one in (0, -1, -HUGE, 2**63, 2**64, HUGE, np.uint64(2**64 - 1), np.int64(-(2**63))):
        yield repr(one), one, OPEN


def of_float(value: float) -> Iterator[Case]:
    yield "as float64", np.float64(value), Same(value)
    yield "as float32", np.float32(value), Same(float(np.float32(value)))
    yield "as longdouble", np.longdouble(value), Same(value)
    for one in (np.nan, np.float32(np.nan), str(value), "", True, np.True_, [value], [], np.array([value])):
        yield repr(one), one, REFUSED
    for one in (0, 1, np.int64(1), np.uint8(1), -1.0, np.inf, -np.inf, 10**400, 1e30, 1e-30, np.array(value)):
        yield repr(one)[:30], one, OPEN


def of_str(value: str, annotation: str) -> Iterator[Case]:
    yield "NumPy's", np.str_(value), Same(value)
    for one in (3, 1.5, True, np.array([value, value]), {value}):
        yield repr(one), one, REFUSED
    if "Sequence" not in annotation:
        yield "a list", [value], REFUSED
    for one in ("", "no such thing", "a\0b", "\ud800", "x" * 5000, "é", value + " "):
        yield repr(one)[:30], one, OPEN


def layouts(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The same numbers, otherwise in memory."""
    yield "a copy in C order", np.array(array, order="C")
    yield "Fortran order", np.asfortranarray(array)
    everywhere = (slice(None, None, -1),) * array.ndim
    yield "reversed", array[everywhere].copy()[everywhere]
    larger = np.full([2 * extent + 1 for extent in array.shape], 77, array.dtype)
    view = larger[(slice(1, None, 2),) * array.ndim]
    view[...] = array
    yield "every other number", view
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
    view = np.ndarray(array.shape, array.dtype, raw)
    view[...] = array
    yield "misaligned", view
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    records = np.zeros(array.shape, [("flag", "u1"), ("numbers", array.dtype)])
    records["numbers"] = array
    yield "field of records", records["numbers"]
    yield "a subclass", array.copy().view(Thin)
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, array.dtype, "w+", shape=array.shape) if array.size and array.ndim else array.copy()
        mapped[...] = array
        yield "memmap", mapped
    if array.ndim == 2:
        yield "matrix", np.asmatrix(array)
    yield "record array", np.rec.fromarrays([array], names="a")["a"]


def of_array(array: np.ndarray, annotation: str) -> Iterator[Case]:
    yield from ((label, view, Same(array)) for label, view in layouts(array))
    anything = "ArrayLike" in annotation
    whole = array.dtype.kind in "iu"
    if array.size:
        first = np.broadcast_to(array.flat[0], array.shape)
        yield "broadcast", first, Same(first.copy())
    if array.ndim and array.size:
        yield "one row broadcast", np.broadcast_to(array[:1], array.shape), Same(np.repeat(array[:1], len(array), 0))
    listed = Same(array) if anything or whole else REFUSED  # whole numbers have but one meaning
    yield "a list", array.tolist(), listed
    yield "nested tuples", tuple(array.tolist()) if array.ndim else array.tolist(), listed
    masked = np.ma.masked_array(array, np.arange(array.size).reshape(array.shape) == 0)
    yield "masked", masked, OPEN if anything else REFUSED
    yield "masked nowhere", np.ma.masked_array(array), Same(array)
    swapped = array.astype(array.dtype.newbyteorder())
    yield "other byte order", swapped, Same(array)
    for kind in ("i1", "i8", "u8", ">i4", "f2", "f4", "f8", "g") if array.dtype.kind in "iuf" else ():
        if np.dtype(kind) != array.dtype:
            with np.errstate(all="ignore"):
                other = array.astype(kind)
            same = whole and np.dtype(kind).kind in "iu"
            yield f"as {kind}", other, Same(array) if same else OPEN if anything else REFUSED
    for kind in ("?", "c8", "c16", "O", "U8", "S8", "M8[s]", "m8[s]", "V8"):
        with np.errstate(all="ignore"):
            other = np.zeros(array.shape, "V8") if kind == "V8" else array.astype("i8").astype(kind)
        yield f"as {kind}", other, OPEN if anything and kind in ("?", "O") else REFUSED
    yield "structured", np.zeros(array.shape, [("a", array.dtype)]), REFUSED
    yield "without axes", array.ravel()[0] if array.size else np.zeros((), array.dtype), OPEN
    yield "0-d", np.zeros((), array.dtype), OPEN
    yield "another axis", array[None], OPEN
    yield "an axis less", array[0] if array.ndim and len(array) else np.zeros((), array.dtype), OPEN
    for axis in range(array.ndim):
        yield f"axis {axis} empty", np.take(array, [], axis=axis), OPEN
        yield f"axis {axis} longer", np.concatenate([array, np.take(array, [0], axis=axis)], axis=axis), OPEN
        yield f"axis {axis} of 1", np.take(array, [0], axis=axis), OPEN
    strange = (np.nan, np.inf, -np.inf, 1e38, -1e-45) if not whole else (-1, 2**40, -(2**63))
    for number in strange:
        spoilt = array.copy()
        with np.errstate(all="ignore"):
            spoilt[...] = np.array(number).astype(array.dtype)
        yield f"all {number}", spoilt, OPEN
    if whole:
        yield "beyond int64", np.full(array.shape, 2**64 - 1, np.uint64), OPEN
    for one in (3, 1.5, True, "text", "", [], {}, set(), [[1], [1, 2]], range(2)):
        yield repr(one), one, OPEN if anything or whole else REFUSED


def of_sequence(values: Any, annotation: str) -> Iterator[Case]:
    """Too few, too many, and every replacement of every member."""
    kind = type(values)
    yield "a number", 3, REFUSED
    yield "a generator", (value for value in values), OPEN
    yield "a string", "text", REFUSED
    yield "empty", kind(), OPEN
    yield "one less", kind(values[:-1]), OPEN
    yield "one more", kind([*values, values[-1]]), OPEN
    yield "a set", {1, 2}, REFUSED
    yield "NumPy's numbers", np.arange(3), OPEN
    inner = (
        "State" if "State" in annotation or "Given" in annotation else "ArrayLike" if "ArrayLike" in annotation else ""
    )
    for position, member in enumerate(values):
        for label, value, what in replacements(member, inner):
            make = lambda one, position=position: kind([*values[:position], one, *values[position + 1 :]])  # noqa: E731
            what = Same(make(what.clean)) if isinstance(what, Same) else what
            yield f"[{position}]: {label}", make(value), what


def of_mapping(values: Mapping, annotation: str) -> Iterator[Case]:
    for wrong in (3, "text", [], [1, 2], list(values), np.zeros(2)):
        yield repr(wrong)[:30], wrong, REFUSED
    yield "empty", {}, OPEN
    yield "another name", {**values, "another": 3}, OPEN
    yield "a name that is no string", {**values, 3: 3}, OPEN
    if values:
        last = list(values)[-1]
        yield "one less", {name: value for name, value in values.items() if name != last}, OPEN
        inner = "ArrayLike" if "ArrayLike" in annotation else "Any" if annotation.startswith(("dict", "Any")) else ""
        for label, value, what in replacements(values[last], inner):
            what = Same({**values, last: what.clean}) if isinstance(what, Same) else what
            yield f"[{last!r}]: {label}", {**values, last: value}, what
