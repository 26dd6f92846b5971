"""Truncated backpropagation through time over a text, and the bits per token that it leads to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nblstm.arguments import as_size, check_array, check_kind
from nblstm.losses.loss_functions import cross_entropy
from nblstm.models import LanguageModel
from nblstm.optim.optimizers import Optimizer
from nblstm.training.trainer import Trainer

IGNORED = -1  # the target of places that only fill up a batch
LOGITS = 2**22
"""Numbers that an evaluation has in memory at once: of ten thousand words a whole window would be 128 MB."""


class TextTrainer(Trainer):
    r"""Truncated backpropagation through time over parallel streams of text.

    Window n covers T tokens of every stream. Its loss is the mean cross-entropy of the T B predictions,

    .. math:: L_n = -\frac{1}{T B} \sum_{t, b} \log p(k_{t+1, b} \mid k_{1, b} \dots k_{t, b}),

    and its initial state is the last state of window n - 1: the *value* is carried over, so the model can remember more
    than one window, but the *gradient* is cut there. After the last whole window of the streams (fewer than T places
    stay unread) the next pass starts at their beginning, from a state of zeros: text does not continue there.

    Parameters
    ----------
    model : LanguageModel
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

    model: LanguageModel

    def __init__(
        self, model: LanguageModel, optimizer: Optimizer, streams: np.ndarray, window: int, clip: float = math.inf
    ) -> None:
        check_kind("model", model, LanguageModel)
        super().__init__(model, optimizer, clip)
        self.streams = model.embedding.check("streams", streams)
        if self.streams.ndim != 2 or not self.streams.size:
            raise ValueError(f"streams must have shape (L + 1, B), both at least 1, got {self.streams.shape}")
        self.window = as_size("window", window)
        if self.window > len(streams) - 1:
            raise ValueError(f"window must be at most the streams' length of {len(streams) - 1}, got {window}")
        self.position = 0
        self.state: Any = None
        self._next_state: Any = None
        self._dlogits: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the gradient's memory too, which the next step makes anew."""
        return super().__getstate__() | {"_dlogits": None}

    def _forward_and_backward(self) -> float:
        inputs = self.streams[self.position : self.position + self.window]
        targets = self.streams[self.position + 1 : self.position + self.window + 1]
        logits, self._next_state, self._tape = self.model.forward(inputs, self.state, self._tape)
        loss, self._dlogits = cross_entropy(logits, targets, out=self._dlogits)
        self.model.backward(self._dlogits, self._tape)
        return loss / math.log(2)

    @property
    def _rows(self) -> int:
        return int(self.streams.shape[1])

    def _of_rows(self, part: slice) -> TextTrainer:
        twin = self._twin()
        twin.streams = np.ascontiguousarray(self.streams[:, part])
        twin.position, twin.state, twin._next_state, twin._dlogits = 0, None, None, None
        return twin

    def _weight(self) -> float:
        return self.window * self.streams.shape[1]

    def _move_on(self) -> None:
        self.position += self.window
        self.state = self._next_state
        if self.position + self.window > len(self.streams) - 1:
            self.position, self.state = 0, None

    def _place(self) -> dict[str, Any]:
        return {"position": self.position}

    def _tensors_of_place(self) -> dict[str, np.ndarray]:
        members = () if self.state is None else self.state if isinstance(self.state, tuple) else (self.state,)
        return {str(index): member for index, member in enumerate(members)}

    def _set_place(self, tensors: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        layer, batch_size = self.model.recurrent, self.streams.shape[1]
        shape = (layer.num_layers, batch_size, layer.hidden_size)
        members = tuple(check_array(f"place.{name}", tensors[name], layer.dtype, shape) for name in sorted(tensors))
        if len(members) not in (0, len(layer.cell.states)):
            raise ValueError(f"the state must be {len(layer.cell.states)} arrays, got {len(members)}")
        position = as_size("position", plain["position"], least=0)
        if position > len(self.streams) - 1 - self.window:
            raise ValueError(f"position must leave a window of {self.window}, got {position}")
        self.state = None if not members else members[0] if len(members) == 1 else members
        self.position = position


def evaluate(model: LanguageModel, tokens: np.ndarray, batch_size: int = 32, window: int = 100) -> float:
    """Bits per token (a character, or a word) of `model` over all of `tokens` but the first, which nothing precedes.

    For speed the text is cut into `batch_size` contiguous streams read side by side, each from a state of zeros and
    then, window after window, with its state carried on. So every token is predicted exactly once, and a few at the
    start of each stream with less context than they have in the text.

    Parameters
    ----------
    model : LanguageModel
    tokens : numpy.ndarray of int, shape (N,)
        At least two.
    batch_size, window : int
        Streams, and steps of each that are read at once; fewer where the vocabulary is large.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Fewer than two tokens, or a size below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import CharLM
    >>> from nblstm.training import evaluate
    >>> model = CharLM("abcd", 4, 8, 1, seed=0)
    >>> bits = evaluate(model, np.tile([0, 1, 2, 3], 50), batch_size=4, window=10)
    >>> 1 < bits < 4  # an untrained model guesses about one of four: 2 bits
    True
    """
    check_kind("model", model, LanguageModel)
    batch_size, window = as_size("batch_size", batch_size), as_size("window", window)
    columns = side_by_side(model, tokens, batch_size)
    return float(nats_of(model, columns, window) / (len(tokens) - 1) / math.log(2))


def side_by_side(model: LanguageModel, tokens: np.ndarray, batch_size: int) -> np.ndarray:
    """The streams that `evaluate` reads, (L + 1, B); what fills up the last ones is `IGNORED`."""
    tokens = model.embedding.check("tokens", tokens).astype(np.int64)  # which has room for what marks no token
    if tokens.ndim != 1 or len(tokens) < 2:
        raise ValueError(f"tokens must be at least two in one row, got shape {tokens.shape}")
    predictions = len(tokens) - 1
    length = math.ceil(predictions / batch_size)
    filled = np.append(tokens, np.full(batch_size * length - predictions, IGNORED, tokens.dtype))
    return filled[np.arange(batch_size) * length + np.arange(length + 1)[:, None]]


def nats_of(model: LanguageModel, columns: np.ndarray, window: int) -> float:
    """What all tokens of streams that are read side by side cost together, but for the first of each."""
    nats, state, length = 0.0, None, len(columns) - 1
    steps = min(window, max(1, LOGITS // (columns.shape[1] * len(model.vocabulary))))
    for start in range(0, length, steps):
        targets = columns[start + 1 : start + steps + 1]
        inputs = columns[start : start + steps][: len(targets)]
        logits, state = model(np.maximum(inputs, 0), state)
        count = np.count_nonzero(targets != IGNORED)
        if count:  # there may be streams that are filled up alone
            nats += cross_entropy(logits, targets, ignore_index=IGNORED, out=logits)[0] * count
    return nats
