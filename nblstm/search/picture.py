"""The picture of a search: the losses of all trials over their steps, and the lowest of each over each setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.plot.colours import BLUE, GREY, VERMILION
from nblstm.plot.sheet import brief

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nblstm.search.search import Search

LOOKS: dict[str, dict[str, Any]] = {
    "finished": {"color": BLUE, "marker": "o", "label": "trained to the end"},
    "stopped": {"color": GREY, "marker": "x", "label": "stopped early"},
    "best": {"color": VERMILION, "marker": "*", "label": "best", "s": 130, "zorder": 4},
}
WIDE = 3
"""Panels in a row, at most."""
FEW = 6
"""Values of a setting that find room side by side."""
SPREAD = 10.0
"""The ratio of the largest to the smallest above which numbers stand on a logarithmic axis."""


def draw(search: Search) -> Figure:
    """One panel for the training, and one for each setting that was searched."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for point in search.points for name in point))
    rows = [row for row in search.results if row["validation"] is not None]
    count = 1 + len(names)
    wide = min(WIDE, -(-count // -(-count // WIDE)))  # four are two and two
    high = -(-count // wide)
    figure = Figure(figsize=(4.2 * wide, 0.6 + 3.4 * high), layout="constrained")
    panels = figure.subplots(high, wide, squeeze=False, sharey=True).ravel()
    _training(panels[0], search, rows)
    for ax, name in zip(panels[1:], names, strict=False):
        _setting(ax, name, rows)
    for ax in panels[count:]:
        ax.axis("off")
    for ax in panels[:count]:
        ax.grid(alpha=0.2)
        ax.spines[["top", "right"]].set_visible(False)
        if ax.get_subplotspec().colspan.start == 0:
            ax.set_ylabel(f"validation: {search.measure}")
    _bound(panels[0], rows)
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False)
    title = f"{len(search.points)} trials"
    if search.best:
        title += f"; trial {search.best['trial']} reached {brief(search.best['validation'], 3)}"
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _training(ax: Axes, search: Search, rows: list[dict[str, Any]]) -> None:
    """The loss at each evaluation; the best on top."""
    for row in reversed(rows):
        kind = _kind(row, rows)
        steps, losses = zip(*search.evaluations(row["trial"]), strict=True)
        width, order = (2.2, 4) if kind == "best" else (1.0, 2)
        ax.plot(steps, losses, color=LOOKS[kind]["color"], linewidth=width, zorder=order)
        ax.plot(steps[-1], losses[-1], color=LOOKS[kind]["color"], marker=LOOKS[kind]["marker"], zorder=order)
    ax.set(xlabel="step", title="at each evaluation of a trial")


def _setting(ax: Axes, name: str, rows: list[dict[str, Any]]) -> None:
    """The lowest loss of each trial over its value of one setting: few side by side, many on a scale."""
    from matplotlib.ticker import LogLocator

    values = list(dict.fromkeys(row[name] for row in rows))
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    values.sort(key=None if numbers else str)
    places = {value: place for place, value in enumerate(values)}
    scale = numbers and len(values) > FEW
    for kind, look in LOOKS.items():
        chosen = [row for row in rows if _kind(row, rows) == kind]
        x = [row[name] if scale else places[row[name]] for row in chosen]
        ax.scatter(x, [row["validation"] for row in chosen], **look)
    ax.set(xlabel=name, title=f"lowest over {name}")
    if not scale:
        ax.set_xticks(range(len(values)), [str(value) for value in values])
        ax.set_xlim(-0.5, len(values) - 0.5)
    elif values[0] > 0 and values[-1] / values[0] >= SPREAD:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("")


def _kind(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    if row is rows[0]:
        return "best"
    return "finished" if row["status"] == "finished" else "stopped"


def _bound(ax: Axes, rows: list[dict[str, Any]]) -> None:
    """Leave out what is so high that the rest looks alike: beyond three times what the median is above the best."""
    losses = np.array([row["validation"] for row in rows])
    if losses.size > 2 and np.median(losses) > losses.min():
        reach = 3 * (np.median(losses) - losses.min())
        ax.set_ylim(top=min(ax.get_ylim()[1], losses.min() + reach))
