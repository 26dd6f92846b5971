"""`pytest -m gradients`: centred differences over the grid of nets, to 1e-7 of each tensor's largest gradient."""

from __future__ import annotations

from itertools import count

import naive
import numpy as np
import pytest
from support.cases import BOTH, Case, Problem, grid

import nblstm

pytestmark = pytest.mark.gradients
ENTRIES = 3  # of each tensor, at random; the random projection sees the rest
AXES = {"cell": naive.KNOWN, "formulation": ("split", "concat")}
GRID = [  # the whole grid, all three depths and batch first in every combination, is held to the twin: test_sweeps.py
    *grid(**AXES, num_layers=(1, 2), bidirectional=BOTH, bias=BOTH, lengths=BOTH),
    *grid(**AXES, num_layers=(3,), bidirectional=(True,), lengths=(True,), batch_first=(True,)),
]


def draw_away_from_kinks(case: Case, layer: nblstm.RNN) -> Problem:
    """The first problem in which no ReLU comes near the point where it has no derivative."""
    for seed in count():
        problem = Problem.draw(case, np.random.default_rng(seed))
        _, _, _, record = naive.forward(case.naive(layer.params), problem.x, problem.h_0, None, problem.lengths)
        if naive.nearest_kink(record) > 1e-3:
            return problem


@pytest.mark.parametrize("case", GRID, ids=str)
def test_gradients(case, rng):
    layer = case.layer()
    problem = draw_away_from_kinks(case, layer) if case.cell == "rnn_relu" else Problem.draw(case, rng)
    nblstm.gradcheck(layer, problem.x, problem.state, problem.lengths, entries=ENTRIES)


@pytest.mark.parametrize("case", [Case(cell) for cell in ("rnn_tanh", "lstm", "peephole")], ids=str)
def test_every_entry(case, rng):
    layer, problem = case.layer(), Problem.draw(case, rng)
    nblstm.gradcheck(layer, problem.x, problem.state, problem.lengths)
