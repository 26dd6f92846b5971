"""``nblstm course``: the learner's copy, and what JupyterLab is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.processes import ended, started

from nblstm.cli import main
from nblstm.course import start

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def originals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of four files, and two that are nobody's business, beside the current folder."""
    source = tmp_path / "originals"
    for name in ("README.md", "00_start_here.ipynb", "solutions/00_start_here.ipynb", "glossary.md"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(f"{name} as it came", encoding="utf-8")
    for name in (".ipynb_checkpoints/00_start_here.ipynb", "__pycache__/x.pyc"):
        (source / name).parent.mkdir()
        (source / name).touch()
    monkeypatch.setattr(start, "originals", lambda: source)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return source


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run, had JupyterLab been here."""
    run: list[list[str]] = []
    monkeypatch.setattr(start, "require_jupyterlab", lambda: None)
    monkeypatch.setattr(start, "run", lambda words: run.append(words) or 0)
    return run


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["course", *arguments])


def test_copy_and_open(originals: Path, commands: list[list[str]]) -> None:
    result = call("--no-browser", "--port", "9876")
    assert result.exit_code == 0, result.output
    assert result.output == "files copied to nblstm-course: 4; there already, and left as they are: 0\n"
    copied = {path.relative_to("nblstm-course").as_posix() for path in Path("nblstm-course").rglob("*.*")}
    files = {"README.md", "00_start_here.ipynb", "solutions/00_start_here.ipynb", "glossary.md"}
    assert copied == files | {"progress.json"}
    (words,) = commands
    assert words[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={Path('nblstm-course').resolve()}" in words
    assert "--LabApp.news_url=None" in words  # or a question about news lies over the lesson
    assert {"--no-browser", "--port=9876", "--LabApp.default_url=/lab/tree/00_start_here.ipynb"} <= set(words)


def test_work_is_never_overwritten_and_new_lessons_arrive(originals: Path, commands: list[list[str]]) -> None:
    assert call("mine").exit_code == 0
    Path("mine/00_start_here.ipynb").write_text("my work")
    Path("mine/README.md").write_text("")
    Path("mine/notes.txt").write_text("my notes")
    (originals / "00_start_here.ipynb").write_text("a later version")
    (originals / "01_next.ipynb").write_text("a lesson that a later version brings")
    result = call("mine")
    assert result.output == "files copied to mine: 1; there already, and left as they are: 4\n"
    assert Path("mine/00_start_here.ipynb").read_text() == "my work"
    assert Path("mine/README.md").read_text() == ""
    assert Path("mine/notes.txt").read_text() == "my notes"
    assert Path("mine/01_next.ipynb").read_text() == "a lesson that a later version brings"
    assert not any("default_url" in word or "--port" in word or "browser" in word for word in commands[1])


def test_what_is_deleted_comes_back_and_a_link_stays(originals: Path) -> None:
    start.copy("mine")
    Path("mine/README.md").unlink()
    Path("mine/glossary.md").unlink()
    Path("mine/glossary.md").symlink_to("nowhere.md")
    assert start.copy("mine").new == ["README.md"]
    assert os.readlink("mine/glossary.md") == "nowhere.md"
    assert not Path("mine/nowhere.md").exists()


def test_copy_only_needs_no_jupyterlab(originals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "find_spec", lambda name: None)
    monkeypatch.setattr(start, "run", lambda words: pytest.fail("nothing was to be started"))
    assert call("--copy-only", "mine").exit_code == 0
    assert Path("mine/00_start_here.ipynb").is_file()


def test_without_jupyterlab_one_sentence_and_nothing_is_copied(
    originals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "find_spec", lambda name: None)
    result = call()
    assert result.exit_code == 2
    assert result.output == 'Error: the course needs jupyterlab and ipywidgets: pip install "nblstm[course]"\n'
    assert not Path("nblstm-course").exists()


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("a_file", "FOLDER must be a folder, a_file is a file"),
        ("a_file/mine", "Error: "),
        ("../originals", "../originals holds the originals: name another folder"),
    ],
)
def test_bad_folders(originals: Path, commands: list[list[str]], folder: str, message: str) -> None:
    Path("a_file").touch()
    result = call(folder)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert commands == []


def test_the_originals_are_found() -> None:
    assert start.originals() in {ROOT / "course", Path(start.__file__).parent / "notebooks"}
    assert (start.originals() / "README.md").is_file()


def test_missing_originals_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(start, "__file__", str(tmp_path / "nblstm" / "course" / "start.py"))
    with pytest.raises(FileNotFoundError, match="the notebooks of the course are missing: neither"):
        start.originals()


def test_the_exit_code_is_jupyterlabs() -> None:
    assert start.run([sys.executable, "-c", "raise SystemExit(7)"]) == 7


def test_ctrl_c_is_jupyterlabs_to_answer() -> None:
    """One interrupt, of which JupyterLab makes nothing: both go on, and end when JupyterLab does."""
    child = (
        "import signal, sys, time\nsignal.signal(signal.SIGINT, lambda *a: sys.exit(5))\n"
        "print('up', flush=True)\ntime.sleep(600)"
    )
    parent = f"import sys; from nblstm.course import start; sys.exit(start.run([sys.executable, '-c', {child!r}]))"
    with started(sys.executable, "-c", parent, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        os.killpg(process.pid, signal.SIGINT)
        assert ended(process)[0] == 5
