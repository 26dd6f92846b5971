"""What jobs learn from: sequences and their targets in arrays, and what is looked at in these."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from nblstm.models.labels import Label, classes_of, has_labels

BLOCK = 2**20
"""Numbers that are looked at together, so that no copy is made of an array that lies on disk."""


class Sequences(NamedTuple):
    """Sequences x (T, N, I), their targets (N, ...); lengths (N,) where they differ, weights (N,) where they do.

    Parameters
    ----------
    x : numpy.ndarray of float32, shape (T, N, I)
        N sequences of T steps; for `TaggingJob` with a vocabulary places in it, (T, N).
    targets : numpy.ndarray
        What the job learns: see `ClassificationJob`, `RegressionJob` and `TaggingJob`.
    lengths : integers, shape (N,), optional
        Steps of each sequence, 0..T; T by default.
    sample_weight : array of numbers, shape (N,), optional
        What each sequence weighs, above 0; 1 by default.

    Notes
    -----
    Nothing is checked here; the job that is given them does, and says what it expected.

    Examples
    --------
    >>> import nblstm
    >>> from nblstm.jobs import Sequences
    >>> x, lengths = nblstm.pad_sequences([np.ones((3, 2)), np.ones((5, 2))])
    >>> sequences = Sequences(x, np.array(["walks", "runs"]), lengths)
    >>> sequences.x.shape, sequences.lengths
    ((5, 2, 2), array([3, 5]))
    """

    x: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray | None = None
    sample_weight: np.ndarray | None = None


def classes_in(training: np.ndarray, validation: np.ndarray) -> tuple[Label, ...] | int:
    """The labels among the targets of both parts, sorted; or, where these are integers, how many classes they are."""
    parts = {"training.targets": training, "validation.targets": validation}
    if all(map(has_labels, parts.values())):
        return classes_of(training, validation)
    for name, targets in parts.items():
        if targets.dtype.kind not in "iu":
            raise TypeError(
                f"{name} must be integers, strings or booleans, of one kind in both parts, got {targets.dtype}"
            )
        if not targets.size or targets.min() < 0:
            raise ValueError(f"{name} must be 0 or more, got {targets.min() if targets.size else 'none'}")
    return 1 + int(max(training.max(), validation.max()))


def only_held_out(training: np.ndarray, validation: np.ndarray, classes: tuple[Label, ...] | None) -> str:
    """What is said of classes, by their numbers, that the part to train on lacks; nothing if there are none."""
    lacking = np.setdiff1d(validation, training).tolist()
    names = [repr(k if classes is None else classes[k]) for k in lacking]
    some = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    return f"; only what is held out has {some}" if names else ""


def _blocks(array: np.ndarray) -> Iterator[slice]:
    """Rows, some at a time, that are all of an array together."""
    rows = max(1, BLOCK * len(array) // max(1, array.size))
    return (slice(start, start + rows) for start in range(0, len(array), rows))


def check_finite(name: str, array: np.ndarray, unread: np.ndarray | None = None) -> None:
    """No entry is NaN or infinite, but for those that are not read."""
    for rows in _blocks(array):
        wrong = ~np.isfinite(array[rows])
        if unread is not None:
            wrong &= ~unread[rows]
        if wrong.any():
            first, *rest = (int(i) for i in np.argwhere(wrong)[0])
            position = (rows.start + first, *rest)
            raise ValueError(f"{name} must be finite, got {array[position]} at {position}")


def digest_of(arrays: Iterable[np.ndarray]) -> str:
    """Of the numbers and their form."""
    digest = hashlib.sha256()
    for given in arrays:
        array = given.astype(str) if given.dtype == object else given  # not where the labels are in memory
        digest.update(f"{array.dtype} {array.shape}".encode())
        for rows in _blocks(array):
            digest.update(array[rows].tobytes())
    return digest.hexdigest()
