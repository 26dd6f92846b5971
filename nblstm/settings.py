"""The settings of a training run, checked as soon as they are given."""

from __future__ import annotations

from dataclasses import dataclass

from nblstm.arguments import as_number, as_rate, as_size
from nblstm.datasets import DEFAULT_TEXT
from nblstm.layers.engine import FORMULATIONS
from nblstm.models import CELLS


@dataclass(frozen=True)
class Settings:
    """What determines a run. Exactly one of `steps`, `epochs` and `minutes` says how long it is.

    An epoch is one pass over the training part. With `minutes` the number of steps depends on the machine and on what
    else it does, so the run cannot be reproduced.
    """

    text: str = DEFAULT_TEXT
    hidden_size: int = 256
    num_layers: int = 2
    cell: str = "lstm"
    formulation: str = "split"
    batch_size: int = 32
    window: int = 100
    steps: int | None = 1700
    epochs: int | None = None
    minutes: float | None = None
    learning_rate: float = 2e-3
    dropout: float = 0.2
    clip: float = 5.0
    seed: int = 1
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "batch_size", "window", "evaluate_every"):
            as_size(name, getattr(self, name))
        as_size("seed", self.seed, least=0)
        for name, known in (("cell", CELLS), ("formulation", FORMULATIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        as_rate("dropout", self.dropout)
        lengths = {name: getattr(self, name) for name in ("steps", "epochs", "minutes")}
        given = {name: value for name, value in lengths.items() if value is not None}
        if len(given) != 1:
            raise ValueError(f"exactly one of steps, epochs and minutes must be given, got {given or 'none'}")
        for name, value in given.items():
            if name == "minutes":
                as_number(name, value, positive=True)
            else:
                as_size(name, value)
        as_number("learning_rate", self.learning_rate, positive=True)
        as_number("clip", self.clip, positive=True, finite=False)
