"""The command ``nblstm search``: many trainings with settings that differ, on this machine's processes or on Dask."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nblstm.cli.group import NOT_NEGATIVE, POSITIVE, Command, main, sentence
from nblstm.cli.tagging import tag
from nblstm.cli.training import classify, name_of, places_of, train
from nblstm.datasets.text import STANDARD_INPUT
from nblstm.jobs.settings import IMAGES, LENGTHS, MNIST
from nblstm.plot.sheet import brief

if TYPE_CHECKING:
    from nblstm.jobs import Job
    from nblstm.search import Range, Search

JOBS = {"train": "TextJob", "classify": "ImageJob", "tag": "TaggedTextJob"}
"""The commands whose trainings can be searched, and what each trains."""
OWN = ("output", "resume", "minutes", "continue_from", "extend_vocabulary")
"""Options of these commands that say nothing of a trial's settings."""
EPILOG = """\b
Examples:
  nblstm search novel.txt --hidden-size 64 128 256 --num-layers 1 2
  nblstm search novel.txt --lr 1e-3:1e-2:log --trials 20 --halving
  nblstm search digits --job classify --cell lstm gru --epochs 10
  nblstm search --resume searches/novel
  nblstm search novel.txt --layers 1 2 --scheduler tcp://10.0.0.5:8786
"""


class Values(click.ParamType):
    """A value of a setting, or a range LOW:HIGH or LOW:HIGH:log."""

    name = "values"

    def __init__(self, of: click.ParamType) -> None:
        self.of = of

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """The range, or what the setting's own option makes of it."""
        numbers = isinstance(self.of, click.types.IntParamType | click.types.FloatParamType)
        if not numbers or not isinstance(value, str) or ":" not in value:
            return self.of.convert(value, param, context)
        from nblstm.search import Range

        low, high, *log = value.split(":")
        if log not in ([], ["log"]):
            self.fail(f"{value!r} is no range LOW:HIGH or LOW:HIGH:log of numbers", param, context)
        of: click.ParamType = self.of
        try:
            return Range(of.convert(low, param, context), of.convert(high, param, context), bool(log))
        except ValueError as error:
            self.fail(f"{value!r} is no range: {error}", param, context)


class Searching(Command):
    """A command whose options of settings take several values: ``--num-layers 1 2``."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Each value as if it had its option before it, which is how Click takes several; a flag alone is true."""
        several = {
            name: option.type.of for option in self.params if isinstance(option.type, Values) for name in option.opts
        }
        groups: list[list[str]] = [[]]  # of an option and the words up to the next one
        for word in args:
            if word.startswith("-") and word != STANDARD_INPUT:
                groups.append([])
            groups[-1].append(word)
        spread: list[str] = []
        for group in groups:
            of = several.get(group[0]) if group else None
            if of is None:
                spread += group
            elif len(group) > 1:
                spread += [word for value in group[1:] for word in (group[0], value)]
            elif isinstance(of, click.types.BoolParamType):
                spread += [group[0], "true"]
            else:
                raise click.BadOptionUsage(group[0], f"Option {group[0]!r} requires an argument.", context)
        return super().parse_args(context, spread)


def options_of_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The options of settings that the training commands have, each for several values, with the help it has there."""
    found: dict[str, click.Option] = {}
    for other in (train, classify, tag):
        for option in other.params:
            if isinstance(option, click.Option) and option.name not in (*OWN, *found):
                found[str(option.name)] = option
    for name, option in reversed(found.items()):
        words = option.help or ""
        click.option(
            *option.opts,
            name,
            type=Values(option.type),
            multiple=True,
            metavar="VALUES",
            help=words.partition("  [default")[0],
        )(command)
    return command


@main.command(cls=Searching, epilog=EPILOG)
@click.argument("data", nargs=-1)
@click.option("--job", type=click.Choice(JOBS), default="train", help="The command whose trainings these are.")
@click.option("--trials", type=POSITIVE, help="Draw so many at random.  [default: all combinations]")
@click.option(
    "--halving",
    is_flag=True,
    help="Train all for a part of their length, the best third of them for three times that, and so on to the end.",
)
@click.option("--workers", type=POSITIVE, help="Processes of this machine.  [default: as many as fill its cores]")
@click.option("--threads", type=POSITIVE, default=1, help="Of each worker.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster, which trains in place of this machine.")
@click.option("--random-state", type=NOT_NEGATIVE, default=0, help="Of the draw; --seed is that of the trainings.")
@click.option("--dry-run", is_flag=True, help="Only list the trials.")
@click.option(
    "--output", type=Path, help="New folder for the search.  [default: searches/NAME, numbered if that is taken]"
)
@click.option("--resume", type=Path, metavar="SEARCH", help="Continue the search in this folder.")
@options_of_settings
@click.pass_context
def search(
    context: click.Context, /, data: tuple[str, ...], job: str, trials: int | None, halving: bool, workers: int | None,
    threads: int, scheduler: str | None, random_state: int, dry_run: bool, output: Path | None, resume: Path | None,
    **options: tuple[Any, ...],
) -> None:  # fmt: skip
    """Search for the settings that train best on DATA, which is what nblstm train, or the command --job, takes.

    A setting with several values, --num-layers 1 2, or a range, --lr 1e-3:1e-2, is searched; one with one value is what
    all trials have; the others are as that command has them. A range ends in :log where ratios matter, as for a
    learning rate, and takes --trials. Every trial is the run that nblstm train makes of its settings, to the bit. The
    best is that of the lowest validation loss.

    Trials are trained side by side, by default each in one thread, for which the kernels are compiled first. One whose
    process is killed is tried once more, and if it fails again the search goes on without it. Ctrl-C ends a search, and
    --resume continues it.

    With --scheduler the workers of a Dask cluster train: dask scheduler on one machine and dask worker ADDRESS
    --nthreads 1 --nworkers 4 on others start one. All must see the folder of the search and DATA, and have this version
    of nblstm. Needs scikit-learn, and for a scheduler Dask: pip install "nblstm[dask]".

    The folder gets results.csv, search.png, and the runs in trials/.
    """
    from nblstm.search import Search
    from nblstm.search.space import trials_of
    from nblstm.search.table import said
    from nblstm.search.workers import Cluster

    if workers and scheduler:
        raise ValueError("--workers are processes of this machine, so they do not go with --scheduler")
    given = {name: values for name, values in options.items() if values}
    if resume:
        if output or data or given or trials or halving or dry_run:
            raise ValueError("--resume continues a search as it was begun: it goes with --workers and the like alone")
        _searched(context, _resumed(resume), workers, threads, scheduler)
        return
    space = {name: _tried(name, values) for name, values in given.items() if _tried(name, values) is not None}
    settings = {name: values[0] for name, values in given.items() if name not in space}
    if not space:
        raise ValueError("name a setting to search, with several values or a range: --hidden-size 64 128, say")
    name, places = _data(job, data)
    places |= {name: str(Path(settings[name]).absolute()) for name in ("folder", "validation_file") if name in settings}
    settings = _defaults(places, given) | settings | places
    if dry_run:
        kind = _kind(job).settings_type
        for number, (point, _) in enumerate(trials_of(kind, space, settings, trials, random_state), 1):
            click.echo(f"{number:>5}  {said(point)}")
        return
    if scheduler is not None:  # before there is a folder: of a start that fails nothing is left
        Cluster(scheduler, threads).close()
    searched = Search.create(
        output or Path("searches") / name, _kind(job), space, *_arguments(job, given), settings=settings, trials=trials,
        halving=halving, random_state=random_state, numbered=output is None,
    )  # fmt: skip
    _searched(context, searched, workers, threads, scheduler)


def _tried(name: str, values: Sequence[Any]) -> list[Any] | Range | None:
    """What a search tries of a setting; None where it has one value."""
    from nblstm.search import Range

    if not any(isinstance(value, Range) for value in values):
        return list(values) if len(values) > 1 else None
    if len(values) > 1:
        raise ValueError(f"{name} must have values or one range, got {len(values)} of both")
    return values[0]


def _data(job: str, data: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """What the search is called, and the settings that say where its data are."""
    from nblstm.datasets import DEFAULT_TEXT

    if STANDARD_INPUT in data:
        raise ValueError("DATA must be a file in a search, whose workers all read it, got standard input")
    if job == "train" and data and data[0] in IMAGES and not Path(data[0]).exists():
        raise ValueError(f"DATA must be text, got {data[0]}, which are images: --job classify searches over these")
    if job == "train":
        return name_of(data[0] if data else DEFAULT_TEXT), {"text": places_of(data)} if data else {}
    if len(data) != 1:
        raise ValueError(f"DATA must be what nblstm {job} takes, one name, got {len(data)}")
    if job == "classify":
        return data[0], {"images": data[0]}
    return Path(data[0].removesuffix(".gz")).stem, {"file": str(Path(data[0]).absolute())}


def _defaults(places: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """Those of the command in place of the settings' own."""
    own = MNIST if places.get("images") == "mnist" else {}
    length = any(name in given for name in LENGTHS)
    return {name: value for name, value in own.items() if name not in given and not (length and name in LENGTHS)}


def _kind(job: str) -> type[Job]:
    from nblstm import jobs

    kind: type[Job] = getattr(jobs, JOBS[job])
    return kind


def _arguments(job: str, given: Collection[str]) -> list[Any]:
    """What the job takes besides its settings: of a text, which sizes may become smaller."""
    return [[name for name in ("batch_size", "window") if name not in given]] if job == "train" else []


def _resumed(folder: Path) -> Search:
    """The search in a folder, if its data are in files."""
    from nblstm.search import Search
    from nblstm.search.record import read

    asked = read(folder)
    job = next((job for job, kind in JOBS.items() if kind == asked["job"]), None)
    if job is None:
        raise ValueError(f"the search in {folder} is of arrays in Python: Search.resume(folder, {asked['job']}, ...)")
    return Search.resume(folder, _kind(job), *_arguments(job, {*asked["settings"], *asked["trials"][0]}))


def _searched(context: click.Context, search: Search, workers: int | None, threads: int, scheduler: str | None) -> None:
    """Compute what is left of a search, and say what came of it."""
    click.echo(search.described)
    ends = ["the end" if part == 1 else f"1/{1 / part:.0f} of it" for part in search.parts]
    rungs = ", ".join(f"{count} to {end}" for count, end in zip(search.rungs, ends, strict=True))
    click.echo(f"{len(search.points)} trials in {search.folder}, trained: {rungs}")
    where = [] if scheduler is None else ["--scheduler", scheduler]
    again = shlex.join(["nblstm", "search", "--resume", str(search.folder), *where])
    try:
        finished = search.run(workers, threads=threads, scheduler=scheduler)
    except OSError as error:
        raise OSError(f"{sentence(error)}; when that is mended, continue with: {again}") from error
    if not finished:
        click.echo(f"stopped with {search.done} of {sum(search.rungs)} trainings done; continue with: {again}")
        context.exit(130)
    click.echo(summary(search))
    if search.best_folder is None:
        click.echo(f"{search.folder} has results.csv")
        context.exit(1)
    click.echo(f"{search.folder} has results.csv and search.png")
    click.echo(f"the best run is {search.best_folder}, with model.safetensors, run.json and loss.png")


def summary(search: Search) -> str:
    """What came of a search, in words."""
    from nblstm.search.table import said

    ways = {"finished": "to the end", "stopped": "stopped early", "diverged": "diverged", "failed": "failed"}
    rows = search.results
    counts = {way: sum(row["status"] == status for row in rows) for status, way in ways.items()}
    came = ", ".join(f"{count} {way}" for way, count in counts.items() if count)
    best = search.best
    if best is None:
        return f"of {len(rows)} trials none has a result: {came}"
    name, value = min(search.baselines.items(), key=lambda pair: pair[1])
    found = said({name: best[name] for name in search.points[best["trial"] - 1]})
    return (
        f"of {len(rows)} trials ({came}) trial {best['trial']} is the best: {brief(best['validation'], 3)} "
        f"{search.measure} at step {best['at_step']:,}, beside {name} ({brief(value, 3)}), with {found}"
    )
