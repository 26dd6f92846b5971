"""The page docs/cells.md keeps its word: its code runs as printed, and what it names is there."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nblstm import Recurrent, cells, gradcheck
from nblstm.cells import CELLS
from nblstm.cells.cell import SLOTS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cells.md").read_text(encoding="utf-8")


def test_the_code_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "docs/cells.md", "exec"), names)
    exec(compile(block, "docs/cells.md", "exec"), names)  # a cell with a run in it is run twice, too
    assert names["y"].shape == (50, 16, 256)
    assert names["dx"].shape == (50, 16, 28)
    assert names["dc_0"].shape == names["c_n"].shape == (4, 16, 128)
    assert "weight_hh_l0" in str(names["table"])
    assert textwrap.indent(names["derived"], "    ") in PAGE
    np.testing.assert_array_equal(names["same"].flat_params, names["layer"].flat_params)
    x = rng.standard_normal((4, 2, 3))
    for own, ready in (("Minimal", "mgu"), ("Coupled", "coupled"), ("Original", "gru_original")):
        layers = [Recurrent(cell, 3, 5, dtype="float64", seed=0) for cell in (names[own], ready)]
        np.testing.assert_array_equal(layers[0](x)[0], layers[1](x)[0])
        gradcheck(layers[0], x, entries=3)


def test_every_cell_and_every_function_is_named() -> None:
    ready = PAGE.split("These come ready")[1].split("\n\n")[0]
    assert [name for name in CELLS if f"`{name}`" not in ready] == []
    functions = PAGE.split("## What the functions may use")[1].split("\n##")[0]
    assert [name for name in cells.__all__ if name.islower() and f"`{name}" not in functions] == []
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE, flags=re.MULTILINE)
    arguments = [name for row in rows for name in re.findall(r"\w+", row)]
    assert arguments == list(inspect.signature(cells.Cell).parameters)


def test_the_limits_are_those_of_the_declaration() -> None:
    assert max(SLOTS) == 4
    assert SLOTS == (1, 2, 4), "three take the room of four"
    assert PAGE.count("At most four sums") == 1
