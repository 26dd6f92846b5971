"""The jobs of a tagger: over arrays of sequences, and over sentences in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm import datasets
from nblstm.arguments import as_flag, check_array, check_integers
from nblstm.jobs.data import Sequences, check_finite, classes_in, digest_of, only_held_out
from nblstm.jobs.job import Job, form, optimizer
from nblstm.jobs.sentences import tagged_sequences
from nblstm.jobs.sequences import CLASS_METRICS
from nblstm.jobs.settings import TaggedTextSettings, TaggingSettings
from nblstm.layers.checks import check_lengths
from nblstm.losses.class_weights import class_weights
from nblstm.losses.loss_functions import cross_entropy
from nblstm.metrics import f1_scores
from nblstm.models.labels import Label, has_labels
from nblstm.models.tagger import IGNORED, SequenceTagger, as_vocabulary
from nblstm.training import TagTrainer, predict
from nblstm.training.tags import counted_targets, labelled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 40
"""Classes that a picture of what was taken for what has room for."""


class TaggingJob(Job):
    """A `SequenceTagger` that learns the class of each step.

    Parameters
    ----------
    settings : TaggingSettings
    training, validation : Sequences
        Of x (T, N, I), float32, or, with a vocabulary, places in it (T, N); targets (T, N), integers from 0 to the
        largest, or strings or booleans, whose sorted values are then the model's `classes`; and lengths (N,), if they
        differ: what stands past an end does not count, nor do empty strings. What the validation part alone has is a
        class as well: the model cannot learn it, and is measured by it. Of sentences in lists,
        `nblstm.jobs.tagged_sequences` makes them.
    vocabulary : sequence of str, optional
        ``"<unk>"`` and then the distinct tokens, where the steps are tokens.

    Evaluations have, beside the loss, "accuracy", the share of the steps that count whose answer is right, and "f1",
    the mean of the classes' F1, which `f1_by_class` gives one by one.

    Raises
    ------
    ValueError, TypeError
        Arrays of other types or shapes, that hold NaN or an infinity, or that disagree; targets that are no classes;
        more in a batch than there are.

    Examples
    --------
    >>> from nblstm.datasets import token_vocabulary
    >>> from nblstm.jobs import TaggingJob, TaggingSettings, tagged_sequences
    >>> sentences, tags = [["a", "rose"], ["a", "rose", "is"]] * 10, [["D", "N"], ["D", "N", "V"]] * 10
    >>> vocabulary = token_vocabulary(sentences)
    >>> sequences = tagged_sequences(sentences, tags, vocabulary)
    >>> settings = TaggingSettings(hidden_size=8, batch_size=4, epochs=3)
    >>> job = TaggingJob(settings, sequences, sequences, vocabulary)
    >>> job.model.classes, sorted(job.evaluate())
    (('D', 'N', 'V'), ['accuracy', 'f1', 'validation'])
    """

    settings_type: type[TaggingSettings] = TaggingSettings
    settings: TaggingSettings
    item = "tag"
    measure = "nats per tag"
    metrics = CLASS_METRICS
    model: SequenceTagger

    def __init__(
        self,
        settings: TaggingSettings,
        training: Sequences,
        validation: Sequences,
        vocabulary: Sequence[str] | None = None,
    ) -> None:
        super().__init__(settings)
        for name, part in (("training", training), ("validation", validation)):
            _check_kinds(name, part)
        self.digest = digest_of(
            array for part in (training, validation) for array in part if isinstance(array, np.ndarray)
        )
        vocabulary = None if vocabulary is None else as_vocabulary(vocabulary)
        classes = classes_in(*(_counted_alone(part, settings.ignore_index) for part in (training, validation)))
        self.training, self.validation = (
            _checked(name, part, classes, settings.ignore_index, vocabulary)
            for name, part in (("training", training), ("validation", validation))
        )
        width = settings.embedding_size if vocabulary is not None else self.training.x.shape[2]
        labels = None if isinstance(classes, int) else classes
        count = classes if isinstance(classes, int) else len(classes)
        self.model = SequenceTagger(width, num_classes=count, classes=labels, vocabulary=vocabulary, **form(settings))
        x, targets, lengths, _ = self.training
        counted = targets[targets != IGNORED]
        self.weight = None
        if settings.class_weight is not None:
            self.weight = class_weights(settings.class_weight, counted, labels or range(count))
        self.trainer = self._shared_out(TagTrainer(
            self.model, optimizer(settings, self.model), x, targets, settings.batch_size, lengths=lengths,
            weight=self.weight, clip=settings.clip, seed=settings.seed,
        ))  # fmt: skip
        self.model.check_input("validation.x", self.validation.x)
        self.batches = x.shape[1] // settings.batch_size
        self.size = max(1, round(settings.batch_size * counted.size / x.shape[1]))
        self.baselines = self._baselines(counted, count)
        self.facts: dict[str, Any] = {
            "training_sequences": x.shape[1],
            "validation_sequences": self.validation.x.shape[1],
            "training_tags": counted.size,
        }

    def _baselines(self, counted: np.ndarray, count: int) -> dict[str, float]:
        """How often each class is, and, of tokens, how often for this one."""
        x, targets, _, _ = self.training
        shares = np.bincount(counted, None if self.weight is None else self.weight[counted], count)
        shares = shares / shares.sum()
        by_class = np.broadcast_to(shares, (*self.validation.targets.shape, count))
        found = {"frequencies": self._loss_of(by_class)}
        if self.model.vocabulary is not None:
            table = np.zeros((len(self.model.vocabulary), count)) + shares
            known = targets != IGNORED
            np.add.at(table, (x[known], targets[known]), 1.0)
            table /= table.sum(axis=1, keepdims=True)
            found["by token"] = self._loss_of(table[self.validation.x])
        return found

    def _loss_of(self, probabilities: np.ndarray) -> float:
        """Of these predictions for the validation part."""
        logits = np.log(np.maximum(probabilities, 1e-9))
        return cross_entropy(logits, self.validation.targets, ignore_index=IGNORED, weight=self.weight)[0]

    def evaluate(self) -> dict[str, float]:
        """The loss on the validation part, the share of right answers, and the mean F1 of the classes."""
        z = self.answers()
        loss, _ = self.model.loss(z, self.validation.targets, weight=self.weight)
        truth, found = self._counted(z)
        f1 = f1_scores(truth, found, z.shape[2]).mean()
        return {"validation": loss, "accuracy": float((truth == found).mean()), "f1": float(f1)}

    def answers(self) -> np.ndarray:
        """The network's answers to the validation part, (T, N, K)."""
        return predict(self.model, self.validation.x, self.validation.lengths)

    def _counted(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Truth and answers of the validation part's steps that count."""
        counts = self.validation.targets != IGNORED
        return self.validation.targets[counts], z.argmax(axis=2)[counts]

    def f1_by_class(self) -> dict[Label, float]:
        """The F1 of each class on the validation part, by its name."""
        truth, found = self._counted(self.answers())
        scores = f1_scores(truth, found, self.model.linear.out_features).tolist()
        return dict(zip(self.model.classes or range(len(scores)), scores, strict=True))

    def describe(self) -> str:
        """How many there are."""
        training, validation = self.facts["training_sequences"], self.facts["validation_sequences"]
        tags, classes = self.facts["training_tags"], self.model.linear.out_features
        learned, held_out = (part.targets[part.targets != IGNORED] for part in (self.training, self.validation))
        return (
            f"{training:,} sequences with {tags:,} tags of {classes} classes to train on, {validation:,} held out"
            f"{only_held_out(learned, held_out, self.model.classes)}"
        )

    def pictures(self, evaluations: list[dict[str, Any]]) -> dict[str, Figure]:
        """The loss, and what was taken for what."""
        from matplotlib.figure import Figure

        from nblstm.plot import confusion_matrix

        pictures, count = super().pictures(evaluations), self.model.linear.out_features
        if count <= DRAWN:
            side = 4 + 0.25 * count
            figure = Figure(figsize=(side, side), layout="constrained")
            truth, found = self._counted(self.answers())
            classes = [str(label) for label in self.model.classes or range(count)]
            confusion_matrix(truth, found, classes=classes, ax=figure.subplots())
            pictures["confusion.png"] = figure
        return pictures


class TaggedTextJob(TaggingJob):
    r"""A `SequenceTagger` that learns the tags of tokens from a file; see `nblstm.datasets.read_tagged`.

    The vocabulary is that of the sentences to train on: tokens that occur once are not in it, nor are those beyond the
    setting `vocabulary_size`; all these are one token, ``<unk>``. The tags are those of all sentences.

    Parameters
    ----------
    settings : TaggedTextSettings
    smaller_batch : bool
        Whether `batch_size` becomes smaller where there are fewer sentences.

    Raises
    ------
    ValueError, TypeError, OSError
        What `nblstm.datasets.read_tagged` and `TaggingJob` refuse.

    Examples
    --------
    >>> from pathlib import Path
    >>> from nblstm.jobs import TaggedTextJob, TaggedTextSettings
    >>> size = Path("roses.txt").write_text("a D\nrose N\nis V\n\n" * 40)
    >>> job = TaggedTextJob(TaggedTextSettings(file="roses.txt", hidden_size=8, batch_size=4))
    >>> job.model.vocabulary, job.model.classes
    (('<unk>', 'a', 'rose', 'is'), ('D', 'N', 'V'))
    >>> Path("roses.txt").unlink()
    """

    settings_type = TaggedTextSettings
    settings: TaggedTextSettings

    def __init__(self, settings: TaggedTextSettings, smaller_batch: bool = False) -> None:
        self._check_settings(settings)
        sentences, tags = datasets.read_tagged(settings.file, settings.encoding)
        cut = len(sentences) * 9 // 10
        held_out = sentences[cut:], tags[cut:]
        if settings.validation_file is not None:
            cut, held_out = len(sentences), datasets.read_tagged(settings.validation_file, settings.encoding)
        if not cut:
            raise ValueError(f"{settings.file} must have at least two sentences, as a tenth is for validation, got one")
        if as_flag("smaller_batch", smaller_batch):
            settings = replace(settings, batch_size=min(cut, settings.batch_size))
        vocabulary = datasets.token_vocabulary(sentences[:cut], settings.vocabulary_size)
        training = tagged_sequences(sentences[:cut], tags[:cut], vocabulary)
        super().__init__(settings, training, tagged_sequences(*held_out, vocabulary), vocabulary)
        self.facts |= {"vocabulary": list(vocabulary), "classes": list(self.model.classes or ())}

    def describe(self) -> str:
        """The file, and how many there are."""
        known = len(self.model.vocabulary or ()) - 1
        return f"{self.settings.file}: {super().describe()}; {known:,} tokens are known"


def _counted_alone(sequences: Sequences, ignore_index: int) -> np.ndarray:
    """The targets that count, labels or integers, in one row."""
    found = labelled(sequences.targets, sequences.lengths)
    return found if has_labels(found) or found.dtype.kind not in "iu" else found[found != ignore_index]


def _check_kinds(name: str, sequences: Sequences) -> None:
    """Arrays whose extents agree."""
    if not isinstance(sequences, Sequences):
        raise TypeError(f"{name} must be Sequences, got {type(sequences).__name__}")
    x, targets, lengths, sample_weight = sequences
    check_array(f"{name}.x", x, np.asarray(x).dtype)
    check_array(f"{name}.targets", targets, np.asarray(targets).dtype)
    if sample_weight is not None:
        raise ValueError(f"{name}.sample_weight must be None for tags, got {type(sample_weight).__name__}")
    if x.ndim < 2 or 0 in x.shape or targets.shape != x.shape[:2]:
        raise ValueError(
            f"{name} must have at least one sequence and a target for each step, (T, N), got x {x.shape} and targets "
            f"{targets.shape}"
        )
    if lengths is not None:
        check_array(f"{name}.lengths", lengths, np.asarray(lengths).dtype)
        check_lengths(lengths, x.shape[0], x.shape[1], f"{name}.lengths")


def _checked(
    name: str, sequences: Sequences, classes: tuple[Label, ...] | int, ignore_index: int, vocabulary: Any
) -> Sequences:
    """The same with targets as int64, `IGNORED` where they do not count."""
    x, targets, lengths, _ = sequences
    steps, count = x.shape[:2]
    if vocabulary is not None:
        places = check_integers(f"{name}.x", x)
        if places.min() < 0 or places.max() >= len(vocabulary):
            wrong = f"{places.min()}..{places.max()}"
            raise ValueError(f"{name}.x must be places in vocabulary, 0..{len(vocabulary) - 1}, got {wrong}")
    else:
        check_array(f"{name}.x", x, np.dtype("float32"), (None, None, None))
        check_finite(f"{name}.x", x, None if lengths is None else np.arange(steps)[:, None, None] >= lengths[:, None])
    names = None if isinstance(classes, int) else classes
    found = counted_targets(f"{name}.targets", targets, steps, count, lengths, ignore_index, names)
    return Sequences(x, found, lengths)
