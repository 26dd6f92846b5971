"""Trials of an experiment: one after the other, each kept in a CSV file as soon as it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from nblstm.arguments import as_choice
from nblstm.experiments.experiment import CELLS, Case, Experiment
from nblstm.experiments.rows import read, write


@dataclass(frozen=True)
class Trial:
    """What came of one trial; `wrong` of the `tested` sequences of its test, `mean_error` over these, absolute."""

    experiment: str
    case: str
    cell: str
    seed: int
    trial: int
    learned: bool
    sequences: int
    cpu_seconds: float
    wrong: int
    tested: int
    mean_error: float

    def __post_init__(self) -> None:
        as_choice("cell", self.cell, CELLS)

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """By which it is known."""
        return self.experiment, self.case, self.cell, self.seed, self.trial


def run_trial(
    experiment: str, case: Case, cell: str, seed: int, trial: int, progress: Callable[[int], object] = lambda done: None
) -> Trial:
    """Train a new net until it has learned or is given up; `progress` is told how many sequences it has seen.

    The numbers of a trial depend on the seed, the trial, the case and the cell alone. Its time is that of the process,
    compilation left out.
    """
    words = [int.from_bytes(word.encode(), "big") for word in (experiment, case.label, cell)]
    rng = np.random.default_rng([seed, trial, *words])
    task, net = case.task(rng), case.make_net(cell, rng)
    net.answer(task.draw(np.random.default_rng(0), 2))  # compiles, or loads, what a first call has to
    start, seen, learned = time.process_time(), 0, False
    while not learned and seen < case.most:
        sequences = task.draw(rng, case.every)
        learned = task.learned(sequences, net.train(sequences), net)
        seen += case.every
        progress(seen)
    seconds = time.process_time() - start
    return Trial(experiment, case.label, cell, seed, trial, learned, seen, round(seconds, 3), *task.test(net, rng))


def run(
    experiment: Experiment, cases: tuple[Case, ...], cell: str, numbers: Iterable[int], seed: int, file: Path,
    progress: Callable[[str], object] = lambda said: None,
) -> Iterator[Trial]:  # fmt: skip
    """The trials of these numbers of some cases: those that `file` has are not run again, others are added to it."""
    kept = {trial.key: trial for trial in read(file, Trial)} if file.exists() else {}
    for case, number in product(cases, numbers):
        key = (experiment.name, case.label, cell, seed, number)
        if key not in kept:
            show = partial(_say, progress, f"{case.label}, {cell}, trial {number}")
            kept[key] = run_trial(experiment.name, case, cell, seed, number, show)
            write(file, Trial, kept.values())
        yield kept[key]


def _say(progress: Callable[[str], object], what: str, done: int) -> None:
    progress(f"{what}: {done:,} sequences")


def table(experiment: Experiment, trials: list[Trial]) -> str:
    """A line for each case and cell that has trials, beside the paper's."""
    lines = [
        "| case | cell | learned | sequences needed: median (range) | CPU s a trial: median | wrong in tests | paper |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in experiment.cases:
        for cell in CELLS:
            some = [each for each in trials if (each.case, each.cell) == (case.label, cell)]
            if not some:
                continue
            good = [each for each in some if each.learned]
            needed = [each.sequences for each in good]
            spread = f"{np.median(needed):,.0f} ({min(needed):,} to {max(needed):,})" if needed else "none"
            wrong = f"{sum(each.wrong for each in good):,} of {sum(each.tested for each in good):,}"
            seconds = np.median([each.cpu_seconds for each in some])
            columns = (
                case.label, cell, f"{len(good)} of {len(some)}", spread, f"{seconds:.1f}", wrong,
                f"{case.published:,} ({case.published_share} % of {case.published_trials})",
            )  # fmt: skip
            lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)
