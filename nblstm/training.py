"""Training a `CharLM`: truncated backpropagation through time, and evaluation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nblstm.arguments import as_size
from nblstm.clipping import clip_grad_norm
from nblstm.losses import cross_entropy
from nblstm.models import CharLM, Tape
from nblstm.optim import Optimizer

IGNORED = -1  # the target of places that only fill up a batch


class Trainer:
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
    steps : int
        Steps taken.
    position : int
        Row of `streams` where the next window starts.
    state : tuple of numpy.ndarray, numpy.ndarray or None
        What the next window starts from; None for zeros.

    Examples
    --------
    >>> from nblstm import Adam, CharLM
    >>> from nblstm.datasets import encode, streams
    >>> tokens = encode("abcd" * 50, "abcd")
    >>> model = CharLM("abcd", 4, 8, 1, seed=0)
    >>> trainer = Trainer(model, Adam(model.layers, lr=0.05), streams(tokens, 2, 9), window=9)
    >>> losses = [trainer.step() for _ in range(60)]
    >>> losses[0] > 1.5 and losses[-1] < 0.1
    True
    """

    def __init__(
        self, model: CharLM, optimizer: Optimizer, streams: np.ndarray, window: int, clip: float = math.inf
    ) -> None:
        self.model, self.optimizer, self.streams, self.clip = model, optimizer, streams, clip
        self.window = as_size("window", window)
        if self.window > len(streams) - 1:
            raise ValueError(f"window must be at most the streams' length of {len(streams) - 1}, got {window}")
        self.steps = self.position = 0
        self.state: Any = None
        self._tape: Tape | None = None
        self._dlogits: np.ndarray | None = None

    def step(self, lr: float | None = None) -> float:
        """Learn from the next window; its loss, in bits per character, before the update.

        Parameters
        ----------
        lr : float, optional
            The learning rate of this step; the optimiser's own by default.

        Raises
        ------
        FloatingPointError
            Loss or gradient is no longer finite. The parameters are still those of the step before; the carried state
            is not, so go on from a checkpoint.
        """
        inputs = self.streams[self.position : self.position + self.window]
        targets = self.streams[self.position + 1 : self.position + self.window + 1]
        logits, state, self._tape = self.model.forward(inputs, self.state, self._tape)
        loss, self._dlogits = cross_entropy(logits, targets, out=self._dlogits)
        self.model.zero_grad()
        self.model.backward(self._dlogits, self._tape)
        norm = clip_grad_norm(self.model.layers, self.clip)
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise FloatingPointError(f"step {self.steps + 1}: the loss is {loss:.3g}, its gradient's norm {norm:.3g}")
        self.optimizer.step(lr)
        self.steps += 1
        self.position += self.window
        self.state = state
        if self.position + self.window > len(self.streams) - 1:
            self.position, self.state = 0, None
        return loss / math.log(2)

    def state_dict(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that a later `step` depends on: tensors by name, and the rest as plain data that JSON can hold."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state_dict().items()}
        if self.state is not None:
            members = self.state if isinstance(self.state, tuple) else (self.state,)
            tensors |= {f"state.{index}": member.copy() for index, member in enumerate(members)}
        dropout = self.model.recurrent.dropout_state()
        return tensors, {"steps": self.steps, "position": self.position, "dropout": dropout}

    def load_state_dict(self, tensors: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; from here on every step is the same, bit for bit."""
        groups: dict[str, dict[str, np.ndarray]] = {"model": {}, "optimizer": {}, "state": {}}
        for name, tensor in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = tensor
        self.model.load_state_dict(groups["model"])
        self.optimizer.load_state_dict(groups["optimizer"])
        self.model.recurrent.set_dropout_state(plain["dropout"])
        members = tuple(groups["state"][name] for name in sorted(groups["state"]))
        layer, batch_size = self.model.recurrent, self.streams.shape[1]
        shape = (layer.num_layers, batch_size, layer.hidden_size)
        if any(member.shape != shape for member in members) or len(members) not in (0, 1 + layer.has_cell):
            raise ValueError(f"the state must be arrays {shape}, got {[member.shape for member in members]}")
        if not 0 <= plain["position"] <= len(self.streams) - 1 - self.window:
            raise ValueError(f"the position must leave a window of {self.window}, got {plain['position']}")
        self.state = None if not members else members[0] if len(members) == 1 else members
        self.steps, self.position = as_size("steps", plain["steps"], least=0), plain["position"]


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
    """
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
