"""What the odyssey's trials say: the best tenth of each variant beside vanilla's, and what each setting is worth.

As Greff et al. (2017) did it: Welch's test on the best tenth, here with Holm's correction for their number; and which
part of the variance of the loss each setting explains alone, and each two together, by the marginals of a forest. They
used fANOVA (Hutter, Hoos & Leyton-Brown 2014, An efficient approach for assessing hyperparameter importance), which
integrates over a forest's leaves. scikit-learn's partial dependence, which weighs these by the trials in them, stands
in for it: as settings are drawn uniformly on the scales of `SCALES`, the two are about the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from nblstm.experiments.odyssey import VARIANTS
from nblstm.experiments.odyssey_tasks import TASKS
from nblstm.experiments.odyssey_trials import Trial

LEVEL = 0.05
TREES, LEAF = 200, 3
FEWEST = 20
"""Trials of a task that a forest needs."""
GRID = 20
"""Values of a setting at which the forest is asked."""
Names = tuple[str, ...]
SCALES: dict[str, Callable[[Any], Any]] = {
    "lr": np.log10, "hidden_size": np.log2, "noise": lambda noise: noise, "momentum": lambda m: -np.log10(1 - m),
}  # fmt: skip
"""On these the space draws uniformly."""


@dataclass(frozen=True)
class Comparison:
    """The best tenth of a variant on a task, and the test against vanilla's; `p` is corrected, None for vanilla."""

    task: str
    variant: str
    trials: int
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    p: float | None = None
    difference: float = 0.0

    @property
    def verdict(self) -> str:
        """In words."""
        return "-" if self.p is None else _verdict(self.p, self.difference)


def best_tenth(trials: Sequence[Trial]) -> list[Trial]:
    """Those of the lowest validation losses, two or more for a spread."""
    return sorted(trials, key=lambda each: each.validation)[: max(2, math.ceil(len(trials) / 10))]


def compare(trials: Sequence[Trial]) -> list[Comparison]:
    """Each variant on each task, with test losses; all comparisons with vanilla are corrected together."""
    from scipy.stats import ttest_ind

    found = []
    for task in TASKS:
        by_variant = {
            variant: [each for each in trials if (each.task, each.variant) == (task, variant)] for variant in VARIANTS
        }
        if len(by_variant["V"]) < 2:
            continue  # nothing to compare with
        vanilla = [each.test for each in best_tenth(by_variant["V"])]
        for variant, some in by_variant.items():
            if len(some) < 2:
                continue
            best = best_tenth(some)
            losses = [each.test for each in best]
            p = None if variant == "V" else float(ttest_ind(losses, vanilla, equal_var=False).pvalue)
            difference = float(np.mean(losses) - np.mean(vanilla))
            accuracies = tuple(each.test_accuracy for each in best)
            found.append(Comparison(task, variant, len(some), tuple(losses), accuracies, p, difference))
    corrected = iter(holm([each.p for each in found if each.p is not None]))
    return [each if each.p is None else replace(each, p=next(corrected)) for each in found]


def holm(p: Sequence[float]) -> list[float]:
    """P-values such that those below a level are, all together, wrong with at most its probability.

    The smallest of n is multiplied by n, the next by n - 1 and so on, and none is below one before it (S. Holm, A
    simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979).
    """
    order = np.argsort(p)
    raised = np.minimum(1, np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1)))
    corrected = np.empty(len(p))
    corrected[order] = raised
    return [float(each) for each in corrected]


@dataclass(frozen=True)
class Effects:
    """What a forest says of some trials' test losses.

    `values` has a grid for each setting, on its scale. `marginals` has the mean loss there, (GRID,) for a setting and
    (GRID, GRID) for a pair. `shares` says which part of the variance each of them explains, a pair's without those of
    its two. `explained` is the forest's R2 on trials that a tree has not seen.
    """

    values: dict[str, np.ndarray]
    marginals: dict[Names, np.ndarray]
    shares: dict[Names, float]
    explained: float


def effects(trials: Sequence[Trial]) -> Effects:
    """Fit a forest to the settings of the trials, and take it apart."""
    from sklearn.inspection import partial_dependence

    forest, x = _forest(trials)
    anywhere = np.random.default_rng(0).uniform(x.min(axis=0), x.max(axis=0), (4096, len(SCALES)))
    variance = float(forest.predict(anywhere).var())

    values: dict[str, np.ndarray] = {}
    marginals: dict[Names, np.ndarray] = {}
    shares: dict[Names, float] = {}
    for names in [*combinations(SCALES, 1), *combinations(SCALES, 2)]:
        places = [list(SCALES).index(name) for name in names]
        found = partial_dependence(
            forest, x, [tuple(places)], grid_resolution=GRID, percentiles=(0, 1), method="recursion"
        )
        marginals[names] = found["average"][0]
        values.update(zip(names, found["grid_values"], strict=True))
        parts = sum(shares.get((name,), 0.0) for name in names)
        shares[names] = max(0.0, float(marginals[names].var()) / variance - parts)
    return Effects(values, marginals, shares, float(forest.oob_score_))


def _forest(trials: Sequence[Trial]) -> tuple[Any, np.ndarray]:
    """One that says the test loss from the settings alone, and these on their scales."""
    from sklearn.ensemble import RandomForestRegressor

    x = np.array([[SCALES[name](getattr(each, name)) for name in SCALES] for each in trials])
    forest = RandomForestRegressor(TREES, min_samples_leaf=LEAF, oob_score=True, random_state=0)
    return forest.fit(x, [each.test for each in trials]), x


@dataclass(frozen=True)
class Excess:
    """By how much a variant's loss is above what its settings let expect: median over all trials, minus vanilla's."""

    task: str
    variant: str
    difference: float
    p: float

    @property
    def verdict(self) -> str:
        """In words."""
        return _verdict(self.p, self.difference)


def at_the_same_settings(trials: Sequence[Trial]) -> list[Excess]:
    """All trials of each variant against vanilla's, once the part that the settings explain is taken off their losses.

    That part is what a forest of all variants, which is not told them, says of trials that its trees have not seen. The
    rest is compared by the test of Mann and Whitney, all comparisons corrected together. The paper has no such test;
    it needs fewer trials, and asks for the whole space in place of its best places.
    """
    from scipy.stats import mannwhitneyu

    found = []
    for task, some in _by_task(trials).items():
        rest = np.array([each.test for each in some]) - _forest(some)[0].oob_prediction_
        by_variant = {name: rest[[each.variant == name for each in some]] for name in VARIANTS}
        vanilla = by_variant.pop("V")
        for variant, own in by_variant.items():
            if len(own) and len(vanilla):
                p = float(mannwhitneyu(own, vanilla).pvalue)
                found.append(Excess(task, variant, float(np.median(own) - np.median(vanilla)), p))
    return [replace(each, p=p) for each, p in zip(found, holm([each.p for each in found]), strict=True)]


def _verdict(p: float, difference: float) -> str:
    if p >= LEVEL:
        return "no difference shown"
    return "worse" if difference > 0 else "better"


def in_words(trials: Sequence[Trial]) -> str:
    """Three tables in Markdown."""
    tables = (comparisons_in_words, same_settings_in_words, effects_in_words)
    return "\n\n".join(table(trials) for table in tables)


def comparisons_in_words(trials: Sequence[Trial]) -> str:
    """A line for each variant and task: its best tenth, and how far that is from vanilla's."""
    lines = [
        "| task | variant | trials | test loss of the best tenth | right | minus vanilla's loss | p, corrected | |",
        "| --- | --- | --: | --- | --: | --: | --: | --- |",
    ]
    for each in compare(trials):
        spread = f"{np.mean(each.losses):.3f} ± {np.std(each.losses, ddof=1):.3f} (n = {len(each.losses)})"
        tested = ("", "") if each.p is None else (f"{each.difference:+.3f}", f"{each.p:.2g}")
        columns = (each.task, each.variant, str(each.trials), spread, f"{np.mean(each.accuracies):.1%}", *tested)
        lines.append(f"| {' | '.join(columns)} | {each.verdict} |")
    return "\n".join(lines)


def same_settings_in_words(trials: Sequence[Trial]) -> str:
    """A line for each variant: by task the loss above vanilla's at the same settings, and p; bold where it is shown."""
    found = at_the_same_settings(trials)
    tasks = list(dict.fromkeys(each.task for each in found))
    lines = [f"| variant | {' | '.join(tasks)} |", "| --- |" + " --- |" * len(tasks)]
    for variant in dict.fromkeys(each.variant for each in found):
        cells = {each.task: f"{each.difference:+.3f} (p = {each.p:.2g})" for each in found if each.variant == variant}
        shown = {each.task for each in found if each.variant == variant and each.p < LEVEL}
        row = (f"**{cells[task]}**" if task in shown else cells.get(task, "") for task in tasks)
        lines.append(f"| {variant} | {' | '.join(row)} |")
    return "\n".join(lines)


def effects_in_words(trials: Sequence[Trial]) -> str:
    """A line for each task: which part of the variance is due to each setting, and to pairs of them."""
    lines = [
        f"| task | {' | '.join(SCALES)} | largest pair | all pairs | R2 on unseen trials |",
        "| --- |" + " --: |" * len(SCALES) + " --- | --: | --: |",
    ]
    for task, found in effects_by_task(trials).items():
        pairs = {names: share for names, share in found.shares.items() if len(names) == 2}
        largest = max(pairs, key=lambda names: pairs[names])
        alone = " | ".join(f"{found.shares[name,]:.0%}" for name in SCALES)
        pair = f"{' × '.join(largest)}, {pairs[largest]:.0%}"
        lines.append(f"| {task} | {alone} | {pair} | {sum(pairs.values()):.0%} | {found.explained:.2f} |")
    return "\n".join(lines)


def effects_by_task(trials: Sequence[Trial]) -> dict[str, Effects]:
    """One forest for each task, of all variants' trials; a task with hardly any has none."""
    return {task: effects(some) for task, some in _by_task(trials).items()}


def _by_task(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Those of each task that has enough for a forest."""
    by_task = {task: [each for each in trials if each.task == task] for task in TASKS}
    return {task: some for task, some in by_task.items() if len(some) >= FEWEST}
