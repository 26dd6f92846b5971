"""Cells on the command line: by the names of those that come with the package, or your own as FILE.py:NAME."""

from __future__ import annotations

import importlib.util
import traceback
from pathlib import Path
from typing import Any

import click

from nblstm.cells import CELLS, Cell

TYPED = f"{__name__}.typed"  # under which a command keeps the words that named a cell of your own


class OwnCell(click.ParamType):
    """A cell of your own, by the Python file that declares it and its name there."""

    name = "cell"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The cell itself."""
        if isinstance(value, Cell):
            return value
        file, _, name = value.rpartition(":")
        if not file.endswith(".py"):
            self.fail(f"{value!r} is no FILE.py:NAME, a cell of your own.", param, ctx)
        try:
            found = _names_in(Path(file).absolute())
        except Exception as error:
            self.fail(f"{file} cannot be run: {_said(error, Path(file).absolute())}", param, ctx)
        cells = {each: cell for each, cell in found.items() if isinstance(cell, Cell)}
        if name not in cells:
            self.fail(f"{file} has no cell {name!r}; it has {', '.join(cells) or 'none'}.", param, ctx)
        if ctx:
            ctx.meta[TYPED] = value
        return cells[name]


class CellOrName(OwnCell):
    """A cell of your own, or the name of one that comes with the package."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The cell of your own, or the name."""
        if value in CELLS or ":" in value:
            return value if value in CELLS else super().convert(value, param, ctx)
        return self.fail(f"{value!r} is neither one of {', '.join(CELLS)} nor FILE.py:NAME.", param, ctx)


of_a_trained_model = click.option(
    "--cell", type=OwnCell(), metavar="FILE.py:NAME", help="The cell that RUN was trained with, if it is your own."
)


def as_typed(context: click.Context) -> list[str]:
    """The option again, for a command that goes on with a cell of your own; nothing for another."""
    return ["--cell", context.meta[TYPED]] if TYPED in context.meta else []


def _names_in(file: Path) -> dict[str, Any]:
    """What the file has once it has run, as a module that nobody else gets."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)


def _said(error: Exception, file: Path) -> str:
    """What went wrong, and in which line of the file."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == str(file)]
    return f"line {lines[-1] if lines else '?'}: {type(error).__name__}: {error}"
