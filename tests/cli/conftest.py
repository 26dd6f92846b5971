"""What the tests of commands share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A short text, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "roses.txt"
    path.write_text("a rose is a rose is a rose, said the little prince to the fox\n" * 13, encoding="utf-8")
    return path
