"""`AttentionOverTime`: pooling over time by a learned query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_seed, as_size
from nblstm.layers.attention import layout, masked_softmax, scale
from nblstm.layers.parameters import Block
from nblstm.layers.pooling import Pooling, inside
from nblstm.losses.softmax import softmax_backward


class AttentionOverTime(Pooling):
    r"""A weighted mean of a sequence's vectors; a learned query decides the weights.

    .. math:: y = \sum_{t < n} a_t x_t, \qquad a = \mathrm{softmax}(s), \qquad
        s_t = \frac{q \cdot x_t}{\sqrt{F}} \quad \text{or, with units,} \quad s_t = q \cdot \tanh(W x_t + b)

    and backward, with :math:`ds = a \odot (da - a \cdot da)` and :math:`da_t = dy \cdot x_t`,

    .. math:: dx_t = a_t \, dy + \frac{ds_t}{\sqrt{F}} \, q \quad \text{or} \quad dx_t = a_t \, dy + W^T dz_t, \qquad
        dz_t = ds_t \, q \odot (1 - \tanh^2(W x_t + b)).

    Parameters
    ----------
    features : int
        F, the width of x.
    units : int, optional
        U: additive attention, with ``query`` (U,), ``weight`` (U, F) and ``bias`` (U,). Without it, scaled dot-product
        attention, with ``query`` (F,) alone. All are uniform in (-1/sqrt(n), 1/sqrt(n)), n being U for an additive
        query and else F.
    batch_first : bool
        Whether x is (B, T, F) instead of (T, B, F), as for a recurrent layer.
    dtype : {"float32", "float64"}
        Of parameters and x.
    seed : int, optional
        For the draw; None draws anew.

    Raises
    ------
    TypeError
        An argument of another kind; x of another dtype.
    ValueError
        A size below 1; x of another width, lengths outside 0..T.

    References
    ----------
    Z. Yang and others, "Hierarchical attention networks for document classification", NAACL 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import GRU, AttentionOverTime, Linear, Sequential
    >>> net = Sequential(GRU(3, 8, seed=0), AttentionOverTime(8, units=5, seed=1), Linear(8, 2, seed=2))
    >>> y, _ = net(np.ones((7, 4, 3), "float32"), lengths=[7, 2, 0, 5])
    >>> y.shape
    (4, 2)
    """

    def __init__(
        self, features: int, units: int | None = None, *, batch_first: bool = False, dtype: str = "float32",
        seed: int | None = None,
    ) -> None:  # fmt: skip
        self.in_features = self.out_features = F = as_size("features", features)
        self.units = None if units is None else as_size("units", units)
        shapes: dict[str, tuple[int, ...]] = {"query": (self.units or F,)}
        if self.units is not None:
            shapes |= {"weight": (self.units, F), "bias": (self.units,)}
        super().__init__(shapes, dtype, batch_first=batch_first)
        generator = np.random.default_rng(as_seed(seed))
        with self.editing() as p:
            for name, tensor in p.items():
                summed = tensor.size if name == "query" else F
                tensor[...] = generator.uniform(-1, 1, tensor.shape) / np.sqrt(summed)

    def __repr__(self) -> str:
        units = "" if self.units is None else f", units={self.units}"
        return f"AttentionOverTime({self.in_features}{units}{layout(self.batch_first)})"

    def weights(self, x: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """How much each step counts: (T, B), (B, T) if `batch_first`, or (T,) without a batch; arguments as the call.

        The weights of a sequence sum to 1, or, of one without steps, to 0.
        """
        by_time, _, within = self._checked(x, lengths)
        shares = self._shares(by_time, within)[1]
        return shares[:, 0] if x.ndim == 2 else shares.T if self.batch_first else shares

    def _shares(self, x: np.ndarray, within: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """x (T, B, F) with zeros past each end, the weights (T, B), and with units the tanh of its sums (T, B, U)."""
        x, p = inside(x, within), self.params
        if self.units is None:
            return x, masked_softmax((x @ p["query"]) * scale(x), within, 0), None
        z = np.tanh(x @ p["weight"].T + p["bias"])
        return x, masked_softmax(z @ p["query"], within, 0), z

    def _compute(self, x: np.ndarray, steps: np.ndarray, within: np.ndarray | None) -> tuple[np.ndarray, Any]:
        kept = x, shares, _ = self._shares(x, within)
        return (shares.T[:, None] @ x.transpose(1, 0, 2))[:, 0], kept

    def _derive(
        self, dy: np.ndarray, shape: tuple[int, ...], steps: np.ndarray, within: np.ndarray | None, kept: Any,
        grads: Block,
    ) -> np.ndarray:  # fmt: skip
        (x, shares, z), p = kept, self.params
        dscores = softmax_backward((x * dy).sum(axis=2), shares, 0)
        dx = shares[..., None] * dy
        if z is None:
            dscores = dscores * scale(x)
            grads["query"] += np.tensordot(dscores, x, 2)
            return dx + dscores[..., None] * p["query"]
        grads["query"] += np.tensordot(dscores, z, 2)
        dz = dscores[..., None] * p["query"] * (1 - z * z)
        grads["weight"] += np.tensordot(dz, x, ([0, 1], [0, 1]))
        grads["bias"] += dz.sum(axis=(0, 1))
        return dx + dz @ p["weight"]
