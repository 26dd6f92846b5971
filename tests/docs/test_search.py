"""The page about searches keeps its word: its example runs as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.searches import Here

from nblstm.search import search as module

PAGE = Path(__file__).resolve().parents[2] / "docs" / "search.md"


def test_the_example_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], undrawn: None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "Processes", Here)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(example, PAGE.name, "exec"), {})
    accuracy, folder = capsys.readouterr().out.splitlines()[-1].split()
    assert float(accuracy) > 0.8
    assert (tmp_path / folder / "best.safetensors").is_file()
    assert (tmp_path / "searches" / "mine" / "search.png").is_file()
