"""The command line: ``nblstm train``, ``sample``, ``export``, ``classify``, ``course``, ``bench`` and ``info``."""

from nblstm.cli import tools, training
from nblstm.cli.group import Refused, main

__all__ = ["Refused", "main", "tools", "training"]
