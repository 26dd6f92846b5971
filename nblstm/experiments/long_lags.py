"""Experiment 2c, very long time lags: one symbol, then hundreds that say nothing; at the end name it.

Task: b, then x or y, then q + k distractors drawn from p kinds, then e; at e say which of x and y it was. k is
geometric: after each further distractor another one follows with 9/10. p + 4 inputs, 2 outputs, error at the end only.
Net: 2 blocks of 1 cell without biases, 364 to 6,064 weights. Learning rate 0.01. Initial weights within 0.2. Learned:
no error of the last 10,000 training sequences above 0.2. 20 trials (table 3, the lines with p = q).

The paper leaves open: whether these 10,000 count (here they do); whether k may be 0 (here it may; their mean length of
q + 14 would need 10 on average, this rule gives 9); when a trial is given up (here after three times the published
mean). Experiments 2a and 2b are not here: their net, one cell with an input gate that is added once the error stalls,
inputs tied to outputs directly, is another one.
"""

from __future__ import annotations

import numpy as np

from nblstm.experiments.block_net import BlockSettings
from nblstm.experiments.experiment import Case, Experiment
from nblstm.experiments.tasks import Draw, LastRight, Sequences

NET = BlockSettings(blocks=2, cells=1, lr=0.01, init=0.2, biases=())


def draw(lag: int) -> Draw:
    """Sequences with at least `lag` distractors, of as many kinds; after them come the lines of b, e, x and y."""

    def some(rng: np.random.Generator, count: int) -> Sequences:
        lengths = lag + 2 + rng.geometric(0.1, size=count)  # b, x or y, e, and a number of trials, which is k + 1
        inputs = rng.integers(lag, size=(lengths.max(), count))
        kind = rng.integers(2, size=count)
        inputs[0], inputs[1] = lag, lag + 2 + kind
        inputs[lengths - 1, np.arange(count)] = lag + 1
        return Sequences(inputs, lengths, np.eye(2)[kind][None])

    return some


def case(lag: int, weights: int, published: int) -> Case:
    """A line of table 3."""
    return Case(
        f"p=q={lag}", lambda rng: LastRight(draw(lag), off=0.2, window=10_000), lag + 4, 2, lag, NET, weights,
        published, 20, 3 * published,
    )  # fmt: skip


EXPERIMENT = Experiment(
    "long-lags",
    "one symbol, named after hundreds of others",
    (
        case(50, 364, 30_000),
        case(100, 664, 31_000),
        case(200, 1264, 33_000),
        case(500, 3064, 38_000),
        case(1000, 6064, 49_000),
    ),
)
