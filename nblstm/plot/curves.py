"""Curves: any lines with what they have to beat, a loss over the steps of training, a gradient over the lag."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.arguments import as_flag, check_kind
from nblstm.plot.colours import BLUE, COLOURS, GREEN, GREY, INK, ORANGE, PURPLE, VERMILION
from nblstm.plot.sheet import as_numbers, as_rates, axes_or_new, brief, has_layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

# Colours, dashes and markers of the lines, in turn: no two differ by colour alone.
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, INK)
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), "-", (0, (6, 2)))
MARKERS = ("o", "s", "^", "D", "v", "x")
POINTS = 13
"""What a line of a label takes."""


def loss_curves(
    steps: ArrayLike,
    training: ArrayLike,
    validation: ArrayLike,
    baselines: Mapping[str, float],
    ax: Axes | None = None,
    *,
    measure: str = "bits per character",
) -> Axes:
    """Training and validation loss over the steps, and what the baselines reach.

    Parameters
    ----------
    steps : array of int, shape (E,)
        Optimiser steps taken at each evaluation.
    training : array of float, shape (E,)
        The loss, averaged over the steps since the evaluation before; NaN leaves a gap.
    validation : array of float, shape (E,)
        The loss at each evaluation.
    baselines : mapping of str to float
        Losses by name, drawn as labelled horizontal lines (see `nblstm.baselines.baselines`).
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    measure : str
        The loss and its unit.

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
    >>> ax = loss_curves([0, 100], [6.7, 3.0], [6.7, 3.1], {"uniform": 6.7, "5-gram": 1.9}, ax)
    >>> ax.get_ylabel()
    'bits per character'
    """
    steps, training = as_numbers("steps", steps), as_numbers("training", training)
    validation, baselines = as_numbers("validation", validation), as_rates("baselines", baselines)
    if not steps.shape == training.shape == validation.shape or steps.ndim != 1 or not steps.size:
        raise ValueError(
            "steps, training and validation must have one common shape (E,) with E at least 1, "
            f"got {steps.shape}, {training.shape} and {validation.shape}"
        )
    ax = axes_or_new(ax, 8, 5)
    ax.plot(steps, training, color=BLUE, marker="o", markersize=3.5, label="training, mean since the point before")
    last = f"validation, last {brief(validation[-1], 2)}"
    ax.plot(steps, validation, color=VERMILION, marker="s", markersize=3.5, label=last)
    ax.set(xlabel="step", ylabel=measure, title="Loss over the training")
    ax.set_ylim(bottom=0, top=1.05 * max([ax.get_ylim()[1] / 1.05, *baselines.values()]))
    _draw_levels(ax, {f"{name} {brief(loss, 2)}": loss for name, loss in baselines.items()})
    ax.grid(axis="y", alpha=0.2)
    ax.spines[["top", "right"]].set_visible(False)
    low = min([validation[-1], *baselines.values()]) < 0.2 * ax.get_ylim()[1]  # then the lower left is not free
    ax.legend(frameon=False, loc="center right" if low else "lower left")
    return ax


def curves(
    x: ArrayLike,
    lines: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    baselines: Mapping[str, float] | None = None,
    log: bool = False,
    colours: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Labelled lines over a common x; where a line was measured with several seeds, their median and their spread.

    Lines differ by colour, dashes and marker. A line whose label is a letter of `COLOURS` has that colour.

    Parameters
    ----------
    x : array, shape (N,)
        Places of the points, common to all lines.
    lines : mapping of str to array, each (N,) or (runs, N)
        Values by label. Of several runs the line is the median, the band reaches from the least to the largest. NaN
        leaves a gap.
    xlabel, ylabel, title : str
        Written on the picture; name the unit where there is one.
    baselines : mapping of str to float, optional
        Values by name, drawn as labelled horizontal lines.
    log : bool
        Whether the y axis is logarithmic; values that are not above 0 then leave a gap.
    colours : mapping of str to str, optional
        Colours by label, for lines that shall not have the next one of the palette.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        An empty `x`, no lines, a line of another shape than (N,) or (runs, N).

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import curves
    >>> two_runs = [[0.1, 0.5, 0.9], [0.2, 0.7, 1.0]]
    >>> ax = curves([1, 2, 3], {"LSTM": two_runs, "RNN": [0.1, 0.1, 0.2]}, xlabel="epoch", ylabel="accuracy",
    ...     title="Two nets", baselines={"chance": 0.125}, ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['LSTM', 'RNN']
    """
    x, log = as_numbers("x", x), as_flag("log", log)
    check_kind("lines", lines, Mapping)
    baselines = as_rates("baselines", {} if baselines is None else baselines)
    colours = {} if colours is None else colours
    check_kind("colours", colours, Mapping)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"x must have shape (N,) with N at least 1, got {x.shape}")
    if not lines:
        raise ValueError("lines must hold at least one label with its values, got none")
    values = {label: _as_runs(label, y, x.size) for label, y in lines.items()}
    from matplotlib.colors import is_color_like

    for label, colour in colours.items():
        if not is_color_like(colour):
            raise ValueError(f"colours[{label!r}] must be a colour that Matplotlib knows, got {colour!r}")
    ax = axes_or_new(ax)
    if log:
        ax.set_yscale("log", nonpositive="mask")
    looks = itertools.cycle(zip(PALETTE, DASHES, MARKERS, strict=True))
    for (label, runs), (colour, dashes, marker) in zip(values.items(), looks, strict=False):
        colour = colours.get(label, COLOURS.get(label, colour))
        ax.plot(
            x, np.median(runs, axis=0), color=colour, linestyle=dashes, marker=marker, markersize=4.5,
            markevery=-(-x.size // 25), label=label,
        )  # fmt: skip
        if len(runs) > 1:
            ax.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.15, linewidth=0)
    _draw_baselines(ax, baselines)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.grid(axis="y", alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    counts = sorted({len(runs) for runs in values.values()} - {1})
    note = f"line: median, band: range of {' or '.join(map(str, counts))} runs" if counts else None
    legend = ax.legend(title=note, frameon=True, framealpha=0.85, edgecolor="none", alignment="left", handlelength=3)
    legend.get_title().set(size="small", color=GREY)
    return ax


def gradient_over_lag(
    lag: ArrayLike,
    lines: Mapping[str, ArrayLike],
    ax: Axes | None = None,
    *,
    title: str = "How much of the gradient arrives",
    ylabel: str = "norm of the gradient",
) -> Axes:
    """Norms of a gradient over the steps it has flown back, on a logarithmic axis: a straight line is a power law.

    Parameters
    ----------
    lag : array, shape (N,)
        Steps between the loss and the place where the gradient is taken.
    lines : mapping of str to array, each (N,) or (runs, N)
        Norms by label; see `curves`. Zeros, which a logarithm cannot show, leave a gap.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title, ylabel : str
        Other words for other norms.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        An empty `lag`, no lines, a line of another shape than (N,) or (runs, N).

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import gradient_over_lag
    >>> ax = gradient_over_lag([0, 1, 2], {"radius 0.5": [1, 0.5, 0.25]}, Figure().subplots())
    >>> ax.get_yscale()
    'log'
    """
    lag = as_numbers("lag", lag)
    if lag.ndim != 1 or not lag.size:
        raise ValueError(f"lag must have shape (N,) with N at least 1, got {lag.shape}")
    return curves(lag, lines, xlabel="lag (steps back in time)", ylabel=ylabel, title=title, log=True, ax=ax)


def _as_runs(label: str, y: ArrayLike, size: int) -> np.ndarray:
    """`y` as (runs, size)."""
    runs = as_numbers(f"lines[{label!r}]", y)
    if runs.ndim not in (1, 2) or runs.shape[-1] != size or not runs.size:
        raise ValueError(
            f"lines[{label!r}] must have shape ({size},) or (runs, {size}), as x has {size} points, got {runs.shape}"
        )
    return np.atleast_2d(runs)


def _draw_baselines(ax: Axes, baselines: Mapping[str, float]) -> None:
    """Levels with their names and values, on two lines where that saves room."""
    between = "\n" if has_layout(ax) else " "
    _draw_levels(ax, {f"{name}{between}{value:.3g}": value for name, value in baselines.items()})


def _draw_levels(ax: Axes, levels: Mapping[str, float]) -> None:
    """Dashed grey lines, each with its label at its right end, outside where a layout makes room for it.

    There no curve crosses a label, and those of levels that are close to each other are moved apart.
    """
    outside, moved = has_layout(ax), dict.fromkeys(levels, 0.0)  # in points
    for value in levels.values():
        ax.axhline(value, color=GREY, linewidth=1, linestyle="--", zorder=1)
    if outside:
        height, reached = ax.get_window_extent().height * 72 / ax.figure.dpi, -np.inf
        for label, value in sorted(levels.items(), key=lambda pair: pair[1]):
            at = float(ax.transAxes.inverted().transform(ax.transData.transform((0, value)))[1]) * height
            moved[label] = max(0.0, reached - at) if np.isfinite(at) else 0.0
            reached = at + moved[label] + POINTS * (1 + label.count("\n"))
    place: dict[str, Any] = {"ha": "left", "va": "center"} if outside else {"ha": "right"}
    for label, value in levels.items():
        ax.annotate(
            label, xy=(1, value), xycoords=("axes fraction", "data"), textcoords="offset points", color=GREY,
            xytext=(5, moved[label]) if outside else (-4, 3), **place,
        )  # fmt: skip
