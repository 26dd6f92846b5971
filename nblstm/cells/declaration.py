"""What a cell may be declared with: names, peepholes and functions, each checked by itself."""

from __future__ import annotations

import dis
import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any

import numpy as np


def as_names(label: str, given: Sequence[str], least: int = 1) -> tuple[str, ...]:
    """A tuple of so many names at least, each once."""
    found = tuple(given) if isinstance(given, Iterable) else ()
    if (
        isinstance(given, str)
        or not isinstance(given, Iterable)
        or not all(isinstance(each, str) and each.isidentifier() for each in found)
    ):
        raise TypeError(f"{label} must be a sequence of names, got {given!r}")
    if len(found) < least or len({*found}) < len(found):
        raise ValueError(f"{label} must be {least} or more names, each once, got {given!r}")
    return tuple(map(str, found))


def check_distinct(names: Sequence[str]) -> None:
    """Each name is there once."""
    for each in names:
        if names.count(each) > 1:
            raise ValueError(
                f"sums, states, their c_prev and dc, and peepholes must differ by name, got {each!r} twice"
            )


def as_peepholes(given: Mapping[str, tuple[str, str]] | None) -> dict[str, tuple[str, str]]:
    """The name of each weight with those of a sum and a state."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"peepholes must be a mapping of names to pairs (sum, state), got {given!r}")
    as_names("peepholes", tuple(given or ()), 0)
    found = {}
    for each, target in (given or {}).items():
        if not (isinstance(target, tuple | list) and len(target) == 2 and all(isinstance(one, str) for one in target)):
            raise TypeError(f"peepholes[{each!r}] must be a pair (sum, state), got {target!r}")
        found[str(each)] = str(target[0]), str(target[1])
    return found


def check_parts(sums: Sequence[str], parts: Mapping[str, Sequence[str]], forget: str | None) -> None:
    """Which of the sums have their parts apart or lack one, each in one of these ways; x is read by some."""
    for label, members in (*parts.items(), ("forget", () if forget is None else (forget,))):
        for member in members:
            if member not in sums:
                raise ValueError(f"{label} must name sums, {', '.join(sums)}, got {member!r}")
    every = [member for members in parts.values() for member in members]
    for member in every:
        if every.count(member) > 1:
            raise ValueError(f"{', '.join(parts)} must have a sum in one of them at most, got {member!r} in two")
    if len(parts["hidden_only"]) == len(sums):
        raise ValueError("hidden_only must leave a sum that reads x, got all of them")


def as_function(label: str, given: Callable[..., Any]) -> FunctionType:
    """A function written in Python."""
    if not isinstance(given, FunctionType):
        raise TypeError(f"{label} must be a function, got {type(given).__name__}")
    return given


def arguments_of(function: FunctionType) -> tuple[str, ...]:
    """Their names, none of which has a default or stands for several."""
    parameters = inspect.signature(function).parameters.values()
    for parameter in parameters:
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or parameter.default is not parameter.empty:
            raise ValueError(f"{function.__name__} must take plain arguments without defaults, got {parameter}")
    return tuple(parameter.name for parameter in parameters)


def check_taken(label: str, found: Sequence[str], known: Sequence[str]) -> None:
    """A function takes no arguments but those known."""
    for each in found:
        if each not in known:
            raise ValueError(f"{label} must take arguments among {', '.join(known)}, got {each!r}")


def names_read_by(function: FunctionType) -> set[str]:
    """The names of what it reads; an instruction of newer Pythons reads two."""
    loads = [each.argval for each in dis.get_instructions(function) if "LOAD" in each.opname]
    return {name for names in loads for name in (names if isinstance(names, tuple) else (names,))}


def called(what: str, function: FunctionType, arguments: Sequence[Any]) -> Any:
    """What a function of one unit's numbers returns for arrays, or for symbols; `what` it is, for reading."""
    try:
        with np.errstate(all="ignore"):
            return function(*arguments)
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[1]  # below this one
        raise ValueError(
            f"{what} must take arrays, a number for each unit, which line {at.lineno} does not: {at.line} ({error})"
        ) from error


def check_values(label: str, what: str, found: Sequence[Any], wanted: Sequence[str]) -> None:
    """As many as wanted, each an array with a number for each of the two units."""
    if len(found) != len(wanted):
        raise ValueError(f"{label} must return {what}, for {', '.join(wanted) or 'none'}, got {len(found)} values")
    for name, value in zip(wanted, found, strict=True):
        if not (isinstance(value, np.ndarray) and value.shape == (2,) and value.dtype == float):
            got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)
            raise TypeError(
                f"{label} must return a number for each unit, computed from its arguments, got {got} for {name}"
            )
