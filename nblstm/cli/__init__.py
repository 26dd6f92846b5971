"""The command line ``nblstm``: its commands, in the modules beside this one."""

from nblstm.cli import experiments, searching, tagging, tools, training
from nblstm.cli.group import Refused, main

__all__ = ["Refused", "experiments", "main", "searching", "tagging", "tools", "training"]
