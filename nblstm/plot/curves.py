"""Curves: a loss over the steps of training, beside what it has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nblstm.plot.colours import BLUE, GREY, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def loss_curves(
    steps: ArrayLike,
    training: ArrayLike,
    validation: ArrayLike,
    baselines: Mapping[str, float],
    ax: Axes | None = None,
) -> Axes:
    """Training and validation loss over the steps, and what the baselines reach.

    Parameters
    ----------
    steps : array of int, shape (E,)
        Optimiser steps taken at each evaluation.
    training : array of float, shape (E,)
        Bits per character, averaged over the steps since the evaluation before; NaN leaves a gap.
    validation : array of float, shape (E,)
        Bits per character at each evaluation.
    baselines : mapping of str to float
        Bits per character by name, drawn as labelled horizontal lines (see `nblstm.baselines.baselines`).
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Arrays of different lengths, or empty ones.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import loss_curves
    >>> ax = Figure().subplots()
    >>> ax = loss_curves([0, 100], [6.7, 3.0], [6.7, 3.1], {"uniform": 6.7, "bigram": 3.3}, ax)
    >>> ax.get_ylabel()
    'bits per character'
    """
    steps, training, validation = np.asarray(steps), np.asarray(training, float), np.asarray(validation, float)
    if not steps.shape == training.shape == validation.shape or steps.ndim != 1 or not steps.size:
        raise ValueError(
            "steps, training and validation must have one common shape (E,) with E at least 1, "
            f"got {steps.shape}, {training.shape} and {validation.shape}"
        )
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(figsize=(8, 5), layout="constrained")[1]
    ax.plot(steps, training, color=BLUE, marker="o", markersize=3.5, label="training, mean since the point before")
    ax.plot(
        steps, validation, color=VERMILION, marker="s", markersize=3.5, label=f"validation, last {validation[-1]:.2f}"
    )
    for name, bits in baselines.items():
        ax.axhline(bits, color=GREY, linewidth=1, linestyle="--", zorder=1)
        ax.annotate(
            f"{name} {bits:.2f}",
            xy=(1, bits),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            color=GREY,
        )
    ax.set(xlabel="step", ylabel="bits per character", title="Loss of the character model")
    ax.set_ylim(bottom=0)
    ax.grid(axis="y", alpha=0.2)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower left")
    return ax
