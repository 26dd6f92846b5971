"""How good answers are, in numbers that people compare: F1 by class, and the share of the variance explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nblstm.arguments import DTYPES, as_integers, as_size, as_weights, check_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def f1_scores(
    truth: ArrayLike, predicted: ArrayLike, num_classes: int, sample_weight: ArrayLike | None = None
) -> np.ndarray:
    r"""F1 of each class: how well the answers k and the examples that are k cover each other.

    .. math:: F_k = \frac{2 \, \mathrm{both}_k}{\mathrm{true}_k + \mathrm{answered}_k}

    with how many are k, how many were answered k, and how many are both. It is 1 where the two are the same, and 0
    where they have nothing in common, also for a class that neither occurs nor is answered. The mean over the classes
    is the "macro" F1, in which rare classes count as much as frequent ones.

    Parameters
    ----------
    truth, predicted : array of integers, shape (N,)
        Classes 0..K - 1.
    num_classes : int
        K.
    sample_weight : array of numbers, shape (N,), optional
        What each example counts.

    Returns
    -------
    numpy.ndarray of float64, shape (K,)

    Raises
    ------
    TypeError, ValueError
        What are no classes, or arrays of different shapes.

    Examples
    --------
    >>> f1_scores([0, 0, 1, 1], [0, 0, 0, 1], 2)
    array([0.8       , 0.66666667])
    """
    size, found = as_size("num_classes", num_classes), as_integers("truth", truth)
    answers = as_integers("predicted", predicted)
    if found.ndim != 1 or answers.shape != found.shape:
        raise ValueError(f"truth and predicted must have one shape (N,), got {found.shape} and {answers.shape}")
    for name, classes in (("truth", found), ("predicted", answers)):
        if classes.size and not 0 <= classes.min() <= classes.max() < size:
            raise ValueError(f"{name} must be classes 0..{size - 1}, got {classes.min()}..{classes.max()}")
    counted = None if sample_weight is None else as_weights("sample_weight", sample_weight, found.shape)
    right = found == answers
    both = np.bincount(found[right], None if counted is None else counted[right], minlength=size)
    either = sum(np.bincount(classes, counted, minlength=size) for classes in (found, answers))
    return 2 * both / np.maximum(either, np.finfo(float).tiny)


def r2_score(truth: np.ndarray, predicted: np.ndarray, sample_weight: ArrayLike | None = None) -> float:
    r"""The share of the targets' variance that predictions explain, the mean of it over the D outputs.

    .. math:: R^2 = 1 - \frac{\sum_n \omega_n (t_n - p_n)^2}{\sum_n \omega_n (t_n - \bar t)^2}

    1 for perfect predictions, 0 for their mean, negative for worse ones; of targets that do not vary it is NaN.

    Parameters
    ----------
    truth, predicted : numpy.ndarray, shape (N, D)
    sample_weight : array of numbers, shape (N,), optional
        :math:`\omega`; 1 by default.

    Raises
    ------
    TypeError, ValueError
        Arrays that are no numbers, or of different shapes.

    Examples
    --------
    >>> r2_score(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [2.0]]))
    0.5
    """
    if not isinstance(truth, np.ndarray) or truth.dtype not in DTYPES:
        raise TypeError(
            f"truth must be an array of float32 or float64, got {getattr(truth, 'dtype', type(truth).__name__)}"
        )
    t, p = (check_array(name, values, truth.dtype, (None, None)).astype(np.float64)
            for name, values in (("truth", truth), ("predicted", predicted)))  # fmt: skip
    if t.shape != p.shape or not t.size:
        raise ValueError(f"truth and predicted must have one shape (N, D), got {t.shape} and {p.shape}")
    weights = np.ones(len(t)) if sample_weight is None else as_weights("sample_weight", sample_weight, (len(t),))
    around = np.average(t, axis=0, weights=weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = (weights[:, None] * (t - p) ** 2).sum(axis=0) / (weights[:, None] * (t - around) ** 2).sum(axis=0)
    return float(np.where(np.isfinite(left), 1 - left, np.nan).mean())
