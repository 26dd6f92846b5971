"""Softmax and its logarithm, as functions of an array."""

from __future__ import annotations

import numpy as np

from nblstm.arguments import as_integer, check_array


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    r"""Numbers turned into shares of 1, along one axis.

    .. math:: y_k = \frac{e^{x_k}}{\sum_j e^{x_j}}

    The largest number is subtracted before the exponential, so numbers of any size are safe.

    Parameters
    ----------
    x : numpy.ndarray, at least one dimension, float32 or float64
        Logits, say.
    axis : int
        Along which the shares sum to 1.

    Returns
    -------
    numpy.ndarray
        In the shape and dtype of x, a fresh array. Where x has NaN or plus infinity, or minus infinity alone, it is
        NaN.

    Raises
    ------
    TypeError
        x of another kind, `axis` no integer.
    ValueError
        `axis` that x does not have.

    Examples
    --------
    >>> softmax(np.log([[1.0, 3.0], [2.0, 2.0]]))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    x, axis = _checked(x, axis)
    with np.errstate(invalid="ignore", over="ignore"):  # an infinity minus itself; a number far below the largest
        shares = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
        return shares / shares.sum(axis=axis, keepdims=True)


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    r"""The logarithm of `softmax`, without the loss of small shares that taking it afterwards would bring.

    .. math:: y_k = x_k - \log \sum_j e^{x_j}

    Parameters and errors are those of `softmax`.

    Parameters
    ----------
    x : numpy.ndarray of float32 or float64
        Of any shape with at least one axis.
    axis : int
        Along which the exponentials sum to 1.

    Returns
    -------
    numpy.ndarray, shape and dtype of x

    Raises
    ------
    TypeError, ValueError
        As for `softmax`.

    Examples
    --------
    >>> log_softmax(np.array([0.0, -1000.0]))
    array([    0., -1000.])
    """
    x, axis = _checked(x, axis)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # as above; the logarithm of nothing
        below = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
        return below - np.log(np.exp(below).sum(axis=axis, keepdims=True))


def softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """The gradient by x of what `softmax` made y of: y (dy - sum of dy y)."""
    return y * (dy - (dy * y).sum(axis=axis, keepdims=True))


def _checked(x: np.ndarray, axis: int) -> tuple[np.ndarray, int]:
    dtype = np.dtype("float64") if getattr(x, "dtype", None) == np.float64 else np.dtype("float32")
    x = check_array("x", x, dtype)
    if x.ndim == 0:
        raise ValueError("x must have at least one dimension, got a single number")
    axis = as_integer("axis", axis, least=-x.ndim)
    if axis >= x.ndim:
        raise ValueError(f"axis must be below {x.ndim} for x of shape {x.shape}, got {axis}")
    return np.ascontiguousarray(x), axis
