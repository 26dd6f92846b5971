"""The command group, and how what the library refuses is said in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what the library refuses into one sentence and exit code 2; a training that diverged ends with 1."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        raise Refused(str(error)) from error
    except MemoryError as error:
        raise Refused(f"not enough memory for this: {error}") from error
    except FloatingPointError as error:
        raise click.ClickException(str(error)) from error


@click.group(context_settings={"max_content_width": 120, "show_default": True}, epilog=EXAMPLES)
@click.version_option(version_of("nblstm"), message="nblstm %(version)s")
def main() -> None:
    """LSTM networks on the CPU: train a character model on a text, let it write, and learn how it works.

    Bad input ends with exit code 2 and a sentence that says what was expected. Every command has its own --help.
    """
