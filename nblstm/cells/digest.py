"""What a function does as a digest: of its code and of all that it finds outside, the same in every process."""

from __future__ import annotations

import dis
import hashlib
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

NUMBERS = (bool, int, float, np.float32, np.float64, np.integer)


def digest(declared: str, *functions: FunctionType) -> str:
    """Sixteen hexadecimal digits that change with a declaration, with the functions and with what they use.

    Raises
    ------
    TypeError
        A value outside whose meaning cannot be told from one process to the next, such as an array or an object.
    """
    parts = [declared.encode(), *(part for function in functions for part in _meaning(function))]
    return hashlib.sha256(b"|".join(parts)).hexdigest()[:16]


def with_helpers(function: FunctionType, seen: tuple[FunctionType, ...] = ()) -> list[FunctionType]:
    """The function and those that it calls, but for the kernels' own, each once."""
    found = [*seen, function]
    for _, value in _outside(function):
        if isinstance(value, FunctionType) and not _is_of_kernels(value) and value not in found:
            found = with_helpers(value, tuple(found))
    return found


def _meaning(function: FunctionType) -> Iterator[bytes]:
    """The code of it and of its helpers, and which name stands for what: a helper by its number."""
    every = with_helpers(function)
    for each in every:
        yield from _meaning_of_code(each, each.__code__)
        defaults = [*enumerate(each.__defaults__ or ()), *(each.__kwdefaults__ or {}).items()]
        for name, value in [*_outside(each), *((f"default {which}", value) for which, value in defaults)]:
            yield f"{name}={_meaning_of_value(each, name, value, every)}".encode()


def _meaning_of_value(function: FunctionType, name: str, value: Any, helpers: list[FunctionType]) -> str:
    if isinstance(value, FunctionType):
        # Of the kernels' sources the kernels have a digest.
        return f"{value.__module__}.{value.__qualname__}" if _is_of_kernels(value) else f"helper {helpers.index(value)}"
    if isinstance(value, NUMBERS):
        _check_size(function, value)
        return repr(value)
    if isinstance(value, ModuleType):
        return value.__name__
    if callable(value) and type(value).__module__.split(".")[0] in ("builtins", "numpy"):
        return repr(getattr(value, "__name__", type(value)))
    which = "; of numbers it takes int, float, NumPy's integers, float32 and float64" * isinstance(value, np.generic)
    raise TypeError(
        f"{function.__name__} must use numbers and functions only of what stands outside it, got {name}, "
        f"a {type(value).__name__}{which}"
    )


def _check_size(function: FunctionType, value: Any) -> None:
    """No integer is larger than those of machine code."""
    if isinstance(value, int | np.integer) and not -(2**63) <= value < 2**63:
        bits = int(value).bit_length() + 1
        raise ValueError(f"{function.__name__} must use integers of 64 bits, got one of {bits}: write a float")


def _is_of_kernels(function: FunctionType) -> bool:
    return (function.__module__ or "").startswith("nblstm.kernels.")


def _outside(function: FunctionType) -> list[tuple[str, Any]]:
    """What its code finds by name in its closure, among the globals, and in modules there."""
    code, found = function.__code__, []
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:
            raise ValueError(f"{function.__name__} must be declared after what it uses, got no {name} yet") from None
    names = _names(code, "LOAD_GLOBAL", "LOAD_NAME")
    found += [(name, function.__globals__[name]) for name in names if name in function.__globals__]
    attributes = _names(code, "LOAD_ATTR", "LOAD_METHOD")
    for name, module in found:  # which grows: a module may be in a module
        if isinstance(module, ModuleType):
            inner = [(f"{name}.{each}", getattr(module, each)) for each in attributes if hasattr(module, each)]
            found += [each for each in inner if each[0] not in dict(found)]
    return found


def _meaning_of_code(function: FunctionType, code: CodeType) -> Iterator[bytes]:
    yield repr(code.co_varnames).encode()
    for each in dis.get_instructions(code):
        if isinstance(each.argval, CodeType):
            yield from _meaning_of_code(function, each.argval)
        else:
            _check_size(function, each.argval)
            yield f"{each.opname} {each.argval!r}".encode()


def _names(code: CodeType, *operations: str) -> list[str]:
    """What the instructions of these kinds name, each once, in the code and in the code within it."""
    found: dict[str, None] = {}
    for each in dis.get_instructions(code):
        if isinstance(each.argval, CodeType):
            found |= dict.fromkeys(_names(each.argval, *operations))
        elif each.opname in operations:
            found[str(each.argval)] = None
    return [*found]
