"""Pooling over time: a sequence of vectors becomes one, its mean, its largest numbers or its last vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_flag
from nblstm.layers.checks import check_grads, check_lengths
from nblstm.layers.features import in_dtype_of, in_order
from nblstm.layers.layer import Layer
from nblstm.layers.parameters import Block, Shapes
from nblstm.layers.recording import Record


def inside(x: np.ndarray, within: np.ndarray | None, other: float = 0.0) -> np.ndarray:
    """x (T, B, F) with `other` past the end of each sequence, whatever stands there; `within` (T, B) says where not."""
    return x if within is None else np.where(within[..., None], x, x.dtype.type(other))


class Pooling(Layer, ABC):
    """Sequences (T, B, F) in, vectors (B, F) out; subclasses write `_compute` and `_derive`, and say `in_features`."""

    reads_lengths = pools = True
    in_features: int | None = None

    def __init__(self, shapes: Shapes | None = None, dtype: str | None = None, *, batch_first: bool = False) -> None:
        super().__init__(shapes, dtype)
        self.batch_first = as_flag("batch_first", batch_first)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'batch_first=True' * self.batch_first})"

    def __call__(self, x: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """One vector for each sequence; nothing is kept.

        Parameters
        ----------
        x : numpy.ndarray, shape (T, B, F), (B, T, F) if `batch_first`, or (T, F) without a batch
            float32 or float64; T is at least 1.
        lengths : integers, shape (B,), optional
            Steps of each sequence, 0..T; T by default. Past its end a sequence's x is not read. What comes of a
            sequence without steps is zeros.

        Returns
        -------
        numpy.ndarray, shape (B, F), or (F,) without a batch
            A fresh array of the dtype of x.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind, dtype or shape.
        """
        by_time, steps, within = self._checked(x, lengths)
        y = self._compute(by_time, steps, within)[0]
        return y[0] if x.ndim == 2 else y

    def forward(
        self, x: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None, tape: Record | None = None
    ) -> tuple[np.ndarray, Record]:
        """As the call, but y is read-only, and the tape keeps what `backward` needs.

        x may be kept by reference and must not change before backward.
        """
        by_time, steps, within = self._checked(x, lengths)
        y, kept = self._compute(by_time, steps, within)
        return self.record(tape, y[0] if x.ndim == 2 else y, (by_time.shape, x.ndim == 2, steps, within, kept))

    def backward(
        self, dy: np.ndarray, tape: Record, need_dx: bool = True, grads: Block | None = None
    ) -> np.ndarray | None:
        """dx in the form of x, zero past the end of each sequence, or None without `need_dx`.

        Raises
        ------
        RuntimeError
            A second backward on one forward, or parameters written since.
        TypeError, ValueError
            dy of another dtype or shape; a tape of another layer.
        """
        block, need_dx = check_grads(self, grads), as_flag("need_dx", need_dx)
        dy, (shape, unbatched, steps, within, kept) = self.replay(tape, dy)
        dy = in_order(dy)
        dx = self._derive(dy[None] if unbatched else dy, shape, steps, within, kept, block)
        if not need_dx:
            return None
        return dx[:, 0] if unbatched else dx.transpose(1, 0, 2) if self.batch_first else dx

    def _checked(
        self, x: np.ndarray, lengths: Sequence[int] | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """x (T, B, F), the steps (B,) of each sequence, and where (T, B) those are; None if everywhere."""
        x = in_order(in_dtype_of(self, "x", x))
        if x.ndim not in (2, 3):
            raise ValueError(f"x must have 2 dimensions (T, F) or 3 with a batch, got {x.ndim}")
        if self.in_features not in (None, x.shape[-1]):
            raise ValueError(f"x must have {self.in_features} features, its last axis, got shape {x.shape}")
        by_time = x[:, None] if x.ndim == 2 else x.transpose(1, 0, 2) if self.batch_first else x
        T, B, _ = by_time.shape
        if T < 1:
            raise ValueError(f"x must have at least one time step, got shape {x.shape}")
        if lengths is None:
            return by_time, np.full(B, T), None
        if x.ndim == 2:
            raise ValueError("lengths must be None for x without a batch, whose length is its number of steps")
        steps = check_lengths(lengths, T, B)
        return by_time, steps, np.arange(T)[:, None] < steps

    @abstractmethod
    def _compute(self, x: np.ndarray, steps: np.ndarray, within: np.ndarray | None) -> tuple[np.ndarray, Any]:
        """y (B, F) of x (T, B, F) as a fresh array, and what `_derive` needs besides."""

    @abstractmethod
    def _derive(
        self, dy: np.ndarray, shape: tuple[int, ...], steps: np.ndarray, within: np.ndarray | None, kept: Any,
        grads: Block,
    ) -> np.ndarray:  # fmt: skip
        """dx (T, B, F) as a fresh array; the parameters' gradients are added to `grads`."""


class MeanOverTime(Pooling):
    r"""The mean of a sequence's vectors, over its own steps.

    .. math:: y = \frac{1}{n} \sum_{t < n} x_t, \qquad dx_t = \frac{dy}{n} \text{ for } t < n, \text{ or else } 0

    Parameters
    ----------
    batch_first : bool
        Whether x is (B, T, F) instead of (T, B, F), as for a recurrent layer.

    Raises
    ------
    TypeError
        x that is no array of float32 or float64.
    ValueError
        x without a step or of another rank, lengths outside 0..T.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import MeanOverTime
    >>> x = np.array([[[1.0], [5.0]], [[3.0], [np.nan]]])  # two steps of two sequences; the second ends after one
    >>> MeanOverTime()(x, lengths=[2, 1])
    array([[2.],
           [5.]])
    """

    def _compute(self, x: np.ndarray, steps: np.ndarray, within: np.ndarray | None) -> tuple[np.ndarray, None]:
        return inside(x, within).sum(axis=0) / self._count(steps, x.dtype), None

    def _derive(
        self, dy: np.ndarray, shape: tuple[int, ...], steps: np.ndarray, within: np.ndarray | None, kept: None,
        grads: Block,
    ) -> np.ndarray:  # fmt: skip
        share = np.broadcast_to(dy / self._count(steps, dy.dtype), shape)
        return share.copy() if within is None else inside(share, within)

    @staticmethod
    def _count(steps: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Steps to divide by, (B, 1): the sum over none is zero already."""
        return np.maximum(steps, 1).astype(dtype)[:, None]


class MaxOverTime(Pooling):
    r"""The largest number of each feature over a sequence's own steps.

    .. math:: y_f = \max_{t < n} x_{tf}, \qquad dx_{tf} = dy_f \text{ at the first } t \text{ that has it, or else } 0

    Parameters
    ----------
    batch_first : bool
        Whether x is (B, T, F) instead of (T, B, F), as for a recurrent layer.

    Raises
    ------
    TypeError
        x that is no array of float32 or float64.
    ValueError
        x without a step or of another rank, lengths outside 0..T.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import MaxOverTime
    >>> x = np.array([[[1.0], [5.0]], [[3.0], [np.nan]]])  # two steps of two sequences; the second ends after one
    >>> MaxOverTime()(x, lengths=[2, 1])
    array([[3.],
           [5.]])
    """

    def _compute(self, x: np.ndarray, steps: np.ndarray, within: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        where = inside(x, within, -np.inf).argmax(axis=0)[None]
        y = np.take_along_axis(x, where, axis=0)[0]
        return np.where((steps > 0)[:, None], y, x.dtype.type(0)), where

    def _derive(
        self, dy: np.ndarray, shape: tuple[int, ...], steps: np.ndarray, within: np.ndarray | None, kept: np.ndarray,
        grads: Block,
    ) -> np.ndarray:  # fmt: skip
        dx = np.zeros(shape, dy.dtype)
        np.put_along_axis(dx, kept, np.where((steps > 0)[:, None], dy, dy.dtype.type(0))[None], axis=0)
        return dx


class LastOverTime(Pooling):
    r"""The vector of a sequence's last step.

    .. math:: y = x_{n-1}, \qquad dx_{n-1} = dy, \text{ and } 0 \text{ elsewhere}

    Parameters
    ----------
    bidirectional : bool
        Whether x comes from a recurrent layer in two directions. The second half of the features, which has read the
        sequence backward, is then taken from the first step, where it has read all of it.
    batch_first : bool
        Whether x is (B, T, F) instead of (T, B, F), as for a recurrent layer.

    Raises
    ------
    TypeError
        x that is no array of float32 or float64.
    ValueError
        x without a step or of another rank, lengths outside 0..T; with `bidirectional` an odd number of features.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import GRU, LastOverTime
    >>> gru, x = GRU(3, 4, bidirectional=True, seed=0), np.ones((5, 2, 3), "float32")
    >>> y, h_n = gru(x, lengths=[5, 2])
    >>> bool((LastOverTime(bidirectional=True)(y, [5, 2]) == np.concatenate(h_n, axis=1)).all())
    True
    """

    def __init__(self, *, bidirectional: bool = False, batch_first: bool = False) -> None:
        super().__init__(batch_first=batch_first)
        self.bidirectional = as_flag("bidirectional", bidirectional)

    def __repr__(self) -> str:
        own = ["bidirectional=True"] * self.bidirectional + ["batch_first=True"] * self.batch_first
        return f"LastOverTime({', '.join(own)})"

    def _compute(self, x: np.ndarray, steps: np.ndarray, within: np.ndarray | None) -> tuple[np.ndarray, None]:
        y = x[steps - 1, np.arange(len(steps))]
        if self.bidirectional:
            half = self._half(x.shape[-1])
            y[:, half:] = x[0, :, half:]
        y[steps == 0] = 0
        return y, None

    def _derive(
        self, dy: np.ndarray, shape: tuple[int, ...], steps: np.ndarray, within: np.ndarray | None, kept: None,
        grads: Block,
    ) -> np.ndarray:  # fmt: skip
        dx, some = np.zeros(shape, dy.dtype), np.flatnonzero(steps)
        half = self._half(shape[-1]) if self.bidirectional else shape[-1]
        dx[steps[some] - 1, some, :half] = dy[some, :half]
        dx[0, some, half:] = dy[some, half:]
        return dx

    @staticmethod
    def _half(features: int) -> int:
        if features % 2:
            raise ValueError(f"x must have an even number of features, half of them of each direction, got {features}")
        return features // 2
