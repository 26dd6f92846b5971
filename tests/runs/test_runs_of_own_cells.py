"""Runs that train a cell of one's own: resumed with it to the same bits, and with no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support import own_cells
from support.small_jobs import QUICK, sequences

from nblstm import Cell, Recurrent, SequenceRegressor, SequenceTagger, weights
from nblstm.cells import CELLS
from nblstm.cli import main
from nblstm.jobs import RegressionJob, Sequences, SequenceSettings, TaggingJob, TaggingSettings, TextJob, TextSettings
from nblstm.runs import Run

COUPLED = own_cells.COUPLED
DATA = sequences(RegressionJob, 40, 1), sequences(RegressionJob, 20, 2)
OWN = replace(QUICK, cell=COUPLED)


@pytest.mark.usefixtures("undrawn")
def test_a_run_of_an_own_cell_is_lengthened_to_the_bits_of_the_packages(tmp_path: Path) -> None:
    for name, cell in (("own", COUPLED), ("package", "coupled")):
        folder = tmp_path / name
        run = Run.create(folder, RegressionJob(replace(QUICK, cell=cell), *DATA))
        assert isinstance(run.model.recurrent, Recurrent)
        assert run.train()
        longer = Run.resume(folder, RegressionJob, *DATA, given={"cell": cell, "epochs": 4})
        assert longer.settings == replace(QUICK, cell=cell, epochs=4)
        assert longer.train()
    own, package = (weights.load(tmp_path / name / "model.safetensors") for name in ("own", "package"))
    assert {name: tensor.tobytes() for name, tensor in own.items()} == {
        name: tensor.tobytes() for name, tensor in package.items()
    }
    for folder in (tmp_path / "own", None):
        run = Run.create(folder, RegressionJob(OWN, *DATA), numbered=True)
        assert run.train(progress=False)
        best = run.best_model
        assert best is not None
        assert best.recurrent.cell is COUPLED
    assert SequenceRegressor.load(tmp_path / "own" / "best.safetensors", cell=COUPLED).recurrent.cell is COUPLED
    report = json.loads((tmp_path / "own" / "run.json").read_text())
    assert report["settings"]["cell"]["name"] == "my_coupled"
    assert json.loads((tmp_path / "package" / "run.json").read_text())["settings"]["cell"] == "coupled"


@pytest.mark.usefixtures("undrawn")
def test_so_is_a_run_of_a_tagger(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 3, (5, 24))
    training, held_out = Sequences(x[:, :16], x[:, :16] % 2), Sequences(x[:, 16:], x[:, 16:] % 2)
    data = training, held_out, ["<unk>", "a", "b"]
    settings = TaggingSettings(hidden_size=3, embedding_size=2, epochs=1, batch_size=8, cell=COUPLED)
    Run.create(tmp_path / "run", TaggingJob(settings, *data)).train()
    longer = Run.resume(tmp_path / "run", TaggingJob, *data, given={"cell": COUPLED, "epochs": 2})
    assert longer.train()
    same = SequenceTagger.load(tmp_path / "run" / "model.safetensors", cell=COUPLED)
    assert same.tag([["a", "b", "a"]]) == longer.model.tag([["a", "b", "a"]])


def other(**changes: Any) -> Cell:
    parts = {each: getattr(COUPLED, each) for each in ("name", "sums", "states", "forward", "backward")}
    return Cell(**(parts | changes), check=False)


FORM = "'my_coupled' with sums f, g, o and states h, c"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            None,
            rf"the run in .* has a cell that is none of nblstm's, {FORM}: .* \(in Python given=\{{'cell': \.\.\.\}}\)",
        ),
        ({"epochs": 4}, f"has a cell that is none of nblstm's, {FORM}"),
        ({"cell": other(name="k")}, f"cell must be that of the run in .*, {FORM}, got 'k' with sums"),
        ({"cell": CELLS["coupled"]}, f"cell must be that of the run in .*, {FORM}, got nblstm's 'coupled'"),
    ],
    ids=str,
)
def test_a_run_goes_on_with_no_other_cell(tmp_path: Path, given: dict[str, Any] | None, message: str) -> None:
    Run.create(tmp_path / "run", RegressionJob(OWN, *DATA))
    with pytest.raises(ValueError, match=message):
        Run.resume(tmp_path / "run", RegressionJob, *DATA, given=given)
    assert Run.resume(tmp_path / "run", RegressionJob, *DATA, given={"cell": COUPLED}).settings == OWN


def test_a_run_of_a_cell_of_the_package_takes_none_of_ones_own(tmp_path: Path) -> None:
    Run.create(tmp_path / "run", RegressionJob(QUICK, *DATA))
    with pytest.raises(ValueError, match=r"resumed with its own settings: cell=lstm, got Cell\('my_coupled'\)"):
        Run.resume(tmp_path / "run", RegressionJob, *DATA, given={"cell": COUPLED})
    for same in ("lstm", CELLS["lstm"]):
        assert Run.resume(tmp_path / "run", RegressionJob, *DATA, given={"cell": same}).settings == QUICK


def test_the_command_line_says_which_option_opens_it(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a rose is a rose\n" * 20)
    settings = TextSettings(text=str(text), cell=COUPLED, hidden_size=3, steps=2, batch_size=2, window=5)
    Run.create(tmp_path / "run", TextJob(settings))
    for arguments in (["sample", str(tmp_path / "run")], ["train", "--resume", str(tmp_path / "run")]):
        found = CliRunner().invoke(main, arguments)
        assert found.exit_code == 2
        assert f"has a cell that is none of nblstm's, {FORM}: hand it in, as --cell=...\n" in found.stderr


def test_settings_keep_a_cell_of_the_package_by_its_name() -> None:
    assert SequenceSettings(cell=CELLS["gru"]).cell == "gru"
    assert SequenceSettings(cell=COUPLED).cell is COUPLED
    with pytest.raises(ValueError, match=r"cell must be '[a-z_]+', .* got 3"):
        SequenceSettings(cell=3)
    with pytest.raises(ValueError, match="formulation must be 'split' for cell 'my_minimal'"):
        SequenceSettings(cell=own_cells.MINIMAL, formulation="concat")
