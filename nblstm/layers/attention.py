"""Attention: queries look at a sequence of keys; the scores are additive or scaled dot products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_flag, as_seed, as_size, check_array
from nblstm.layers.checks import check_grads, check_lengths
from nblstm.layers.features import in_dtype_of, in_order
from nblstm.layers.layer import Layer
from nblstm.layers.parameters import Block, Shapes
from nblstm.layers.pooling import inside
from nblstm.layers.recording import Record
from nblstm.losses.softmax import softmax_backward

Gradients = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def masked_softmax(scores: np.ndarray, within: np.ndarray | None, axis: int) -> np.ndarray:
    """Softmax over one axis of those scores that `within` names, all by default; zeros for the others."""
    if within is not None:
        scores = np.where(within, scores, scores.dtype.type(-np.inf))
    largest = scores.max(axis=axis, keepdims=True)
    with np.errstate(invalid="ignore"):  # an infinite score makes the weights NaN
        shares = np.exp(scores - np.where(largest == -np.inf, scores.dtype.type(0), largest))
        total = shares.sum(axis=axis, keepdims=True)
        return shares / np.where(total == 0, scores.dtype.type(1), total)  # of a sequence without steps: zeros


class Attention(Layer, ABC):
    """Queries look at a sequence of keys and take a mean of its values; subclasses say what scores a key.

    All arrays are seen as (B, steps, features) within.
    """

    reads_lengths = True
    query_size: int | None = None
    key_size: int | None = None

    def __init__(self, shapes: Shapes | None = None, dtype: str | None = None, *, batch_first: bool = False) -> None:
        super().__init__(shapes, dtype)
        self.batch_first = as_flag("batch_first", batch_first)

    def __call__(
        self, query: np.ndarray, keys: np.ndarray, values: np.ndarray | None = None,
        lengths: Sequence[int] | np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """The context of each query; nothing is kept.

        Parameters
        ----------
        query : numpy.ndarray, shape (T_q, B, Q), (B, T_q, Q) if `batch_first`, or (B, Q) for one query a sequence
            A decoder's hidden states, say: of all its steps, or of one.
        keys : numpy.ndarray, shape (T_k, B, K), or (B, T_k, K) if `batch_first`
            What is looked at: an encoder's outputs, say.
        values : numpy.ndarray, shape (T_k, B, V), or (B, T_k, V) if `batch_first`, optional
            What the mean is taken of; the keys by default.
        lengths : integers, shape (B,), optional
            Steps of each sequence of keys, 0..T_k; T_k by default. Past its end nothing is read. The context of a
            sequence without steps is zeros.

        Returns
        -------
        numpy.ndarray, shape (T_q, B, V), (B, T_q, V) if `batch_first`, or (B, V) for one query a sequence

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind, dtype or shape.
        """
        q, k, v, within = self._checked(query, keys, values, lengths)
        shares = masked_softmax(self._score(q, k)[0], within, 2)
        return self._as_given(shares @ (k if v is None else v), query.ndim == 2)

    def weights(
        self, query: np.ndarray, keys: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None
    ) -> np.ndarray:
        """How much each query takes of each key: shape (B, T_q, T_k), or (B, T_k) for one query a sequence.

        Each row sums to 1, or, of a sequence without steps, to 0. Parameters and errors are those of the call.
        """
        q, k, _, within = self._checked(query, keys, None, lengths)
        shares = masked_softmax(self._score(q, k)[0], within, 2)
        return shares[:, 0] if query.ndim == 2 else shares

    def forward(
        self, query: np.ndarray, keys: np.ndarray, values: np.ndarray | None = None,
        lengths: Sequence[int] | np.ndarray | None = None, tape: Record | None = None,
    ) -> tuple[np.ndarray, Record]:  # fmt: skip
        """As the call, but the result is read-only, and the tape keeps what `backward` needs.

        The arguments may be kept by reference and must not change before backward.
        """
        q, k, v, within = self._checked(query, keys, values, lengths)
        scores, kept = self._score(q, k)
        shares = masked_softmax(scores, within, 2)
        context = self._as_given(shares @ (k if v is None else v), query.ndim == 2)
        return self.record(tape, context, (q, k, v, shares, kept, query.ndim == 2))

    def backward(self, dy: np.ndarray, tape: Record, grads: Block | None = None) -> Gradients:
        """The gradients of query, keys and values, each in the form of its argument; the parameters' are added.

        Without values, what they would get is in the keys' gradient, and None stands in their place.

        Raises
        ------
        RuntimeError
            A second backward on one forward, or parameters written since.
        TypeError, ValueError
            dy of another dtype or shape; a tape of another layer.
        """
        block = check_grads(self, grads)
        dy, (q, k, v, shares, kept, single) = self.replay(tape, dy)
        dy = in_order(dy)
        dy = dy[:, None] if single else self._by_batch(dy)
        dvalues = shares.transpose(0, 2, 1) @ dy
        dscores = softmax_backward(dy @ (k if v is None else v).transpose(0, 2, 1), shares, 2)
        dquery, dkeys = self._score_backward(dscores, q, k, kept, block)
        if v is None:
            return self._as_given(dquery, single), self._as_given(dkeys + dvalues, False), None
        return self._as_given(dquery, single), self._as_given(dkeys, False), self._as_given(dvalues, False)

    @abstractmethod
    def _score(self, q: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, Any]:
        """Scores (B, T_q, T_k), and what `_score_backward` needs."""

    @abstractmethod
    def _score_backward(
        self, dscores: np.ndarray, q: np.ndarray, k: np.ndarray, kept: Any, grads: Block
    ) -> tuple[np.ndarray, np.ndarray]:
        """The gradients of q and k; those of the parameters are added to `grads`."""

    def _by_batch(self, array: np.ndarray) -> np.ndarray:
        """A view (B, T, ...) of what a caller gives."""
        return array if self.batch_first else array.transpose(1, 0, 2)

    def _as_given(self, array: np.ndarray, single: bool) -> np.ndarray:
        """The reverse; without the axis of steps if there is one query only."""
        return array[:, 0] if single else self._by_batch(array)

    def _checked(
        self, query: np.ndarray, keys: np.ndarray, values: np.ndarray | None,
        lengths: Sequence[int] | np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:  # fmt: skip
        """Query, keys and values (B, T, ...), and where (B, 1, T_k) the keys count; None if everywhere."""
        form = "(B, T_k, K)" if self.batch_first else "(T_k, B, K)"
        keys = in_order(in_dtype_of(self, "keys", keys))
        if keys.ndim != 3 or self.key_size not in (None, keys.shape[2]):
            raise ValueError(f"keys must have shape {form.replace('K', str(self.key_size or 'K'))}, got {keys.shape}")
        k = self._by_batch(keys)
        B, T, K = k.shape
        if T < 1 or K < 1:
            raise ValueError(f"keys must have at least one step and one feature, got shape {keys.shape}")
        query = check_array("query", query, keys.dtype)
        width = self._query_width(K)
        expected = (B, width) if query.ndim == 2 else (B, None, width) if self.batch_first else (None, B, width)
        query = in_order(check_array("query", query, keys.dtype, expected))
        q = query[:, None] if query.ndim == 2 else self._by_batch(query)
        v = None
        if values is not None:
            v = self._by_batch(in_order(check_array("values", values, keys.dtype, (*keys.shape[:2], None))))
        if lengths is None:
            return q, k, v, None
        within = np.arange(T) < check_lengths(lengths, T, B)[:, None]
        return q, inside(k, within), None if v is None else inside(v, within), within[:, None]

    def _query_width(self, key_width: int) -> int:
        """What queries must have beside keys of that width."""
        raise NotImplementedError


class DotProductAttention(Attention):
    r"""Attention whose score is the product of query and key, scaled.

    .. math:: s_{ij} = \frac{q_i \cdot k_j}{\sqrt{K}}, \qquad a_i = \mathrm{softmax}(s_i), \qquad
        y_i = \sum_j a_{ij} v_j

    and backward, with :math:`ds_i = a_i \odot (da_i - a_i \cdot da_i)` and :math:`da_{ij} = dy_i \cdot v_j`,

    .. math:: dq_i = \frac{1}{\sqrt{K}} \sum_j ds_{ij} k_j, \qquad dk_j = \frac{1}{\sqrt{K}} \sum_i ds_{ij} q_i, \qquad
        dv_j = \sum_i a_{ij} \, dy_i.

    It has no parameters: put a `Linear` in front of queries or keys to have some. Queries are as wide as keys.

    Parameters
    ----------
    batch_first : bool
        Whether arrays are (B, T, ...) instead of (T, B, ...), as for a recurrent layer.

    Raises
    ------
    TypeError
        Arrays that are neither float32 nor float64, or of different dtypes.
    ValueError
        Queries, keys and values that disagree about batch, steps or width; lengths outside 0..T_k.

    References
    ----------
    A. Vaswani and others, "Attention is all you need", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import DotProductAttention
    >>> attention, encoded = DotProductAttention(), np.zeros((7, 2, 4))  # 7 steps of 2 sequences
    >>> decoded = np.ones((5, 2, 4))
    >>> context, tape = attention.forward(decoded, encoded, lengths=[7, 2])
    >>> dquery, dkeys, _ = attention.backward(np.ones_like(context), tape)
    >>> context.shape, dkeys.shape, attention.weights(decoded, encoded, [7, 2])[1, 0]
    ((5, 2, 4), (7, 2, 4), array([0.5, 0.5, 0. , 0. , 0. , 0. , 0. ]))
    """

    def __init__(self, *, batch_first: bool = False) -> None:
        super().__init__(batch_first=batch_first)

    def __repr__(self) -> str:
        return f"DotProductAttention({'batch_first=True' * self.batch_first})"

    def _query_width(self, key_width: int) -> int:
        return key_width

    def _score(self, q: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, None]:
        return (q @ k.transpose(0, 2, 1)) * scale(k), None

    def _score_backward(
        self, dscores: np.ndarray, q: np.ndarray, k: np.ndarray, kept: None, grads: Block
    ) -> tuple[np.ndarray, np.ndarray]:
        dscores = dscores * scale(k)
        return dscores @ k, dscores.transpose(0, 2, 1) @ q


class AdditiveAttention(Attention):
    r"""Attention whose score is a small net of query and key.

    .. math:: s_{ij} = v \cdot \tanh(z_{ij}), \qquad z_{ij} = W_q q_i + W_k k_j + b, \qquad
        a_i = \mathrm{softmax}(s_i), \qquad y_i = \sum_j a_{ij} v_j

    and backward, with ds as in `DotProductAttention`,

    .. math:: dz_{ij} = ds_{ij} \, v \odot (1 - \tanh^2 z_{ij}), \qquad dv = \sum_{ij} ds_{ij} \tanh z_{ij}, \qquad
        dq_i = W_q^T \sum_j dz_{ij}, \qquad dk_j = W_k^T \sum_i dz_{ij},

    .. math:: dW_q = \sum_{ij} dz_{ij} q_i^T, \qquad dW_k = \sum_{ij} dz_{ij} k_j^T, \qquad db = \sum_{ij} dz_{ij}.

    Parameters
    ----------
    query_size, key_size : int
        Widths Q and K of queries and keys.
    units : int
        U, the width of z. ``weight_query`` is (U, Q), ``weight_key`` (U, K), ``bias`` and ``weight_score``, the v of
        the score, (U,); each uniform in (-1/sqrt(n), 1/sqrt(n)) of the n numbers that it is multiplied with, the bias
        as ``weight_key``.
    batch_first : bool
        Whether arrays are (B, T, ...) instead of (T, B, ...), as for a recurrent layer.
    dtype : {"float32", "float64"}
        Of parameters, queries, keys and values.
    seed : int, optional
        For the draw; None draws anew.

    Raises
    ------
    TypeError
        An argument of another kind; arrays of another dtype.
    ValueError
        A size below 1; queries, keys and values of other widths, or that disagree about batch or steps.

    Notes
    -----
    A tape keeps z, which is B T_q T_k U numbers.

    References
    ----------
    D. Bahdanau, K. Cho, Y. Bengio, "Neural machine translation by jointly learning to align and translate", ICLR 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import AdditiveAttention
    >>> attention = AdditiveAttention(3, 4, 8, seed=0)
    >>> state, encoded = np.ones((2, 3), "float32"), np.ones((7, 2, 4), "float32")  # one step of a decoder
    >>> context, tape = attention.forward(state, encoded, lengths=[7, 2])
    >>> dstate, dencoded, _ = attention.backward(np.ones_like(context), tape)
    >>> context.shape, dstate.shape, dencoded.shape
    ((2, 4), (2, 3), (7, 2, 4))
    """

    def __init__(
        self, query_size: int, key_size: int, units: int, *, batch_first: bool = False, dtype: str = "float32",
        seed: int | None = None,
    ) -> None:  # fmt: skip
        self.query_size, self.key_size = as_size("query_size", query_size), as_size("key_size", key_size)
        self.units = as_size("units", units)
        Q, K, U = self.query_size, self.key_size, self.units
        shapes = {"weight_query": (U, Q), "weight_key": (U, K), "bias": (U,), "weight_score": (U,)}
        super().__init__(shapes, dtype, batch_first=batch_first)
        generator = np.random.default_rng(as_seed(seed))
        with self.editing() as p:
            for name, summed in {"weight_query": Q, "weight_key": K, "bias": K, "weight_score": U}.items():
                p[name][...] = generator.uniform(-1, 1, p[name].shape) / np.sqrt(summed)

    def __repr__(self) -> str:
        return f"AdditiveAttention({self.query_size}, {self.key_size}, {self.units}{layout(self.batch_first)})"

    def _query_width(self, key_width: int) -> int:
        return self.query_size or 0

    def _score(self, q: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = self.params
        of_keys = k @ p["weight_key"].T + p["bias"]
        z = np.tanh((q @ p["weight_query"].T)[:, :, None] + of_keys[:, None])
        return z @ p["weight_score"], z

    def _score_backward(
        self, dscores: np.ndarray, q: np.ndarray, k: np.ndarray, z: np.ndarray, grads: Block
    ) -> tuple[np.ndarray, np.ndarray]:
        p = self.params
        grads["weight_score"] += np.tensordot(dscores, z, 3)
        dz = dscores[..., None] * p["weight_score"] * (1 - z * z)
        of_query, of_keys = dz.sum(axis=2), dz.sum(axis=1)
        grads["weight_query"] += np.tensordot(of_query, q, ([0, 1], [0, 1]))
        grads["weight_key"] += np.tensordot(of_keys, k, ([0, 1], [0, 1]))
        grads["bias"] += of_keys.sum(axis=(0, 1))
        return of_query @ p["weight_query"], of_keys @ p["weight_key"]


def scale(keys: np.ndarray) -> Any:
    """One over the root of the keys' width, in their dtype."""
    return keys.dtype.type(keys.shape[-1] ** -0.5)


def layout(batch_first: bool) -> str:
    """How `repr` shows it, behind other arguments."""
    return ", batch_first=True" if batch_first else ""
