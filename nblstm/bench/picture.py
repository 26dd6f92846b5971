"""The picture of the results: times as fast as the others, and the rate reached against the possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nblstm.bench.report import COLUMNS, WORKS, Results
from nblstm.bench.results import Measurement
from nblstm.plot.colours import BLUE, GREY, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = dict(zip(WORKS, (BLUE, VERMILION), strict=True))
THICK = 0.38  # of a bar, where rows are 1 apart


def picture(measurements: Sequence[Measurement]) -> Figure:
    """Two panels for each number of threads, with a pair of bars, training and inference, for each row.

    Drawn are the results in the first dtype that there is, float32 before float64.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    results = Results(measurements)
    dtype = results.groups[0][1]
    counts = list(dict.fromkeys(threads for _, name, threads in results.groups if name == dtype))
    rows = results.rows("training", dtype, counts[0])
    figure = Figure(figsize=(11, len(counts) * (1.0 + 0.29 * len(rows))), layout="constrained")
    panels = figure.subplots(len(counts), 2, squeeze=False)
    for threads, (left, right) in zip(counts, panels, strict=True):
        title = f"{dtype}, {'1 thread' if threads == 1 else f'{threads} threads'}"
        _ratios(left, results, rows, dtype, threads)
        left.set_title(f"Times as fast as the others: {title}", loc="left", fontsize=10)
        _rates(right, results, rows, dtype, threads)
        right.set_title(f"GFLOP/s reached, and possible: {title}", loc="left", fontsize=10)
    rivals = ("PyTorch", "the faster of PyTorch and ONNX Runtime")
    handles = [Patch(color=COLORS[what], label=f"{what}, beside {r}") for what, r in zip(WORKS, rivals, strict=True)]
    handles.append(Patch(facecolor="white", edgecolor=GREY, label="possible, and the share reached"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure


def scatter(measurements: Sequence[Measurement]) -> Figure:
    """A panel for training and one for inference: over the work of a pass, how many times as fast as the others."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    results = Results(measurements)
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = dict(zip(WORKS, figure.subplots(1, 2, sharey=True), strict=True))
    rivals = dict(zip(WORKS, ("PyTorch", "the faster of PyTorch and ONNX Runtime"), strict=True))
    for ax, (what, rival) in zip(panels.values(), rivals.items(), strict=True):
        ax.set(xscale="log", yscale="log", xlabel="GFLOP in a pass")
        ax.set_title(f"{what.capitalize()}: times as fast as {rival}", loc="left", fontsize=10)
        ax.axhline(1, color="black", linewidth=1)
        ax.yaxis.set_major_locator(LogLocator(2))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())
        ax.grid(which="both", alpha=0.2)
    for group, marker in zip(results.groups, "osD^vPX*", strict=False):
        what, dtype, threads = group
        found = [
            (m.gflops * m.value, lead)
            for row in results.rows(*group)
            if (m := results.find(row, dtype, threads, what)) and m.gflops
            and (lead := results.lead(row, dtype, threads, what))
        ]  # fmt: skip
        label = f"{dtype}, {'1 thread' if threads == 1 else f'{threads} threads'}"
        work, leads = np.reshape(found, (-1, 2)).T
        panels[what].scatter(work, leads, 14, COLORS[what], marker=marker, alpha=0.7, label=label)
        panels[what].legend(frameon=False, fontsize=8)
    return figure


def _ratios(ax: Axes, results: Results, rows: Sequence[str], dtype: str, threads: int) -> None:
    for what, offset in zip(WORKS, (-THICK / 2, THICK / 2), strict=True):
        ratios = [results.lead(row, dtype, threads, what) or 0.0 for row in rows]
        bars = ax.barh([n + offset for n in range(len(rows))], ratios, THICK, color=COLORS[what])
        labels = [f"{ratio:.2f}" if ratio else "" for ratio in ratios]
        ax.bar_label(bars, labels, padding=2, fontsize=7, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4})
    ax.axvline(1, color="black", linewidth=1)
    _frame(ax, rows)


def _rates(ax: Axes, results: Results, rows: Sequence[str], dtype: str, threads: int) -> None:
    for what, offset in zip(WORKS, (-THICK / 2, THICK / 2), strict=True):
        for number, row in enumerate(rows):
            found = results.find(row, dtype, threads, what)
            if not found or not found.gflops or not found.share:
                continue
            possible = found.gflops / found.share
            ax.barh(number + offset, possible, THICK, color="white", edgecolor=GREY, linewidth=0.8)
            ax.barh(number + offset, found.gflops, THICK, color=COLORS[what])
            ax.annotate(
                f"{found.share:.0%}", (possible, number + offset), (3, 0), textcoords="offset points", va="center",
                fontsize=7,
            )  # fmt: skip
    _frame(ax, [""] * len(rows))


def _frame(ax: Axes, labels: Sequence[str]) -> None:
    ax.set_yticks(range(len(labels)), labels, fontsize=8)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.margins(x=0.1)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=8)
    if labels[0]:
        ax.set_ylabel(COLUMNS, fontsize=8)
    ax.grid(axis="x", alpha=0.2)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
