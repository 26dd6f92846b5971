"""What a classifier takes for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nblstm.arguments import as_integers, check_kind
from nblstm.plot.colours import BLUE, VERMILION
from nblstm.plot.sheet import axes_or_new, ink_on, sequential

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

MOST_CLASSES = 1000
"""More rows would be narrower than the picture's points."""


def confusion_matrix(
    truth: ArrayLike,
    predicted: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """How often each class was taken for each: a row for what it was, a column for what it was taken for.

    Every cell shows its count, none where it is 0. The ground is the stronger the larger the cell's share of its row:
    blue on the diagonal, where the answers are right, from 0 to 1; vermilion elsewhere, from 0 to the largest share of
    mistakes there is, so that the few mistakes of a good classifier are seen.

    Parameters
    ----------
    truth, predicted : array of int, shape (N,)
        The classes of N examples, 0..K - 1, and those that the net named.
    classes : sequence of str, optional
        The names of the K classes; by default their numbers up to the largest that occurs.
    title : str, optional
        In place of the share of right answers.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        Classes that are no integers.
    ValueError
        Arrays of different shapes, empty ones, classes outside 0..K - 1, or more than 1000 of them.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import confusion_matrix
    >>> ax = confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1], classes=["cat", "dog"], ax=Figure().subplots())
    >>> ax.get_title(), [count.get_text() for count in ax.texts]
    ('75.0 % of 4 right', ['1', '2', '1'])
    """
    if classes is not None:
        check_kind("classes", classes, Sequence)
    counts = _count(truth, predicted, None if classes is None else len(classes))
    size = len(counts)
    names = [str(k) for k in range(size)] if classes is None else list(classes)
    ax = axes_or_new(ax, 5.5, 5)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(size, dtype=bool)
    for colour, elsewhere, most in (
        (BLUE, ~right, 1.0),
        (VERMILION, right, float(shares[~right].max(initial=0)) or 1.0),
    ):
        cells = np.ma.masked_array(shares, elsewhere)
        image = ax.imshow(cells, interpolation="none", cmap=sequential(colour), vmin=0, vmax=most)
        grounds = image.to_rgba(shares)
        for row, column in np.argwhere((counts > 0) & ~elsewhere):
            ax.text(
                column, row, str(counts[row, column]), ha="center", va="center", color=ink_on(grounds[row, column]),
                size=float(np.clip(120 / size, 4, 11)),
            )  # fmt: skip
    ax.set_xticks(range(size), names)
    ax.set_yticks(range(size), names)
    ax.tick_params(length=0, labelsize=float(np.clip(250 / size, 4, 10)))
    ax.grid(False)
    ax.spines[:].set_visible(True)
    share = f"{100 * counts.trace() / counts.sum():.1f} % of {counts.sum():,} right"
    ax.set(xlabel="taken for", ylabel="true class", title=share if title is None else title)
    return ax


def _count(truth: ArrayLike, predicted: ArrayLike, size: int | None) -> np.ndarray:
    """Counts (K, K), rows by `truth`, columns by `predicted`."""
    given = {"truth": as_integers("truth", truth), "predicted": as_integers("predicted", predicted)}
    shapes = [array.shape for array in given.values()]
    if shapes[0] != shapes[1] or len(shapes[0]) != 1 or not shapes[0][0]:
        raise ValueError(
            f"truth and predicted must have one common shape (N,) with N at least 1, got {shapes[0]} and {shapes[1]}"
        )
    most = max(int(array.max()) for array in given.values())
    size = most + 1 if size is None else size
    if size > MOST_CLASSES:
        raise ValueError(f"truth and predicted must be classes 0..{MOST_CLASSES - 1} to be drawn, got up to {size - 1}")
    for name, array in given.items():
        if array.min() < 0 or array.max() >= size:
            raise ValueError(f"{name} must be classes 0..{size - 1}, got {array.min()}..{array.max()}")
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (given["truth"], given["predicted"]), 1)
    return counts
