"""Trials in a CSV file: a row for each, a column for each field of their dataclass."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from nblstm.files import atomic_write

Row = TypeVar("Row")


def write(file: Path, kind: type, rows: Iterable[Any]) -> None:
    """All rows, which are of this dataclass, in the place of what `file` has."""
    text = io.StringIO()
    writer = csv.DictWriter(text, get_type_hints(kind), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    with atomic_write(file) as out:
        out.write(text.getvalue().encode())


def read(file: Path, kind: type[Row]) -> list[Row]:
    """The rows of a file that `write` has written; one with other columns is refused."""
    columns = get_type_hints(kind)
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        if reader.fieldnames != list(columns):
            raise ValueError(f"{file} must be a table of trials, with the columns {', '.join(columns)}")
        try:
            return [kind(**{name: READ.get(one, one)(row[name]) for name, one in columns.items()}) for row in reader]
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file}, line {reader.line_num}, is no trial: {error}") from None


def _flag(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError(f"one of its columns must be True or False, got {text}")
    return text == "True"


READ: dict[type, Callable[[str], Any]] = {bool: _flag}
"""How a column is read that its type does not read by itself."""
