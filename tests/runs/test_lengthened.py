"""A run that gets a greater length, finished or not: it goes on to that, killed on the way or not, to the same bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.small_jobs import QUICK, sequences

from nblstm import weights
from nblstm.jobs import ClassificationJob, Job, Settings, TextJob, TextSettings
from nblstm.optim import warmup_cosine
from nblstm.runs import Run
from nblstm.runs.checkpoints import Checkpoint
from nblstm.runs.folder import PICTURE
from nblstm.training import Trainer

pytestmark = pytest.mark.usefixtures("undrawn")


class Killed(BaseException):
    """Which nothing catches, so that nothing more is saved."""


@pytest.fixture(params=["text", "sequences"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[type[Job], Settings, tuple, dict[str, int]]:
    """A kind of job, settings of 20 steps, data, and a length of 40; an evaluation after every sixth step."""
    if request.param == "sequences":
        data = sequences(ClassificationJob, 83, seed=0), sequences(ClassificationJob, 30, seed=1)
        return ClassificationJob, replace(QUICK, epochs=2, evaluate_every=6), data, {"epochs": 4}  # ten steps each
    path = tmp_path / "text.txt"
    path.write_text("a rose is a rose is a rose, said the little prince to the fox\n" * 13, encoding="utf-8")
    settings = TextSettings(
        text=str(path), hidden_size=9, batch_size=4, window=10, steps=20, dropout=0.3, seed=3, evaluate_every=6
    )
    return TextJob, settings, (), {"steps": 40}


def watched(monkeypatch: pytest.MonkeyPatch, killed_at: int | None = None) -> dict[int, float]:
    """The learning rate of every step to come, until one in which the run is killed."""
    rates: dict[int, float] = {}
    original = Trainer.step

    def step(self: Trainer, lr: float) -> float:
        if self.steps + 1 == killed_at:
            monkeypatch.setattr(Trainer, "step", original)
            raise Killed
        rates[self.steps] = lr
        return original(self, lr)

    monkeypatch.setattr(Trainer, "step", step)
    return rates


def left(folder: Path) -> tuple[list[Any], ...]:
    """All that a run's files say, but for times."""
    report = json.loads((folder / "run.json").read_text())
    files = [
        {key: tensor.tobytes() for key, tensor in weights.load(folder / f"{name}.safetensors").items()}
        for name in ("model", "best", "checkpoint")
    ]
    measured = [(record["step"], record["training"], record["validation"]) for record in report["evaluations"]]
    return files, measured, [report["settings"], report["finished"], report["best"]]


@pytest.mark.parametrize("begun", [20, 9])  # finished, and killed in the step after the ninth
@pytest.mark.parametrize("killed_at", [21, 22, 27, 40])
def test_killed_and_resumed_it_ends_in_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: Any, killed_at: int, begun: int
) -> None:
    kind, settings, data, length = parts

    def first_part(name: str) -> None:
        run = Run.create(tmp_path / name, kind(settings, *data))
        if begun == 20:
            assert run.train()
            return
        watched(monkeypatch, begun + 1)
        with pytest.raises(Killed):
            run.train()

    first_part("whole")
    whole = Run.resume(tmp_path / "whole", kind, *data, given=length)
    assert whole.train()
    assert whole.trainer.steps == 40
    assert getattr(whole.settings, next(iter(length))) == next(iter(length.values()))
    first_part("parts")
    watched(monkeypatch, killed_at)
    with pytest.raises(Killed):
        Run.resume(tmp_path / "parts", kind, *data, given=length).train()
    assert not json.loads((tmp_path / "parts" / "run.json").read_text())["finished"]
    assert Run.resume(tmp_path / "parts", kind, *data).train()  # which knows its new length
    assert left(tmp_path / "parts") == left(tmp_path / "whole")


def test_the_learning_rate_is_that_of_a_run_of_the_new_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: Any
) -> None:
    kind, settings, data, length = parts
    rates = watched(monkeypatch)
    assert Run.create(tmp_path / "run", kind(settings, *data)).train()
    assert Run.resume(tmp_path / "run", kind, *data, given=length).train()
    peak = settings.lr
    short, long = (warmup_cosine(peak, 0, steps, final=peak / 20) for steps in (20, 40))
    assert rates == {step: (short if step < 20 else long)(step) for step in range(40)}


def test_a_length_that_is_done_already_is_refused_and_nothing_is_lost(tmp_path: Path, parts: Any) -> None:
    kind, settings, data, _ = parts
    run = Run.create(tmp_path / "run", kind(settings, *data))
    assert run.train()
    before = left(tmp_path / "run")
    for given, got in (
        ({"steps": 19}, "got steps=19"),
        ({"minutes": 1e-9}, "got minutes=1e-09"),
        ({"epochs": 1}, f"got epochs=1, which is {run.job.batches} steps"),
    ):
        with pytest.raises(ValueError, match=f"must have a new length beyond the .* that are done, {got}$"):
            Run.resume(tmp_path / "run", kind, *data, given=given)
    with pytest.raises(ValueError, match="at most one length must be given"):
        Run.resume(tmp_path / "run", kind, *data, given={"steps": 50, "epochs": 9})
    with pytest.raises(TypeError, match="steps must be an integer"):
        Run.resume(tmp_path / "run", kind, *data, given={"steps": "many"})
    assert Run.resume(tmp_path / "run", kind, *data, given={settings.length[0]: settings.length[1]}).progress == 1
    assert left(tmp_path / "run") == before


def test_the_length_may_be_of_another_kind(tmp_path: Path, parts: Any) -> None:
    kind, settings, data, _ = parts
    assert Run.create(tmp_path / "run", kind(settings, *data)).train()
    run = Run.resume(tmp_path / "run", kind, *data, given={"epochs": None, "steps": 23})
    assert (run.settings.length, run.settings.epochs, run.total_steps) == (("steps", 23), None, 23)
    minutes = Run.resume(tmp_path / "run", kind, *data, given={"minutes": 60})
    assert (minutes.settings.steps, minutes.total_steps, minutes.progress < 1) == (None, None, True)


def test_a_checkpoint_says_that_its_run_is_finished_and_the_picture_of_the_shorter_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: Any
) -> None:
    kind, settings, data, length = parts
    run = Run.create(tmp_path / "run", kind(settings, *data))
    assert not Checkpoint.read(tmp_path / "run", kind).finished
    assert run.train()
    (tmp_path / "run" / PICTURE).touch()
    assert (Checkpoint.read(tmp_path / "run", kind).finished, Checkpoint.read(tmp_path / "run", kind).steps) == (
        True,
        20,
    )
    watched(monkeypatch, 21)
    with pytest.raises(Killed):
        Run.resume(tmp_path / "run", kind, *data, given=length).train()
    assert not Checkpoint.read(tmp_path / "run", kind).finished
    assert not (tmp_path / "run" / PICTURE).exists()
