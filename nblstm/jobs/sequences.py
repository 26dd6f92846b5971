"""The jobs of a classifier and of a regressor, over arrays of sequences."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.arguments import as_weights, check_array
from nblstm.jobs.data import Sequences, check_finite, classes_in, digest_of, only_held_out
from nblstm.jobs.job import Job, Metrics, form, optimizer
from nblstm.jobs.settings import SequenceSettings
from nblstm.layers.checks import check_lengths
from nblstm.losses.class_weights import class_weights
from nblstm.losses.loss_functions import cross_entropy, mse_loss
from nblstm.metrics import f1_scores, r2_score
from nblstm.models import SequenceClassifier, SequenceModel, SequenceRegressor
from nblstm.models.labels import numbered
from nblstm.training import BatchTrainer, predict
from nblstm.training.batches import check_form, other_layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASS_METRICS: Metrics = {
    "accuracy": ("right", lambda value: f"{value:.1%}"), "f1": ("F1", lambda value: f"{value:.3f}"),
}  # fmt: skip
NUMBER_METRICS: Metrics = {
    "mae": ("MAE", lambda value: f"{value:.4g}"), "r2": ("R2", lambda value: f"{value:.3f}"),
}  # fmt: skip


class SequenceJob(Job):
    """A network that learns to answer sequences; a subclass says what an answer is.

    Parameters
    ----------
    settings : SequenceSettings
    training, validation : Sequences

    Raises
    ------
    ValueError, TypeError
        Sequences of another dtype than float32, that hold NaN or an infinity, or that disagree about their number or
        width; targets that the network cannot learn; weights not above 0; more in a batch than there are.

    Examples
    --------
    >>> from nblstm.jobs import ClassificationJob, RegressionJob, SequenceJob
    >>> issubclass(ClassificationJob, SequenceJob), issubclass(RegressionJob, SequenceJob)
    (True, True)
    """

    settings_type = SequenceSettings
    settings: SequenceSettings
    item = "sequence"
    model: SequenceModel

    def __init__(self, settings: SequenceSettings, training: Sequences, validation: Sequences) -> None:
        super().__init__(settings)
        width = _check_sequences("training", training)
        if _check_sequences("validation", validation) != width:
            raise ValueError(f"validation must have the width {width} of training, got {validation.x.shape[2]}")
        self.training, self.validation = training, validation
        self.model = self._network(width)
        self.weights = self._weights(self.training), self._weights(self.validation)
        self.trainer = self._shared_out(BatchTrainer(
            self.model, optimizer(settings, self.model), training.x, self.training.targets, settings.batch_size,
            lengths=training.lengths, sample_weight=self.weights[0], clip=settings.clip, seed=settings.seed,
        ))  # fmt: skip
        self.batches = training.x.shape[1] // settings.batch_size
        self.size = settings.batch_size
        self.digest = digest_of(array for part in (training, validation) for array in part if array is not None)
        self.facts = {"training_sequences": training.x.shape[1], "validation_sequences": validation.x.shape[1]}

    @abstractmethod
    def _network(self, width: int) -> SequenceModel:
        """The network for sequences of this width."""

    def _weights(self, part: Sequences) -> np.ndarray | None:
        """What each sequence weighs in the loss."""
        return part.sample_weight

    def evaluate(self) -> dict[str, float]:
        """The loss on the validation part."""
        return {"validation": self.model.loss(self.answers(), self.validation.targets, self.weights[1])[0]}

    def answers(self) -> np.ndarray:
        """The network's answers to the validation part, (N, outputs)."""
        return predict(self.model, self.validation.x, self.validation.lengths)

    def describe(self) -> str:
        """How many there are."""
        training, validation = self.facts["training_sequences"], self.facts["validation_sequences"]
        return f"{training:,} {self.item}s to train on, {validation:,} held out"


class RegressionJob(SequenceJob):
    """A `SequenceRegressor` that learns numbers: targets (N, outputs), float32.

    Beside the loss, the mean squared error, evaluations have "mae", the mean absolute error, times the setting
    `target_scale`, and "r2", see `nblstm.metrics.r2_score`; that is NaN, and left out, where targets do not vary.

    Raises
    ------
    TypeError, ValueError
        As for `SequenceJob`; targets that are not float32.

    Examples
    --------
    >>> from nblstm.jobs import RegressionJob, Sequences, SequenceSettings
    >>> x = np.random.default_rng(0).standard_normal((12, 90, 1), dtype="float32")
    >>> training, validation = Sequences(x[:, :60], x[-1, :60]), Sequences(x[:, 60:], x[-1, 60:])
    >>> job = RegressionJob(SequenceSettings(hidden_size=8, epochs=3, target_scale=4.0), training, validation)
    >>> sorted(job.evaluate())
    ['mae', 'r2', 'validation']
    """

    measure = "squared error"
    metrics = NUMBER_METRICS
    model: SequenceRegressor

    def __init__(self, settings: SequenceSettings, training: Sequences, validation: Sequences) -> None:
        super().__init__(settings, training, validation)
        mean = np.average(training.targets, axis=0, weights=self.weights[0]).astype("float32")
        constant = np.broadcast_to(mean, validation.targets.shape)
        self.baselines = {"mean": mse_loss(constant.copy(), validation.targets, sample_weight=self.weights[1])[0]}

    def _check_settings(self, settings: SequenceSettings) -> None:
        super()._check_settings(settings)
        if settings.class_weight is not None:
            raise ValueError(f"class_weight must be None for numbers, got {settings.class_weight}")

    def evaluate(self) -> dict[str, float]:
        """The loss on the validation part, the mean absolute error, and the share of the variance explained."""
        answers, (_, targets, _, weights) = self.answers(), self.validation
        mae = np.average(np.abs(answers - targets).mean(axis=1), weights=weights) * self.settings.target_scale
        r2 = r2_score(targets, answers, weights)
        loss = self.model.loss(answers, targets, self.weights[1])[0]
        return {"validation": loss, "mae": float(mae)} | ({"r2": r2} if np.isfinite(r2) else {})

    def _network(self, width: int) -> SequenceRegressor:
        training, validation = self.training.targets, self.validation.targets
        if training.ndim == 1:
            raise ValueError(
                f"training.targets must have shape (N, outputs), got {training.shape}; of one number for each sequence "
                "take training.targets[:, None]"
            )
        check_array("training.targets", training, np.dtype("float32"), (None, None))
        check_array("validation.targets", validation, training.dtype, (None, training.shape[1]))
        check_finite("training.targets", training)
        check_finite("validation.targets", validation)
        return SequenceRegressor(width, output_size=training.shape[1], **form(self.settings))


class ClassificationJob(SequenceJob):
    """A `SequenceClassifier` that learns classes: targets (N,).

    They are integers from 0 to the largest, or strings or booleans, whose sorted values are then the model's `classes`.
    What the validation part alone has is a class as well: the model cannot learn it, and is measured by it.

    With the setting `class_weight` a sequence weighs what its class does, times its own weight, in the loss on both
    parts and in the baseline. In the accuracy and in "f1", the mean of `nblstm.metrics.f1_scores`, it has its own
    weight alone.

    Raises
    ------
    TypeError, ValueError
        As for `SequenceJob`; classes on the validation part that the training part lacks.

    Examples
    --------
    >>> from nblstm.jobs import ClassificationJob, Sequences, SequenceSettings
    >>> x = np.random.default_rng(0).standard_normal((12, 90, 3), dtype="float32")
    >>> labels = np.where(x[-1, :, 0] > 0, "up", "down")
    >>> training, validation = Sequences(x[:, :60], labels[:60]), Sequences(x[:, 60:], labels[60:])
    >>> job = ClassificationJob(SequenceSettings(hidden_size=8, epochs=3), training, validation)
    >>> job.model.classes, sorted(job.evaluate())
    (('down', 'up'), ['accuracy', 'f1', 'validation'])
    """

    measure = "nats per sequence"
    metrics = CLASS_METRICS
    model: SequenceClassifier

    def __init__(self, settings: SequenceSettings, training: Sequences, validation: Sequences) -> None:
        super().__init__(settings, training, validation)
        classes, targets = self.model.linear.out_features, self.training.targets
        shares = np.bincount(targets, self.weights[0], minlength=classes)
        shares = shares / shares.sum()
        logits = np.broadcast_to(np.log(np.maximum(shares, 1e-9)), (len(self.validation.targets), classes))
        loss, _ = cross_entropy(logits, self.validation.targets, sample_weight=self.weights[1])
        self.baselines = {"frequencies": loss}

    def _network(self, width: int) -> SequenceClassifier:
        training, validation = self.training.targets, self.validation.targets
        for name, targets in (("training", training), ("validation", validation)):
            if targets.ndim != 1:
                way = f"; take {name}.targets[:, 0]" if targets.shape[1:] == (1,) else ""
                raise ValueError(f"{name}.targets must be one for each sequence, (N,), got {targets.shape}{way}")
        found = classes_in(training, validation)
        if isinstance(found, int):
            return SequenceClassifier(width, num_classes=found, **form(self.settings))
        self.training, self.validation = (
            part._replace(targets=numbered(f"{name}.targets", part.targets, found))
            for name, part in (("training", self.training), ("validation", self.validation))
        )
        return SequenceClassifier(width, num_classes=len(found), classes=found, **form(self.settings))

    def _weights(self, part: Sequences) -> np.ndarray | None:
        if self.settings.class_weight is None:
            return part.sample_weight
        classes = self.model.classes or range(self.model.linear.out_features)
        weights = class_weights(self.settings.class_weight, self.training.targets, classes)[part.targets]
        return weights if part.sample_weight is None else weights * part.sample_weight

    def evaluate(self) -> dict[str, float]:
        """The loss on the validation part, the share of right answers, and the mean F1 of the classes."""
        logits, (_, targets, _, weights) = self.answers(), self.validation
        loss, _ = self.model.loss(logits, targets, self.weights[1])
        answers = logits.argmax(axis=1)
        f1 = f1_scores(targets, answers, logits.shape[1], weights).mean()
        return {"validation": loss, "accuracy": float(np.average(answers == targets, weights=weights)), "f1": float(f1)}

    def describe(self) -> str:
        """How many there are, and of which class there is none to train on."""
        return super().describe() + only_held_out(self.training.targets, self.validation.targets, self.model.classes)

    def pictures(self, evaluations: list[dict[str, Any]]) -> dict[str, Figure]:
        """The loss, and what was taken for what."""
        from matplotlib.figure import Figure

        from nblstm.plot import confusion_matrix

        figure = Figure(figsize=(6, 6), layout="constrained")
        logits = self.answers()
        classes = [str(label) for label in self.model.classes or range(logits.shape[1])]
        confusion_matrix(self.validation.targets, logits.argmax(axis=1), classes=classes, ax=figure.subplots())
        return super().pictures(evaluations) | {"confusion.png": figure}


def _check_sequences(name: str, sequences: Sequences) -> int:
    """The width of sequences that are float32 and finite, at least one, with all that belongs to each of them."""
    if not isinstance(sequences, Sequences):
        raise TypeError(f"{name} must be Sequences, got {type(sequences).__name__}")
    x, targets, lengths, sample_weight = sequences
    check_array(f"{name}.x", x, np.dtype("float32"))
    check_array(f"{name}.targets", targets, np.asarray(targets).dtype)
    check_form(f"{name}.x", x.shape, targets.shape[:1])
    check_array(f"{name}.x", x, np.dtype("float32"), (None, None, None))
    if x.shape[1] == 0 or targets.shape[:1] != x.shape[1:2]:
        raise ValueError(
            f"{name} must have at least one sequence and a target for each, got x {x.shape} and targets {targets.shape}"
            f"{other_layout(f'{name}.x', x.shape, targets.shape[:1])}"
        )
    unread = None
    if lengths is not None:
        check_array(f"{name}.lengths", lengths, np.asarray(lengths).dtype)
        steps, count, _ = x.shape
        unread = np.arange(steps)[:, None, None] >= check_lengths(lengths, steps, count, f"{name}.lengths")[:, None]
    check_finite(f"{name}.x", x, unread)
    if sample_weight is not None:
        check_array(f"{name}.sample_weight", sample_weight, np.asarray(sample_weight).dtype)
        as_weights(f"{name}.sample_weight", sample_weight, x.shape[1:2], positive=True)
    return x.shape[2]
