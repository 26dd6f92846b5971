"""Losses: cross-entropy fused with softmax, and the mean squared error; each returns its value and its gradient."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nblstm.arguments import as_integers, as_size, as_weights, check_array
from nblstm.kernels.cross_entropy import rows_cross_entropy
from nblstm.kernels.driver import threads_for
from nblstm.kernels.tag import ANY

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_FLOAT32, _FLOAT64 = np.dtype("float32"), np.dtype("float64")


def _row_addresses(array: np.ndarray) -> np.ndarray:
    """Address of the first number of every row (last axis) of `array`, whatever the strides of the other axes."""
    addresses = np.array(array.ctypes.data)
    for extent, stride in zip(array.shape[:-1], array.strides[:-1], strict=True):
        addresses = np.add.outer(addresses, np.arange(extent) * stride)
    return addresses.ravel()


def _rows_are_dense(array: np.ndarray) -> bool:
    return array.size == 0 or array.shape[-1] == 1 or array.strides[-1] == array.itemsize


def _check_floats(name: str, array: np.ndarray) -> np.ndarray:
    return check_array(name, array, _FLOAT64 if getattr(array, "dtype", None) == _FLOAT64 else _FLOAT32)


def _prepare_out(like: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """`out` after its checks, or a new array for a gradient of the form of `like`."""
    if out is None:
        return np.empty(like.shape, like.dtype)
    out = check_array("out", out, like.dtype, like.shape)
    if not out.flags.writeable:
        raise ValueError("out must be writable, got a read-only array")
    return out


def _check_targets(targets: np.ndarray, logits: np.ndarray, ignore_index: int | None) -> np.ndarray:
    """`targets` as a flat array of int64 after the checks of type, shape and range."""
    found = as_integers("targets", targets)
    if found.shape != logits.shape[:-1]:
        raise ValueError(f"targets must have shape {logits.shape[:-1]}, one per row of logits, got {found.shape}")
    size = logits.shape[-1]
    outside = (found < 0) | (found >= size)
    if ignore_index is not None:
        outside &= found != ignore_index
    if outside.any():
        position = tuple(int(i) for i in np.argwhere(outside)[0])
        raise ValueError(
            f"targets must lie in 0..{size - 1}, as logits has {size} columns, got {found[position]} at {position}"
        )
    return found.ravel()


def _row_weights(
    targets: np.ndarray, ignored: int, logits: np.ndarray, weight: ArrayLike | None, sample_weight: ArrayLike | None
) -> np.ndarray:
    """What each of the flat `targets` weighs, (N,): the weight of its class times that of its row, 0 if ignored."""
    found = (targets != ignored).astype(np.float64)
    if weight is not None:
        of_classes = as_weights("weight", weight, logits.shape[-1:])
        found *= of_classes[np.where(found > 0, targets, 0)]
    if sample_weight is not None:
        found *= as_weights("sample_weight", sample_weight, logits.shape[:-1]).ravel()
    return found


def cross_entropy(
    logits: np.ndarray, targets: np.ndarray, ignore_index: int | None = None, out: np.ndarray | None = None, *,
    weight: ArrayLike | None = None, sample_weight: ArrayLike | None = None,
) -> tuple[float, np.ndarray]:  # fmt: skip
    r"""Mean of -log softmax(logits)[target], in nats, and its gradient.

    For the rows :math:`z_r` of `logits`, their targets :math:`t_r` and their weights :math:`\omega_r = w_{t_r} s_r`, 0
    for those that are ignored and 1 for the others unless `weight` w or `sample_weight` s say otherwise,

    .. math::
        L = \frac{1}{\Omega} \sum_r \omega_r \Big(\log \sum_v e^{z_{rv}} - z_{rt_r}\Big), \qquad
        \frac{\partial L}{\partial z_{rv}} = \frac{\omega_r}{\Omega} (\mathrm{softmax}(z_r)_v - [v = t_r]), \qquad
        \Omega = \sum_r \omega_r.

    The maximum of the row is subtracted before the exponential, so logits of any size are safe.

    Parameters
    ----------
    logits : numpy.ndarray, shape (..., V), float32 or float64
        Scores before softmax. Any strides: rows are read where they lie, and copied only if the last axis is not dense.
    targets : array of integers, shape (...)
        The right column of each row, in 0..V-1. Labels, strings or booleans, are numbered by
        ``classes, targets = np.unique(labels, return_inverse=True)``; `SequenceClassifier` and `SequenceTagger`, which
        remember the names of their classes, take them as they are in their own ``loss``.
    ignore_index : int, optional
        Rows with this target count for nothing: their gradient is zero and their logits are not read.
    out : numpy.ndarray, shape (..., V), optional
        Where the gradient goes, dense in the last axis: `logits` itself, or memory that does not overlap with it.
    weight : array of numbers, shape (V,), optional
        What a row with each target weighs, as in PyTorch: 0 or more, and one of them above.
    sample_weight : array of numbers, shape (...), optional
        What each row weighs, as in scikit-learn. A row of weight 0 counts for nothing, as if it were ignored.

    Returns
    -------
    loss : float
        In nats; divide by log 2 for bits. Each row's share is rounded to float64 and the shares are added in the order
        of the rows, so the loss is the same, bit for bit, for any number of threads. NaN in a row that counts makes it
        NaN. With no row that counts it is NaN, the mean of nothing, as in PyTorch.
    dlogits : numpy.ndarray, shape (..., V)
        The gradient, in the dtype of `logits`: `out`, or a new array. Zero if no row counts.

    Raises
    ------
    TypeError
        `logits` or `out` of a wrong type, `targets` that are no integers, or weights that are no numbers.
    ValueError
        `targets` of another shape, or outside 0..V-1 (the first such value is named with its position); weights that
        are negative, not finite, or all 0.

    References
    ----------
    I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, section 6.2.2.3, "Softmax units for multinoulli output
    distributions".

    Examples
    --------
    >>> loss, dlogits = cross_entropy(np.zeros((2, 4)), np.array([1, 3]))
    >>> round(loss, 6)  # log 4
    1.386294
    >>> dlogits
    array([[ 0.125, -0.375,  0.125,  0.125],
           [ 0.125,  0.125,  0.125, -0.375]])
    >>> cross_entropy(np.zeros((2, 4)), np.array([1, 3]), weight=[1, 1, 1, 3])[1]
    array([[ 0.0625, -0.1875,  0.0625,  0.0625],
           [ 0.1875,  0.1875,  0.1875, -0.5625]])
    """
    logits = _check_floats("logits", logits)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"logits must have shape (..., V) with V at least 1, got {logits.shape}")
    if ignore_index is not None:
        ignore_index = as_size("ignore_index", ignore_index, least=-(2**63))
    flat_targets = _check_targets(targets, logits, ignore_index)
    gradient = _prepare_out(logits, out)
    if not _rows_are_dense(gradient):
        raise ValueError(f"out must be dense in its last axis, got strides {gradient.strides}")
    dense = logits if _rows_are_dense(logits) else np.ascontiguousarray(logits)
    ignored = -1 if ignore_index is None else ignore_index
    weights, whole = None, float(np.count_nonzero(flat_targets != ignored))
    if weight is not None or sample_weight is not None:
        weights = _row_weights(flat_targets, ignored, logits, weight, sample_weight)
        whole = float(weights.sum())
    loss = rows_cross_entropy(
        ANY, threads_for(10 * logits.size), np.empty(0, logits.dtype), _row_addresses(dense), flat_targets, ignored,
        logits.shape[-1], weights, 1.0 / (whole or 1.0), _row_addresses(gradient), np.empty(flat_targets.size),
    )  # fmt: skip
    return loss / whole if whole else math.nan, gradient


def mse_loss(
    prediction: np.ndarray, target: np.ndarray, out: np.ndarray | None = None, *, sample_weight: ArrayLike | None = None
) -> tuple[float, np.ndarray]:
    r"""Mean of the squared differences over all entries, and its gradient with respect to `prediction`.

    .. math::
        L = \frac{1}{\Omega} \sum_i \omega_i (p_i - t_i)^2, \qquad
        \frac{\partial L}{\partial p_i} = \frac{2 \omega_i}{\Omega} (p_i - t_i), \qquad
        \Omega = \sum_i \omega_i,

    where all :math:`\omega_i` are 1 unless `sample_weight` says otherwise.

    Parameters
    ----------
    prediction : numpy.ndarray, any shape, float32 or float64
    target : numpy.ndarray, same shape and dtype
        Nothing is broadcast: a target of shape (n,) beside a prediction of shape (n, 1) is refused.
    out : numpy.ndarray, same shape and dtype, optional
        Where the gradient goes; it may be `prediction` or `target` itself.
    sample_weight : array of numbers, optional
        What each row of `prediction` weighs, or, where it has one axis, each entry: 0 or more, and one of them above.
        What weighs 0 counts for nothing, not even by NaN.

    Returns
    -------
    loss : float
        The mean, taken in float64; NaN for empty arrays. Where a difference or its square is too large for its dtype,
        it is infinite; an infinity minus itself, like NaN, makes the loss NaN.
    dprediction : numpy.ndarray
        The gradient: `out`, or a new array.

    Raises
    ------
    TypeError
        Arrays of different or other dtypes, or weights that are no numbers.
    ValueError
        Arrays of different shapes; weights that are negative, not finite, or all 0.

    Examples
    --------
    >>> mse_loss(np.array([1.0, 4.0]), np.array([1.0, 2.0]))
    (2.0, array([0., 2.]))
    >>> mse_loss(np.array([1.0, 4.0]), np.array([1.0, 2.0]), sample_weight=[1, 3])
    (3.0, array([0., 3.]))
    """
    prediction = _check_floats("prediction", prediction)
    target = check_array("target", target, prediction.dtype, prediction.shape)
    gradient = _prepare_out(prediction, out)
    rows = prediction.shape[: max(1, prediction.ndim - 1)]
    weights = None if sample_weight is None else as_weights("sample_weight", sample_weight, rows)
    if gradient.size == 0:
        return math.nan, gradient
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is infinite; who trains looks at the loss
        np.subtract(prediction, target, out=gradient)
        if weights is None:
            loss = float(np.square(gradient, dtype=np.float64).mean())
            gradient *= 2.0 / gradient.size
        else:
            shares = weights / (weights.sum() * (gradient.size // weights.size))
            shares = shares.reshape(rows + (1,) * (gradient.ndim - len(rows)))
            np.copyto(gradient, 0, where=shares == 0)
            loss = float((shares * np.square(gradient, dtype=np.float64)).sum())
            gradient *= (2.0 * shares).astype(gradient.dtype)
    return loss, gradient
