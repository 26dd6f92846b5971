"""Training step by step: what every trainer does, `TextTrainer` for a text, `BatchTrainer` for separate sequences."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_number, as_size, check_array
from nblstm.clipping import clip_grad_norm
from nblstm.layers.checks import check_lengths
from nblstm.losses import cross_entropy
from nblstm.models import CharLM, Network, SequenceModel
from nblstm.optim import Optimizer

IGNORED = -1  # the target of places that only fill up a batch


class Trainer(ABC):
    """What every training does with one batch after another; a subclass says what a batch is.

    Attributes
    ----------
    steps : int
        Steps taken.
    """

    def __init__(self, model: Network, optimizer: Optimizer, clip: float) -> None:
        if any(layer not in model.layers for layer in optimizer.layers):
            raise ValueError("optimizer must be over the layers of the model, got one over others")
        self.model, self.optimizer = model, optimizer
        self.clip = as_number("clip", clip, positive=True, finite=False)
        self.steps = 0
        self._tape: Any = None

    def step(self, lr: float | None = None) -> float:
        """Learn from the next batch; its loss, before the update.

        Parameters
        ----------
        lr : float, optional
            The learning rate of this step; the optimiser's own by default.

        Raises
        ------
        FloatingPointError
            Loss or gradient is no longer finite. The parameters are still those of the step before; what else changes
            in a step is not, so go on from a checkpoint.
        """
        self.model.zero_grad()
        loss = self._forward_and_backward()
        norm = clip_grad_norm(self.model.layers, self.clip)
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise FloatingPointError(f"step {self.steps + 1}: the loss is {loss:.3g}, its gradient's norm {norm:.3g}")
        self.optimizer.step(lr)
        self.steps += 1
        self._move_on()
        return loss

    def state_dict(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that a later `step` depends on: tensors by name, and the rest as plain data that JSON can hold."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state_dict().items()}
        tensors |= {f"place.{name}": tensor for name, tensor in self._tensors_of_place().items()}
        return tensors, {"steps": self.steps, "dropout": self.model.recurrent.dropout_state(), **self._place()}

    def load_state_dict(self, tensors: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; from here on every step is the same, bit for bit."""
        groups: dict[str, dict[str, np.ndarray]] = {"model": {}, "optimizer": {}, "place": {}}
        for name, tensor in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = tensor
        self.model.load_state_dict(groups["model"])
        self.optimizer.load_state_dict(groups["optimizer"])
        self.model.recurrent.set_dropout_state(plain["dropout"])
        self._set_place(groups["place"], plain)
        self.steps = as_size("steps", plain["steps"], least=0)

    @abstractmethod
    def _forward_and_backward(self) -> float:
        """Add the gradients of the next batch, and return its loss."""

    @abstractmethod
    def _move_on(self) -> None:
        """Go to the batch after that, the parameters being updated."""

    @abstractmethod
    def _place(self) -> dict[str, Any]:
        """Which batch is next, as plain data."""

    def _tensors_of_place(self) -> dict[str, np.ndarray]:
        """Which arrays the next batch needs besides."""
        return {}

    @abstractmethod
    def _set_place(self, tensors: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        """Go to where `_place` and `_tensors_of_place` were asked."""


class TextTrainer(Trainer):
    r"""Truncated backpropagation through time over parallel streams of text.

    Window n covers T characters of every stream. Its loss is the mean cross-entropy of the T B predictions,

    .. math:: L_n = -\frac{1}{T B} \sum_{t, b} \log p(k_{t+1, b} \mid k_{1, b} \dots k_{t, b}),

    and its initial state is the last state of window n - 1: the *value* is carried over, so the model can remember more
    than one window, but the *gradient* is cut there. After the last whole window of the streams (fewer than T places
    stay unread) the next pass starts at their beginning, from a state of zeros: text does not continue there.

    Parameters
    ----------
    model : CharLM
    optimizer : Optimizer
        Over ``model.layers``.
    streams : numpy.ndarray of int, shape (L + 1, B)
        See `nblstm.datasets.streams`.
    window : int
        T, at most L.
    clip : float
        Gradients are scaled down to this norm, over all parameters together, if theirs is larger; `math.inf` for never.

    Attributes
    ----------
    position : int
        Row of `streams` where the next window starts.
    state : tuple of numpy.ndarray, numpy.ndarray or None
        What the next window starts from; None for zeros.

    Raises
    ------
    ValueError
        A window longer than the streams, or an optimiser over another model.

    Examples
    --------
    >>> from nblstm import Adam, CharLM
    >>> from nblstm.datasets import encode, streams
    >>> tokens = encode("abcd" * 50, "abcd")
    >>> model = CharLM("abcd", 4, 8, 1, seed=0)
    >>> trainer = TextTrainer(model, Adam(model.layers, lr=0.05), streams(tokens, 2, 9), window=9)
    >>> losses = [trainer.step() for _ in range(60)]
    >>> losses[0] > 1.5 and losses[-1] < 0.1
    True
    """

    model: CharLM

    def __init__(
        self, model: CharLM, optimizer: Optimizer, streams: np.ndarray, window: int, clip: float = math.inf
    ) -> None:
        super().__init__(model, optimizer, clip)
        self.streams = streams
        self.window = as_size("window", window)
        if self.window > len(streams) - 1:
            raise ValueError(f"window must be at most the streams' length of {len(streams) - 1}, got {window}")
        self.position = 0
        self.state: Any = None
        self._next_state: Any = None
        self._dlogits: np.ndarray | None = None

    def _forward_and_backward(self) -> float:
        inputs = self.streams[self.position : self.position + self.window]
        targets = self.streams[self.position + 1 : self.position + self.window + 1]
        logits, self._next_state, self._tape = self.model.forward(inputs, self.state, self._tape)
        loss, self._dlogits = cross_entropy(logits, targets, out=self._dlogits)
        self.model.backward(self._dlogits, self._tape)
        return loss / math.log(2)

    def _move_on(self) -> None:
        self.position += self.window
        self.state = self._next_state
        if self.position + self.window > len(self.streams) - 1:
            self.position, self.state = 0, None

    def _place(self) -> dict[str, Any]:
        return {"position": self.position}

    def _tensors_of_place(self) -> dict[str, np.ndarray]:
        members = () if self.state is None else self.state if isinstance(self.state, tuple) else (self.state,)
        return {str(index): member.copy() for index, member in enumerate(members)}

    def _set_place(self, tensors: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        members = tuple(tensors[name] for name in sorted(tensors))
        layer, batch_size = self.model.recurrent, self.streams.shape[1]
        shape = (layer.num_layers, batch_size, layer.hidden_size)
        if any(member.shape != shape for member in members) or len(members) not in (0, 1 + layer.has_cell):
            raise ValueError(f"the state must be arrays {shape}, got {[member.shape for member in members]}")
        position = as_size("position", plain["position"], least=0)
        if position > len(self.streams) - 1 - self.window:
            raise ValueError(f"position must leave a window of {self.window}, got {position}")
        self.state = None if not members else members[0] if len(members) == 1 else members
        self.position = position


class BatchTrainer(Trainer):
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
        What ``model.loss`` takes.
    batch_size : int
        B, at most N.
    lengths : integers, shape (N,), optional
        Steps of each sequence; T by default.
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
        Fewer than B sequences, arrays that disagree about N, targets that ``model.loss`` refuses, or an optimiser over
        another model.

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
        lengths: Sequence[int] | np.ndarray | None = None, clip: float = math.inf, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(model, optimizer, clip)
        check_array("x", x, model.dtype, (None, None, model.recurrent.input_size))
        count = x.shape[1]
        if np.shape(targets)[:1] != (count,):
            raise ValueError(f"targets must be one for each of the {count} sequences, got shape {np.shape(targets)}")
        model.loss(np.zeros((count, model.linear.out_features), model.dtype), targets)  # refuses what no batch may hold
        self.x, self.targets = x, np.asarray(targets)
        self.lengths = None if lengths is None else check_lengths(lengths, *x.shape[:2])
        self.batch_size, self.seed = as_size("batch_size", batch_size), as_size("seed", seed, least=0)
        if self.batch_size > count:
            raise ValueError(f"batch_size must be at most the {count} sequences there are, got {batch_size}")
        self._begin_pass(0)

    def _begin_pass(self, number: int) -> None:
        self.passes, self.position = number, 0
        self._order = np.random.default_rng([self.seed, number]).permutation(self.x.shape[1])

    def _forward_and_backward(self) -> float:
        chosen = self._order[self.position : self.position + self.batch_size]
        lengths = None if self.lengths is None else self.lengths[chosen]
        z, self._tape = self.model.forward(self.x[:, chosen], lengths, self._tape)
        loss, dz = self.model.loss(z, self.targets[chosen])
        self.model.backward(dz, self._tape)
        return loss

    def _move_on(self) -> None:
        self.position += self.batch_size
        if self.position + self.batch_size > self.x.shape[1]:
            self._begin_pass(self.passes + 1)

    def _place(self) -> dict[str, Any]:
        return {"passes": self.passes, "position": self.position}

    def _set_place(self, tensors: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        position = as_size("position", plain["position"], least=0)
        if position > self.x.shape[1] - self.batch_size:
            raise ValueError(f"position must leave a batch of {self.batch_size}, got {position}")
        self._begin_pass(as_size("passes", plain["passes"], least=0))
        self.position = position


def evaluate(model: CharLM, tokens: np.ndarray, batch_size: int = 32, window: int = 100) -> float:
    """Bits per character of `model` over all of `tokens` but the first, which nothing precedes.

    For speed the text is cut into `batch_size` contiguous streams read side by side, each from a state of zeros and
    then, window after window, with its state carried on. So every character is predicted exactly once, and a few at the
    start of each stream with less context than they have in the text.

    Parameters
    ----------
    model : CharLM
    tokens : numpy.ndarray of int, shape (N,)
        At least two.
    batch_size, window : int

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Fewer than two tokens, or a size below 1.
    """
    batch_size, window = as_size("batch_size", batch_size), as_size("window", window)
    if len(tokens) < 2:
        raise ValueError(f"tokens must be at least two, got {len(tokens)}")
    predictions = len(tokens) - 1
    length = math.ceil(predictions / batch_size)
    filled = np.append(tokens, np.full(batch_size * length - predictions, IGNORED, tokens.dtype))
    columns = filled[np.arange(batch_size) * length + np.arange(length + 1)[:, None]]
    nats, state = 0.0, None
    for start in range(0, length, window):
        targets = columns[start + 1 : start + window + 1]
        inputs = columns[start : start + window][: len(targets)]
        logits, state = model(np.maximum(inputs, 0), state)
        nats += cross_entropy(logits, targets, ignore_index=IGNORED)[0] * np.count_nonzero(targets != IGNORED)
    return float(nats / predictions / math.log(2))


def predict(
    model: SequenceModel, x: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None, batch_size: int = 500
) -> np.ndarray:
    """The model's answers to any number of sequences, `batch_size` of them at a time.

    Parameters
    ----------
    model : SequenceModel
    x : numpy.ndarray, shape (T, N, I)
    lengths : integers, shape (N,), optional
    batch_size : int

    Returns
    -------
    numpy.ndarray, shape (N, outputs)

    Raises
    ------
    TypeError, ValueError
        What the model refuses, or a batch size below 1.
    """
    check_array("x", x, model.dtype, (None, None, model.recurrent.input_size))
    steps = None if lengths is None else check_lengths(lengths, *x.shape[:2])
    parts = [
        slice(start, start + batch_size) for start in range(0, max(1, x.shape[1]), as_size("batch_size", batch_size))
    ]
    return np.concatenate([model(x[:, part], None if steps is None else steps[part]) for part in parts])
