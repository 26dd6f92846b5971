"""The page docs/layers.md keeps its word: its code runs as printed, and its table names the layers there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nblstm
from nblstm.layers.recording import Recorder
from nblstm.layers.single_step import CellLayer

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "layers.md").read_text(encoding="utf-8")


def test_the_code_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    chain, layer, composed, network = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(chain, "docs/layers.md", "exec"), names)
    assert "lstm.weight_ih_l0_reverse" in capsys.readouterr().out
    assert names["loss"] < 0.8 < np.log(3)
    exec(compile(layer, "docs/layers.md", "exec"), names)
    assert [row.name for row in names["table"].rows] == ["gate", "bias", "weight", "x"]
    y, _, tape = names["net"].forward(np.ones((4, 2, 3), "float32"))
    names["net"].backward(y, tape)
    assert all(gradient.any() for name, gradient in names["net"].grads.items() if name != "0.weight_hh_l0")
    exec(compile(composed, "docs/layers.md", "exec"), names)
    assert names["losses"][-1] < names["losses"][0] / 4
    exec(compile(network, "docs/layers.md", "exec"), names)
    assert capsys.readouterr().out.endswith("Forecast(units=8, days=6)\n")


def test_every_layer_is_in_the_table() -> None:
    table = PAGE.split("| layer |")[1].split("\n\n")[0]
    every = [getattr(nblstm, name) for name in nblstm.__all__]
    layers = [one for one in every if isinstance(one, type) and issubclass(one, nblstm.Layer)]
    named = {one.__name__ for one in layers if one is not nblstm.Layer and not issubclass(one, CellLayer)}
    assert set(re.findall(r"`([A-Z]\w+)`", table)) == named


def test_every_name_to_use_is_one() -> None:
    table = PAGE.split("## What there is to use")[1]
    for row in re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE):
        for name in re.findall(r"`(\w+)", row):
            owner = nblstm.Linear(2, 3) if name in ("in_features", "out_features", "editing") else Recorder
            assert hasattr(owner, name), name
