"""Commands beside training: ``nblstm course``, ``bench``, ``check``, ``compile``, ``info``, a thin function each."""

from __future__ import annotations

from pathlib import Path

import click

from nblstm.cli.group import POSITIVE, Refused, main


@main.command(epilog="Ctrl-C twice in this terminal ends it; your copy stays, and the same command goes on with it.")
@click.argument("folder", type=Path, default=Path("nblstm-course"))
@click.option("--no-browser", is_flag=True, help="Only print the address; for a machine that is reached from another.")
@click.option("--port", type=click.IntRange(1, 65535), help="Of JupyterLab.  [default: 8888, or the next that is free]")
@click.option("--copy-only", is_flag=True, help="Copy the notebooks, for an editor of your own, and start nothing.")
@click.option("--without-solutions", is_flag=True, help="Copy no solutions: for a teacher who hands the folder out.")
@click.option("--progress", is_flag=True, help="Show what you have done in FOLDER: exercises, predictions, misses.")
@click.option("--grade", is_flag=True, help="Grade the project in FOLDER by its rubric; exit code 1 below 20 points.")
@click.pass_context
def course(
    context: click.Context, /, folder: Path, no_browser: bool, port: int | None, copy_only: bool,
    without_solutions: bool, progress: bool, grade: bool,
) -> None:  # fmt: skip
    """Learn how the LSTM works: copy the notebooks to FOLDER and open JupyterLab there.

    The copy is yours. What FOLDER has already is left alone, so your work is never overwritten; lessons that a later
    version brings are added. To begin a lesson again, rename or delete your copy of it.

    Your right exercises and your predictions are noted in progress.json in FOLDER, and nowhere else; --progress shows
    them. At the end of the course stands a project, project.md: --grade runs its code in a process of its own and says
    for each item what was expected and what came.
    """
    from nblstm.course import grading, start
    from nblstm.course import progress as record

    others = no_browser or copy_only or without_solutions or port is not None
    if progress + grade + others > 1:
        raise Refused("--progress and --grade take no other option")
    if progress:
        click.echo(record.table(record.lessons(folder, start.originals())))
        if tested := record.concept_test(folder):
            click.echo(f"\n{tested}")
        return
    if grade:
        rows = grading.grade(folder)
        click.echo(grading.table(rows))
        context.exit(0 if all(row.points == row.of for row in rows) else 1)
    if not copy_only:
        start.require_jupyterlab()
    new, kept = start.copy(folder, solutions=not without_solutions)
    record.begin(folder)
    click.echo(f"files copied to {folder}: {len(new)}; there already, and left as they are: {len(kept)}")
    if copy_only:
        return
    code = start.run(start.command(folder, browser=not no_browser, port=port, first=not kept))
    context.exit(code)


@main.command(epilog="The rules, and how to read the figures: benchmarks/README.md in the repository.")
@click.argument("rows", nargs=-1)
@click.option("--threads", type=POSITIVE, multiple=True, help="Repeat it for several counts.  [default: all, and 1]")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Of every row.  [default: the table's]")
@click.option("--rounds", type=POSITIVE, default=7, help="Turns that each side gets.")
@click.option("--seconds", type=click.FloatRange(min=0), default=0.2, help="Length of a turn.")
@click.option("--random", type=click.IntRange(min=0), default=0, help="So many shapes drawn at random, too; the same.")
@click.option(
    "--out",
    type=Path,
    help="Folder for the results.  [default: benchmarks/results, once all is measured; with ROWS none]",
)
@click.pass_context
def bench(
    context: click.Context, /, rows: tuple[str, ...], threads: tuple[int, ...], dtype: str | None, rounds: int,
    seconds: float, random: int, out: Path | None,
) -> None:  # fmt: skip
    """Time LSTMs beside PyTorch, ONNX Runtime and JAX, and against what this machine can do.

    ROWS choose from the table: its rows by number, 1 to 18; shapes of your own as T,B,I,H,layers,directions; and by
    name what is measured beyond layers: step, sampling, streaming, denormals, gru, cells, start, memory, processes,
    allocator, compile. Without ROWS everything but compile, which waits for torch.compile, is measured, for about half
    an hour, and tables, CSV and a picture are written under the processor's name.
    """
    from nblstm.bench.run import run
    from nblstm.bench.timing import Timing

    partly = out is not None
    if not rows and not random and not out:
        out = Path("benchmarks/results")
        if not out.parent.is_dir():
            raise Refused("there is no folder benchmarks here: name the one for the results with --out")
    if not run(rows, dtype, threads, Timing(rounds, seconds), out, partly, random):
        context.exit(130)


@main.command()
@click.pass_context
def check(context: click.Context, /) -> None:
    """Check nblstm on this very machine, in about a minute; exit code 1 if anything is wrong.

    All gradients of all layers against centred differences; outputs and gradients against recorded ones of PyTorch's;
    exp, tanh, sigmoid and softplus against the exact values; and the same bits with one thread and with all.
    """
    from tqdm import tqdm

    from nblstm import check

    bar = tqdm(check.rows(), desc="checking", unit=" checks", total=check.count(), leave=False, disable=None)
    found = list(bar)
    click.echo(check.table(found))
    failed = [row for row in found if not row.passed]
    click.echo(f"{len(found) - len(failed)} of {len(found)} checks passed")
    if failed:
        context.exit(1)


@main.command("compile")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Of the kernels.  [default: both]")
@click.pass_context
def compile_(context: click.Context, /, dtype: str | None) -> None:
    """Compile all kernels beforehand, for this processor and as many threads as it has: a minute or two.

    For images of containers, and classrooms: afterwards nothing of the package is compiled at its first use any more,
    but cells of your own. What is there already is left as it is. `nblstm info` shows where the kernels are kept.
    """
    from tqdm import tqdm

    from nblstm import ahead, environment

    if not environment.cache():
        raise Refused("there is no folder that kernels could be kept in: NUMBA_CACHE_DIR may name one")
    works = [work for each in ([dtype] if dtype else ["float32", "float64"]) for work in ahead.works(each)]
    for work in tqdm(works, desc="compiling", unit=" steps", leave=False, disable=None):
        work()
    for folder, size in environment.cache().items():
        click.echo(f"kernels in {folder}: {size / 1e6:.1f} MB")


@main.command()
def info() -> None:
    """Show processor, vector lanes, threads, threading layer, versions, and the cache of compiled kernels."""
    from nblstm import environment

    for name, value in environment.describe().items():
        click.echo(f"{name.replace('_', ' '):<16} {value}")
    for folder, size in environment.cache().items():
        click.echo(f"{'cache':<16} {folder}: {size / 1e6:.1f} MB")
