"""A search: its trials are runs, halving stops most of them, what dies is recorded, what is interrupted goes on."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.searches import DATA, SETTINGS, BrokenJob, Here, outcome

from nblstm import weights
from nblstm.jobs import ClassificationJob, RegressionJob, SequenceSettings
from nblstm.runs import Run
from nblstm.search import Range, Search
from nblstm.search import search as module
from nblstm.search.halving import due
from nblstm.search.trial import SESSION, Trial, train
from nblstm.search.workers import refuse_others
from nblstm.training import BatchTrainer

RATES = {"lr": Range(1e-3, 1e-1, log=True)}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, undrawn: None) -> None:
    monkeypatch.setattr(module, "Processes", Here)


def begun(folder: Path, kind: type[RegressionJob] = RegressionJob, **options: Any) -> Search:
    options = {"space": RATES, "trials": 9, "halving": True, "settings": SETTINGS} | options
    return Search.create(folder, kind, options.pop("space"), *DATA, **options)


def bits(path: Path) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in weights.load(path).items()}


def test_every_trial_is_the_run_of_its_settings(tmp_path: Path) -> None:
    search = begun(tmp_path / "search", space={"hidden_size": [3, 4], "cell": ["gru"]}, trials=None, halving=False)
    assert not search.finished
    assert search.run(progress=False)
    for number, size in enumerate((3, 4), 1):
        job = RegressionJob(SequenceSettings(**SETTINGS, hidden_size=size, cell="gru"), *DATA)
        run = Run.create(tmp_path / f"run-{size}", job)
        run.train(progress=False)
        row = next(row for row in search.results if row["trial"] == number)
        assert (row["hidden_size"], row["status"], row["steps"]) == (size, "finished", 27)
        assert run.best is not None
        assert (row["validation"], row["at_step"]) == (run.best["validation"], run.best["step"])
        for name in ("model.safetensors", "best.safetensors"):
            assert bits(search.folder / "trials" / f"00{number}" / name) == bits(tmp_path / f"run-{size}" / name)
    assert search.best == min(search.results, key=lambda row: row["validation"])
    assert search.best_folder == search.folder / "trials" / f"00{search.best['trial']}"
    again = Run.resume(search.best_folder, RegressionJob, *DATA, given={"epochs": 12})
    assert again.train(progress=False)


def test_halving_trains_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, step = [], BatchTrainer.step

    def counted(trainer: BatchTrainer, *arguments: Any) -> float:
        taken.append(1)
        return step(trainer, *arguments)

    monkeypatch.setattr(BatchTrainer, "step", counted)
    search = begun(tmp_path / "search")
    assert (search.parts, search.rungs) == ([1 / 9, 1 / 3, 1.0], [9, 3, 1])
    assert search.run(progress=False)
    assert len(taken) == 9 * 3 + 3 * 6 + 1 * 18  # of 27, at evaluations after each third step
    statuses = [row["status"] for row in search.results]
    assert statuses == ["finished"] + 8 * ["stopped"]
    assert [row["steps"] for row in search.results] == [27, 9, 9, 3, 3, 3, 3, 3, 3]
    assert search.best is not None
    assert search.best_folder is not None
    job = RegressionJob(SequenceSettings(**SETTINGS, lr=search.best["lr"]), *DATA)
    whole = Run.create(tmp_path / "whole", job)
    whole.train(progress=False)
    assert bits(search.best_folder / "model.safetensors") == bits(tmp_path / "whole" / "model.safetensors")


@pytest.mark.parametrize("after", [0, 4, 10, 12])
def test_an_interrupted_search_ends_in_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole, search = begun(tmp_path / "whole"), begun(tmp_path / "search")
    assert whole.run(progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(Here, "__init__", lambda here, *_: setattr(here, "left", after))
        with pytest.raises(KeyboardInterrupt):
            search.run(progress=False)
    assert not (search.folder / SESSION).exists()
    resumed = Search.resume(search.folder, RegressionJob, *DATA)
    assert not resumed.finished
    assert resumed.run(progress=False)
    assert outcome(resumed) == outcome(whole)
    assert outcome(Search.resume(search.folder, RegressionJob, *DATA)) == outcome(whole)


def test_a_trial_of_a_session_that_has_ended_stops_at_its_next_evaluation(tmp_path: Path) -> None:
    search = begun(tmp_path / "search", halving=False, trials=1)
    folder, settings = search.folder / "trials" / "001", search.settings[0]
    trial = partial(Trial, folder, RegressionJob, settings, search.digest, 1.0, 1)
    assert train(trial("another"), DATA)["status"] == "interrupted"
    assert Run.resume(folder, RegressionJob, *DATA).trainer.steps == 0
    (search.folder / SESSION).write_text("mine")
    assert train(trial("mine"), DATA)["status"] == "done"
    assert train(trial("mine"), DATA)["step"] == 27


def test_what_a_killed_worker_left_before_the_first_checkpoint_is_begun_anew(tmp_path: Path) -> None:
    search = begun(tmp_path / "search", halving=False, trials=1)
    folder = search.folder / "trials" / "001"
    folder.mkdir(parents=True)
    (folder / ".checkpoint.safetensors.00.tmp").touch()
    assert search.run(progress=False)
    assert search.results[0]["status"] == "finished"


def test_what_fails_is_tried_once_more_and_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BrokenJob.tries.clear()
    search = begun(tmp_path / "search", BrokenJob, space={"hidden_size": [4, 5, 6]}, trials=None, halving=False)
    assert search.run()
    assert sorted(BrokenJob.tries) == [4, 5, 5, 6, 6]
    rows = {row["hidden_size"]: row for row in search.results}
    assert [rows[size]["status"] for size in (4, 5, 6)] == ["finished", "failed", "finished"]
    assert rows[5]["message"] == "RuntimeError: 5 units are broken"
    assert search.results[-1] == rows[5]
    assert capsys.readouterr().out.count("it is tried once more") == 2


def test_divergence_is_a_result(tmp_path: Path) -> None:
    settings = SETTINGS | {"optimizer": "sgd"}
    search = begun(tmp_path / "search", space={"lr": [0.01, 1e30]}, trials=None, halving=False, settings=settings)
    with np.errstate(all="ignore"):
        assert search.run(progress=False)
    assert [row["status"] for row in search.results] == ["finished", "diverged"]
    assert search.results[1]["message"].startswith("training diverged at step ")


def test_trials_that_die_leave_their_places_to_nobody() -> None:
    def result(loss: float | None) -> dict[str, Any]:
        return {"status": "failed"} if loss is None else {"status": "stopped", "best": {"validation": loss}}

    first = [0.3, None, 0.1, 0.1, None, 0.2]
    results = {number: [result(loss)] for number, loss in enumerate(first, 1)}
    assert due(6, 2, {}) == [1, 2, 3, 4, 5, 6]
    assert due(6, 2, results) == [3, 4]
    results[3].append(result(None))
    assert due(6, 2, results) == [4]
    results[4].append(result(0.05))
    assert due(6, 2, results) == []
    assert due(2, 2, {1: [result(None)], 2: [result(None)]}) == []


def test_the_folder_keeps_a_table_and_a_picture(tmp_path: Path) -> None:
    search = begun(tmp_path / "search", space=RATES | {"cell": ["gru", "lstm"]})
    assert search.run(progress=False)
    with open(search.folder / "results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == [row["trial"] for row in search.results]
    assert float(rows[0]["validation"]) == search.results[0]["validation"]
    assert {"mae", "cell", "lr", "at_step", "message"} <= rows[0].keys()
    with Image.open(search.folder / "search.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 3


def test_a_search_goes_on_with_its_own_data_only(tmp_path: Path) -> None:
    search = begun(tmp_path / "search", trials=2, halving=False)
    with pytest.raises(ValueError, match=r"are no longer those that the search in .* was begun with"):
        Search.resume(search.folder, RegressionJob, *DATA[::-1])
    with pytest.raises(ValueError, match="must be one of ClassificationJob, got one of RegressionJob"):
        Search.resume(search.folder, ClassificationJob, *DATA)
    with pytest.raises(ValueError, match=r"must be the folder of a search, but its search.json cannot be read"):
        Search.resume(tmp_path, RegressionJob, *DATA)
    with pytest.raises(ValueError, match="the search's folder must be new or empty"):
        begun(tmp_path / "search")
    record = search.folder / "search.json"
    for damage in ("{", "[]", '{"job": 3}', record.read_text().replace('"trials": [', '"trials": [3,')):
        record.write_text(damage)
        with pytest.raises(ValueError, match=r"search.json is damaged"):
            Search.resume(search.folder, RegressionJob, *DATA)


def test_a_search_is_computed_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = begun(tmp_path / "search", trials=2, halving=False)
    refused = []

    def prepare(*_: Any) -> list[Any]:
        with pytest.raises(ValueError, match="is being trained already") as error:
            Search.resume(search.folder, RegressionJob, *DATA).run(progress=False)
        refused.append(str(error.value))
        return []

    monkeypatch.setattr(Here, "prepare", prepare)
    assert search.run(progress=False)
    assert refused[0].startswith("the search in ")


def test_bad_arguments_of_a_run(tmp_path: Path) -> None:
    search = begun(tmp_path / "search", trials=2, halving=False)
    for arguments, message in (
        ({"workers": 0}, "workers must be at least 1"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"workers": 2, "scheduler": "tcp://here:1"}, "workers must be left out with a scheduler"),
        ({"progress": 1}, "progress must be True or False"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            search.run(**arguments)
    with pytest.raises(TypeError, match="kind must be a kind of Job"):
        Search.create(tmp_path / "other", Run, RATES, *DATA)  # type: ignore[arg-type]


def test_workers_that_would_compute_something_else_are_refused(tmp_path: Path) -> None:
    own = {"nblstm": "0.1.0", "kernels": "ab", "session": "mine", "host": "here"}
    refuse_others(own, {"tcp://a": own | {"host": "there"}}, tmp_path)
    for name, message in (
        ("kernels", "the worker tcp://b has another version than this process: kernels cd in place of ab"),
        ("session", f"the worker tcp://b does not see the folder {tmp_path}"),
    ):
        with pytest.raises(ValueError, match=message):
            refuse_others(own, {"tcp://a": own, "tcp://b": own | {name: "cd"}}, tmp_path)
