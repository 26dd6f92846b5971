"""The net of experiments 2a and 2b: its gradient beside differences, and when its cell comes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.differences import slopes

from nblstm.experiments.one_cell_net import OneCellNet, OneCellSettings
from nblstm.experiments.tasks import Sequences

LINES = 4


def make(seed: int = 0) -> Sequences:
    rng = np.random.default_rng(seed)
    return Sequences(rng.integers(LINES, size=(6, 1)), np.array([6]), rng.uniform(size=(6, 1, LINES)))


@pytest.mark.parametrize("has_cell", [False, True])
def test_gradient_is_the_difference_quotient(has_cell: bool) -> None:
    net = OneCellNet(LINES, OneCellSettings(lr=1.0, init=1.0), np.random.default_rng(1), has_cell)
    arrays, sequences = (net.direct, net.in_gate, net.cell, net.out), make()

    def loss() -> float:
        return 0.5 * float(((net.answer(sequences) - sequences.targets) ** 2).sum())

    expected = [slopes(loss, array) for array in arrays]
    before = [array.copy() for array in arrays]
    net.train(sequences)
    for array, old, gradient in zip(arrays, before, expected, strict=True):
        np.testing.assert_allclose(old - array, gradient, rtol=1e-6, atol=1e-10)
    assert all((old != array).any() for array, old in zip(arrays[1:], before[1:], strict=True)) is has_cell


def test_the_cell_comes_once_the_error_has_stopped_decreasing() -> None:
    net, sequences = OneCellNet(LINES, OneCellSettings(lr=1.0), np.random.default_rng(2)), make()
    errors: list[float] = []
    while not net.has_cell:
        errors.append(float(((net.train(sequences) - sequences.targets) ** 2).mean()))
    falls = [new / old for old, new in itertools.pairwise(errors)]
    assert falls[-1] > 0.99
    assert all(each <= 0.99 for each in falls[:-1])
