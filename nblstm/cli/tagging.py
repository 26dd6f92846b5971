"""The commands of taggers: ``nblstm tag`` trains one, ``nblstm predict`` tags with it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nblstm.cli.group import POSITIVE, main
from nblstm.cli.own_cell import as_typed, of_a_trained_model
from nblstm.cli.runs import EPILOG, given_options, model_file, options_of_a_run, refuse_standard_input, trained
from nblstm.datasets.text import STANDARD_INPUT
from nblstm.jobs.settings import TaggedTextSettings
from nblstm.losses.class_weights import BALANCED

if TYPE_CHECKING:
    from nblstm.cells import Cell

DEFAULTS = TaggedTextSettings(file="")


@main.command(epilog=EPILOG)
@click.argument("file", required=False)
@click.option(
    "--validation-file", help="Another file to validate on.  [default: the last tenth of the sentences in FILE]"
)
@click.option("--encoding", default=DEFAULTS.encoding, help="Of the files: cp1252, utf-16 or any that Python knows.")
@click.option(
    "--vocabulary-size",
    type=click.IntRange(min=2),
    default=DEFAULTS.vocabulary_size,
    help="Tokens that the model knows at most; those that occur once are not among them.",
)
@click.option(
    "--embedding-size", type=POSITIVE, default=DEFAULTS.embedding_size, help="Numbers that stand for a token."
)
@click.option(
    "--bidirectional/--one-direction", default=DEFAULTS.bidirectional, help="Read the sentences from both ends, or one."
)
@click.option(
    "--class-weight",
    type=click.Choice([BALANCED]),
    help="Rare tags weigh more, so that each has the same weight in all; counted alike by default.",
)
@click.option(
    "--batch-size", "--batch", type=POSITIVE, default=DEFAULTS.batch_size, help="Sentences that are read side by side."
)
@options_of_a_run(DEFAULTS, "passes over the training part")
def tag(context: click.Context, /, output: Path | None, resume: Path | None, **options: Any) -> None:
    """Train a tagger on FILE: a token and its tag on each line, a blank line between sentences.

    Token and tag have a tab or spaces between. Tokens that occur once, and those beyond --vocabulary-size, are one
    token to the model, <unk>. The tags are all that there are, also such as only the part for validation has. The share
    of right tags and the mean F1 of the tags are shown on that part; the loss beside two baselines that only count: how
    often each tag is, and how often for this token. A file of fewer sentences than --batch-size gets a smaller one by
    itself, where it is not given.

    The run's folder gets model.safetensors, best.safetensors (the weights of the lowest validation loss), run.json,
    loss.png, confusion.png and checkpoint.safetensors. New text is tagged by nblstm predict.
    """
    from nblstm.jobs import TaggedTextJob

    given = {name: value for name, value in given_options(context, options).items() if value is not None}
    if "file" not in given and resume is None:
        raise ValueError("name the FILE to learn from, with a token and its tag on each line")
    name = Path(given.get("file", "").removesuffix(".gz")).stem
    refuse_standard_input("FILE", [given[place] for place in ("file", "validation_file") if place in given])
    for place in ("file", "validation_file"):
        if place in given and given[place] != STANDARD_INPUT:
            given[place] = str(Path(given[place]).absolute())
    name = name if name != STANDARD_INPUT else "standard-input"
    run = trained(context, TaggedTextJob, name, given, output, resume, data=["batch_size" not in given])
    assert isinstance(run.job, TaggedTextJob)
    scores = run.job.f1_by_class()
    width = max(len(str(label)) for label in scores)
    click.echo(
        "\n".join(["F1 of each tag:", *(f"  {label!s:<{width}}  {score:.3f}" for label, score in scores.items())])
    )
    again = shlex.join(["nblstm", "predict", str(run.folder), "FILE", *as_typed(context)])
    click.echo(f"{run.folder} has model.safetensors, run.json and loss.png; to tag text: {again}")
    if run.verdict:
        click.echo(run.verdict)


@main.command()
@click.argument("run", type=Path)
@click.argument("file", default=STANDARD_INPUT)
@click.option("--encoding", default=DEFAULTS.encoding, help="Of FILE: cp1252, utf-16 or any that Python knows.")
@click.option("--best", is_flag=True, help="With the weights of the lowest validation loss in place of the last ones.")
@of_a_trained_model
def predict(run: Path, file: str, encoding: str, best: bool, cell: Cell | None) -> None:
    """Tag FILE with a trained tagger: RUN is the folder of a run of nblstm tag, or a model file.

    FILE has a token on each line and a blank line between sentences, as for nblstm tag; what else stands on a line is
    left out. Standard input by default. Each token is printed with its tag, and a tab between.
    """
    from nblstm.datasets import read_tokens
    from nblstm.models import SequenceTagger

    model = SequenceTagger.load(model_file(run, best), cell)
    sentences = read_tokens(file, encoding)
    for sentence, tags in zip(sentences, model.tag(sentences), strict=True):
        click.echo("".join(f"{token}\t{label}\n" for token, label in zip(sentence, tags, strict=True)))
