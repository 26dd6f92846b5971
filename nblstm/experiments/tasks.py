"""What an experiment asks: sequences with their targets, and when a net has learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Sequences:
    """Some sequences of a task.

    `inputs` is (T, B) of integers, the line that is 1 at each step, or (T, B, K) of floats. `targets` is (1, B, O)
    where only a sequence's last step has one, and (T, B, O) where all have. `legal`, of the same shape, says which
    outputs may be the most active; without it targets are numbers to be met.
    """

    inputs: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray
    legal: np.ndarray | None = None

    def sparse(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the input lines and what they carry, both (T, B, K)."""
        if self.inputs.ndim == 2:
            return self.inputs[..., None], np.ones((*self.inputs.shape, 1))
        return np.broadcast_to(np.arange(self.inputs.shape[2]), self.inputs.shape), self.inputs

    def dense(self, lines: int) -> np.ndarray:
        """The inputs as float32, (T, B, lines)."""
        if self.inputs.ndim == 3:
            return self.inputs.astype(np.float32)
        x = np.zeros((*self.inputs.shape, lines), np.float32)
        np.put_along_axis(x, self.inputs[..., None], 1, axis=2)
        return x

    def part(self, some: slice | np.ndarray) -> Sequences:
        """Some of them, as long as the longest of these."""
        lengths = self.lengths[some]
        inputs, targets = self.inputs[: lengths.max(), some], self.targets[: lengths.max(), some]
        return Sequences(inputs, lengths, targets, None if self.legal is None else self.legal[: lengths.max(), some])

    def due(self) -> np.ndarray:
        """(S, B): where a target stands."""
        if len(self.targets) == 1:
            return np.ones((1, len(self.lengths)), bool)
        return np.arange(len(self.targets))[:, None] < self.lengths

    def errors(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each sequence the largest error of an output, and the mean one, both absolute."""
        error = np.where(self.due()[..., None], np.abs(outputs - self.targets), 0)
        return error.max((0, 2)), error.sum((0, 2)) / (self.due().sum(0) * outputs.shape[2])

    def predicted(self, outputs: np.ndarray) -> np.ndarray:
        """(B,): at every step of the sequence all legal outputs are more active than all others."""
        assert self.legal is not None
        least = np.where(self.legal, outputs, np.inf).min(2)
        most = np.where(self.legal, -np.inf, outputs).max(2)
        return np.asarray(((least > most) | ~self.due()).all(0))


class Net(Protocol):
    """What both cells' nets can do."""

    def train(self, sequences: Sequences) -> np.ndarray:
        """Learn from each once; the outputs from before."""

    def answer(self, sequences: Sequences) -> np.ndarray:
        """The outputs."""


Draw = Callable[[np.random.Generator, int], Sequences]
TESTED = 2560
TOGETHER = 160
"""Sequences in a test's batch; a divisor of `TESTED`."""


@dataclass
class LastRight:
    """Learned once of the last `window` training sequences at most `wrong` were off by more than `off`.

    And their mean absolute error is below `mean`. What is said of a net at the end is said of `tested` new sequences.
    """

    draw: Draw
    off: float
    mean: float = np.inf
    window: int = 2000
    wrong: int = 0
    tested: int = TESTED

    def __post_init__(self) -> None:
        self._worst, self._mean = np.zeros(0), np.zeros(0)

    def learned(self, sequences: Sequences, outputs: np.ndarray, net: Net) -> bool:
        """After training with `sequences`, which gave `outputs`."""
        worst, mean = sequences.errors(outputs)
        self._worst = np.concatenate((self._worst, worst))[-self.window :]
        self._mean = np.concatenate((self._mean, mean))[-self.window :]
        full = len(self._worst) == self.window
        return bool(full and (self._worst > self.off).sum() <= self.wrong and self._mean.mean() < self.mean)

    def test(self, net: Net, rng: np.random.Generator) -> tuple[int, int, float]:
        """Wrong ones, of how many, and the mean absolute error."""
        return _test(
            net, [self.draw(rng, min(TOGETHER, self.tested)) for _ in range(-(-self.tested // TOGETHER))], self.off
        )


@dataclass
class HeldOut:
    """Learned once at most `wrong` of the sequences in `held_out` are, and their mean absolute error is below `mean`.

    Wrong is one with an error above `off`; where outputs are predictions, one with an illegal symbol more active than a
    legal one. What is said of a net at the end is said of 2,560 sequences of `new`, without it of `held_out`.
    """

    draw: Draw
    held_out: Sequences
    off: float = np.inf
    mean: float = np.inf
    wrong: int = 0
    new: Draw | None = None

    def learned(self, sequences: Sequences, outputs: np.ndarray, net: Net) -> bool:
        """After training with `sequences`, which gave `outputs`."""
        wrong, means = 0, []
        for part in self._parts():
            right, mean = _right(net, part, self.off)
            wrong += int((~right).sum())
            if wrong > self.wrong:
                return False
            means.append(mean)
        return bool(np.concatenate(means).mean() < self.mean)

    def test(self, net: Net, rng: np.random.Generator) -> tuple[int, int, float]:
        """Wrong ones, of how many, and the mean absolute error."""
        new = self.new
        parts = self._parts() if new is None else [new(rng, TOGETHER) for _ in range(TESTED // TOGETHER)]
        return _test(net, parts, self.off)

    def _parts(self) -> list[Sequences]:
        count = len(self.held_out.lengths)
        return [self.held_out.part(slice(start, start + TOGETHER)) for start in range(0, count, TOGETHER)]


Task = LastRight | HeldOut


def _right(net: Net, batch: Sequences, off: float) -> tuple[np.ndarray, np.ndarray]:
    """Of each sequence whether it is right, and its mean absolute error."""
    outputs = net.answer(batch)
    worst, mean = batch.errors(outputs)
    return worst <= off if batch.legal is None else batch.predicted(outputs), mean


def _test(net: Net, batches: list[Sequences], off: float) -> tuple[int, int, float]:
    wrong, means = 0, []
    for batch in batches:
        right, mean = _right(net, batch, off)
        wrong += int((~right).sum())
        means.append(mean)
    return wrong, sum(map(len, means)), float(np.concatenate(means).mean())
