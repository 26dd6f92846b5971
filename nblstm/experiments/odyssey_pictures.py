"""The odyssey's pictures: the best tenths, the marginals, the shares of the variance, and the largest interactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from nblstm.experiments.odyssey import VARIANTS
from nblstm.experiments.odyssey_analysis import FEWEST, SCALES, Comparison, Effects, compare, effects, effects_by_task
from nblstm.experiments.odyssey_trials import Trial
from nblstm.plot.colours import BLUE, GREEN, GREY, ORANGE, SKY, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICTS = {"-": GREY, "no difference shown": SKY, "worse": ORANGE, "better": GREEN}
SAYS = {"lr": "learning rate", "hidden_size": "units", "noise": "input noise", "momentum": "momentum"}
TICKS: dict[str, Sequence[float]] = {
    "lr": (0.001, 0.01, 0.1, 1, 10), "hidden_size": (8, 16, 32, 64), "noise": (0, 0.25, 0.5, 0.75, 1),
    "momentum": (0, 0.5, 0.9, 0.97, 0.99),
}  # fmt: skip


def draw(trials: Sequence[Trial]) -> dict[str, Figure]:
    """All that there are trials enough for, by name."""
    compared = compare(trials)
    together = effects_by_task(trials)
    alone = {task: _by_variant(trials, task) for task in together}
    pictures = {"best": best_tenths(compared)} if compared else {}
    if together:
        pictures |= {
            "marginals": marginals(together, alone),
            "shares": shares(together, alone),
            "pairs": pairs(together),
        }
    return pictures


def best_tenths(compared: Sequence[Comparison]) -> Figure:
    """Test losses of the best tenth of each variant, by task; dots are trials, the line is vanilla's median."""
    from matplotlib.patches import Patch

    tasks = list(dict.fromkeys(each.task for each in compared))
    figure, panels = _sheet(1, len(tasks), 4.2)
    for ax, task in zip(panels[0], tasks, strict=True):
        some = [each for each in compared if each.task == task]
        boxes = ax.boxplot([each.losses for each in some], patch_artist=True, showfliers=False, widths=0.6)
        for place, (each, box, median) in enumerate(zip(some, boxes["boxes"], boxes["medians"], strict=True), 1):
            box.set(facecolor=VERDICTS[each.verdict], alpha=0.6)
            median.set_color("black")
            ax.plot([place] * len(each.losses), each.losses, ".", color="black", alpha=0.5, markersize=5)
        ax.axhline(float(np.median(some[0].losses)), color=GREY, linewidth=1, linestyle="--")
        ax.set_xticks(range(1, len(some) + 1), [each.variant for each in some])
        ax.set(title=task, ylabel="test loss, nats an answer" if ax is panels[0][0] else "")
        ax.grid(axis="y", alpha=0.2)
    handles = [Patch(color=colour, alpha=0.6, label=said) for said, colour in VERDICTS.items() if said != "-"]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def marginals(together: Mapping[str, Effects], alone: Mapping[str, Mapping[str, Effects]]) -> Figure:
    """The mean loss over each setting, all others anywhere: of all variants together, and thin of each alone."""
    figure, panels = _sheet(len(together), len(SCALES), 2.7)
    for row, (task, all_variants) in zip(panels, together.items(), strict=True):
        for variant, own in alone[task].items():
            for ax, name in zip(row, SCALES, strict=True):
                colour, width = (VERMILION, 1.4) if variant == "V" else (GREY, 0.7)
                ax.plot(own.values[name], own.marginals[name,], color=colour, linewidth=width, alpha=0.8)
        for ax, name in zip(row, SCALES, strict=True):
            ax.plot(all_variants.values[name], all_variants.marginals[name,], color=BLUE, linewidth=2.5)
            _ticks(ax, name)
            ax.grid(alpha=0.2)
            ax.sharey(row[0])
        row[0].set_ylabel(f"{task}\ntest loss")
    for ax, name in zip(panels[-1], SCALES, strict=True):
        ax.set_xlabel(SAYS[name])
    figure.suptitle("predicted by a forest: all variants (blue), vanilla (orange), the others (grey)", fontsize=10)
    return figure


def shares(together: Mapping[str, Effects], alone: Mapping[str, Mapping[str, Effects]]) -> Figure:
    """Which part of the variance each setting and each pair explains; dots are the variants alone."""
    figure, panels = _sheet(1, len(together), 3.8)
    names = [*combinations(SCALES, 1), *combinations(SCALES, 2)]
    for ax, (task, all_variants) in zip(panels[0], together.items(), strict=True):
        ax.barh(range(len(names)), [all_variants.shares[each] for each in names], color=BLUE, alpha=0.6)
        for own in alone[task].values():
            ax.plot([own.shares[each] for each in names], range(len(names)), ".", color="black", alpha=0.5)
        ax.set_yticks(range(len(names)), [" × ".join(SAYS[name] for name in each) for each in names])
        ax.invert_yaxis()
        ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        ax.set(title=task, xlabel="of the variance", xlim=(0, 1))
        ax.grid(axis="x", alpha=0.2)
        ax.label_outer()
    return figure


def pairs(together: Mapping[str, Effects]) -> Figure:
    """The mean loss over the two settings that explain most together, by task."""
    figure, panels = _sheet(1, len(together), 3.8)
    for ax, (task, each) in zip(panels[0], together.items(), strict=True):
        first, second = max(combinations(SCALES, 2), key=lambda names: each.shares[names])
        mesh = ax.pcolormesh(
            each.values[first], each.values[second], each.marginals[first, second].T, cmap="cividis", shading="nearest"
        )
        _ticks(ax, first)
        _ticks(ax, second, "y")
        ax.set(
            xlabel=SAYS[first], ylabel=SAYS[second], title=f"{task}: {each.shares[first, second]:.0%} of the variance"
        )
        figure.colorbar(mesh, ax=ax, label="test loss")
    return figure


def _by_variant(trials: Sequence[Trial], task: str) -> dict[str, Effects]:
    """A forest for each variant that has enough trials on this task."""
    by_variant = {
        variant: [each for each in trials if (each.task, each.variant) == (task, variant)] for variant in VARIANTS
    }
    return {variant: effects(some) for variant, some in by_variant.items() if len(some) >= FEWEST}


def _ticks(ax: Axes, name: str, axis: str = "x") -> None:
    """The setting's own values on its scale."""
    places = [float(SCALES[name](value)) for value in TICKS[name]]
    (ax.set_xticks if axis == "x" else ax.set_yticks)(places, [f"{value:g}" for value in TICKS[name]])


def _sheet(high: int, wide: int, height: float) -> tuple[Figure, np.ndarray]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12 if wide > 1 else 6, 0.6 + height * high), layout="constrained")
    panels = figure.subplots(high, wide, squeeze=False)
    for ax in panels.ravel():
        ax.spines[["top", "right"]].set_visible(False)
    return figure, panels
