"""What biases and peepholes begin with where a cell says so: for each a function that draws a number per unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from nblstm.cells.declaration import as_function


def as_draw(given: Mapping[str, Callable[..., Any]] | None, known: Sequence[str]) -> dict[str, FunctionType]:
    """A function for some of the sums and peepholes."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"draw must be a mapping of names to functions, got {given!r}")
    found = {}
    for name, function in (given or {}).items():
        if name not in known:
            raise ValueError(f"draw must name sums or peepholes, {', '.join(known)}, got {name!r}")
        found[str(name)] = as_function(f"draw[{name!r}]", function)
    return found


def drawn(name: str, function: FunctionType, generator: np.random.Generator, units: int) -> np.ndarray:
    """What the function draws: finite numbers, one for each unit.

    Raises
    ------
    ValueError
        It draws something else.
    """
    found = function(generator, units)
    numbers = isinstance(found, np.ndarray) and found.dtype.kind in "fi" and found.shape == (units,)
    if not numbers or not np.isfinite(found).all():
        got = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else repr(found)
        raise ValueError(f"draw[{name!r}] must return an array of {units} finite numbers, one for each unit, got {got}")
    return found
