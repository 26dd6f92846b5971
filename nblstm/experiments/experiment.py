"""An experiment and its cases: what is asked, of which net, and what the paper reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nblstm.experiments.block_net import BlockNet, BlockSettings
from nblstm.experiments.one_cell_net import OneCellNet, OneCellSettings
from nblstm.experiments.tasks import Net, Task
from nblstm.experiments.today_net import TodayNet

CELLS = ("paper", "today")


@dataclass(frozen=True)
class Case:
    """One line of a table of the paper's.

    `task` makes the task of one trial. `published` is the mean number of training sequences of the successful trials,
    `published_share` the share of these in percent where the paper says it, of `published_trials`. A trial ends
    without success after `most` sequences. `steps` is the least length, about.
    """

    label: str
    task: Callable[[np.random.Generator], Task]
    inputs: int
    outputs: int
    steps: int
    net: BlockSettings | OneCellSettings
    weights: int
    published: int
    published_trials: int
    most: int
    published_share: int = 100
    every: int = 100

    def make_net(self, cell: str, rng: np.random.Generator) -> Net:
        """A net of one of `CELLS` with its first weights."""
        if cell == "today":
            return TodayNet(self.inputs, self.outputs, self.steps, rng)
        if isinstance(self.net, OneCellSettings):
            return OneCellNet(self.inputs, self.net, rng)
        return BlockNet(self.inputs, self.outputs, self.net, rng)


@dataclass(frozen=True)
class Experiment:
    """A section of the paper's: its name here, what it is about, and its cases."""

    name: str
    about: str
    cases: tuple[Case, ...]
