"""A cell's backward against differences of its forward, in plain Python and float64: when a cell is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.cells.reading import VALUE, Reading

if TYPE_CHECKING:
    from nblstm.cells.cell import Cell

UNITS = 32
SPREAD = np.tile([1.5, 4.0], UNITS // 2)  # of the sums: where gates act, and where they are full or empty
STEPS = 3
STEP = 1e-5
TOLERANCE = 1e-6
KINK = 1e-3  # of the quotients to either side, by which they differ where a gradient jumps and not where it bends
ROUNDING = np.finfo(float).eps / STEP  # of a difference quotient, for each 1 of what the difference is taken of


def check_backward(cell: Cell) -> None:
    """Compare every gradient with centred differences, for some units with random numbers.

    Raises
    ------
    ValueError
        A gradient that differs, or numbers that are not finite in every unit.
    """
    rng = np.random.default_rng(0)
    previous = [f"{state}_prev" for state in cell.states]
    columns = cell.taken
    given = {name: np.zeros(UNITS) for name in previous} | {name: rng.uniform(-1, 1, UNITS) for name in cell.peepholes}
    upstream = {f"d{state}": rng.uniform(-1, 1, UNITS) for state in cell.states}

    def loss(numbers: Mapping[str, np.ndarray]) -> np.ndarray:
        _, states = cell.forward(*(numbers[name].copy() for name in cell.forward_arguments))
        return sum(upstream[f"d{state}"] * value for state, value in zip(cell.states, states, strict=True))

    with np.errstate(all="ignore"):
        for _ in range(STEPS):  # to states that the cell comes to by itself
            given |= {name: rng.uniform(-SPREAD, SPREAD) for name in columns}
            _, states = cell.forward(*(given[name].copy() for name in cell.forward_arguments))
            given |= dict(zip(previous, states, strict=True))
        given |= {name: rng.uniform(-SPREAD, SPREAD) for name in columns}
        saved, states = cell.forward(*(given[name].copy() for name in cell.forward_arguments))
        known = (
            given | upstream | dict(zip(cell.saved, saved, strict=True)) | dict(zip(cell.states, states, strict=True))
        )
        sums, before = cell.backward(*(np.array(known[name]) for name in cell.backward_arguments))
        found = dict(zip(columns, sums, strict=True))
        found |= {f"{state}_prev": value for state, value in zip(cell.carried, before, strict=True)}
        found |= _of_peepholes(cell, found, known)
        _compare(f"backward of cell {cell.name!r}", "be the derivative of forward", loss, given, found)
        if cell.reading:
            _check_reading(cell, cell.reading, known, rng)


def _check_reading(cell: Cell, reading: Reading, known: Mapping[str, np.ndarray], rng: np.random.Generator) -> None:
    """Compare what was derived as well: it is right of peepholes only if they act on sums as `forward` has them."""
    (forward, backward), (arguments, arguments_back) = reading.functions, reading.arguments
    given = {name: rng.uniform(-SPREAD, SPREAD) for name in reading.columns} | dict(known)
    upstream = rng.uniform(-1, 1, UNITS)

    def loss(numbers: Mapping[str, np.ndarray]) -> np.ndarray:
        return upstream * forward(*(numbers[name].copy() for name in arguments))

    numbers = given | {VALUE: forward(*(given[name].copy() for name in arguments)), f"d{VALUE}": upstream}
    sums, before = backward(*(numbers[name] for name in arguments_back))
    found = dict(zip(reading.columns, sums, strict=True))
    found |= {f"{state}_prev": value for state, value in zip(reading.carried, before, strict=True)}
    found |= _of_peepholes(cell, found, given)
    what = f"{forward.__name__} of cell {cell.name!r}"
    _compare(what, "add each peephole, times its state, to its sum", loss, given, found)


def _of_peepholes(cell: Cell, found: Mapping[str, Any], known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Their gradients by those of the sums, 0 of one that is not there."""
    return {name: found.get(of, 0.0) * known[state] for name, (of, state) in cell.peepholes.items()}


def _compare(
    what: str, duty: str, loss: Callable[[Mapping[str, np.ndarray]], np.ndarray], given: Mapping[str, np.ndarray],
    found: Mapping[str, Any],
) -> None:  # fmt: skip
    """Each gradient found with the difference quotient of a loss of what is given; `what` must do its `duty`."""
    for name, gradient in found.items():
        lower, here, higher = (loss({**given, name: given[name] + step}) for step in (-STEP, 0, STEP))
        expected, sides = (higher - lower) / (2 * STEP), ((here - lower) / STEP, (higher - here) / STEP)
        scale = np.maximum(np.maximum(1, np.abs(expected)), ROUNDING / TOLERANCE * np.abs(here))
        error = np.abs(gradient - expected) / scale
        least, most = np.minimum(*sides), np.maximum(*sides)
        at_kink = most - least > KINK * scale  # as a state of a relu may be, exactly: each of both sides' is right
        error[at_kink & (np.abs(gradient - np.clip(gradient, least, most)) < KINK * scale)] = 0
        if not np.isfinite(error).any() or (np.isfinite(expected) & ~np.isfinite(error)).any():
            raise ValueError(f"{what} must give numbers, got the gradient of {name} not finite")
        worst = int(np.nanargmax(np.where(np.isfinite(error), error, -1)))
        if error[worst] > TOLERANCE:
            raise ValueError(
                f"{what} must {duty}: the gradient of {name} is "
                f"{np.broadcast_to(gradient, UNITS)[worst]:.6g} where differences give {expected[worst]:.6g}"
            )
