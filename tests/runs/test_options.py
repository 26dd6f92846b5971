"""What a run may be told: no folder, no output, when to evaluate, when to give up, which optimiser."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_jobs import QUICK, sequences

from nblstm import weights
from nblstm.jobs import ClassificationJob, RegressionJob, Sequences, Settings, TextJob, TextSettings
from nblstm.models import SequenceClassifier
from nblstm.runs import Run
from nblstm.runs.checkpoints import FORMAT
from nblstm.runs.length import steps_between_evaluations

pytestmark = pytest.mark.usefixtures("undrawn")


def job(settings: Settings = QUICK) -> RegressionJob:
    """Of ten steps a pass."""
    return RegressionJob(settings, sequences(RegressionJob, 83, seed=0), sequences(RegressionJob, 30, seed=1))


def losses(monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
    """What the next evaluations find."""
    found = iter(values)
    monkeypatch.setattr(RegressionJob, "evaluate", lambda _: {"validation": next(found)})


def test_a_run_without_a_folder_and_without_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    losses(monkeypatch, 5.0, 3.0, 4.0, 4.5, 3.5, 3.25, 3.125)
    seen: list[tuple[int, dict[str, np.ndarray]]] = []
    run = Run.create(None, job())
    assert (run.folder, run.best_model, run.summary, run.verdict) == (None, None, "", "")
    assert run.train(progress=False, on_evaluation=lambda run: seen.append((run.trainer.steps, run.model.state_dict())))
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert [step for step, _ in seen] == [record["step"] for record in run.evaluations] == [0, 5, 10, 15, 20, 25, 30]
    assert run.best == {"step": 5, "validation": 3.0}
    best = run.best_model
    assert best is not None
    assert all(tensor.tobytes() == best.params[name].tobytes() for name, tensor in seen[1][1].items())
    assert run.verdict.endswith("is worse than the best, 3.000 at step 5, whose weights are in best_model")


def test_a_folder_s_best_model_is_the_file_s(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", job())
    run.train(progress=False)
    assert run.best_model is not None
    assert run.best_model.state_dict().keys() == weights.load(tmp_path / "run" / "best.safetensors").keys()


def test_what_a_callback_raises_ends_the_training_where_it_is_saved(tmp_path: Path) -> None:
    def pruned(run: Run) -> None:
        if run.trainer.steps == 10:
            raise KeyError("pruned")

    with pytest.raises(KeyError, match="pruned"):
        Run.create(tmp_path / "run", job()).train(progress=False, on_evaluation=pruned)
    data = sequences(RegressionJob, 83, seed=0), sequences(RegressionJob, 30, seed=1)
    assert Run.resume(tmp_path / "run", RegressionJob, *data).trainer.steps == 10
    with pytest.raises(TypeError, match="on_evaluation must be a function of a run, got int"):
        Run.create(None, job()).train(on_evaluation=3)  # type: ignore[arg-type]


def test_patience_ends_a_run_and_more_of_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = sequences(RegressionJob, 83, seed=0), sequences(RegressionJob, 30, seed=1)
    losses(monkeypatch, 5.0, 3.0, 4.0, 3.0, 2.0, 2.5, 2.25)
    run = Run.create(tmp_path / "run", job(replace(QUICK, patience=2)))
    assert run.train(verdict=False)
    assert (run.trainer.steps, run.finished, run.progress) == (15, True, 0.5)
    *_, early, last = capsys.readouterr().out.splitlines()
    assert early == "ended early: 2 evaluations without a lower loss than that of step 5"
    assert last.startswith("validation ends at 3.000 squared error, ")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"]
    assert Run.resume(tmp_path / "run", RegressionJob, *data).finished
    for given in ({"epochs": 9}, {"patience": 1}):
        with pytest.raises(ValueError, match="has ended early: to train it further it must have a patience above 2, g"):
            Run.resume(tmp_path / "run", RegressionJob, *data, given=given)
    further = Run.resume(tmp_path / "run", RegressionJob, *data, given={"patience": None})
    assert further.train(progress=False)
    assert (further.trainer.steps, further.settings.patience) == (30, None)
    assert further.best == {"step": 20, "validation": 2.0}


@pytest.mark.parametrize(
    ("length", "every"),
    [
        ({"steps": 1700}, 100),
        ({"steps": 999}, 50),
        ({"steps": 30}, 2),
        ({"steps": 3}, 1),
        ({"epochs": 40}, 20),  # two passes
        ({"epochs": 5}, 5),  # half a pass
        ({"epochs": 1}, 1),
        ({"minutes": 1}, None),
        ({"steps": 1700, "evaluate_every": 7}, 7),
    ],
)
def test_ten_to_twenty_evaluations_share_out_a_run(length: dict[str, int], every: int | None) -> None:
    settings = replace(QUICK, **{"epochs": None, "evaluate_every": None} | length)
    assert steps_between_evaluations(settings, job(settings)) == every


def test_minutes_are_shared_out_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.create(None, job(replace(QUICK, epochs=None, evaluate_every=None, minutes=15.0)))
    run.evaluations = [{"step": 3, "seconds": 119.0}]
    run.trainer.steps = 4
    for run.seconds, due in ((119.9, False), (120.1, True)):  # a minute is a fifteenth
        assert run._evaluation_is_due() is due


def test_a_cell_that_is_run_twice_takes_the_next_folder(tmp_path: Path) -> None:
    folders = [Run.create(tmp_path / "run", job(), numbered=True).folder for _ in range(3)]
    assert folders == [tmp_path / name for name in ("run", "run-2", "run-3")]
    with pytest.raises(ValueError, match="the run's folder must be new or empty"):
        Run.create(tmp_path / "run", job())


@pytest.mark.parametrize(
    ("name", "kind", "momentum"), [("adam", "Adam", None), ("adamw", "AdamW", None), ("sgd", "SGD", 0.9)]
)
def test_optimizers_by_name(name: str, kind: str, momentum: float | None) -> None:
    found = job(replace(QUICK, optimizer=name, lr=0.25, weight_decay=0.5)).trainer.optimizer
    assert (type(found).__name__, found.lr, vars(found)["weight_decay"]) == (kind, 0.25, 0.5)
    assert vars(found).get("momentum") == momentum
    with pytest.raises(ValueError, match="optimizer must be 'adam', 'adamw', 'rmsprop' or 'sgd', got 'Adam'"):
        replace(QUICK, optimizer="Adam")


def test_runs_of_earlier_versions_go_on(tmp_path: Path) -> None:
    data = sequences(RegressionJob, 83, seed=0), sequences(RegressionJob, 30, seed=1)
    path = Run.create(tmp_path / "run", job()).folder / "checkpoint.safetensors"  # type: ignore[operator]
    tensors, metadata = weights.load_with_metadata(path)
    content = weights.unseal(metadata[FORMAT], tensors)
    content["settings"]["learning_rate"] = content["settings"].pop("lr")
    content["trainer"]["dropout"] = state = content["trainer"]["dropout"]["lstm"]
    for name in ("optimizer", "weight_decay", "patience", "target_scale"):
        del content["settings"][name]
    weights.save(path, tensors, {FORMAT: weights.seal(content, tensors)})
    run = Run.resume(tmp_path / "run", RegressionJob, *data)
    assert run.settings == QUICK
    assert run.model.recurrent.dropout_state() == state


@pytest.mark.parametrize("labels", [("down", "up"), (False, True)])
def test_labels_are_learned_and_remembered(tmp_path: Path, labels: tuple[Any, Any]) -> None:
    parts = [sequences(ClassificationJob, count, seed) for count, seed in ((83, 0), (30, 1))]
    named = [part._replace(targets=np.array(labels)[part.targets]) for part in parts]
    run = Run.create(tmp_path / "run", ClassificationJob(QUICK, *named))
    run.train(progress=False)
    model = SequenceClassifier.load(tmp_path / "run" / "model.safetensors")
    assert tuple(model.classes or ()) == labels
    x, targets, lengths, _ = named[1]
    assert (model.classify(x, lengths) == targets).mean() == pytest.approx(run.evaluations[-1]["accuracy"])
    plain = Run.create(None, ClassificationJob(QUICK, *parts))
    plain.train(progress=False)
    assert plain.evaluations[-1]["validation"] == run.evaluations[-1]["validation"]


def test_errors_are_in_the_data_s_own_unit() -> None:
    part = sequences(RegressionJob, 83, seed=0)
    scale = 7.5
    found = [RegressionJob(replace(QUICK, target_scale=one), part, part).evaluate() for one in (1.0, scale)]
    answers, targets = RegressionJob(QUICK, part, part).answers().astype(float), part.targets.astype(float)
    assert found[1]["mae"] == pytest.approx(scale * np.abs(answers - targets).mean())
    difference = ((answers - targets) ** 2).sum() / ((targets - targets.mean()) ** 2).sum()
    assert found[0]["r2"] == found[1]["r2"] == pytest.approx(1 - difference, rel=1e-5)
    alike = Sequences(part.x, np.ones_like(part.targets), part.lengths)
    assert "r2" not in RegressionJob(QUICK, part, alike).evaluate()


def test_run_json_is_read_by_people(tmp_path: Path) -> None:
    text = tmp_path / "文.txt"
    text.write_text("春眠不觉晓，处处闻啼鸟。" * 20, encoding="utf-8")
    Run.create(tmp_path / "run", TextJob(TextSettings(text=str(text), hidden_size=3, batch_size=2, window=5)))
    told = (tmp_path / "run" / "run.json").read_text(encoding="utf-8")
    assert "文.txt" in told
    assert "春" in json.loads(told)["vocabulary"]
    assert "春" in told


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Notebook(io.StringIO):
    """As the stream below a cell, which is no terminal."""

    __module__ = "ipykernel.iostream"


@pytest.mark.parametrize("kinds", [(io.StringIO, io.StringIO), (io.StringIO, Terminal), (Notebook, Notebook)])
def test_bars_are_for_terminals_and_in_notebooks_on_one_stream(
    kinds: tuple[type[io.StringIO], type[io.StringIO]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = (kind() for kind in kinds)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    Run.create(None, job()).train()
    assert ("sequences/s]" in err.getvalue() or "training: " in err.getvalue()) is (kinds[1] is Terminal)
    assert ("training:  " in out.getvalue()) is (kinds[0] is Notebook)
    assert "validation ends at " in out.getvalue()
    if kinds[0] is Notebook:
        assert err.getvalue() == ""
