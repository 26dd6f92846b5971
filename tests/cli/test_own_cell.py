"""``--cell FILE.py:NAME``: a cell of one's own on the command line, from training to what reads the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support import own_cells

from nblstm import CharLM
from nblstm.cells import CELLS
from nblstm.cli import main

DECLARED = Path(own_cells.__file__).read_text(encoding="utf-8")
QUICK = ("--hidden-size", "4", "--layers", "1", "--batch", "2", "--window", "5")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with a text and a file of cells."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("a rose is a rose\n" * 20, encoding="utf-8")
    (tmp_path / "mine.py").write_text(DECLARED, encoding="utf-8")
    return tmp_path


def nblstm(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_run_is_trained_resumed_and_read_with_a_cell_of_a_file(folder: Path) -> None:
    cell = ("--cell", "mine.py:COUPLED")
    trained = nblstm("train", "text.txt", *cell, *QUICK, "--steps", "2")
    assert trained.exit_code == 0, trained.stderr
    assert "more text: nblstm sample runs/text --cell mine.py:COUPLED\n" in trained.stdout
    assert nblstm("train", "--resume", "runs/text", *cell, "--steps", "4").exit_code == 0
    further = nblstm(
        "train", "text.txt", *cell, "--continue-from", "runs/text", "--batch", "2", "--window", "5", "--steps", "1"
    )
    assert further.exit_code == 0, further.stderr
    of_package = nblstm("train", "text.txt", "--cell", "coupled", *QUICK, "--steps", "2", "--output", "package")
    assert of_package.exit_code == 0
    resumed = nblstm("train", "--resume", "package", "--steps", "4")
    assert "--cell" not in resumed.stdout
    drawn = ("--length", "40", "--seed", "3")
    assert nblstm("sample", "runs/text", *drawn, *cell).stdout == nblstm("sample", "package", *drawn).stdout

    other = nblstm("sample", "runs/text", "--cell", "mine.py:LSTM")
    assert other.exit_code == 2
    assert "--cell must be that of runs/text/model.safetensors, 'my_coupled' with sums f, g, o" in other.stderr
    missing = nblstm("train", "--resume", "runs/text", "--steps", "6")
    assert "the run in runs/text has a cell that is none of nblstm's, 'my_coupled'" in missing.stderr


def test_a_stopped_run_says_the_cell_in_the_command_that_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nblstm.runs.run.Run.train", lambda run, verdict: False)
    stopped = nblstm("train", "text.txt", "--cell", "mine.py:COUPLED", *QUICK)
    assert stopped.exit_code == 130
    assert "continue with: nblstm train --resume runs/text --cell mine.py:COUPLED\n" in stopped.stdout


@pytest.mark.parametrize(
    ("given", "text", "message"),
    [
        ("gr", "", f"'gr' is neither one of {', '.join(CELLS)} nor FILE.py:NAME."),
        ("text.txt:X", "", "'text.txt:X' is no FILE.py:NAME, a cell of your own."),
        ("none.py:X", "", "none.py cannot be run: No such file or directory"),
        ("mine.py:coupled", "", "mine.py has no cell 'coupled'; it has LSTM, GRU, COUPLED"),
        ("bad.py:X", "X = 3\n", "bad.py has no cell 'X'; it has none."),
        ("bad.py:X", "\nX = (\n", "bad.py cannot be run: line 2: '(' was never closed"),
        ("bad.py:X", "import os\n\nos.nothing()\n", "bad.py cannot be run: line 3: AttributeError: module 'os' has no"),
        ("bad.py:X", "from nblstm import Cell\nCell('x', sums=('a',), forward=3)\n", "line 2: TypeError: forward must"),
    ],
)
def test_what_is_no_cell_is_refused_in_a_sentence(folder: Path, given: str, text: str, message: str) -> None:
    (folder / "bad.py").write_text(text, encoding="utf-8")
    refused = nblstm("train", "text.txt", "--cell", given)
    assert refused.exit_code == 2
    assert "Invalid value for '--cell': " in refused.stderr
    assert message in refused.stderr
    assert not (folder / "runs").exists()


def test_a_model_of_a_cell_of_the_package_takes_no_other(folder: Path) -> None:
    CharLM("abc", 2, 3, cell="gru", seed=0).save("model.safetensors")
    refused = nblstm("export", "model.safetensors", "out.onnx", "--cell", "mine.py:GRU")
    assert refused.exit_code == 2
    assert "--cell must be left out for model.safetensors, whose cell is nblstm's own 'gru'" in refused.stderr
