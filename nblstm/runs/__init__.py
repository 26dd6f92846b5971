"""A run: a job trained in a folder of its own, evaluated, kept safe against interruption, and resumed."""

from nblstm.runs.run import Run

__all__ = ["Run"]
