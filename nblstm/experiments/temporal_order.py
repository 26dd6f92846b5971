"""Experiment 6, temporal order: two or three symbols, far apart among others; at the end say in which order they came.

Task: `nblstm.datasets.temporal_order` with T = 100. Nets: 2 blocks of 2 cells, 156 weights, for two symbols (6a), 3 of
2, 308 weights, for three (6b). Learning rates 0.5 and 0.1. Initial weights within 0.1; biases of the input gates -2, -4
and -6. Targets are 1 for the class, 0 for the others. Learned: the mean error is below 0.1 and the last 2,000 training
sequences were right, all outputs off by less than 0.3. Test: 2,560 new sequences. 20 and 10 trials (table 9).

The paper leaves open: which mean error (here the absolute one of the last 2,000); when a trial is given up (here after
three times the published mean).
"""

from __future__ import annotations

import numpy as np

from nblstm import datasets
from nblstm.experiments.block_net import BlockSettings
from nblstm.experiments.experiment import Case, Experiment
from nblstm.experiments.tasks import Draw, LastRight, Sequences


def draw(marks: int) -> Draw:
    """Sequences with two or three `marks`."""

    def some(rng: np.random.Generator, count: int) -> Sequences:
        x, target, lengths = datasets.temporal_order(rng, count, 100, marks)
        return Sequences(x.argmax(2), lengths, np.eye(2**marks)[target][None])

    return some


def case(label: str, marks: int, net: BlockSettings, weights: int, published: int, trials: int) -> Case:
    """A line of table 9."""
    return Case(
        label, lambda rng: LastRight(draw(marks), off=0.3, mean=0.1), 8, 2**marks, 100, net, weights,
        published, trials, 3 * published,
    )  # fmt: skip


TWO = BlockSettings(blocks=2, cells=2, lr=0.5, in_gates=(-2, -4))
THREE = BlockSettings(blocks=3, cells=2, lr=0.1, in_gates=(-2, -4, -6))
EXPERIMENT = Experiment(
    "temporal-order", "the order of two or three symbols",
    (case("6a", 2, TWO, 156, 31_390, 20), case("6b", 3, THREE, 308, 571_100, 10)),
)  # fmt: skip
