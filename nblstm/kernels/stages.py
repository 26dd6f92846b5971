"""What each stage of a cell's step loads, calls and stores, as lines of source text that `units` compiles.

They stand in `units.forward_units` and `units.backward_units`, and use their arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import FunctionType
from typing import NamedTuple

from nblstm.cells.cell import Cell
from nblstm.cells.reading import VALUE, Reading


class Stage(NamedTuple):
    """A stage of a cell's step: its two functions, and the lines that load for them, call them and store."""

    functions: tuple[FunctionType, FunctionType]
    forward_lines: list[str]
    backward_lines: list[str]


def last_stage(cell: Cell) -> Stage:
    """From the weighted sums to the new states, and from their gradients to those of the sums and the states before.

    Where there is a stage before it, that one's way back will need sums as they were: they are kept with what this one
    saves, and go behind the gradients of the states before this one's way back takes their slot.
    """
    sums = _loads_of_sums(cell)
    before = _loads_of_states(cell, "{}_prev", "h_prev", "before") | _loads_of_peepholes(cell)
    forward = [
        f"saved, states = function({_operands(cell.forward_arguments, before | sums)})",
        *(f"if keep: store(gates, {k} * lanes, saved[{k}])" for k in range(len(cell.saved))),
        *(f"if keep: store(gates, {slot} * lanes, {sums[each]})" for each, slot in cell.kept.items()),
        *(f"store(after, {k} * between + u, states[{k + 1}])" for k in range(len(cell.states) - 1)),
        "store(h, u, states[0])",
    ]
    sources = before | _loads_of_states(cell, "{}", "h", "after")
    sources |= {saved: f"load(gates, {k} * lanes)" for k, saved in enumerate(cell.saved)}
    sources |= {f"d{state}": f"load(dstates, {k} * dbetween + u)" for k, state in enumerate(cell.states[1:])}
    sources["dh"] = "dh"
    gradients = {cell.slot_of[k]: "full(dh, 0.0)" for k in range(len(cell.columns))}
    gradients |= {slot: f"sums[{k}]" for k, slot in enumerate(_slots_of_sums(cell, cell.taken))}
    backward = [
        *(
            f"store(dstates, {k} * dbetween + u, load(gates, {slot} * lanes))"
            for k, slot in enumerate(cell.kept.values(), cell.arrays)
        ),
        f"sums, states = function({_operands(cell.backward_arguments, sources)})",
        *(f"store(gates, {k} * lanes, {gradients.get(k, 'full(dh, 0.0)')})" for k in range(cell.slots)),
    ]
    for k, state in enumerate(cell.states):
        target = _place_of_gradient(k)
        if state in cell.carried:
            backward.append(f"store({target}, states[{cell.carried.index(state)}])")
        elif k > 0 or cell.returns_h:  # nothing of it goes further back, or only what an earlier stage adds
            backward.append(f"store({target}, full(dh, 0.0))")
    return Stage((cell.forward, cell.backward), forward, backward)


def first_stage(cell: Cell, reading: Reading) -> Stage:
    """From some weighted sums and the states before to what others read; on the way back their gradients are added to.

    All sums as they are so far go to the gates, for the other stage.
    """
    before = _loads_of_states(cell, "{}_prev", "h_prev", "before") | _loads_of_peepholes(cell)
    forward = [
        f"value = function({_operands(reading.arguments[0], before | _loads_of_sums(cell))})",
        *(f"store(gates, {k} * lanes, load(sums, {k} * lanes))" for k in range(cell.slots)),
        f"store(after, {cell.arrays - 1} * between + u, value)",
    ]
    sources = before | {VALUE: f"load(after, {cell.arrays - 1} * between + u)"}
    sources[f"d{VALUE}"] = f"load(dstates, {cell.arrays - 1} * dbetween + u)"
    sources |= {each: f"load(dstates, {k} * dbetween + u)" for k, each in enumerate(cell.kept, cell.arrays)}
    backward = [f"sums, states = function({_operands(reading.arguments[1], sources)})"]
    for k, slot in enumerate(_slots_of_sums(cell, reading.columns)):
        backward.append(f"store(gates, {slot} * lanes, load(gates, {slot} * lanes) + sums[{k}])")
    for k, state in enumerate(reading.carried):
        target = _place_of_gradient(cell.states.index(state))
        backward.append(f"store({target}, load({target}) + states[{k}])")
    return Stage(reading.functions, forward, backward)


def _slots_of_sums(cell: Cell, names: Sequence[str]) -> list[int]:
    """The slots of weighted sums."""
    return [slot for column, slot in zip(cell.columns, cell.slot_of, strict=True) if column.name in names]


def _loads_of_sums(cell: Cell) -> dict[str, str]:
    return {column.name: f"load(sums, {slot} * lanes)" for column, slot in zip(cell.columns, cell.slot_of, strict=True)}


def _place_of_gradient(number: int) -> str:
    return "dh_row, u" if number == 0 else f"dstates, {number - 1} * dbetween + u"


def _loads_of_states(cell: Cell, name: str, h: str, others: str) -> dict[str, str]:
    loads = {name.format("h"): f"load({h}, u)"}
    return loads | {name.format(state): f"load({others}, {k} * between + u)" for k, state in enumerate(cell.states[1:])}


def _loads_of_peepholes(cell: Cell) -> dict[str, str]:
    return {name: f"load(peephole, {k} * stride + u)" for k, name in enumerate(cell.peepholes)}


def _operands(arguments: Sequence[str], sources: dict[str, str]) -> str:
    return ", ".join(sources[argument] for argument in arguments)
