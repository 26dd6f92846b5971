"""What the training commands share: the options of a run, and the run that they ask for, trained."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numba
from click.core import ParameterSource

from nblstm.cells import CELLS
from nblstm.cli.group import NOT_NEGATIVE, POSITIVE, in_options, sentence
from nblstm.cli.own_cell import CellOrName, as_typed
from nblstm.datasets.text import STANDARD_INPUT, named
from nblstm.distributed import EXCHANGES, check_shards, on_all_ranks, started, world
from nblstm.jobs.settings import OPTIMIZERS, Settings, TextSettings
from nblstm.kernels.compilation import refuse
from nblstm.layers.engine import FORMULATIONS
from nblstm.models.network import no_effect

if TYPE_CHECKING:
    from nblstm.jobs import Job
    from nblstm.runs.checkpoints import Checkpoint
    from nblstm.runs.run import Run

DEFAULT = ParameterSource.DEFAULT
SHARDS = 4
"""Of a batch, where mpirun has started the command, be it once, and nobody says."""

EPILOG = """Ctrl-C saves the run and says how to resume it; a resumed run ends in the same model, bit for bit.

A run is trained further, also a finished one, by --resume with a greater length: --steps 5000, say, or --epochs,
counted from its beginning. From there on the learning rate is that of a run of the new length, so it goes up from where
it had fallen to, and the whole is not the run that would have had this length from its beginning.
"""


def options_of_a_run(defaults: Settings, length: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options that every training command has, with their defaults; `length` says what an epoch is.

    They are called as the settings are; some have a shorter name besides.
    """
    options: list[Callable[[Callable[..., None]], Callable[..., None]]] = [
        click.option("--hidden-size", type=POSITIVE, default=defaults.hidden_size, help="Units per recurrent layer."),
        click.option("--num-layers", "--layers", type=POSITIVE, default=defaults.num_layers, help="Recurrent layers."),
        click.option(
            "--cell",
            type=CellOrName(),
            metavar="NAME",
            default=defaults.cell,
            help=f"What a recurrent layer is made of: {', '.join(CELLS)}; or FILE.py:NAME, a cell of your own that the "
            "Python file declares.",
        ),
        click.option(
            "--formulation",
            type=click.Choice(FORMULATIONS),
            default=defaults.formulation,
            help="Weights of input and state apart, or joined.",
        ),
        click.option(
            "--heads",
            type=POSITIVE,
            default=defaults.heads,
            help="Into how many parts, which do not read each other, --hidden-size is divided.",
        ),
        click.option(
            "--layer-norm", is_flag=True, help="Normalise both products of a step across its units (Ba et al. 2016)."
        ),
        click.option("--steps", type=POSITIVE, default=defaults.steps, help="Length of the run in training steps."),
        click.option("--epochs", type=POSITIVE, default=defaults.epochs, help=f"Length of the run in {length}."),
        click.option(
            "--minutes",
            type=float,
            help="Length of the run in minutes; gives up reproducibility: how many steps fit depends on the machine.",
        ),
        click.option(
            "--optimizer", type=click.Choice(OPTIMIZERS), default=defaults.optimizer, help="sgd has a momentum of 0.9."
        ),
        click.option(
            "--lr",
            "--learning-rate",
            type=float,
            default=defaults.lr,
            help="Learning rate at the beginning; it falls along half a cosine.",
        ),
        click.option("--weight-decay", type=float, default=defaults.weight_decay, help="Of the optimizer; 0 for none."),
        click.option("--dropout", default=defaults.dropout, help="Between the recurrent layers, from 0 to below 1."),
        click.option("--clip", default=defaults.clip, help="Largest norm of the gradient; inf for no limit."),
        click.option(
            "--seed", type=NOT_NEGATIVE, default=defaults.seed, help="Of all that is drawn: initial weights and so on."
        ),
        click.option(
            "--evaluate-every",
            type=POSITIVE,
            help="Steps from one evaluation to the next.  [default: such that there are 10 to 25]",
        ),
        click.option(
            "--patience",
            type=POSITIVE,
            help="End the run after so many evaluations without a lower validation loss.  [default: never]",
        ),
        click.option(
            "--shards",
            type=POSITIVE,
            default=defaults.shards,
            help="Parts of each batch, which ranks of mpirun share out; the result depends on them, not on the ranks."
            f"  [default: {defaults.shards}; under mpirun {SHARDS}]",
            show_default=False,
        ),
        click.option(
            "--exchange",
            type=click.Choice(EXCHANGES),
            default=defaults.exchange,
            help="How ranks add up: ordered has the same bits for any number of them, allreduce has not.",
        ),
        click.option(
            "--output", type=Path, help="New folder for the run.  [default: runs/NAME, numbered if that is taken]"
        ),
        click.option(
            "--resume",
            type=Path,
            metavar="RUN",
            help="Continue the run in this folder with the settings it has, or a greater length.",
        ),
        click.pass_context,
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def given_options(context: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that are not defaults."""
    return {name: value for name, value in options.items() if context.get_parameter_source(name) is not DEFAULT}


def refuse_standard_input(name: str, places: Sequence[str]) -> None:
    """For several ranks: mpirun gives it to the first alone, and the others would wait for ever."""
    if STANDARD_INPUT in places and started() > 1:
        raise on_all_ranks(ValueError(f"{name} must be a file, which every rank reads, got standard input"))


def trained(
    context: click.Context, kind: type[Job], name: str, given: dict[str, Any], output: Path | None, resume: Path | None,
    *, defaults: Mapping[str, Any] = {}, data: Sequence[Any] = (),
) -> Run:  # fmt: skip
    """The run that was asked for, trained to its end; the command ends here if Ctrl-C stops it before.

    A new one is a job of `data`, of `given`, and of `defaults` where these say nothing.
    """
    from nblstm.runs.checkpoints import Checkpoint
    from nblstm.runs.run import Run

    if numba.config.DISABLE_JIT:
        refuse()  # before there is a folder
    ranks = world()
    if resume and output:
        raise on_all_ranks(ValueError("--resume continues in the run's own folder, so it does not go with --output"))
    if resume:
        with ranks.agreeing():
            checkpoint = Checkpoint.read(resume, kind, given)
            settings = checkpoint.settings_with(given)
            check_shards(settings.shards, ranks.size)
            _refuse_finished(checkpoint, settings)
        click.echo(f"reading the run in {resume} and its data")
        run = Run.resume(resume, kind, given=given)
        doing = f"resuming, after {run.trainer.steps:,} steps,"
    else:
        if started():
            given = {"shards": SHARDS} | given
        with ranks.agreeing():
            settings = kind.settings_type(**{**defaults, **given})
            check_shards(settings.shards, ranks.size)
        if given.get("dropout") and settings.num_layers == 1:
            click.echo(f"Warning: {no_effect(settings.dropout)}", err=True)
        if isinstance(settings, TextSettings):
            click.echo(f"reading {named(settings.text)}")  # a long one takes a while
        with ranks.agreeing():
            job = kind(settings, *data)
        wanted, found = asdict(settings), asdict(job.settings)
        sizes = ((name, found[name]) for name in ("batch_size", "window") if name in found)
        smaller = [f"{name}={size} in place of {wanted[name]}" for name, size in sizes if size != wanted[name]]
        if smaller:
            click.echo(
                in_options(f"the text is short, so it is read with {', '.join(smaller)}", context.command.params)
            )
        run = Run.create(output or Path("runs") / name, job, numbered=output is None)
        doing = "training"
    click.echo(run.job.describe())
    click.echo(f"{doing} {run.model.num_parameters:,} parameters in {run.folder}")
    if run.settings.minutes:
        click.echo("with a limit in minutes the run cannot be reproduced: the steps that fit depend on the machine")
    again = shlex.join(["nblstm", str(context.command.name), "--resume", str(run.folder), *as_typed(context)])
    if ranks.size > 1:
        again = f"mpirun -n {ranks.size} {again}"
        click.echo(
            f"{ranks.size} ranks share out the {run.settings.shards} shards of each batch; if one dies all stop, and "
            f"any number up to {run.settings.shards} continues with: {again}"
        )
    try:
        finished = run.train(verdict=False)
    except OSError as error:
        raise OSError(f"{sentence(error)}; when that is mended, continue with: {again}") from error
    if not finished:
        click.echo(f"stopped after {run.trainer.steps} steps; continue with: {again}")
        context.exit(130)
    return run


def _refuse_finished(checkpoint: Checkpoint, new: Settings) -> None:
    """A finished run needs a new length to go on; it is told before its data are read, which may be gone."""
    from nblstm.runs.folder import PICTURE

    own, folder = checkpoint.settings, checkpoint.path.parent
    changed = (own.length, own.patience) != (new.length, new.patience)
    if checkpoint.finished and not changed and (folder / PICTURE).exists():
        further = f"name a greater length: --{own.length[0]} {2 * own.length[1]}, say"
        if checkpoint.out_of_patience and own.patience:
            further = f"give it more patience: --patience {2 * own.patience}, say"
        raise ValueError(
            f"the run in {folder} is finished with {checkpoint.steps:,} steps; to train it further, {further}"
        )


def model_file(run: Path, best: bool = False) -> Path:
    """The file of a model, which may be named itself, or the folder of its run."""
    if not run.exists():
        raise ValueError(f"{run} must be the folder of a run, or a model file: there is neither")
    if best and run.is_file():
        raise ValueError(f"--best chooses between the files in the folder of a run, but {run} is a file")
    if best:
        return run / "best.safetensors"
    return run / "model.safetensors" if run.is_dir() else run
