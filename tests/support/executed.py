"""Lessons that have passed their test, kept with their outputs, so that the site shows what was tested.

The folder is named by the environment variable NBLSTM_EXECUTED. A lesson lies there under a digest of its own text and
of all that the package consists of: once either changes, it has to run again.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import Any

VARIABLE = "NBLSTM_EXECUTED"
PACKAGE = Path(__file__).resolve().parents[2] / "nblstm"
CHECK_OF_NUMBERS = "check-of-numbers"
"""Tag of the cells that a test adds to a lesson; they are not kept."""


def place(lesson: Path, folder: Path) -> Path:
    """Where a lesson, as its file is now, lies once it has run."""
    digest = hashlib.sha256(_package() + lesson.read_bytes()).hexdigest()
    return folder / f"{lesson.stem}-{digest[:16]}.ipynb"


@functools.cache
def _package() -> bytes:
    """A digest of the package's sources."""
    files = sorted(path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".mplstyle"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).digest()


def keep(notebook: Any, lesson: Path) -> None:
    """Write a notebook that has run, and whose file is `lesson`, if a folder is named."""
    import nbformat

    if folder := os.environ.get(VARIABLE):
        cells = [cell for cell in notebook.cells if CHECK_OF_NUMBERS not in cell.metadata.get("tags", [])]
        target = place(lesson, Path(folder))
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbformat.from_dict({**notebook, "cells": cells}), target)
