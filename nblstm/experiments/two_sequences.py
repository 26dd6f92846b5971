"""Experiment 3, the two-sequence problem: noise after the first N numbers, which say the class.

Task: one real input. The first N elements are 1 in class 1 and -1 in class 2; all others are noise, of mean 0 and
variance 0.2; lengths T..1.1 T. Targets at the end are 1 and 0. 3b: the first N have that noise, too. 3c: the targets
are 0.2 and 0.8 with noise of variance 0.1, and learning must find their means. Net: 3 blocks of 1 cell, 102 weights;
the output has no bias. Learning rate 1, in 3c 0.1. Initial weights within 0.1; biases of the input gates -1, -3, -5, of
the output gates -2, -4, -6. Learned: of 256 test sequences none (3b: fewer than 6) off by more than 0.2 (3c: 0.1),
which is ST1; ST2 asks for a mean error of these below 0.01 (3b: 0.04, 3c: 0.015), too. Test: 2,560 new sequences, in 3c
without the targets' noise. 10 trials (tables 4 to 6).

The paper leaves open: when it is tested, and by which sequences (here every 100, by 256 that are a trial's own); which
class of 3c has 0.2 (here class 1); when a trial is given up (here after three times the published mean).
"""

from __future__ import annotations

import numpy as np

from nblstm.experiments.block_net import BlockSettings
from nblstm.experiments.experiment import Case, Experiment
from nblstm.experiments.tasks import Draw, HeldOut, Sequences

GATES = {"in_gates": (-1, -3, -5), "out_gates": (-2, -4, -6), "biases": ("gates", "cells")}
TEST = 256


def draw(steps: int, first: int, kind: str, *, noisy_targets: bool) -> Draw:
    """Sequences of 3a, 3b or 3c; in a test 3c's targets have no noise."""

    def some(rng: np.random.Generator, count: int) -> Sequences:
        lengths = rng.integers(steps, steps + steps // 10 + 1, size=count)
        x = rng.normal(0, np.sqrt(0.2), (lengths.max(), count, 1))
        one = rng.integers(2, size=count) == 1
        x[:first] = (x[:first] if kind == "3b" else 0) + np.where(one, 1.0, -1.0)[:, None]
        target = np.where(one, 0.2, 0.8) if kind == "3c" else one.astype(float)
        if noisy_targets and kind == "3c":
            target += rng.normal(0, np.sqrt(0.1), count)
        return Sequences(x, lengths, target[None, :, None])

    return some


def case(kind: str, steps: int, first: int, criterion: str, published: int) -> Case:
    """A line of tables 4, 5 and 6, and one of its criteria."""
    off, mean, wrong = {"3a": (0.2, 0.01, 0), "3b": (0.2, 0.04, 5), "3c": (0.1, 0.015, 0)}[kind]
    if criterion == "ST1":
        mean = np.inf

    def task(rng: np.random.Generator) -> HeldOut:
        new = draw(steps, first, kind, noisy_targets=False)
        return HeldOut(draw(steps, first, kind, noisy_targets=True), new(rng, TEST), off, mean, wrong, new)

    net = BlockSettings(3, 1, lr=0.1 if kind == "3c" else 1.0, **GATES)  # type: ignore[arg-type]
    return Case(f"{kind} T={steps} N={first} {criterion}", task, 1, 1, steps, net, 102, published, 10, 3 * published)


CASES: tuple[tuple[str, int, int, str, int], ...] = (
    ("3a", 100, 3, "ST1", 27_380), ("3a", 100, 3, "ST2", 39_850), ("3a", 100, 1, "ST1", 58_370),
    ("3a", 100, 1, "ST2", 64_330), ("3a", 1000, 3, "ST1", 446_850), ("3a", 1000, 3, "ST2", 452_460),
    ("3b", 100, 3, "ST1", 41_740), ("3b", 100, 3, "ST2", 43_250), ("3b", 100, 1, "ST1", 74_950),
    ("3b", 100, 1, "ST2", 78_430), ("3b", 1000, 1, "ST1", 481_060), ("3b", 1000, 1, "ST2", 485_080),
    ("3c", 100, 3, "ST2", 269_650), ("3c", 100, 1, "ST2", 565_640),
)  # fmt: skip
EXPERIMENT = Experiment("two-sequences", "a class at the beginning, then noise", tuple(case(*each) for each in CASES))
