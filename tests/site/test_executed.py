"""Lessons that have passed are kept: without the tests' own cells, and only as long as their text is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import executed

nbformat = pytest.importorskip("nbformat", reason="needs nbformat: the extra `site`")


def test_a_lesson_that_has_run_is_kept_until_its_text_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lesson, folder = tmp_path / "03_nothing.ipynb", tmp_path / "executed"
    check = nbformat.v4.new_code_cell("hold(2)", metadata={"tags": [executed.CHECK_OF_NUMBERS]})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1"), check])
    nbformat.write(notebook, lesson)
    monkeypatch.delenv(executed.VARIABLE, raising=False)
    executed.keep(notebook, lesson)
    assert not folder.exists()
    monkeypatch.setenv(executed.VARIABLE, str(folder))
    executed.keep(notebook, lesson)
    kept = executed.place(lesson, folder)
    assert [cell.source for cell in nbformat.read(kept, as_version=4).cells] == ["1 + 1"]
    lesson.write_text(lesson.read_text().replace("1 + 1", "1 + 2"))
    assert not executed.place(lesson, folder).exists()


def test_a_lesson_runs_again_once_the_package_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lesson, package = tmp_path / "03_nothing.ipynb", tmp_path / "package"
    package.mkdir()
    lesson.touch()
    monkeypatch.setattr(executed, "PACKAGE", package)
    places = []
    for text in ("a = 1", "a = 2"):
        (package / "module.py").write_text(text)
        executed._package.cache_clear()
        places.append(executed.place(lesson, tmp_path))
    executed._package.cache_clear()
    assert len(set(places)) == 2
