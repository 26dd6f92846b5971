"""``nblstm experiments odyssey``: the searches, and what comes of them: a table, pictures and words."""

from __future__ import annotations

from pathlib import Path

import click

NAME, ABOUT = "odyssey", "the LSTM and its variants, settings drawn, three tasks (Greff et al. 2017)"


def run(context: click.Context, trials: int, seed: int, workers: int | None, output: Path) -> None:
    """Compute what is missing in the folder `output`/odyssey, and write what all of it says."""
    from tqdm import tqdm

    from nblstm.experiments import odyssey
    from nblstm.experiments.odyssey_analysis import in_words
    from nblstm.experiments.odyssey_pictures import draw
    from nblstm.experiments.odyssey_tasks import TASKS
    from nblstm.experiments.odyssey_trials import Trial, collect
    from nblstm.experiments.rows import write
    from nblstm.files import atomic_write
    from nblstm.runs.safeguards import alone

    searches, table = output / NAME, output / f"{NAME}.csv"
    searches.mkdir(parents=True, exist_ok=True)
    count = trials * len(TASKS) * len(odyssey.VARIANTS)
    with alone(output, "experiment"):
        try:
            with tqdm(total=count, unit=" trials", leave=False, disable=None) as bar:
                for more in odyssey.run(searches, trials, seed=seed, workers=workers):
                    bar.update(more)
        except KeyboardInterrupt:
            click.echo(f"stopped; {searches} has the trials that have ended, and the same command continues")
            context.exit(130)
        found, failed = collect(searches)
        write(table, Trial, found)
        for name, figure in draw(found).items():
            with atomic_write(output / f"{NAME}-{name}.png") as out:
                figure.savefig(out, format="png", dpi=90)
        words = in_words(found)
        with atomic_write(output / f"{NAME}.md") as out:
            out.write(f"{words}\n".encode())
    click.echo(words)
    click.echo(f"{len(found):,} trials, and {failed} that failed: {table}; words and pictures beside it")
