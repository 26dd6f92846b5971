"""The command line within this process, and options that make a short run."""

from __future__ import annotations

from click.testing import CliRunner, Result

from nblstm.cli import main

SIZES = ["--hidden-size", "9", "--layers", "1"]
SMALL = [*SIZES, "--batch", "4", "--length", "10", "--steps", "5"]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))
