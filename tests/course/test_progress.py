"""``progress.json``: what lessons write into a learner's own folder, and how ``nblstm course --progress`` shows it."""

from __future__ import annotations

import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from nblstm.cli import main
from nblstm.course import checks, close, exercise, progress, reveal, start
from nblstm.course.progress import miss


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["course", *arguments])


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's folder of two lessons, the second of which runs in JupyterLab."""
    source = tmp_path / "originals"
    source.mkdir()
    for number, exercises, predictions in (("03", 4, 2), ("12", 2, 3)):
        cells = [{"metadata": {"tags": [f"check:{int(number)}.{k + 1}"]}, "source": ""} for k in range(exercises)]
        cells += [{"metadata": {}, "source": 'reveal("x", None, 1)'} for _ in range(predictions)]
        (source / f"{number}_lesson.ipynb").write_text(json.dumps({"cells": cells}))
    (source / "solutions").mkdir()
    (source / "solutions" / "12_lesson.ipynb").write_text("{}")
    monkeypatch.setattr(start, "originals", lambda: source)
    monkeypatch.setattr(progress, "_told", set())
    monkeypatch.setattr(checks, "_reminded", [])
    monkeypatch.chdir(tmp_path)
    assert call("mine", "--copy-only").exit_code == 0
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "mine" / "12_lesson.ipynb"))
    return tmp_path / "mine"


def solve(name: str) -> None:
    with exercise(name, hint="add"):
        close(2.0, 2.0)


def test_what_was_done_is_shown(mine: Path) -> None:
    before = call("--progress", "mine")
    assert (before.exit_code, before.output.splitlines()[:4]) == (0, [
        "lesson  exercises right  predictions  mean miss",
        "     3           0 of 4       0 of 2",
        "    12           0 of 2       0 of 3",
        "   all           0 of 6       0 of 5",
    ])  # fmt: skip
    for name in ("12.2", "12.2", "3.1"):
        solve(name)
    with exercise("12.1", hint="add"):
        raise NotImplementedError
    reveal("pairs", 50, 100)
    reveal("pairs", 100, 100)  # seen by now
    reveal("shape", "larger", (3, 2))
    reveal("nothing", None, 4)
    assert call("mine", "--progress").output.splitlines()[1:4] == [
        "     3           1 of 4       0 of 2",
        "    12           1 of 2       2 of 3        50%",
        "   all           2 of 6       2 of 5        50%",
    ]
    assert json.loads((mine / "progress.json").read_text()) == {
        "exercises": {"12": {"12.2": True}, "3": {"3.1": True}},
        "predictions": {"12": {"pairs": {"predicted": "50", "came": "100", "miss": 0.5},
                               "shape": {"predicted": "larger", "came": "(3, 2)", "miss": None}}},
    }  # fmt: skip


def test_the_record_stays_when_the_command_runs_again(mine: Path) -> None:
    solve("12.1")
    before = (mine / "progress.json").read_bytes()
    assert call("mine", "--copy-only", "--without-solutions").exit_code == 0
    assert (mine / "progress.json").read_bytes() == before


@pytest.mark.parametrize("place", ["solutions/12_lesson.ipynb", "../originals/12_lesson.ipynb", "notes.ipynb", ""])
def test_nothing_is_recorded_elsewhere(mine: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a solution, in the originals, in a notebook that is no lesson, in tests."""
    monkeypatch.setenv("JPY_SESSION_NAME", str(mine / place) if place else "")
    before = {path: path.read_bytes() for path in mine.parent.rglob("*.*") if path.is_file()}
    solve("12.1")
    reveal("pairs", 50, 100)
    assert {path: path.read_bytes() for path in mine.parent.rglob("*.*") if path.is_file()} == before


def test_a_lesson_in_visual_studio_code(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME")
    shell = types.SimpleNamespace(user_ns={"__vsc_ipynb_file__": str(mine / "03_lesson.ipynb")})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    reveal("pairs", 50, 100)
    assert json.loads((mine / "progress.json").read_text())["predictions"].keys() == {"3"}


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "\xff", "[" * 100_000, '{"exercises": {}}', '{"exercises": [], "predictions": {}}',
        '{"exercises": {"3": 4}, "predictions": {}}', '{"exercises": {}, "predictions": {"3": {"x": {"miss": "2"}}}}',
        '{"exercises": {}, "predictions": {"3": {"x": 2}}}',
    ],
)  # fmt: skip
def test_a_damaged_record_stops_no_lesson_and_stays(mine: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "progress.json").write_text(text, encoding="latin-1")
    solve("12.1")
    reveal("pairs", 50, 100)
    right, told, revealed = capsys.readouterr().out.splitlines()
    assert (right, revealed) == ("Exercise 12.1: right.", "pairs: 100 (you predicted 50)")
    assert told.startswith("(Your progress was not recorded: ")
    shown = call("--progress", "mine")
    assert shown.exit_code == 2
    assert "progress.json is damaged, and was left as it is: mend it, or rename it and run" in shown.output
    assert (mine / "progress.json").read_text(encoding="latin-1") == text


def test_a_record_that_cannot_be_written_stops_no_lesson(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path) -> None:
        raise OSError(f"{path}: no space left")

    monkeypatch.setattr(progress, "atomic_write", full)
    before = (mine / "progress.json").read_bytes()
    solve("12.1")
    solve("12.2")
    out = capsys.readouterr().out
    assert out.count("(Your progress was not recorded: ") == 1
    assert out.count("right.\n") == 2
    assert (mine / "progress.json").read_bytes() == before


def test_a_folder_without_a_record(mine: Path) -> None:
    (mine / "progress.json").unlink()
    result = call("--progress", "mine")
    assert (result.exit_code, result.output) == (
        2, "Error: mine has no progress.json: `nblstm course mine` begins one, and the lessons fill it\n"
    )  # fmt: skip


def test_a_copy_without_solutions(mine: Path) -> None:
    assert call("handout", "--copy-only", "--without-solutions").exit_code == 0
    names = {path.name for path in Path("handout").iterdir()}
    assert names == {"03_lesson.ipynb", "12_lesson.ipynb", "progress.json"}
    assert {path.name for path in mine.iterdir()} == names | {"solutions"}


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        (3, 3, 0), (0, 0, 0), (0, 3, 1), (-3, 3, 2), (30, 20.0, 1 / 3), (17_984, "80,896", 1 - 17_984 / 80_896),
        ("1e-3", 0.002, 0.5), (0.5, [0.5, 1.0], 0.25), ([1, 2], (2, 2), 0.25), (True, 1, 0), (np.float32(2), 2, 0),
        ([[1, 2]], np.array([1, 2]), 0), ("more", 3, None), (3, "more", None), ([1, 2], [1, 2, 3], None), ([], 3, None),
        (math.nan, 3, None), (3, math.inf, None), ([1, [2, 3]], 3, None), ({1: 2}, 3, None), (1j, 1, None),
    ],
)  # fmt: skip
def test_miss(prediction: object, truth: object, expected: float | None) -> None:
    assert miss(prediction, truth) == (expected if expected is None else pytest.approx(expected, abs=1e-12))
