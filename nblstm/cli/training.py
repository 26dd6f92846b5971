"""The commands that train and use what was trained: ``nblstm train``, ``sample``, ``export`` and ``classify``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from nblstm.cli.group import NOT_NEGATIVE, POSITIVE, main
from nblstm.cli.own_cell import as_typed, of_a_trained_model
from nblstm.cli.runs import EPILOG, given_options, model_file, options_of_a_run, refuse_standard_input, trained
from nblstm.datasets.text import STANDARD_INPUT
from nblstm.distributed import world
from nblstm.jobs.settings import IMAGES, LENGTHS, MNIST, TOKENS, VOCABULARY_SIZE, ImageSettings, TextSettings
from nblstm.losses.class_weights import BALANCED

if TYPE_CHECKING:
    from nblstm.cells import Cell
    from nblstm.models import LanguageModel

OPENING = "The "
TEMPERATURE = 0.7
LINE = 78  # characters, of the lines around a sample


@main.command(epilog=EPILOG)
@click.argument("text", nargs=-1)
@click.option(
    "--batch-size",
    "--batch",
    type=POSITIVE,
    default=TextSettings.batch_size,
    help="Streams of text that are read side by side.",
)
@click.option(
    "--window",
    "--length",
    type=POSITIVE,
    default=TextSettings.window,
    help="Characters, or words, of each stream in a step; no gradient reaches beyond it.",
)
@click.option("--encoding", default=TextSettings.encoding, help="Of the file: cp1252, utf-16 or any that Python knows.")
@click.option(
    "--tokens", type=click.Choice(TOKENS), default=TextSettings.tokens, help="What the model reads and predicts."
)
@click.option(
    "--vocabulary-size",
    type=click.IntRange(min=2),
    help=f"Words that the model knows; the rarer ones are one token, <unk>.  [default: {VOCABULARY_SIZE:,}]",
)
@click.option(
    "--embedding-size",
    type=POSITIVE,
    help="Numbers that stand for a character, or a word.  [default: 64; for words the hidden size]",
)
@click.option(
    "--continue-from",
    type=Path,
    metavar="RUN",
    help="Begin a new run with the weights of another: its folder, or a model file. The net has its form.",
)
@click.option(
    "--extend-vocabulary", is_flag=True, help="With --continue-from: learn what TEXT has and the model does not know."
)
@options_of_a_run(TextSettings(), "passes over the training part, in place of --steps")
def train(
    context: click.Context, /, continue_from: Path | None, extend_vocabulary: bool, output: Path | None,
    resume: Path | None, **options: Any,
) -> None:  # fmt: skip
    """Train a language model on TEXT: files and folders, or python-reference, or tinyshakespeare.

    A file is text in UTF-8 or another --encoding, may be packed by gzip (NAME.gz), and is standard input for "-". Of a
    folder all .txt and .txt.gz are read, also those in folders in it, sorted by path. Several files are one text: each
    begins where the one before ends, with nothing between. python-reference, the default, is the language reference
    that every Python carries: 465,000 characters, no download. tinyshakespeare is fetched once. The last tenth of the
    text is kept for validation; bits per character on it, on its first 200,000 characters at most (100,000 where they
    are read as words), are shown beside four baselines that only count characters in the rest. A text too short for
    --batch-size and --window gets smaller ones by itself, where these are not given.

    With --tokens words the model reads and predicts words, punctuation marks and white space, and says the bits per
    token, the perplexity, and the bits per character, in which an unknown word counts as <unk> and its spelling.

    The run's folder gets model.safetensors, best.safetensors (the weights of the lowest validation loss), run.json,
    loss.png and checkpoint.safetensors; a sample is printed. A run whose text has moved goes on with
    nblstm train TEXT --resume RUN, if what the files say is the same. A model of one text is trained further on another
    by nblstm train TEXT --continue-from RUN, a run of its own.
    """
    from nblstm.cells import Cell
    from nblstm.datasets import DEFAULT_TEXT
    from nblstm.jobs import TextJob
    from nblstm.models import LanguageModel

    given = given_options(context, options)
    texts = given.pop("text", ())
    if texts:
        given["text"] = places_of(texts)
    name = name_of(texts[0] if texts else DEFAULT_TEXT)
    shorten = [name for name in ("batch_size", "window") if name not in given]
    if continue_from and resume:
        raise ValueError("--continue-from begins a new run, so it does not go with --resume")
    refuse_standard_input("TEXT", texts)
    first, form = None, {}
    if continue_from:
        with world().agreeing():
            own = options["cell"] if isinstance(options["cell"], Cell) else None
            first = LanguageModel.load(model_file(continue_from), own)
        form = TextJob.form_of(first)
        click.echo(f"beginning with the weights in {model_file(continue_from)}")
    run = trained(
        context, TextJob, name, given, output, resume, defaults=form, data=[shorten, first, extend_vocabulary]
    )
    model = cast("LanguageModel", run.model)
    sample = model.sample(_opening(model), _sample_length(model), temperature=TEMPERATURE, seed=run.settings.seed)
    title = f" a sample, at temperature {TEMPERATURE} "
    click.echo(f"\n{title:-^{LINE}}\n{sample}\n{'-' * LINE}\n")
    again = shlex.join(["nblstm", "sample", str(run.folder), *as_typed(context)])
    click.echo(f"{run.folder} has model.safetensors, run.json and loss.png; more text: {again}")
    if run.verdict:
        click.echo(f"{run.verdict}: {again} --best")


@main.command()
@click.argument("run", type=Path)
@click.argument("out", type=Path)
@click.option(
    "--lengths", is_flag=True, help="One more input: the length of each sequence of a padded batch. Not for texts."
)
@click.option(
    "--streaming", is_flag=True, help="One step a call: the state is among the inputs and outputs, the steps are not."
)
@of_a_trained_model
def export(run: Path, out: Path, lengths: bool, streaming: bool, cell: Cell | None) -> None:
    """Write a trained model to OUT, an ONNX file: RUN is the folder of a run, or a model file.

    ONNX Runtime and other tools run such a file without nblstm. Needs the package onnx.
    """
    from nblstm.models import Network
    from nblstm.weights import to_onnx
    from nblstm.weights.onnx.form import require_onnx
    from nblstm.weights.tracks import SHARED

    path = model_file(run)
    model = Network.load(path, cell)
    if (own := model.recurrent.cell) not in SHARED:
        raise ValueError(
            f"{path} has a model of the cell {own.name}, which ONNX does not have: to export one, train it with "
            f"--cell {', '.join(other.name for other in SHARED[:-1])} or {SHARED[-1].name}; this one runs where nblstm "
            "is installed, and any program that reads safetensors can read its weights from that file"
        )
    for option, there in (("--heads", model.recurrent.heads > 1), ("--layer-norm", model.recurrent.layer_norm)):
        if there:
            raise ValueError(
                f"{path} has a model that was trained with {option}, which ONNX does not have: to export one, train it "
                "without"
            )
    to_onnx(model, out, lengths=lengths, streaming=streaming)
    click.echo(f"{out} has {model.num_parameters:,} parameters of {type(model).__name__}, {out.stat().st_size:,} bytes")
    written = require_onnx().load(out)
    names = [", ".join(value.name for value in values) for values in (written.graph.input, written.graph.output)]
    entries = ", ".join(sorted(entry.key for entry in written.metadata_props))
    click.echo(f"it takes {names[0]} and returns {names[1]}; its metadata has {entries}")


@main.command(epilog=EPILOG)
@click.argument("images", type=click.Choice(IMAGES), required=False)
@click.option("--folder", type=click.Path(path_type=str), help="Where the files of mnist are; fetched by default.")
@click.option("--bidirectional", is_flag=True, help="Read the rows from the bottom to the top as well.")
@click.option(
    "--class-weight",
    type=click.Choice([BALANCED]),
    help="Rare digits weigh more, so that each has the same weight in all; counted alike by default.",
)
@click.option(
    "--batch-size",
    "--batch",
    type=POSITIVE,
    default=ImageSettings.batch_size,
    help="Images that are read side by side.",
)
@options_of_a_run(ImageSettings(), "passes over the training part")
def classify(context: click.Context, /, output: Path | None, resume: Path | None, **options: Any) -> None:
    """Train a classifier of images of handwritten digits, which it reads row by row: digits or mnist.

    digits are the 1,797 images of 8 rows of 8 that come with scikit-learn; one in five is held out. mnist are 60,000
    images of 28 rows of 28, and 10,000 to test on, fetched once (11 MB) or read from --folder; where not given, its
    settings are two layers of 128 units, batches of 100 and 2 epochs. The loss is shown beside that of "frequencies",
    which knows no more than how often each digit is.

    The run's folder gets model.safetensors, best.safetensors (the weights of the lowest validation loss), run.json,
    loss.png, confusion.png and checkpoint.safetensors.
    """
    from nblstm.jobs import ImageJob

    given = {name: value for name, value in given_options(context, options).items() if value is not None}
    images = given.get("images")
    if images is None and resume is None:
        raise ValueError(f"name the images, {' or '.join(IMAGES)}: nblstm classify {IMAGES[0]}, say")
    if "folder" in given:
        given["folder"] = str(Path(given["folder"]).absolute())
    defaults = MNIST if images == "mnist" else {}
    if given.keys() & set(LENGTHS):
        defaults = {name: value for name, value in defaults.items() if name not in LENGTHS}
    run = trained(context, ImageJob, images or "", given, output, resume, defaults=defaults)
    click.echo(f"{run.folder} has model.safetensors, run.json, loss.png and confusion.png")
    if run.verdict:
        click.echo(run.verdict)


@main.command()
@click.argument("run", type=Path)
@click.option(
    "--prompt",
    help=f"Text to continue; of characters the model must know each.  [default: {OPENING!r} if it does]",
)
@click.option("--length", type=POSITIVE, help="How many to add.  [default: 500 characters, or 100 words]")
@click.option(
    "--temperature",
    default=TEMPERATURE,
    help="The lower, the more the likely tokens are preferred; at 0 always the most probable one.",
)
@click.option("--top-k", type=POSITIVE, help="Draw from so many most probable tokens alone.")
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    help="Draw from the fewest most probable tokens alone that have this probability together.",
)
@click.option("--stop", help="End before this text, once the model writes it.")
@click.option("--skip-unknown", is_flag=True, help="Read the prompt without the characters that the model lacks.")
@click.option("--seed", type=NOT_NEGATIVE, help="Of the draw; a different one each time by default.")
@click.option("--best", is_flag=True, help="With the weights of the lowest validation loss in place of the last ones.")
@of_a_trained_model
def sample(
    run: Path, prompt: str | None, length: int | None, best: bool, cell: Cell | None, **options: Any
) -> None:  # fmt: skip
    """Let a trained model write: RUN is the folder of a run, or a model file."""
    from nblstm.models import LanguageModel

    model = LanguageModel.load(model_file(run, best), cell)
    opening = _opening(model) if prompt is None else prompt
    click.echo(model.sample(opening, length or _sample_length(model), **options))


def places_of(texts: Sequence[str]) -> str | tuple[str, ...]:
    """The setting `text`: where the texts are, whatever folder they are read from."""
    from nblstm.datasets import KNOWN_TEXTS

    places = tuple(one if one in (*KNOWN_TEXTS, STANDARD_INPUT) else str(Path(one).absolute()) for one in texts)
    return places[0] if len(places) == 1 else places


def name_of(text: str) -> str:
    """What a run on a text is called."""
    if text == STANDARD_INPUT:
        return "standard-input"
    path = Path(text).absolute()
    return path.name if path.is_dir() else Path(text.removesuffix(".gz")).stem


def _sample_length(model: LanguageModel) -> int:
    """Of a sample where nobody says, in tokens: about a screen."""
    return 500 if model.item == "character" else 100


def _opening(model: LanguageModel) -> str:
    """What a sample begins with where nobody says: the model may not know these characters, or this word."""
    words = model.item != "character"  # each of which has the space before it
    opening, tokens = (OPENING.rstrip(), {OPENING.rstrip()}) if words else (OPENING, set(OPENING))
    return opening if tokens <= set(model.vocabulary) else ""
