"""``nblstm experiments``: the experiments of 1997, listed or run, and the odyssey."""

from __future__ import annotations

from pathlib import Path

import click

from nblstm.cli import odyssey
from nblstm.cli.group import NOT_NEGATIVE, POSITIVE, Refused, main


@main.command(epilog="What was measured: docs/experiments.md and docs/odyssey.md in the repository.")
@click.argument("name", required=False)
@click.option("--case", "labels", multiple=True, help="A case of it alone, as the list has it; may be repeated.")
@click.option("--cell", type=click.Choice(["paper", "today", "both"]), default="both", help="Which net.")
@click.option("--trials", type=POSITIVE, default=10, help="Of each case and cell.")
@click.option("--seed", type=NOT_NEGATIVE, default=0, help="Of all trials.")
@click.option("--processes", type=POSITIVE, help="Of the odyssey: by default one for each core.")
@click.option("--output", type=Path, default=Path("experiments"), help="Folder for the table and the picture.")
@click.pass_context
def experiments(
    context: click.Context, /, name: str | None, labels: tuple[str, ...], cell: str, trials: int, seed: int,
    processes: int | None, output: Path,
) -> None:  # fmt: skip
    """Run an experiment of the paper that introduced the LSTM, or the odyssey, or list all.

    With the paper's net (no forget gate, memory blocks, truncated gradient, one sequence after the other) and with one
    of today (forget gates, Adam, batches). Each trial is kept when it ends: after Ctrl-C the same command goes on. The
    odyssey draws settings for the LSTM and its variants on three tasks, --trials of each variant and task.
    """
    from tqdm import tqdm

    from nblstm.experiments import EXPERIMENTS
    from nblstm.experiments.experiment import CELLS
    from nblstm.experiments.picture import draw
    from nblstm.experiments.trials import read, run, table
    from nblstm.files import atomic_write
    from nblstm.runs.safeguards import alone

    if name is None:
        for each in EXPERIMENTS.values():
            click.echo(f"{each.name:<16} {each.about}")
            for case in each.cases:
                click.echo(f"    {case.label:<24} {case.weights:>6,} weights; the paper's mean {case.published:,}")
        click.echo(f"{odyssey.NAME:<16} {odyssey.ABOUT}")
        return
    if name == odyssey.NAME:
        if labels or cell != "both":
            raise Refused("--case and --cell must be left out of the odyssey, which has all its variants and tasks")
        if trials < 2:
            raise Refused(f"--trials must be 2 or more for the odyssey, as one has no spread, got {trials}")
        odyssey.run(context, trials, seed, processes, output)
        return
    if processes is not None:
        raise Refused(f"--processes must be left out but for the odyssey, got it for {name}")
    if name not in EXPERIMENTS:
        raise Refused(f"NAME must be one of {', '.join((*EXPERIMENTS, odyssey.NAME))}, got {name}")
    experiment = EXPERIMENTS[name]
    known = {case.label: case for case in experiment.cases}
    for label in labels:
        if label not in known:
            raise Refused(f"--case must be one of {'; '.join(known)}, got {label}")
    cases = tuple(known[label] for label in labels) or experiment.cases
    output.mkdir(parents=True, exist_ok=True)
    file = output / f"{name}.csv"
    with alone(output, "experiment"):
        try:
            for each_cell in CELLS if cell == "both" else (cell,):
                with tqdm(total=len(cases) * trials, unit=" trials", leave=False, disable=None) as bar:
                    for _ in run(experiment, cases, each_cell, trials, seed, file, bar.set_description):
                        bar.update()
        except KeyboardInterrupt:
            click.echo(f"stopped; {file} has the trials that have ended, and the same command continues")
            context.exit(130)
        kept = read(file)
        with atomic_write(output / f"{name}.png") as out:
            draw(experiment, kept).savefig(out, format="png", dpi=120)
    click.echo(table(experiment, kept))
    click.echo(f"trials: {file}; picture: {output / f'{name}.png'}")
