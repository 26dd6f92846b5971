"""Experiment 4, the adding problem: of many numbers two are marked; at the end say what they come to.

Task: `nblstm.datasets.adding`, with lengths T..1.1 T. Net: 2 blocks of 2 cells, 93 weights. Learning rate 0.5. Initial
weights within 0.1; biases of the input gates -3 and -6. Learned: the mean error is below 0.01 and the last 2,000
training sequences were right, off by less than 0.04. Test: 2,560 new sequences. 10 trials (table 7).

The paper leaves open: which mean error (here the absolute one of the last 2,000; a squared one would follow from the
second condition); when a trial is given up (here after three times the published mean).
"""

from __future__ import annotations

import numpy as np

from nblstm import datasets
from nblstm.experiments.block_net import BlockSettings
from nblstm.experiments.experiment import Case, Experiment
from nblstm.experiments.tasks import Draw, LastRight, Sequences

NET = BlockSettings(blocks=2, cells=2, lr=0.5, in_gates=(-3, -6))


def draw(steps: int) -> Draw:
    """Sequences of `steps` steps and up to a tenth more."""

    def some(rng: np.random.Generator, count: int) -> Sequences:
        x, target, lengths = datasets.adding(rng, count, steps)
        return Sequences(x.astype(np.float64), lengths, target.astype(np.float64)[None, :, None])

    return some


def case(steps: int, published: int) -> Case:
    """A line of table 7."""
    return Case(
        f"T={steps}", lambda rng: LastRight(draw(steps), off=0.04, mean=0.01), 2, 1, steps, NET, 93,
        published, 10, 3 * published,
    )  # fmt: skip


EXPERIMENT = Experiment(
    "adding", "two marked numbers among many", (case(100, 74_000), case(500, 209_000), case(1000, 853_000))
)
