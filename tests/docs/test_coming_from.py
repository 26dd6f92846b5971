"""The page docs/coming_from.md keeps its word: its code runs as printed, and the names that it gives are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import nblstm
from nblstm import jobs, runs

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "coming_from.md").read_text(encoding="utf-8")


def test_the_code_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    torch, keras, sklearn = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(torch, "docs/coming_from.md", "exec"), names)
    assert names["losses"][-1] < names["losses"][0] / 4
    exec(compile(keras, "docs/coming_from.md", "exec"), names)
    assert capsys.readouterr().out.endswith("(3, 64) (16, 64) (64,) True\n")
    pytest.importorskip("sklearn", reason="needs scikit-learn: the extra `sklearn`")
    exec(compile(sklearn, "docs/coming_from.md", "exec"), names)
    assert float(capsys.readouterr().out) > 0.8


def test_the_names_that_the_tables_give_are_there() -> None:
    second = [row.split(" | ")[1] for row in re.findall(r"^\| (.*) \|$", PAGE, flags=re.MULTILINE)]
    begun = r"(?<![\w.=])([A-Z]\w*[a-z]\w*|LSTM|GRU|RNN)\b(?=[^`]*`)"
    names = {name for cell in second for name in re.findall(begun, cell)}
    assert len(names) > 10
    assert [name for name in names if not any(hasattr(module, name) for module in (nblstm, jobs, runs))] == []


def test_defaults_are_as_said() -> None:
    lstm = nblstm.LSTM(3, 4, seed=0)
    assert (lstm.batch_first, lstm.forget_bias) == (False, 0.0)
