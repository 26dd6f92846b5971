"""`LayerNorm`: features brought to mean 0 and variance 1, at each step of each sequence by itself."""

from __future__ import annotations

import numpy as np

from nblstm.arguments import as_number, as_size
from nblstm.layers.features import FeatureLayer
from nblstm.layers.parameters import Block


class LayerNorm(FeatureLayer):
    r"""Normalises the last axis, then scales and shifts each feature.

    .. math::
        \hat x = \frac{x - \mu}{\sigma}, \qquad y = w \odot \hat x + b, \qquad
        \mu = \frac{1}{F} \sum_k x_k, \qquad \sigma^2 = \frac{1}{F} \sum_k (x_k - \mu)^2 + \epsilon

    and backward, with :math:`g = w \odot dy` and means over the features,

    .. math:: dx = \frac{1}{\sigma} \big(g - \overline{g} - \hat x \, \overline{g \odot \hat x}\big), \qquad
        dw = \sum dy \odot \hat x, \qquad db = \sum dy.

    Parameters
    ----------
    features : int
        F; ``weight`` (F,) begins as ones, ``bias`` (F,) as zeros.
    eps : float
        :math:`\epsilon \ge 0`, which keeps equal features from a division by zero.
    dtype : {"float32", "float64"}
        Of parameters, x and y.

    Raises
    ------
    TypeError
        An argument of another kind; x of another dtype.
    ValueError
        `features` below 1, `eps` below 0, or x of another width.

    Notes
    -----
    x is (..., F); y has its shape. No step and no sequence knows of another, so lengths make no difference.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv:1607.06450, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import LayerNorm
    >>> LayerNorm(2, eps=0.0, dtype="float64")(np.array([[1.0, 3.0], [-5.0, 5.0]]))
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    def __init__(self, features: int, *, eps: float = 1e-5, dtype: str = "float32") -> None:
        self.in_features = self.out_features = as_size("features", features)
        self.eps = as_number("eps", eps)
        super().__init__({"weight": (self.in_features,), "bias": (self.in_features,)}, dtype)
        with self.editing() as p:
            p["weight"][...] = 1

    def __repr__(self) -> str:
        return f"LayerNorm({self.in_features})"

    def _compute(self, x: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # what is not finite shows in y
            normed = x - x.mean(axis=-1, keepdims=True)
            deviation = np.sqrt(np.square(normed).mean(axis=-1, keepdims=True) + self.dtype.type(self.eps))
            normed /= deviation
            return self.params["weight"] * normed + self.params["bias"], (normed, deviation)

    def _derive(self, dy: np.ndarray, kept: tuple[np.ndarray, np.ndarray], grads: Block) -> np.ndarray:
        normed, deviation = kept
        rows = tuple(range(dy.ndim - 1))
        grads["weight"] += (dy * normed).sum(axis=rows)
        grads["bias"] += dy.sum(axis=rows)
        g = dy * self.params["weight"]
        return (g - g.mean(axis=-1, keepdims=True) - normed * (g * normed).mean(axis=-1, keepdims=True)) / deviation
