"""A cell as a file knows it: by its name, if it comes with the package; else by its declaration, without its functions.

The equations are in no file: whoever opens one hands the cell in.
"""

from __future__ import annotations

from typing import Any

from nblstm.arguments import as_choice, as_text, check_kind
from nblstm.cells.cell import CELLS, Cell
from nblstm.cells.declaration import as_names

Record = str | dict[str, Any]


def as_cell(cell: Cell | str) -> Cell:
    """The cell, or the one of this name among those that come with the package."""
    return cell if isinstance(cell, Cell) else CELLS[as_choice("cell", cell, CELLS)]


def name_or_cell(cell: Cell) -> Cell | str:
    """The name of a cell that comes with the package; one of your own as it is."""
    return cell.name if CELLS.get(cell.name) is cell else cell


def record_of(cell: Cell | str) -> Record:
    """What a file says of it, as plain data."""
    cell = name_or_cell(as_cell(cell))
    if isinstance(cell, str):
        return cell
    found = {
        "name": cell.name,
        "sums": [*cell.sums],
        "states": [*cell.states],
        "apart": [*cell.apart],
        "peepholes": [[name, *target] for name, target in cell.peepholes.items()],
    }
    # Which older files do not have.
    more = {"inputs_only": [*cell.inputs_only], "hidden_only": [*cell.hidden_only], "reads": [*cell.reads]}
    return found | {name: members for name, members in more.items() if members}


def as_record(data: Any) -> Record:
    """What `record_of` returned, read from a file.

    Raises
    ------
    KeyError, TypeError, ValueError
        It is something else.
    """
    if not isinstance(data, dict):
        return as_choice("cell", data, CELLS)
    as_text("name", data["name"])
    as_names("sums", data["sums"])
    as_names("states", data["states"])
    return data


def cell_of(record: Record, given: Cell | None, what: str, how: str) -> Cell:
    """The cell of a file, which was handed in where it does not come with the package.

    Parameters
    ----------
    record : str or dict
    given : Cell, optional
    what, how : str
        What was read, and how a cell is handed in, for reading.

    Raises
    ------
    TypeError, ValueError
        A cell is missing, or one of another name or declaration was handed in.
    """
    if given is not None:
        check_kind("cell", given, Cell)
    if isinstance(record, str):
        own = CELLS[record]
        if given is not None and given is not own:
            raise ValueError(f"cell must be left out for {what}, whose cell is nblstm's own {record!r}, got {given!r}")
        return own
    if given is None:
        raise ValueError(f"{what} has a cell that is none of nblstm's, {_described(record)}: hand it in, as {how}")
    found = record_of(given)
    if found != record:
        got = f"nblstm's {found!r}" if isinstance(found, str) else _described(found)
        raise ValueError(f"cell must be that of {what}, {_described(record)}, got {got}")
    return given


def _described(record: dict[str, Any]) -> str:
    more = "".join(
        f", {name} {record[name]}"
        for name in ("apart", "inputs_only", "hidden_only", "reads", "peepholes")
        if record.get(name)
    )
    return f"{record['name']!r} with sums {', '.join(record['sums'])} and states {', '.join(record['states'])}{more}"
