"""Activations as layers: tanh, the logistic function, the rectifier, softmax."""

from __future__ import annotations

import numpy as np

from nblstm.layers.features import FeatureLayer
from nblstm.layers.parameters import Block
from nblstm.losses.softmax import softmax, softmax_backward


class Activation(FeatureLayer):
    """A function without parameters, whose derivative follows from its value: that is all that the tape keeps."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _compute(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y = self._value(x)
        return y, y

    def _value(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class Tanh(Activation):
    r"""The hyperbolic tangent of every number.

    .. math:: y = \tanh x, \qquad dx = dy \, (1 - y^2)

    x is (..., F), float32 or float64; y has its shape and dtype.

    Raises
    ------
    TypeError
        x that is no array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import Tanh
    >>> tanh = Tanh()
    >>> y, tape = tanh.forward(np.array([0.0, 100.0]))
    >>> y, tanh.backward(np.ones(2), tape)
    (array([0., 1.]), array([1., 0.]))
    """

    def _value(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)

    def _derive(self, dy: np.ndarray, y: np.ndarray, grads: Block) -> np.ndarray:
        return dy * (1 - y * y)


class Sigmoid(Activation):
    r"""The logistic function of every number.

    .. math:: y = \frac{1}{1 + e^{-x}}, \qquad dx = dy \, y (1 - y)

    x is (..., F), float32 or float64; y has its shape and dtype. No exponential is taken of a number above 0, so x of
    any size is safe.

    Raises
    ------
    TypeError
        x that is no array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import Sigmoid
    >>> Sigmoid()(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """

    def _value(self, x: np.ndarray) -> np.ndarray:
        small = np.exp(-np.abs(x))
        return np.where(x >= 0, 1, small) / (1 + small)

    def _derive(self, dy: np.ndarray, y: np.ndarray, grads: Block) -> np.ndarray:
        return dy * y * (1 - y)


class ReLU(Activation):
    r"""The rectifier of every number.

    .. math:: y = \max(x, 0), \qquad dx = dy \, [x > 0]

    x is (..., F), float32 or float64; y has its shape and dtype. NaN stays NaN.

    Raises
    ------
    TypeError
        x that is no array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import ReLU
    >>> ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def _value(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    def _derive(self, dy: np.ndarray, y: np.ndarray, grads: Block) -> np.ndarray:
        return np.where(y > 0, dy, 0)


class Softmax(Activation):
    r"""The softmax over the last axis.

    .. math:: y_k = \frac{e^{x_k}}{\sum_j e^{x_j}}, \qquad dx_k = y_k \Big(dy_k - \sum_j dy_j \, y_j\Big)

    x is (..., F), float32 or float64; y has its shape and dtype. In front of `cross_entropy`, which takes the logits,
    it would be one softmax too many.

    Raises
    ------
    TypeError
        x that is no array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import Softmax
    >>> Softmax()(np.log([[1.0, 3.0]]))
    array([[0.25, 0.75]])
    """

    def _value(self, x: np.ndarray) -> np.ndarray:
        return softmax(x)

    def _derive(self, dy: np.ndarray, y: np.ndarray, grads: Block) -> np.ndarray:
        return softmax_backward(dy, y, -1)
