"""Training that goes wrong: the step and the tensor are named, and the last good checkpoint stays and goes on."""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_jobs import QUICK, sequences

from nblstm import Adam, CharLM, SequenceClassifier, SequenceRegressor, clip_grad_norm, weights
from nblstm.jobs import ClassificationJob, SequenceSettings
from nblstm.models import Network
from nblstm.optim import Optimizer
from nblstm.runs import Run
from nblstm.training import BatchTrainer, TextTrainer, Trainer

SETTINGS = replace(QUICK, epochs=None, steps=12)  # an evaluation after each fifth


def small_trainer(model: SequenceClassifier | SequenceRegressor, **options: Any) -> BatchTrainer:
    rng = np.random.default_rng(0)
    x, lengths = rng.standard_normal((6, 12, 2)).astype(model.dtype), np.full(12, 4)
    targets = rng.standard_normal((12, 1)).astype(model.dtype)
    if isinstance(model, SequenceClassifier):
        targets = rng.integers(0, 3, 12)
    return BatchTrainer(model, Adam(model.layers, lr=0.01), x, targets, 12, lengths=lengths, **options)


def classifier(dtype: str = "float32") -> SequenceClassifier:
    return SequenceClassifier(2, 9, 2, 3, dtype=dtype, seed=0)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("name", classifier().state_dict())
def test_a_weight_is_named(name: str, poison: float) -> None:
    """By the step; or after it, where an infinite weight leaves the loss finite: gates are open or shut, and flat."""
    trainer = small_trainer(classifier())
    state = trainer.model.state_dict()
    state[name].flat[3 % state[name].size] = poison
    trainer.model.load_state_dict(state)
    try:
        trainer.step()
        trainer.check_finite()
        message = ""
    except FloatingPointError as error:
        message = str(error)
    in_step = rf"step 1: the loss is .*; the first tensor that is not finite: {name}"
    assert re.fullmatch(in_step if math.isnan(poison) else rf"{in_step}|step 1: model\.{name} is not finite", message)
    assert trainer.steps == ("the loss" not in message)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_the_sequence_is_named(poison: float) -> None:
    trainer = small_trainer(SequenceRegressor(2, 9, 1, 1, seed=0))
    trainer.x[4:, 8] = poison  # past its end
    trainer.step()
    trainer.targets[7] = poison
    with pytest.raises(FloatingPointError, match=r"step 2: .* not finite: the target of sequence 7$"):
        trainer.step()
    trainer.targets[7] = 0
    trainer.x[3, 8, 1] = poison
    if math.isnan(poison):  # an infinite x only opens and shuts gates
        with pytest.raises(FloatingPointError, match=r"step 2: the loss is nan, .* not finite: x of sequence 8$"):
            trainer.step()


def test_all_that_a_checkpoint_holds_is_looked_at_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    model = CharLM("abc", 3, 5, 1, seed=0)
    trainer = TextTrainer(model, Adam(model.layers), np.arange(40).reshape(20, 2) % 3, 6)
    trainer.step()
    for owner in (Trainer, Network, Optimizer):
        monkeypatch.setattr(owner, "state_dict", None)  # which copies
    trainer.check_finite()

    def refused(name: str) -> bool:
        with pytest.raises(FloatingPointError, match=rf"^step 1: {re.escape(name)} is not finite$"):
            trainer.check_finite()
        return True

    trainer.state = tuple(np.array(member) for member in trainer.state)
    trainer.state[1][0, 1, 4] = math.nan
    assert refused("place.1")
    trainer.optimizer.tensors()["Adam.2.v"][3] = math.inf
    assert refused("optimizer.Adam.2.v")
    with model.recurrent.editing() as p:
        p["bias_hh_l0"][7] = math.nan
    assert refused("model.lstm.bias_hh_l0")


def test_a_gradient_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer(classifier())
    backward = trainer.model.recurrent.backward

    def spoiling(*arguments: Any, **options: Any) -> Any:
        found = backward(*arguments, **options)
        trainer.model.recurrent.grads["weight_hh_l0"][3, 3] = math.inf
        return found

    monkeypatch.setattr(trainer.model.recurrent, "backward", spoiling)
    with pytest.raises(
        FloatingPointError, match=r"its gradient's norm inf; .* finite: the gradient of lstm\.weight_hh_l0$"
    ):
        trainer.step()


def test_numbers_that_are_finite_and_too_large() -> None:
    trainer = small_trainer(SequenceRegressor(2, 9, 1, 1, dtype="float64", seed=0))
    trainer.targets[:] = 1e200  # no square of the difference is a number
    with pytest.raises(FloatingPointError, match=r"the loss is inf, its gradient's norm .* not finite: none"):
        trainer.step()


@pytest.mark.parametrize(("dtype", "large"), [("float32", 1e30), ("float64", 1e150)])
def test_the_norm_of_large_gradients_is_a_number(dtype: str, large: float) -> None:
    """Their squares are summed in float64, in which those of every float32 have room."""
    model = classifier(dtype)
    for layer in model.layers:
        layer.flat_grads[:] = large
    expected = large * math.sqrt(model.num_parameters)
    assert clip_grad_norm(model.layers, 5.0) == pytest.approx(expected, rel=1e-6)
    assert clip_grad_norm(model.layers, math.inf) == pytest.approx(5.0, rel=1e-6)


# --------------------------------------------------------------------------------------------------------- whole runs


def job(settings: SequenceSettings = SETTINGS) -> ClassificationJob:
    return ClassificationJob(settings, *data())


def data() -> tuple[Any, Any]:
    return sequences(ClassificationJob, 83, seed=0), sequences(ClassificationJob, 30, seed=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run that nothing spoils ends with."""
    run = Run.create(tmp_path_factory.mktemp("whole"), job())
    assert run.train()
    return tensors(run.folder)


def tensors(folder: Path) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in weights.load(folder / "checkpoint.safetensors").items()}


def poisoned_weights(run: Run) -> None:
    with run.model.recurrent.editing() as p:
        p["weight_hh_l1"][3, 2] = math.nan


def poisoned_data(run: Run) -> None:
    run.trainer.x[0] = math.nan


def too_large_a_rate(run: Run) -> None:
    run.schedule = lambda step: 1e39


def infinite_bias(run: Run) -> None:
    """Which no loss and no gradient shows, but Adam's decay in step 9 makes it NaN: 0 times infinity."""
    with run.model.recurrent.editing() as p:
        p["bias_hh_l1"][0] = math.inf


def overflowing_moments(run: Run) -> None:
    """Gradients of which no float32 holds the square, after the clipping."""
    run.trainer.clip = math.inf
    step = run.trainer.optimizer.step

    def large(lr: float | None = None) -> None:
        run.model.linear.flat_grads[:] = 1e25
        step(lr)

    run.trainer.optimizer.step = large


SPOILED = {
    poisoned_weights: r"at step 9: the loss is nan, .* not finite: lstm\.weight_hh_l1;",
    poisoned_data: r"at step 9: the loss is nan, .* not finite: x of sequence \d+;",
    too_large_a_rate: r"at step 10: the loss is nan, .* not finite: lstm\.weight_ih_l0;",
    infinite_bias: r"at step 10: the loss is nan, .* not finite: lstm\.bias_hh_l1;",
    overflowing_moments: r"at step 10: optimizer\.Adam\.1\.v is not finite;",
}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("spoil", SPOILED)
def test_the_last_good_checkpoint_stays_and_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes], spoil: Callable[[Run], None],
    interrupted: bool,
) -> None:  # fmt: skip
    """Spoiled in step 9, just before it or within; also when Ctrl-C asks for a checkpoint right then."""
    run = Run.create(tmp_path / "run", job())
    step = Trainer.step

    def spoiling(self: Trainer, lr: float) -> float:
        if self.steps == 8:
            spoil(run)
            lr = run.schedule(8)
            if interrupted:
                signal.raise_signal(signal.SIGINT)
        return step(self, lr)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", spoiling)
        with pytest.raises(FloatingPointError, match="training diverged at ") as caught:
            run.train()
    message = str(caught.value)
    assert f"{run.folder} keeps the checkpoint of step 5; begin a new run with a learning rate below 0.01" in message
    if not interrupted:
        assert caught.match(SPOILED[spoil])
    resumed = Run.resume(tmp_path / "run", ClassificationJob, *data())
    assert resumed.trainer.steps == 5
    assert resumed.train()
    assert tensors(tmp_path / "run") == whole


def test_the_checkpoint_that_is_named_is_the_last_one_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that Ctrl-C asked for, and after which the run was resumed, is not of a step with an evaluation."""
    run = Run.create(tmp_path / "run", job())
    step = Trainer.step

    def pressing(self: Trainer, lr: float) -> float:
        if self.steps == 6:
            signal.raise_signal(signal.SIGINT)
        return step(self, lr)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", pressing)
        assert not run.train()
    resumed = Run.resume(tmp_path / "run", ClassificationJob, *data())
    poisoned_weights(resumed)
    with pytest.raises(FloatingPointError, match=r"at step 8: .* keeps the checkpoint of step 7;"):
        resumed.train()


def test_what_cannot_be_evaluated_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The update just before an evaluation overflowed."""
    run = Run.create(tmp_path / "run", job())
    update = Optimizer.step

    def overflowing(self: Optimizer, lr: float | None = None) -> None:
        update(self, 1e39 if self.steps == 4 else lr)

    monkeypatch.setattr(Optimizer, "step", overflowing)
    before = tensors(run.folder)
    with pytest.raises(FloatingPointError, match=r"at step 5: model\.lstm\.weight_ih_l0 is not finite; .* of step 0;"):
        run.train()
    assert tensors(run.folder) == before
