"""The page docs/estimators.md keeps its word: its code runs as printed, its tables name the parameters there are."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn: the extra `sklearn`")

from sklearn.neural_network import MLPClassifier

from nblstm.sklearn import LSTMClassifier

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "estimators.md").read_text(encoding="utf-8")


def test_the_code_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    scores, transposed = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(scores, "docs/estimators.md", "exec"), names)
    assert min(map(float, re.findall(r"[01]\.\d*", capsys.readouterr().out))) > 0.7
    exec(compile(transposed, "docs/estimators.md", "exec"), names)
    assert set(re.findall(r"\w+", capsys.readouterr().out)) <= {"up", "down"}


def test_every_parameter_is_compared_with_those_of_an_mlp() -> None:
    table = PAGE.split("| parameter | in `MLPClassifier` |")[1].split("\n\n")[0]
    named = {row.split("|")[1]: row for row in table.splitlines()[2:]}
    own = {name for cells in named for name in re.findall(r"`(\w+)`", cells)}
    parameters = inspect.signature(LSTMClassifier).parameters.keys()
    assert own == set(parameters)
    theirs = inspect.signature(MLPClassifier).parameters.keys()
    missing = next(set(re.findall(r"`(\w+)`", cells)) for cells in named if "patch_length" in cells)
    assert not missing & set(theirs)
    assert parameters - missing - {"hidden_size", "num_layers"} <= set(theirs)
