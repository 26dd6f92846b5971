"""Dropout in a net of one's own: a run that was stopped draws on where it stood, and ends in the same bits."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_jobs import QUICK, sequences

from nblstm import Dropout, Layer, LayerNorm, Linear, SequenceClassifier, Sequential
from nblstm.jobs import ClassificationJob
from nblstm.runs import Run


class WithDropout(SequenceClassifier):
    """Dropout in what it reads, and in a chain before the last layer."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2, 6, 1, 2, seed=seed)
        self.drop = Dropout(0.3, seed=seed)
        self.chain = Sequential(LayerNorm(6), Dropout(0.5, seed=7), Linear(6, 2, seed=seed))
        self.parts |= {"drop": self.drop, "chain": self.chain}
        self.layers = list(self.named_layers().values())
        self.config = {}

    def forward(self, x: np.ndarray, lengths: Any = None, tape: Any = None) -> tuple[np.ndarray, Any]:
        drop, recurrent, chain = self.rewind(tape, 3)
        x, drop = self.drop.forward(x, tape=drop)
        _, state, recurrent = self.recurrent.forward(x, lengths=lengths, tape=recurrent)
        z, _, chain = self.chain.forward(self._top(state), tape=chain)
        return self.record(tape, z, (drop, recurrent, chain))

    def backward(self, dz: np.ndarray, tape: Any, need_dx: bool = True) -> None:
        dz, (drop, recurrent, chain) = self.replay(tape, dz, "dz")
        dtop, _ = self.chain.backward(dz, chain)
        dx, _ = self.recurrent.backward(None, recurrent, (dtop[None], None))
        self.drop.backward(dx, drop)


class OwnJob(ClassificationJob):
    """It trains that net."""

    def _network(self, width: int) -> SequenceClassifier:
        return WithDropout(seed=self.settings.seed)


@pytest.mark.usefixtures("undrawn")
def test_a_resumed_run_draws_the_same_masks(tmp_path: Path) -> None:
    data = sequences(ClassificationJob, 40, seed=0), sequences(ClassificationJob, 20, seed=1)
    whole = Run.create(None, OwnJob(QUICK, *data))
    assert whole.train(progress=False)

    def stop(run: Run) -> None:
        if run.trainer.steps == 5:
            raise KeyError

    with pytest.raises(KeyError):
        Run.create(tmp_path / "run", OwnJob(QUICK, *data)).train(progress=False, on_evaluation=stop)
    parts = Run.resume(tmp_path / "run", OwnJob, *data)
    assert parts.trainer.steps == 5
    assert parts.train(progress=False)
    assert parts.losses == whole.losses
    assert all((tensor == parts.model.params[name]).all() for name, tensor in whole.model.params.items())


class Noise(Layer):
    """A layer of one's own that draws."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = 0

    def dropout_state(self) -> dict:
        return {"drawn": self.drawn}

    def set_dropout_state(self, state: dict) -> None:
        self.drawn = state["drawn"]


def test_a_layer_of_one_s_own_may_say_it_too() -> None:
    noise = Noise()
    net = Sequential(Linear(2, 2, seed=0), noise)
    noise.drawn = 3
    state = net.dropout_state()
    assert state == {"1": {"drawn": 3}}
    noise.drawn = 5
    net.set_dropout_state(state)
    assert noise.drawn == 3


def test_a_chain_says_and_sets_where_its_draws_stand() -> None:
    net, x = WithDropout(seed=1).chain, np.random.default_rng(0).normal(size=(3, 4, 6)).astype("float32")
    state = copy.deepcopy(net.dropout_state())
    assert list(state) == ["1"]
    first, second = (net.forward(x)[0].copy() for _ in range(2))
    assert (first != second).any()
    net.set_dropout_state(state)
    assert (net.forward(x)[0] == first).all()
    for wrong, message in (
        ({}, "state must be that of the layers 1, got that of none"),
        ({"1": {}}, "state must be what dropout_state gave"),
    ):
        with pytest.raises(ValueError, match=message):
            net.set_dropout_state(wrong)
    assert (net.forward(x)[0] == second).all(), "what was refused changed nothing"
