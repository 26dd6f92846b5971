"""The picture of an experiment: how many sequences each trial needed, beside the paper's mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nblstm.experiments.experiment import CELLS, Experiment
from nblstm.experiments.trials import Trial
from nblstm.plot.colours import BLUE, GREY, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(experiment: Experiment, trials: list[Trial]) -> Figure:
    """A row for each case and cell that has trials: full marks have learned, crosses were given up."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    found = {(each.case, each.cell) for each in trials}
    rows = [(case, cell) for case in experiment.cases for cell in CELLS if (case.label, cell) in found]
    figure = Figure(figsize=(8, 1.6 + 0.45 * len(rows)), layout="constrained")
    ax = figure.subplots()
    for place, (case, cell) in enumerate(rows):
        some = [each for each in trials if (each.case, each.cell) == (case.label, cell)]
        spread = np.linspace(-0.22, 0.22, len(some)) if len(some) > 1 else [0.0]
        colour = BLUE if cell == "paper" else VERMILION
        for each, shift in zip(some, spread, strict=True):
            ax.plot(each.sequences, place + shift, "o" if each.learned else "x", color=colour, alpha=0.8)
        ax.plot([case.published] * 2, [place - 0.38, place + 0.38], color=GREY, linewidth=2)
    ax.set(xscale="log", xlabel="training sequences", title=experiment.name)
    ax.set_yticks(range(len(rows)), [f"{case.label}, {cell}" for case, cell in rows])
    ax.invert_yaxis()
    ax.grid(axis="x", alpha=0.2)
    ax.spines[["top", "right"]].set_visible(False)
    handles = [
        Line2D([], [], color="black", marker="o", linestyle="", label="learned"),
        Line2D([], [], color="black", marker="x", linestyle="", label="given up"),
        Line2D([], [], color=GREY, linewidth=2, label="the paper's mean"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False)
    return figure
