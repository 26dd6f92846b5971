"""What a function does as a digest: of its code and of all that it finds outside, the same in every process."""

from __future__ import annotations

import dis
import hashlib
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np


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
    """The code of it and of its helpers, and the values that they find outside."""
    for each in with_helpers(function):
        yield from _meaning_of_code(each.__code__)
        for name, value in _outside(each):
            if isinstance(value, FunctionType):
                if _is_of_kernels(value):  # of whose sources the kernels have a digest
                    yield f"{value.__module__}.{value.__qualname__}".encode()
            elif isinstance(value, bool | int | float | np.number):
                yield f"{name}={value!r}".encode()
            elif isinstance(value, ModuleType):
                yield f"{name}={value.__name__}".encode()
            elif not (callable(value) and type(value).__module__.split(".")[0] in ("builtins", "numpy")):
                raise TypeError(
                    f"{each.__name__} must use numbers and functions only of what stands outside it, got {name}, "
                    f"a {type(value).__name__}"
                )


def _is_of_kernels(function: FunctionType) -> bool:
    return (function.__module__ or "").startswith("nblstm.kernels.")


def _outside(function: FunctionType) -> list[tuple[str, Any]]:
    """What its code finds by name in its closure, among the globals, and in modules there."""
    code, names = function.__code__, _names_of(function.__code__)
    found = [
        (name, cell.cell_contents) for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
    ]
    found += [(name, function.__globals__[name]) for name in names if name in function.__globals__]
    for name, module in found:  # which grows: a module may be in a module
        if isinstance(module, ModuleType):
            inner = [(f"{name}.{each}", getattr(module, each)) for each in names if hasattr(module, each)]
            found += [each for each in inner if each not in found]
    return found


def _meaning_of_code(code: CodeType) -> Iterator[bytes]:
    yield repr(code.co_varnames).encode()
    for each in dis.get_instructions(code):
        if isinstance(each.argval, CodeType):
            yield from _meaning_of_code(each.argval)
        else:
            yield f"{each.opname} {each.argval!r}".encode()


def _names_of(code: CodeType) -> list[str]:
    inner = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names_of(constant)]
    return [*code.co_names, *inner]
