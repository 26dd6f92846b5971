"""The command group, and how what the library refuses is said in a terminal."""

from __future__ import annotations

import sys
from typing import Any

import click

from nblstm.environment import version_of

POSITIVE, NOT_NEGATIVE = click.IntRange(min=1), click.IntRange(min=0)
EXAMPLES = """\b
Examples:
  nblstm train                                 the default text, about three minutes
  nblstm train novel.txt --layers 3            any UTF-8 file
  nblstm train --resume runs/python-reference  after Ctrl-C
  nblstm sample runs/python-reference --prompt "The " --temperature 0.5
  nblstm classify digits                       images of digits, read row by row
  nblstm check                                 gradients, accuracy and more, on this machine
  nblstm course                                a copy of the lessons, opened in JupyterLab
  nblstm bench                                 beside PyTorch, ONNX Runtime and JAX, about twenty minutes
"""


class Refused(click.ClickException):
    """Bad input: one sentence on stderr."""

    exit_code = 2


class Commands(click.Group):
    """Commands that end with one sentence on stderr where the library refuses, and never with a traceback for that.

    The exit code is 2, and 1 if a training diverged or something did not work that was asked for rightly.
    """

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Parse the arguments and run a command; where a reader of its output goes away it ends without a word."""
        try:
            return super().main(*arguments, **options)
        except (ValueError, OSError, ImportError, MemoryError) as error:
            refused: click.ClickException = Refused(sentence(error))
        except (ArithmeticError, RuntimeError) as error:
            refused = click.ClickException(sentence(error))
        refused.show()
        sys.exit(refused.exit_code)


def sentence(error: BaseException) -> str:
    """What an error says, for someone who does not read Python."""
    if isinstance(error, MemoryError):
        return f"not enough memory for this: {error}"
    if isinstance(error, OSError) and error.errno:  # the system's own words; of a stream if there is no file
        return f"{error.filename or 'standard output'}: {error.strerror}"
    return str(error)


@click.group(cls=Commands, context_settings={"max_content_width": 120, "show_default": True}, epilog=EXAMPLES)
@click.version_option(version_of("nblstm"), message="nblstm %(version)s")
def main() -> None:
    """LSTM networks on the CPU: train a character model on a text, let it write, and learn how it works.

    Bad input ends with exit code 2 and a sentence that says what was expected. Every command has its own --help.
    """
