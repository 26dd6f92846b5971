"""What each class weighs in a loss, where some are rarer than others or matter more: scikit-learn's `class_weight`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.arguments import as_integer, as_integers, as_number, as_weights, shown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BALANCED = "balanced"


def class_weights(
    class_weight: str | Mapping[Any, float] | ArrayLike, targets: ArrayLike, classes: Sequence[Any] | None = None
) -> np.ndarray:
    r"""What each of K classes weighs.

    For the N targets of which :math:`N_k` are k, and C the number of classes that occur, "balanced" is

    .. math:: w_k = \frac{N}{C N_k}

    so that every class has the same weight in all, N / C, however many examples it has.

    Parameters
    ----------
    class_weight : "balanced", dict of class to float, or array of K numbers
        In a dict the classes that are not named weigh 1, and so do classes without a target in "balanced".
    targets : array of integers, shape (N,)
        Classes 0..K - 1, the largest of which says what K is.
    classes : sequence of K strings, booleans or integers; optional
        What the classes are called, and a dict calls them; 0..K - 1 by default.

    Returns
    -------
    numpy.ndarray of float64, shape (K,)
        What `nblstm.cross_entropy` takes as `weight`; ``weights[targets]`` is the `sample_weight` of a trainer.

    Raises
    ------
    TypeError, ValueError
        No targets, or such as are no classes; weights that are not above 0 and finite, or of other classes.

    Examples
    --------
    >>> class_weights("balanced", [0, 0, 0, 1])
    array([0.66666667, 2.        ])
    >>> class_weights({1: 5.0}, [0, 0, 0, 1])
    array([1., 5.])
    >>> class_weights({"spam": 5.0}, [0, 0, 0, 1], classes=["ham", "spam"])
    array([1., 5.])
    """
    found = as_integers("targets", targets)
    if found.ndim != 1 or not found.size:
        raise ValueError(f"targets must be one or more classes in one row, got shape {found.shape}")
    if found.min() < 0:
        raise ValueError(f"targets must be 0 or more, got {found.min()}")
    if classes is not None and (not isinstance(classes, Sequence) or len(classes) <= found.max()):
        raise ValueError(f"classes must be a list of {found.max() + 1} labels or more, got {shown(classes)}")
    names = [str(label) for label in (range(found.max() + 1) if classes is None else classes)]
    counts, plain = np.bincount(found, minlength=len(names)), as_class_weight(class_weight)
    if plain == BALANCED:
        return np.where(counts > 0, found.size / (np.count_nonzero(counts) * np.maximum(counts, 1)), 1.0)
    if not isinstance(plain, dict):
        return as_weights("class_weight", plain, counts.shape)
    weights = np.ones(len(counts))
    for name, weight in plain.items():
        if name not in names:
            known = f"0..{len(names) - 1}" if classes is None else ", ".join(names)
            raise ValueError(f"class_weight must be of classes {known}, got one of {name}")
        weights[names.index(name)] = weight
    return weights


def as_class_weight(class_weight: str | Mapping[Any, float] | ArrayLike) -> str | dict[str, float] | tuple[float, ...]:
    """`class_weight` as plain data, checked as far as that goes without targets.

    A dict has the names of classes as strings then, as JSON would have them, so that a file gives back the same.
    """
    if isinstance(class_weight, str):
        if class_weight != BALANCED:
            raise ValueError(f"class_weight must be 'balanced', a dict or an array, got {shown(class_weight)}")
        return BALANCED
    if not isinstance(class_weight, Mapping):
        return tuple(as_weights("class_weight", class_weight, (None,), positive=True).tolist())
    found = {}
    for key, weight in class_weight.items():
        name = str(
            key if isinstance(key, str | bool | np.bool_) else as_integer("class_weight's classes", key, least=0)
        )
        found[name] = as_number(f"class_weight[{name}]", weight, positive=True)
    return found
