"""``nblstm experiments``: the experiments of 1997, listed or run, and the odyssey."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nblstm.arguments import as_number
from nblstm.cli import odyssey
from nblstm.cli.group import NOT_NEGATIVE, POSITIVE, Refused, main
from nblstm.cli.runs import given_options

if TYPE_CHECKING:
    from nblstm.experiments.experiment import Case, Experiment


@main.command(epilog="What was measured: docs/experiments.md and docs/odyssey.md in the repository.")
@click.argument("name", required=False)
@click.option("--case", "labels", multiple=True, help="A case of it alone, as the list has it; may be repeated.")
@click.option("--cell", type=click.Choice(["paper", "today", "both"]), default="both", help="Which net.")
@click.option("--trials", type=POSITIVE, default=10, help="Of each case and cell.")
@click.option("--seed", type=NOT_NEGATIVE, default=0, help="Of all trials.")
@click.option("--hours", type=float, help="Stop after so many; the trial under way is dropped. Not of the odyssey.")
@click.option("--workers", type=POSITIVE, help="Processes of the odyssey.  [default: as many as fill the cores]")
@click.option("--output", type=Path, default=Path("experiments"), help="Folder for the tables and the pictures.")
@click.pass_context
def experiments(
    context: click.Context, /, name: str | None, labels: tuple[str, ...], cell: str, trials: int, seed: int,
    hours: float | None, workers: int | None, output: Path,
) -> None:  # fmt: skip
    """Run an experiment of the paper that introduced the LSTM, all of them, or the odyssey; or list them.

    With the paper's net (no forget gate, memory blocks, truncated gradient, one sequence after the other) and with one
    of today (forget gates, Adam, batches). Each trial is kept when it ends: after Ctrl-C, or once the hours are over,
    the same command goes on. Every case has its first trial before any has its second. The odyssey draws settings for
    the LSTM and its variants on three tasks, --trials of each variant and task.
    """
    from nblstm.experiments import EXPERIMENTS
    from nblstm.experiments.experiment import CELLS
    from nblstm.runs.safeguards import alone

    given = given_options(context, context.params)
    known = ", ".join([*EXPERIMENTS, "all", odyssey.NAME])
    if name is None:
        if given:
            raise Refused(f"NAME must be one of {known} where there are options, got none")
        _list()
        return
    if hours is not None:
        as_number("--hours", hours, positive=True)
    if name == odyssey.NAME:
        if given.keys() & {"labels", "cell", "hours"}:
            raise Refused(
                "--case, --cell and --hours must be left out of the odyssey, which has all its variants and tasks"
            )
        if trials < 2:
            raise Refused(f"--trials must be 2 or more for the odyssey, as one has no spread, got {trials}")
        odyssey.run(context, trials, seed, workers, output)
        return
    if workers is not None:
        raise Refused(f"--workers must be left out but for the odyssey, got it for {name}")
    if name not in EXPERIMENTS and name != "all":
        raise Refused(f"NAME must be one of {known}, got {name}")
    if name == "all" and labels:
        raise Refused("--case needs the NAME of one experiment, got all")
    chosen = {each: each.cases for each in EXPERIMENTS.values() if name in (each.name, "all")}
    for experiment in chosen if labels else ():
        by_label = {case.label: case for case in experiment.cases}
        for label in labels:
            if label not in by_label:
                raise Refused(f"--case must be one of {'; '.join(by_label)}, got {label}")
        chosen[experiment] = tuple(by_label[label] for label in labels)
    output.mkdir(parents=True, exist_ok=True)
    with alone(output, "experiment"):
        try:
            _rounds(chosen, CELLS if cell == "both" else (cell,), trials, seed, output, hours)
        except KeyboardInterrupt:
            click.echo(f"stopped; {output} has the trials that have ended, and the same command continues")
            context.exit(130)
        except _TimeIsUp:
            click.echo(f"the hours are over; {output} has the trials that have ended, and the same command continues")
        for experiment in chosen:
            _show(experiment, output)


class _TimeIsUp(Exception):
    """The hours are over."""


def _list() -> None:
    from nblstm.experiments import EXPERIMENTS

    for each in EXPERIMENTS.values():
        click.echo(f"{each.name:<16} {each.about}")
        for case in each.cases:
            click.echo(f"    {case.label:<24} {case.weights:>6,} weights; the paper's mean {case.published:,}")
    click.echo(f"{odyssey.NAME:<16} {odyssey.ABOUT}")


def _rounds(
    chosen: dict[Experiment, tuple[Case, ...]], cells: tuple[str, ...], trials: int, seed: int, output: Path,
    hours: float | None,
) -> None:  # fmt: skip
    """The first trial of every case, then the second of every case, and so on."""
    from tqdm import tqdm

    from nblstm.experiments.trials import run

    end = float("inf") if hours is None else time.monotonic() + 3600 * hours
    total = trials * len(cells) * sum(len(cases) for cases in chosen.values())
    with tqdm(total=total, unit=" trials", leave=False, disable=None) as bar:

        def progress(said: str) -> None:
            bar.set_description(said)
            if time.monotonic() > end:
                raise _TimeIsUp

        for number in range(trials):
            for experiment, cases in chosen.items():
                for cell in cells:
                    file = output / f"{experiment.name}.csv"
                    for _ in run(experiment, cases, cell, [number], seed, file, progress):
                        bar.update()


def _show(experiment: Experiment, output: Path) -> None:
    """Print the table of what is kept, and draw its picture."""
    from nblstm.experiments.picture import draw
    from nblstm.experiments.rows import read
    from nblstm.experiments.trials import Trial, table
    from nblstm.files import atomic_write

    file, picture = output / f"{experiment.name}.csv", output / f"{experiment.name}.png"
    if not file.exists():
        click.echo(f"{experiment.name}: no trial has ended yet")
        return
    kept = read(file, Trial)
    with atomic_write(picture) as out:
        draw(experiment, kept).savefig(out, format="png", dpi=120)
    click.echo(f"{experiment.name}\n{table(experiment, kept)}\ntrials: {file}; picture: {picture}")
