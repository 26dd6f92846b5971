"""A day's worth of random restarts, as many short ones: loss, gradient and weights stay finite in every step.

Nets, data and optimisers are drawn anew each time: every cell, formulation and loss, lengths, dropout, both dtypes, and
learning rates from a tenth of the optimiser's default to ten times it; clipping as `nblstm train` does. A ReLU net has
no bound: its h may grow by a factor at every step, and above the default rate two of five thousand trainings ended in
numbers too large for float32 (RMSprop, whose first step is ten times the rate, over 37 steps). So it gets no more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nblstm import SGD, Adam, AdamW, CharLM, RMSprop, SequenceClassifier, SequenceRegressor
from nblstm.cells import CELLS
from nblstm.jobs import TextSettings
from nblstm.training import BatchTrainer, TextTrainer, Trainer

CLIP = TextSettings.clip
OPTIMIZERS = (SGD, RMSprop, Adam, AdamW)
STEPS = 20


def draw(seed: int) -> tuple[Trainer, str]:
    """A random training, and what to call it."""
    rng = np.random.default_rng(seed)

    def size(most: int) -> int:
        return int(math.exp(rng.uniform(0, math.log(most + 1))))

    cell, T, B, H, dtype = str(rng.choice([*CELLS])), size(40), size(16), size(48), rng.choice(["float32", "float64"])
    form: dict[str, Any] = {
        "cell": cell, "formulation": rng.choice(["split", "concat"]), "dtype": str(dtype), "seed": seed,
        "dropout": rng.choice([0.0, 0.2, 0.8]), "forget_bias": rng.choice([0.0, 1.0, 5.0]),
    }  # fmt: skip
    in_parts = CELLS[cell].apart + CELLS[cell].inputs_only + CELLS[cell].hidden_only + tuple(CELLS[cell].reads)
    form |= {"formulation": "split"} if in_parts else {}
    form |= {"forget_bias": 0.0} if CELLS[cell].forget is None else {}
    rate = 10 ** rng.uniform(-1, 0 if cell == "rnn_relu" else 1)
    kind = OPTIMIZERS[rng.integers(len(OPTIMIZERS))]
    scale, width, layers, outputs = 10 ** rng.uniform(-2, 2), size(20), size(3), 1 + size(9)
    form["dropout"] = form["dropout"] if layers > 1 else 0.0  # of which one layer would warn
    what = f"seed {seed}: {cell}, {dtype}, {kind.__name__} x {rate:.2g}, T {T}, H {H}, layers {layers}, x {scale:.2g}"

    def optimizer(model: Any) -> Any:
        usual = kind(model.layers)
        return kind(model.layers, lr=usual.lr * rate)

    if rng.random() < 0.3:
        text = CharLM([chr(97 + k) for k in range(outputs)], width, H, layers, **form)
        streams = rng.integers(0, outputs, (3 * T + 1, B))
        return TextTrainer(text, optimizer(text), streams, T, CLIP), what
    form["bidirectional"] = bool(rng.random() < 0.5)
    x = (scale * rng.standard_normal((T, 3 * B, width))).astype(dtype)
    lengths = rng.integers(1, T + 1, 3 * B) if rng.random() < 0.5 else None
    model: SequenceClassifier | SequenceRegressor
    if rng.random() < 0.5:
        model, targets = SequenceClassifier(width, H, layers, outputs, **form), rng.integers(0, outputs, 3 * B)
    else:
        model = SequenceRegressor(width, H, layers, outputs, **form)
        targets = (scale * rng.standard_normal((3 * B, outputs))).astype(dtype)
    return BatchTrainer(model, optimizer(model), x, targets, B, lengths=lengths, clip=CLIP, seed=seed), what


def restart(seeds: range) -> int:
    """Trainings of `STEPS` steps each, which raise if a loss or a gradient is not finite; how many steps in all."""
    taken = 0
    for seed in seeds:
        trainer, what = draw(seed)
        try:
            for _ in range(STEPS):
                trainer.step()
            trainer.check_finite()
        except FloatingPointError as error:
            pytest.fail(f"{what}: {error}")
        taken += trainer.steps
    return taken


def test_some_restarts() -> None:
    assert restart(range(60)) == 60 * STEPS


@pytest.mark.restarts
@pytest.mark.parametrize("hundred", range(50))
def test_five_thousand_restarts(hundred: int) -> None:
    first = 1000 + 100 * hundred
    assert restart(range(first, first + 100)) == 100 * STEPS
