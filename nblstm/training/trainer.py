"""What every trainer does with one batch after another."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, Self

import numpy as np

from nblstm.arguments import as_number, as_size, check_kind
from nblstm.models import Network
from nblstm.models.network import part_name
from nblstm.optim.clipping import clip_grad_norm
from nblstm.optim.optimizers import Optimizer


class Trainer(ABC):
    """What every training does with one batch after another; a subclass says what a batch is.

    Attributes
    ----------
    steps : int
        Steps taken.

    Raises
    ------
    TypeError
        A model, optimiser or norm of another kind.
    ValueError
        A norm not above 0; an optimiser of other layers than the model's.

    Examples
    --------
    >>> from nblstm import SGD, SequenceRegressor
    >>> from nblstm.training import BatchTrainer, Trainer
    >>> model, x = SequenceRegressor(1, 8, 1, output_size=1, seed=0), np.ones((5, 20, 1), "float32")
    >>> trainer = BatchTrainer(model, SGD(model, lr=0.1), x, x[-1], batch_size=10)
    >>> losses = [trainer.step() for _ in range(20)]
    >>> isinstance(trainer, Trainer), trainer.steps, losses[-1] < losses[0]
    (True, 20, True)
    """

    def __init__(self, model: Network, optimizer: Optimizer, clip: float) -> None:
        check_kind("optimizer", optimizer, Optimizer)
        if any(layer not in model.layers for layer in optimizer.layers):
            raise ValueError("optimizer must be over the layers of the model, got one over others")
        self.model, self.optimizer = model, optimizer
        self.clip = as_number("clip", clip, positive=True, finite=False)
        self.steps = 0
        self._tape: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """For deep copies and pickles: without the tape, which is of no use between two steps."""
        return self.__dict__ | {"_tape": None}

    def __copy__(self) -> NoReturn:
        """Refused: what a copy carries over from one batch to the next lies in memory of the original."""
        raise TypeError("a trainer must be copied with copy.deepcopy, which gives the copy a model of its own")

    def step(self, lr: float | None = None) -> float:
        """Learn from the next batch; its loss, before the update.

        Parameters
        ----------
        lr : float, optional
            The learning rate of this step; the optimiser's own by default.

        Raises
        ------
        FloatingPointError
            Loss or gradient is no longer finite; names the first tensor that is not. The parameters are still those of
            the step before; what else changes in a step is not, so go on from a checkpoint.
        """
        lr = None if lr is None else as_number("lr", lr)
        self.model.zero_grad()
        loss = self._forward_and_backward()
        norm = self._clip()
        if not math.isfinite(loss) or not math.isfinite(norm):
            first = self._first_not_finite() or "none, so numbers are too large to be multiplied"
            raise FloatingPointError(
                f"step {self.steps + 1}: the loss is {loss:.3g}, its gradient's norm {norm:.3g}; "
                f"the first tensor that is not finite: {first}"
            )
        self._update(lr)
        self.steps += 1
        self._move_on()
        return loss

    def check_finite(self) -> None:
        """No NaN and no infinity is in what the next step begins with, as there is after an update that overflowed.

        Raises
        ------
        FloatingPointError
            Names the tensor.
        """
        if name := not_finite(self._tensors().items()):
            raise FloatingPointError(f"step {self.steps}: {name} is not finite")

    def state_dict(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that a later `step` depends on: tensors by name, and the rest as plain data that JSON can hold."""
        tensors = {name: tensor.copy() for name, tensor in self._tensors().items()}
        return tensors, {"steps": self.steps, "dropout": self.model.dropout_state(), **self._place()}

    def load_state_dict(self, tensors: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; from here on every step is the same, bit for bit.

        Raises
        ------
        ValueError, TypeError
            What another trainer gave, or nothing that a trainer gives; this one is as before.
        """
        check_kind("tensors", tensors, dict)
        check_kind("plain", plain, dict)
        before = self.state_dict()
        try:
            self._take_over(tensors, plain)
        except (KeyError, TypeError, ValueError) as error:
            self._take_over(*before)
            raise ValueError(f"tensors and plain must be what state_dict of such a trainer gave: {error}") from error

    def _take_over(self, tensors: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        groups: dict[str, dict[str, np.ndarray]] = {"model": {}, "optimizer": {}, "place": {}}
        for name, tensor in tensors.items():
            group, _, rest = str(name).partition(".")
            groups[group][rest] = tensor
        self.model.load_state_dict(groups["model"])
        self.optimizer.load_state_dict(groups["optimizer"])
        dropout = plain["dropout"]
        if "bit_generator" in dropout:  # of an earlier version, which kept that of the recurrent layer alone
            dropout = {part_name(self.model.recurrent): dropout}
        self.model.set_dropout_state(dropout)
        self._set_place(groups["place"], plain)
        self.steps = as_size("steps", plain["steps"], least=0)

    @abstractmethod
    def _forward_and_backward(self) -> float:
        """Add the gradients of the next batch, and return its loss."""

    @property
    @abstractmethod
    def _rows(self) -> int:
        """Sequences, or streams, in a batch."""

    @abstractmethod
    def _of_rows(self, part: slice) -> Trainer:
        """A trainer of the same model and optimiser, but of these rows of every batch alone, from the beginning."""

    def _twin(self) -> Self:
        """Another of the same model and data, for `_of_rows`."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _tape=None)
        return twin

    @abstractmethod
    def _weight(self) -> float:
        """What all that the loss of the next batch is a mean of weighs together."""

    def _clip(self) -> float:
        """Scale the gradients down if need be; their norm before."""
        return clip_grad_norm(self.model.layers, self.clip)

    def _update(self, lr: float | None) -> None:
        """Move the parameters by their gradients."""
        self.optimizer.step(lr)

    def _first_not_finite(self) -> str | None:
        """The name of the first tensor of the step under way that is not finite."""
        return not_finite(self._in_order_of_use())

    def _in_order_of_use(self) -> Iterator[tuple[str, np.ndarray]]:
        """What the step under way has read and computed, by name: weights, the batch, gradients."""
        weights = self.model.params
        yield from weights.items()
        yield from self._batch()
        gradients = [gradient for layer in self.model.layers for gradient in layer.grads.values()]
        for name, gradient in reversed(list(zip(weights, gradients, strict=True))):
            yield f"the gradient of {name}", gradient

    def _batch(self) -> Iterable[tuple[str, np.ndarray]]:
        """Numbers that the next batch consists of, by name."""
        return ()

    @abstractmethod
    def _move_on(self) -> None:
        """Go to the batch after that, the parameters being updated."""

    @abstractmethod
    def _place(self) -> dict[str, Any]:
        """Which batch is next, as plain data."""

    def _tensors(self) -> dict[str, np.ndarray]:
        """What `state_dict` copies."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.params.items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizer.tensors().items()}
        return tensors | {f"place.{name}": tensor for name, tensor in self._tensors_of_place().items()}

    def _tensors_of_place(self) -> dict[str, np.ndarray]:
        """Which arrays the next batch needs besides."""
        return {}

    @abstractmethod
    def _set_place(self, tensors: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        """Go to where `_place` and `_tensors_of_place` were asked."""


def not_finite(tensors: Iterable[tuple[str, np.ndarray]]) -> str | None:
    """The name of the first that holds NaN or an infinity."""
    return next((name for name, tensor in tensors if not np.isfinite(tensor).all()), None)
