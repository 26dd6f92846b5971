"""Mini-batches of separate sequences, drawn in a new order in every pass over them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nblstm.arguments import as_integer, as_size
from nblstm.models import Network
from nblstm.optim.optimizers import Optimizer
from nblstm.training.trainer import Trainer


class ShuffledTrainer(Trainer):
    """What trainers share whose data are N separate sequences; a subclass says how some of them are learned.

    The order of pass n is drawn from the seed and n alone. What is left over after the last whole batch of a pass,
    fewer than B sequences and others each time, is not read in that pass.

    Attributes
    ----------
    passes, position : int
        Passes begun before this one, and sequences of this one that are read.
    """

    def __init__(
        self, model: Network, optimizer: Optimizer, clip: float, count: int, batch_size: int, seed: int
    ) -> None:
        super().__init__(model, optimizer, clip)
        self.count, self.batch_size = count, as_size("batch_size", batch_size)
        self.seed = as_integer("seed", seed, least=0)
        self._part = slice(None)  # of a batch, where this is the trainer of a shard
        if self.batch_size > count:
            raise ValueError(f"batch_size must be at most the {count} sequences there are, got {batch_size}")
        self._begin_pass(0)

    def _begin_pass(self, number: int) -> None:
        self.passes, self.position = number, 0
        self._order = np.random.default_rng([self.seed, number]).permutation(self.count)

    def _chosen(self) -> np.ndarray:
        """The numbers of the sequences in the next batch."""
        return self._order[self.position : self.position + self.batch_size][self._part]

    @property
    def _rows(self) -> int:
        return self.batch_size

    def _of_rows(self, part: slice) -> ShuffledTrainer:
        twin = self._twin()
        twin._part = part
        twin._begin_pass(0)
        return twin

    def _move_on(self) -> None:
        self.position += self.batch_size
        if self.position + self.batch_size > self.count:
            self._begin_pass(self.passes + 1)

    def _place(self) -> dict[str, Any]:
        return {"passes": self.passes, "position": self.position}

    def _set_place(self, tensors: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        if tensors:
            raise ValueError(f"a place among sequences has no tensors, got {', '.join(tensors)}")
        position = as_size("position", plain["position"], least=0)
        if position > self.count - self.batch_size:
            raise ValueError(f"position must leave a batch of {self.batch_size}, got {position}")
        self._begin_pass(as_size("passes", plain["passes"], least=0))
        self.position = position
