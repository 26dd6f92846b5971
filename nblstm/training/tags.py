"""Gradient descent over mini-batches of sequences of which every step has a target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nblstm.arguments import as_integers, as_size, as_weights, check_kind
from nblstm.layers.checks import check_lengths
from nblstm.models.labels import Label, as_targets, has_labels, learned, numbered
from nblstm.models.tagger import IGNORED, SequenceTagger
from nblstm.optim.optimizers import Optimizer
from nblstm.training.shuffled import ShuffledTrainer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class TagTrainer(ShuffledTrainer):
    """As `BatchTrainer`, for a `SequenceTagger`: a target for each step of each sequence.

    Parameters
    ----------
    model : SequenceTagger
    optimizer : Optimizer
        Over ``model.layers``.
    x : numpy.ndarray, shape (T, N, I)
        N sequences, of the model's dtype; or, for one with a vocabulary, places in it (T, N).
    targets : array, shape (T, N)
        The class of each step, integers, or labels, strings or booleans, which name the model's `classes` where these
        have no names yet. `ignore_index`, an empty string, and whatever stands past an end, does not count. In every
        sequence a step must count.
    batch_size : int
        B, at most N.
    lengths : integers, shape (N,), optional
        Steps of each sequence, 1..T; T by default.
    weight : array of K numbers, optional
        What each class weighs, above 0.
    ignore_index : int
    clip : float
        Gradients are scaled down to this norm, over all parameters together, if theirs is larger; `math.inf` for never.
    seed : int
        Of the orders.

    Raises
    ------
    ValueError
        Fewer than B sequences, arrays that disagree, targets that are no classes, a sequence without a step that
        counts, or an optimiser over another model.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import Adam, SequenceTagger
    >>> x = np.random.default_rng(0).integers(0, 3, (6, 200))
    >>> model = SequenceTagger(4, 8, 1, 3, vocabulary=["<unk>", "a", "b"], bidirectional=False, seed=0)
    >>> trainer = TagTrainer(model, Adam(model, lr=0.05), x, x.cumsum(axis=0) % 3)  # which needs all steps before
    >>> losses = [trainer.step() for _ in range(150)]
    >>> losses[0] > 1.0 and losses[-1] < 0.1
    True
    """

    model: SequenceTagger

    def __init__(
        self, model: SequenceTagger, optimizer: Optimizer, x: np.ndarray, targets: ArrayLike, batch_size: int = 32, *,
        lengths: Sequence[int] | np.ndarray | None = None, weight: ArrayLike | None = None,
        ignore_index: int = IGNORED, clip: float = math.inf, seed: int = 0,
    ) -> None:  # fmt: skip
        check_kind("model", model, SequenceTagger)
        self.x = model.check_input("x", x)
        steps, count = self.x.shape[:2]
        self.lengths = None if lengths is None else check_lengths(lengths, steps, count)
        classes = model.linear.out_features
        found = as_targets("targets", targets)
        names = learned("targets", labelled(found, self.lengths), model.classes, classes)
        self.targets = counted_targets("targets", found, steps, count, self.lengths, ignore_index, names)
        found = self.targets[self.targets != IGNORED]
        if found.size and not 0 <= found.min() <= found.max() < classes:
            raise ValueError(f"targets must be classes 0..{classes - 1}, got {found.min()}..{found.max()}")
        self.weight = None if weight is None else as_weights("weight", weight, (classes,), positive=True)
        super().__init__(model, optimizer, clip, count, batch_size, seed)
        model.name_classes(names)

    def _forward_and_backward(self) -> float:
        chosen = self._chosen()
        lengths = None if self.lengths is None else self.lengths[chosen]
        z, self._tape = self.model.forward(self.x[:, chosen], lengths, self._tape)
        loss, dz = self.model.loss(z, self.targets[:, chosen], weight=self.weight)
        self.model.backward(dz, self._tape, need_dx=False)
        return loss

    def _weight(self) -> float:
        targets = self.targets[:, self._chosen()]
        counted = targets[targets != IGNORED]
        return len(counted) if self.weight is None else float(self.weight[counted].sum())

    def _batch(self) -> Iterator[tuple[str, np.ndarray]]:
        if self.model.embedding is None:
            for n in self._chosen():
                yield f"x of sequence {n}", self.x[: None if self.lengths is None else self.lengths[n], n]


def labelled(targets: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Those of the targets (T, N) that stand before the ends and, if they are labels, are not empty."""
    counts = np.ones(targets.shape, bool)
    if lengths is not None and targets.shape[1:] == lengths.shape:
        counts &= np.arange(len(targets))[:, None] < lengths
    if has_labels(targets) and targets.dtype.kind != "b":
        counts &= targets != ""
    return targets[counts]


def counted_targets(
    name: str, targets: np.ndarray, steps: int, count: int, lengths: np.ndarray | None, ignore_index: int,
    classes: tuple[Label, ...] | None,
) -> np.ndarray:  # fmt: skip
    """`targets` (T, N) as int64, with `IGNORED` wherever a step does not count; at least one does in each sequence."""
    ignore_index = as_size("ignore_index", ignore_index, least=-(2**63))
    if targets.shape != (steps, count):
        way = f"; of {targets.shape} take {name}.T" if targets.shape == (count, steps) else ""
        raise ValueError(f"{name} must be one for each step, ({steps}, {count}), got {targets.shape}{way}")
    within = np.ones(targets.shape, bool) if lengths is None else np.arange(steps)[:, None] < lengths
    found = np.full(targets.shape, IGNORED)
    found[within] = as_integers(name, numbered(name, targets[within], classes, ignore_index))
    skipped = ~within | (found == ignore_index)
    if skipped.all(axis=0).any():
        first = int(skipped.all(axis=0).argmax())
        raise ValueError(f"{name} must have a step that counts in each sequence, got none in sequence {first}")
    return np.where(skipped, IGNORED, found)
