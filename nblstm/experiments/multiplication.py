"""Experiment 5, multiplication: as adding, but the numbers lie in [0, 1] and the target is the product of the two.

Task: T = 100, lengths T..1.1 T; where the first step is marked its number counts as 1. Net: 2 blocks of 2 cells, 93
weights. Learning rate 0.1. Initial weights and all biases within 0.1 (table 10). Learned: of the last 2,000
training sequences fewer than n were off by more than 0.04, n = 140 or 13. Test: 2,560 new sequences. 10 trials (table
8).

The paper leaves open: when a trial is given up (here after three times the published mean).
"""

from __future__ import annotations

import numpy as np

from nblstm import datasets
from nblstm.experiments.block_net import BlockSettings
from nblstm.experiments.experiment import Case, Experiment
from nblstm.experiments.tasks import LastRight, Sequences

NET = BlockSettings(blocks=2, cells=2, lr=0.1)
STEPS = 100


def draw(rng: np.random.Generator, count: int) -> Sequences:
    """The adding problem's places and markers, with other numbers."""
    x, _, lengths = datasets.adding(rng, count, STEPS)
    marked = x[..., 1] == 1
    x[..., 0] = rng.uniform(0, 1, marked.shape)
    x[0, marked[0], 0] = 1
    product = np.where(marked, x[..., 0], 1).prod(0)
    return Sequences(x.astype(np.float64), lengths, product.astype(np.float64)[None, :, None])


def case(fewer: int, published: int) -> Case:
    """A line of table 8."""
    return Case(
        f"n={fewer}", lambda rng: LastRight(draw, off=0.04, wrong=fewer - 1), 2, 1, STEPS, NET, 93,
        published, 10, 3 * published,
    )  # fmt: skip


EXPERIMENT = Experiment(
    "multiplication", "the product of two marked numbers", (case(140, 482_000), case(13, 1_273_000))
)
