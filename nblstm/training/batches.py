"""Gradient descent over mini-batches of separate sequences, and the answers of the network to many of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nblstm.arguments import as_size, as_weights, check_array, check_kind
from nblstm.layers.checks import check_lengths
from nblstm.models import SequenceClassifier, SequenceModel, SequenceTagger
from nblstm.models.labels import as_targets, learned, numbered
from nblstm.optim.optimizers import Optimizer
from nblstm.training.shuffled import ShuffledTrainer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class BatchTrainer(ShuffledTrainer):
    """Stochastic gradient descent over mini-batches of separate sequences, in a new order in every pass.

    The order of pass n is drawn from the seed and n alone. What is left over after the last whole batch of a pass,
    fewer than B sequences and others each time, is not read in that pass.

    Parameters
    ----------
    model : SequenceModel
        A `SequenceClassifier` or `SequenceRegressor`.
    optimizer : Optimizer
        Over ``model.layers``.
    x : numpy.ndarray, shape (T, N, I)
        N sequences, of the model's dtype.
    targets : numpy.ndarray, shape (N, ...)
        What ``model.loss`` takes. Where they are strings or booleans and the model's classes have no names yet, these
        are their names from now on: its `classes`.
    batch_size : int
        B, at most N.
    lengths : integers, shape (N,), optional
        Steps of each sequence, 0..T; T by default.
    sample_weight : array of numbers, shape (N,), optional
        What each sequence weighs in the mean over its batch, above 0: a sequence of weight 0 is better left out. For
        classes that are rare see `nblstm.class_weights`.
    clip : float
        Gradients are scaled down to this norm, over all parameters together, if theirs is larger; `math.inf` for never.
    seed : int
        Of the orders.

    Attributes
    ----------
    passes, position : int
        Passes begun before this one, and sequences of this one that are read.

    Raises
    ------
    ValueError
        Fewer than B sequences, arrays that disagree about N, targets that ``model.loss`` refuses, weights that are not
        above 0 and finite, or an optimiser over another model.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import Adam, SequenceClassifier
    >>> from nblstm.datasets import remember
    >>> x, targets, _ = remember(np.random.default_rng(0), 500, 3, symbols=4)
    >>> model = SequenceClassifier(8, 16, 1, 4, seed=0)
    >>> trainer = BatchTrainer(model, Adam(model.layers, lr=0.01), x, targets)
    >>> losses = [trainer.step() for _ in range(150)]
    >>> losses[0] > 1.3 and losses[-1] < 0.1
    True
    """

    model: SequenceModel

    def __init__(
        self, model: SequenceModel, optimizer: Optimizer, x: np.ndarray, targets: np.ndarray, batch_size: int = 32, *,
        lengths: Sequence[int] | np.ndarray | None = None, sample_weight: ArrayLike | None = None,
        clip: float = math.inf, seed: int = 0,
    ) -> None:  # fmt: skip
        check_kind("model", model, SequenceModel)
        found = as_targets("targets", targets)
        x = check_array("x", x, model.dtype)
        check_form("x", x.shape, found.shape[:1])
        x = check_array("x", x, model.dtype, (None, None, model.recurrent.input_size))
        count = x.shape[1]
        if found.shape[:1] != (count,):
            raise ValueError(
                f"targets must be one for each of the {count} sequences, got shape {found.shape}"
                f"{other_layout('x', x.shape, found.shape[:1])}"
            )
        names = None
        if isinstance(model, SequenceClassifier):
            names = learned("targets", found, model.classes, model.linear.out_features)
            found = numbered("targets", found, names)
        model.loss(np.zeros((count, model.linear.out_features), model.dtype), found)  # refuses what no batch may hold
        self.x, self.targets = x, found
        self.lengths = None if lengths is None else check_lengths(lengths, *x.shape[:2])
        self.sample_weight = None
        if sample_weight is not None:
            self.sample_weight = as_weights("sample_weight", sample_weight, (count,), positive=True)
        super().__init__(model, optimizer, clip, count, batch_size, seed)
        if isinstance(model, SequenceClassifier):
            model.name_classes(names)

    def _forward_and_backward(self) -> float:
        chosen = self._chosen()
        lengths = None if self.lengths is None else self.lengths[chosen]
        z, self._tape = self.model.forward(self.x[:, chosen], lengths, self._tape)
        sample_weight = None if self.sample_weight is None else self.sample_weight[chosen]
        loss, dz = self.model.loss(z, self.targets[chosen], sample_weight)
        self.model.backward(dz, self._tape, need_dx=False)
        return loss

    def _weight(self) -> float:
        chosen = self._chosen()
        return len(chosen) if self.sample_weight is None else float(self.sample_weight[chosen].sum())

    def _batch(self) -> Iterator[tuple[str, np.ndarray]]:
        for n in self._chosen():
            yield f"x of sequence {n}", self.x[: None if self.lengths is None else self.lengths[n], n]
            yield f"the target of sequence {n}", self.targets[n]


def check_form(name: str, shape: tuple[int, ...], count: tuple[int, ...]) -> None:
    """Sequences have a step, and three axes: with one feature they may come with two, which `count` tells apart."""
    if len(shape) == 2:
        transposed = ".T" if shape[:1] == count != shape[1:] else ""
        raise ValueError(
            f"{name} must be (steps, sequences, features), got shape {shape}: of one feature take "
            f"{name}{transposed}[..., None]"
        )
    if shape[:1] == (0,):
        raise ValueError(f"{name} must have at least one time step, got shape {shape}")


def other_layout(name: str, shape: tuple[int, ...], count: tuple[int, ...]) -> str:
    """What to do where (steps, sequences, features) were expected and the first extent is the number of targets."""
    if shape[:1] != count:
        return ""
    return (
        f"; {name} must be (steps, sequences, features): of (sequences, steps, features) take "
        f"{name}.transpose(1, 0, 2), of (sequences, features, steps) {name}.transpose(2, 0, 1)"
    )


def predict(
    model: SequenceModel | SequenceTagger,
    x: np.ndarray,
    lengths: Sequence[int] | np.ndarray | None = None,
    batch_size: int = 500,
) -> np.ndarray:
    """The model's answers to any number of sequences, `batch_size` of them at a time.

    Parameters
    ----------
    model : SequenceModel or SequenceTagger
    x : numpy.ndarray, shape (T, N, I)
        Or what else the model reads: tokens (T, N).
    lengths : integers, shape (N,), optional
        Steps of each sequence, 0..T; T by default.
    batch_size : int

    Returns
    -------
    numpy.ndarray, shape (N, outputs), or of a tagger (T, N, K)

    Raises
    ------
    TypeError, ValueError
        What the model refuses, or a batch size below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import SequenceClassifier
    >>> from nblstm.training import predict
    >>> model = SequenceClassifier(3, 8, 1, num_classes=2, seed=0)
    >>> predict(model, np.zeros((12, 1000, 3), "float32"), batch_size=100).shape
    (1000, 2)
    """
    check_kind("model", model, SequenceModel, SequenceTagger)
    batch_size, tags = as_size("batch_size", batch_size), isinstance(model, SequenceTagger)
    if isinstance(model, SequenceTagger):
        x = model.check_input("x", x)
    else:
        x = check_array("x", x, model.dtype, (None, None, model.recurrent.input_size))
    steps = None if lengths is None else check_lengths(lengths, *x.shape[:2])
    parts = [slice(start, start + batch_size) for start in range(0, max(1, x.shape[1]), batch_size)]
    answers = [model(x[:, part], None if steps is None else steps[part]) for part in parts]
    return np.concatenate(answers, axis=1 if tags else 0)
