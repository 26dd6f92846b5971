"""What sums read in place of h: the first of a step's two stages, a function of one unit, and its derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from nblstm.cells.declaration import arguments_of, as_function, as_names, called, check_taken
from nblstm.cells.derivative import derive, symbols

VALUE = "read"
"""What the function returns, by name: the argument `read` of its backward, whose gradient is `dread`."""


class Reading(NamedTuple):
    """The function of a cell's `reads`, and how its derivative goes back.

    Attributes
    ----------
    sums : tuple of str
        Those that read what it returns.
    functions : (function, function)
        As it was given, and its derivative, which returns two tuples: the gradients of the weighted sums that it takes,
        and those of the states of the step before.
    arguments : (tuple of str, tuple of str)
        Those of either. The derivative takes the weighted sums as they are, not what the cell's forward leaves.
    columns, kept, carried : tuple of str
        The weighted sums that it takes; those of them that its backward takes too; and the states whose value before
        the step it takes.
    source : str
        The text of the backward.
    """

    sums: tuple[str, ...]
    functions: tuple[FunctionType, FunctionType]
    arguments: tuple[tuple[str, ...], tuple[str, ...]]
    columns: tuple[str, ...]
    kept: tuple[str, ...]
    carried: tuple[str, ...]
    source: str


def as_reads(given: Mapping[str, Callable[..., Any]] | None, sums: Sequence[str]) -> dict[str, FunctionType]:
    """Some of the sums, each with the function of what it reads, which is the same for all."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"reads must be a mapping of sums to a function, got {given!r}")
    found = {
        name: as_function(f"reads[{name!r}]", given[name]) for name in as_names("reads", tuple(given or ()), 0) if given
    }
    for name in found:
        if name not in sums:
            raise ValueError(f"reads must name sums that have a part from h, {', '.join(sums)}, got {name!r}")
    if len({*found.values()}) > 1:
        names = ", ".join(function.__name__ for function in found.values())
        raise ValueError(f"reads must have one function for all of its sums, got {names}")
    return found


def reading_of(
    name: str, reads: Mapping[str, FunctionType], states: Sequence[str], columns: Sequence[str], others: Sequence[str]
) -> Reading:
    """The first stage of a cell of this name.

    Parameters
    ----------
    name : str
    reads : mapping of str to function
        As `as_reads` returns it, one at least.
    states : sequence of str
    columns : sequence of str
        The weighted sums that are there before it is called, by the names under which it may take them.
    others : sequence of str
        What else it may take: states of the step before and peepholes.
    """
    forward = next(iter(reads.values()))
    arguments = arguments_of(forward)
    check_taken(forward.__name__, arguments, [*columns, *others])
    for each in (*columns, *others):
        if each in (VALUE, f"d{VALUE}", f"{VALUE}_prev"):
            raise ValueError(f"no name may be {each!r} where there are reads: {VALUE} is what their function returns")
    taken = tuple(each for each in columns if each in arguments)
    carried = tuple(state for state in states if f"{state}_prev" in arguments)
    what = f"{forward.__name__} of cell {name!r}"
    found = called(what, forward, [np.full(2, 0.25) for _ in arguments])
    if not (isinstance(found, np.ndarray) and found.shape == (2,) and found.dtype == float):
        raise TypeError(f"{what} must return one number for each unit, computed from its arguments, got {found!r}")
    read = called(what, forward, symbols(arguments))
    backward, source, kept = derive(forward, arguments, taken, carried, {VALUE: read})
    return Reading(
        tuple(reads), (forward, backward), (arguments, arguments_of(backward)), taken, kept, carried, source
    )  # fmt: skip
