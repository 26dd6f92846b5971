"""What every job has, so that one loop trains them all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nblstm.distributed import Alone, ShardedTrainer, ranks_for
from nblstm.jobs.settings import SequenceSettings, Settings
from nblstm.models import Network
from nblstm.optim.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from nblstm.training import Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": partial(SGD, momentum=0.9),
}  # fmt: skip
Metrics = Mapping[str, tuple[str, Callable[[float], str]]]


class Job(ABC):
    """What `nblstm.runs.Run` trains, evaluates and draws.

    A subclass is made of settings and, where these do not name them, of data.

    Attributes
    ----------
    settings_type : type of Settings
    item, measure : str
        What a sequence, or its like, is called; the loss and its unit, for reading.
    metrics : dict of str to pair of str and function
        What `evaluate` gives besides the loss: a heading, and how the number is written.
    ranks : Alone
        The processes that train together, see `nblstm.distributed`.
    model : Network
    trainer : Trainer
    batches : int
        Training steps in one pass over the training part.
    size : int
        Items that a step reads, in the unit `item`.
    baselines : dict of str to float
        What costs less than a network: the loss on the validation part, by name.
    digest : str
        Of the data, so that a run is only resumed with those it was begun with.
    facts : dict
        About the data, for the record.

    Raises
    ------
    TypeError
        Settings of another job.

    Examples
    --------
    >>> import nblstm.jobs
    >>> sorted(kind.__name__ for kind in vars(nblstm.jobs).values() if isinstance(kind, type) and issubclass(kind, Job))
    ['ClassificationJob', 'ImageJob', 'Job', 'RegressionJob', 'SequenceJob', 'TaggedTextJob', 'TaggingJob', 'TextJob']
    """

    settings_type: type[Settings]
    item: str
    measure: str
    metrics: Metrics
    settings: Settings
    ranks: Alone
    model: Network
    trainer: Trainer
    batches: int
    size: int
    baselines: dict[str, float]
    digest: str
    facts: dict[str, Any]

    @abstractmethod
    def __init__(self, settings: Any, *data: Any) -> None:
        self._check_settings(settings)
        self.settings = settings
        self.ranks = ranks_for(settings.shards)

    def _check_settings(self, settings: Any) -> None:
        """Settings are of this job's own type, not of one that has less or more."""
        if type(settings) is not self.settings_type:
            raise TypeError(f"settings must be {self.settings_type.__name__}, got {type(settings).__name__}")

    def _shared_out(self, trainer: Trainer) -> Trainer:
        """The trainer, or, where batches are cut into shards, one that shares it out to the ranks."""
        if self.settings.shards == 1:
            return trainer
        return ShardedTrainer(trainer, self.settings.shards, self.ranks, self.settings.exchange)

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """The loss on the validation part, under "validation", and what else is worth knowing."""

    @abstractmethod
    def describe(self) -> str:
        """The data in a line."""

    def pictures(self, evaluations: list[dict[str, Any]]) -> dict[str, Figure]:
        """What to draw of the run, by the name of the file."""
        from matplotlib.figure import Figure

        from nblstm.plot import loss_curves

        figure = Figure(figsize=(8, 5), layout="constrained")
        steps, training, validation = ([e[name] for e in evaluations] for name in ("step", "training", "validation"))
        loss_curves(steps, training, validation, self.baselines, figure.subplots(), measure=self.measure)
        return {"loss.png": figure}


def optimizer(settings: Settings, model: Network) -> Optimizer:
    """The one that settings name, over all layers of the model."""
    return OPTIMIZERS[settings.optimizer](model.layers, lr=settings.lr, weight_decay=settings.weight_decay)


def form(settings: Settings) -> dict[str, Any]:
    """The arguments of a network that settings determine."""
    names = ["hidden_size", "num_layers", "cell", "formulation", "heads", "layer_norm", "seed"]
    if isinstance(settings, SequenceSettings):
        names.append("bidirectional")
    dropout = settings.dropout if settings.num_layers > 1 else 0.0  # of one layer it may be only the default
    return {name: getattr(settings, name) for name in names} | {"dropout": dropout}
