"""The command line: ``nblstm train``, ``sample``, ``course``, ``bench`` and ``info``; one thin function each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nblstm.settings import Settings

if TYPE_CHECKING:
    from nblstm.models import CharLM
    from nblstm.runs import Run

OPENING = "The "
POSITIVE, NOT_NEGATIVE = click.IntRange(min=1), click.IntRange(min=0)
EXAMPLES = """\b
Examples:
  nblstm train                                 the default text, about three minutes
  nblstm train novel.txt --layers 3            any UTF-8 file
  nblstm train --resume runs/python-reference  after Ctrl-C
  nblstm sample runs/python-reference --prompt "The " --temperature 0.5
  nblstm course                                a copy of the lessons, opened in JupyterLab
  nblstm bench                                 beside PyTorch, ONNX Runtime and JAX, about twenty minutes
"""


class Refused(click.ClickException):
    """Bad input: one sentence on stderr."""

    exit_code = 2


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn what the library refuses into one sentence and exit code 2; a training that diverged ends with 1."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise Refused(str(error)) from error
    except MemoryError as error:
        raise Refused(f"not enough memory for this: {error}") from error
    except FloatingPointError as error:
        raise click.ClickException(str(error)) from error


@click.group(context_settings={"max_content_width": 120, "show_default": True}, epilog=EXAMPLES)
@click.version_option(package_name="nblstm")
def main() -> None:
    """LSTM networks on the CPU: train a character model on a text, let it write, and learn how it works.

    Bad input ends with exit code 2 and a sentence that says what was expected. Every command has its own --help.
    """


@main.command(
    epilog="Ctrl-C saves the run and says how to resume it; a resumed run ends in the same model, bit for bit."
)
@click.argument("text", default=Settings.text)
@click.option("--hidden-size", type=POSITIVE, default=Settings.hidden_size, help="Units per recurrent layer.")
@click.option("--layers", "num_layers", type=POSITIVE, default=Settings.num_layers, help="Recurrent layers.")
@click.option("--cell", default=Settings.cell, type=click.Choice(["lstm", "peephole", "rnn_tanh", "rnn_relu"]))
@click.option(
    "--formulation",
    default=Settings.formulation,
    type=click.Choice(["split", "concat"]),
    help="Weights of input and state apart, or joined.",
)
@click.option(
    "--batch",
    "batch_size",
    type=POSITIVE,
    default=Settings.batch_size,
    help="Streams of text that are read side by side.",
)
@click.option(
    "--length",
    "window",
    type=POSITIVE,
    default=Settings.window,
    help="Characters per training window; no gradient reaches beyond it.",
)
@click.option("--steps", type=POSITIVE, default=Settings.steps, help="Length of the run in training steps.")
@click.option("--epochs", type=POSITIVE, help="Length in passes over the training part, in place of --steps.")
@click.option(
    "--minutes",
    type=float,
    help="Length in minutes, in place of --steps; gives up reproducibility: how many steps fit depends on the machine.",
)
@click.option(
    "--learning-rate", default=Settings.learning_rate, help="Of Adam at the beginning; it falls along half a cosine."
)
@click.option("--dropout", default=Settings.dropout, help="Between the recurrent layers, from 0 to below 1.")
@click.option("--clip", default=Settings.clip, help="Largest norm of the gradient; inf for no limit.")
@click.option(
    "--seed", type=NOT_NEGATIVE, default=Settings.seed, help="Of initial weights, dropout and the sample at the end."
)
@click.option("--output", type=Path, help="New folder for the run.  [default: runs/NAME, numbered if that is taken]")
@click.option("--resume", type=Path, metavar="RUN", help="Continue the run in this folder, with the settings it has.")
@click.pass_context
def train(context: click.Context, /, output: Path | None, resume: Path | None, **options: Any) -> None:
    """Train a character model on TEXT: a UTF-8 file, or python-reference, or tinyshakespeare.

    python-reference, the default, is the language reference that every Python carries: 465,000 characters, no
    download. tinyshakespeare is fetched once. The last tenth of the text is kept for validation; bits per character
    on it are shown beside three baselines that only count characters in the rest.

    The run's folder gets model.safetensors, run.json, loss.png and checkpoint.safetensors; a sample is printed.
    """
    from nblstm.runs import Run

    given = {name: value for name, value in options.items() if _was_given(context, name)}
    with _plain_errors():
        if resume and output:
            raise ValueError("--resume continues in the run's own folder, so it does not go with --output")
        run = Run.resume(resume, _settings(given)) if resume else _new_run(output, _settings(given))
        if run.progress == 1:
            raise ValueError(f"the run in {resume} is complete with {run.trainer.steps} steps, nothing is left")
        click.echo(f"{run.settings.text}: {run.characters:,} characters, {len(run.model.vocabulary)} of them distinct")
        click.echo(f"{'resuming' if resume else 'training'} {run.model.num_parameters:,} parameters in {run.folder}")
        if run.settings.minutes:
            click.echo("with a limit in minutes the run cannot be reproduced: the steps that fit depend on the machine")
        finished = run.train()
        if not finished:
            click.echo(f"stopped after {run.trainer.steps} steps; continue with: nblstm train --resume {run.folder}")
            context.exit(130)
        sample = run.model.sample(_opening(run.model), length=500, temperature=0.7, seed=run.settings.seed)
        click.echo(f"\n{sample}\n")
    click.echo(f"{run.folder} has model.safetensors, run.json and loss.png; more text: nblstm sample {run.folder}")


def _opening(model: CharLM) -> str:
    """What a sample begins with where nobody says: the model may not know these characters."""
    return OPENING if set(OPENING) <= set(model.vocabulary) else ""


def _was_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """What was given, as `Settings` wants it: epochs or minutes replace the steps, a file has its full path."""
    from nblstm.datasets import KNOWN_TEXTS

    settings = {"steps": None, **given} if given.keys() & {"epochs", "minutes"} else dict(given)
    if "text" in given and given["text"] not in KNOWN_TEXTS:
        settings["text"] = str(Path(given["text"]).absolute())
    return settings


def _new_run(output: Path | None, given: dict[str, Any]) -> Run:
    from nblstm.runs import Run

    settings = Settings(**given)
    folder = output or Path("runs") / Path(settings.text).stem
    number = 1
    while output is None and folder.exists():
        number += 1
        folder = folder.with_name(f"{Path(settings.text).stem}-{number}")
    return Run.create(folder, settings)


@main.command()
@click.argument("run", type=Path)
@click.option(
    "--prompt", help=f"Text to continue, in characters that the model knows.  [default: {OPENING!r} if it does]"
)
@click.option("--length", type=POSITIVE, default=500, help="Characters to add.")
@click.option("--temperature", default=0.7, help="Above 0; the lower, the more the likely characters are preferred.")
@click.option("--seed", type=NOT_NEGATIVE, help="Of the draw; a different one each time by default.")
def sample(run: Path, prompt: str | None, length: int, temperature: float, seed: int | None) -> None:
    """Let a trained model write: RUN is the folder of a run, or a model file."""
    from nblstm.models import CharLM

    with _plain_errors():
        model = CharLM.load(run / "model.safetensors" if run.is_dir() else run)
        click.echo(model.sample(_opening(model) if prompt is None else prompt, length, temperature, seed))


@main.command(epilog="Ctrl-C in this terminal ends JupyterLab; your copy stays, and the same command goes on with it.")
@click.argument("folder", type=Path, default=Path("nblstm-course"))
@click.option("--no-browser", is_flag=True, help="Only print the address; for a machine that is reached from another.")
@click.option("--port", type=click.IntRange(1, 65535), help="Of JupyterLab.  [default: 8888, or the next that is free]")
@click.option("--copy-only", is_flag=True, help="Copy the notebooks, for an editor of your own, and start nothing.")
@click.pass_context
def course(context: click.Context, /, folder: Path, no_browser: bool, port: int | None, copy_only: bool) -> None:
    """Learn how the LSTM works: copy the notebooks to FOLDER and open JupyterLab there.

    The copy is yours. What FOLDER has already is left alone, so your work is never overwritten; lessons that a later
    version brings are added. To begin a lesson again, rename or delete your copy of it.
    """
    from nblstm.course import start

    with _plain_errors():
        if not copy_only:
            start.require_jupyterlab()
        new, kept = start.copy(folder)
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
@click.option(
    "--out", type=Path, help="Folder for the results.  [default: benchmarks, once all is measured; with ROWS none]"
)
@click.pass_context
def bench(
    context: click.Context, /, rows: tuple[str, ...], threads: tuple[int, ...], dtype: str | None, rounds: int,
    seconds: float, out: Path | None,
) -> None:  # fmt: skip
    """Time LSTMs beside PyTorch, ONNX Runtime and JAX, and against what this machine can do.

    ROWS choose from the table: its rows by number, 1 to 12; shapes of your own as T,B,I,H,layers,directions; and by
    name what is measured beyond layers: step, sampling, streaming, denormals, start, memory, processes, allocator.
    Without ROWS everything is measured, for about twenty minutes, and results.md, results.csv and results.png are
    written.
    """
    from nblstm.bench.run import run
    from nblstm.bench.timing import Timing

    partly = out is not None
    if not rows and not out:
        out = Path("benchmarks")
        if not out.is_dir():
            raise Refused("there is no folder benchmarks here: name the one for the results with --out")
    with _plain_errors():
        if not run(rows, dtype, threads, Timing(rounds, seconds), out, partly):
            context.exit(130)


@main.command()
def info() -> None:
    """Show processor, vector lanes, threads, threading layer, versions, and the cache of compiled kernels."""
    from nblstm import environment

    for name, value in environment.describe().items():
        click.echo(f"{name.replace('_', ' '):<16} {value}")
    for folder, size in environment.cache().items():
        click.echo(f"{'cache':<16} {folder}: {size / 1e6:.1f} MB")
