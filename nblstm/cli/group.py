"""The command group, and how what the library refuses is said in a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import click

from nblstm.distributed import Alone, is_on_all_ranks, started, world
from nblstm.environment import version_of

POSITIVE, NOT_NEGATIVE = click.IntRange(min=1), click.IntRange(min=0)
EXAMPLES = """\b
Examples:
  nblstm train                                 the default text, three minutes
  nblstm train novel.txt --layers 3            any UTF-8 file
  nblstm train --resume runs/python-reference  after Ctrl-C, or --steps 5000
  nblstm sample runs/python-reference --prompt "The "
  nblstm classify digits                       images, read row by row
  nblstm search novel.txt --num-layers 1 2     the settings that train best
  nblstm tag tagged.txt                        tokens and tags, one a line
  nblstm predict runs/tagged new.txt           the tags of other tokens
  nblstm check                                 gradients and more, right here
  nblstm compile                               all kernels beforehand
  nblstm experiments                           those of 1997, listed
  nblstm course                                the lessons, in JupyterLab
  nblstm bench                                 beside PyTorch; half an hour
"""
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120, "show_default": True}
WORDS = {
    "TextJob": "nblstm train",
    "ImageJob": "nblstm classify",
    "TaggedTextJob": "nblstm tag",
    "SequenceClassifier.save": "nblstm classify",
    "SequenceTagger.save": "nblstm tag",
    "LanguageModel.save": "nblstm train",
    "CharLM.save": "nblstm train",
    "WordLM.save": "nblstm train",
    "Network.save": "nblstm",
    "source": "TEXT",
    "text": "DATA",
}
"""What Python's names are on the command line, where no option or argument is called so."""


class Refused(click.ClickException):
    """Bad input: one sentence on stderr."""

    exit_code = 2


class Command(click.Command):
    """A command whose options all ranks accept, or none: a file, say, that one machine has not."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """As Click does it, then agreed upon."""
        with world().agreeing():
            return super().parse_args(context, args)


class Commands(click.Group):
    """Commands that end with one sentence on stderr where the library refuses, and never with a traceback for that.

    The exit code is 2, and 1 if a training diverged or something did not work that was asked for rightly.
    """

    command_class = Command

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Parse the arguments and run a command; where a reader of its output goes away it ends without a word.

        Of several ranks the first alone speaks, but for an error that one has by itself: that one ends all of them.
        """
        ranks = Alone()
        try:
            ranks = world()
            with _spoken_by_the_first(ranks):
                return super().main(*arguments, **options)
        except (ValueError, OSError, ImportError, MemoryError) as error:
            refused: click.ClickException = Refused(sentence(error))
            refused.__cause__ = error
        except (ArithmeticError, RuntimeError) as error:
            refused = click.ClickException(sentence(error))
            refused.__cause__ = error
        _end_all(refused)
        with _spoken_by_the_first(ranks):
            refused.show()
        sys.exit(refused.exit_code)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with the whole first sentence of its help, in as many lines as that takes."""
        with formatter.section("Commands"):
            rows = [(name, command.get_short_help_str(limit=1000)) for name, command in sorted(self.commands.items())]
            formatter.write_dl(rows)

    def invoke(self, context: click.Context) -> Any:
        """Run a command; what it refuses is said of its options."""
        try:
            return super().invoke(context)
        except ValueError as error:
            command = self.commands.get(context.invoked_subcommand or "")
            refused = Refused(in_options(str(error), command.params if command else []))
            refused.__cause__ = error
            _end_all(refused)
            raise refused from error


@contextmanager
def _spoken_by_the_first(ranks: Alone) -> Iterator[None]:
    """What the other ranks print within the block is not seen."""
    if ranks.rank == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _end_all(refused: click.ClickException) -> None:
    """Where the error is of this rank alone, say so and end the others, who would wait for it for ever."""
    if started() <= 1 or is_on_all_ranks(refused):
        return
    ranks = world()
    click.echo(f"Error: rank {ranks.rank} of {ranks.size}: {refused.format_message()}", file=sys.__stderr__)
    ranks.abort(refused.exit_code)


def in_options(message: str, options: Sequence[click.Parameter]) -> str:
    """A sentence of the library with the command line's words for the arguments that Python has.

    A name stands for an argument at the beginning, before "must" or a colon, before "=", and wherever it is no word of
    English. What is said in brackets of Python is left out.
    """
    words = WORDS | {
        str(option.name): option.human_readable_name if isinstance(option, click.Argument) else option.opts[0]
        for option in options
    }
    clear = [re.escape(name) for name in words if not name.islower() or "_" in name]
    unclear = "|".join(name for name in words if name.islower())
    pattern = rf"(?<![\w/.-])(?:{'|'.join(clear)})(?![\w/.-])|^(?:{unclear})(?= must |: )|(?<![\w-])(?:{unclear})(?==)"
    return re.sub(pattern, lambda found: words[found[0]], re.sub(r" \([^()]*\bin Python\b[^()]*\)", "", message))


def sentence(error: BaseException) -> str:
    """What an error says, for someone who does not read Python."""
    if isinstance(error, MemoryError):
        return f"not enough memory for this: {error}"
    if isinstance(error, OSError) and error.errno:  # the system's own words; of a stream if there is no file
        return f"{error.filename or 'standard output'}: {error.strerror}"
    return str(error)


@click.group(cls=Commands, context_settings=SETTINGS, epilog=EXAMPLES)
@click.version_option(version_of("nblstm"), message="nblstm %(version)s")
def main() -> None:
    """Recurrent networks on the CPU: train them on texts, tags or images, use what they learned, see how they work.

    Bad input ends with exit code 2 and a sentence that says what was expected. Every command has its own -h.
    """
