"""The search-space odyssey: the LSTM and its variants on three tasks, hundreds of small trainings with settings drawn.

After Greff, Srivastava, Koutník, Steunebrink & Schmidhuber (2017), LSTM: a search space odyssey. As there: peepholes in
all variants but NP; stochastic gradient descent with Nesterov's momentum; learning rate, units, momentum and input
noise drawn for each variant alone; the network of the evaluation with the lowest validation loss is the one that is
tested. Not as there: the tasks and sizes; the learning rate falls along half a cosine; gradients are of batches and
clipped; a run has a fixed length. Full gate recurrence (FGR), their ninth cell, is not here: it has matrices from gates
to gates, which `nblstm.Cell` cannot say.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from nblstm.arguments import as_number, as_rate
from nblstm.experiments.odyssey_tasks import TASKS
from nblstm.jobs import Sequences, TaggingJob, TaggingSettings
from nblstm.jobs.data import digest_of
from nblstm.models import SequenceTagger
from nblstm.optim import SGD
from nblstm.search import Range, Search
from nblstm.search.record import RECORD
from nblstm.training import TagTrainer, predict

VARIANTS = {
    "V": "peephole", "NIG": "peephole_no_input_gate", "NFG": "peephole_no_forget_gate",
    "NOG": "peephole_no_output_gate", "NIAF": "peephole_no_input_activation",
    "NOAF": "peephole_no_output_activation", "CIFG": "peephole_coupled", "NP": "lstm",
}  # fmt: skip
"""The paper's names, vanilla first, and the cells."""

ROUND = 20
"""Trials of a variant and task that are one search; then comes the next variant, so that all get on alike."""
RUNS = "trials"
"""The folder of a search with its runs, which are removed when it is through: the table has what counts."""


@dataclass(frozen=True)
class Momentum:
    """1 - m, log-uniform: as many momenta from 0.9 to 0.99 as from 0 to 0.9."""

    def rvs(self, *, random_state: np.random.RandomState) -> float:
        """A momentum drawn."""
        return round(1 - Range(0.01, 1.0, log=True).rvs(random_state=random_state), 4)


SPACE = {
    "lr": Range(1e-3, 10.0, log=True), "hidden_size": Range(8, 64, log=True), "noise": Range(0.0, 1.0),
    "momentum": Momentum(), "seed": Range(0, 999_999),
}  # fmt: skip
"""What is drawn for each trial; the seed is that of the first weights, the order and the noise."""


@dataclass(frozen=True, kw_only=True)
class OdysseySettings(TaggingSettings):
    """Of a trial: momentum, and the standard deviation of the noise that each look at an input has."""

    LENGTH = ("steps", 300)

    bidirectional: bool = False
    optimizer: str = "sgd"
    batch_size: int = 16
    evaluate_every: int | None = 50
    momentum: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("momentum", as_rate("momentum", self.momentum))
        self._keep("noise", as_number("noise", self.noise))


class NoisyTrainer(TagTrainer):
    """As `TagTrainer`, with fresh normal noise on the inputs of each step, of the seed and the step alone."""

    def __init__(self, *arguments: Any, noise: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.noise = noise

    def _forward_and_backward(self) -> float:
        chosen = self._chosen()
        x = self.x[:, chosen]
        x += self.noise * np.random.default_rng([self.seed, self.steps]).standard_normal(x.shape, x.dtype)
        z, self._tape = self.model.forward(x, None, self._tape)
        loss, dz = self.model.loss(z, self.targets[:, chosen])
        self.model.backward(dz, self._tape, need_dx=False)
        return loss


class OdysseyJob(TaggingJob):
    """A tagger with input noise and momentum; its evaluations have the loss and the accuracy on a test part, too."""

    settings_type = OdysseySettings
    settings: OdysseySettings
    model: SequenceTagger

    def __init__(self, settings: OdysseySettings, training: Sequences, validation: Sequences, test: Sequences) -> None:
        super().__init__(settings, training, validation)
        self.test = test
        self.digest = digest_of(array for part in (training, validation, test) for array in part[:2])
        optimizer = SGD(
            self.model.layers, settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0,
            weight_decay=settings.weight_decay,
        )  # fmt: skip
        self.trainer = NoisyTrainer(
            self.model, optimizer, training.x, training.targets, settings.batch_size, clip=settings.clip,
            seed=settings.seed, noise=settings.noise,
        )  # fmt: skip

    def evaluate(self) -> dict[str, float]:
        """As a tagger's, and the same on the test part."""
        z = predict(self.model, self.test.x)
        counts = self.test.targets != self.settings.ignore_index
        right = z.argmax(axis=2)[counts] == self.test.targets[counts]
        return super().evaluate() | {
            "test": self.model.loss(z, self.test.targets)[0], "test_accuracy": float(right.mean()),
        }  # fmt: skip

    def pictures(self, evaluations: list[dict[str, Any]]) -> dict[str, Any]:
        """None: there are thousands of trials."""
        return {}


def run(
    folder: Path, trials: int, *, tasks: Sequence[str] = tuple(TASKS), variants: Sequence[str] = tuple(VARIANTS),
    seed: int = 0, workers: int | None = None, settings: Mapping[str, Any] | None = None,
) -> Iterator[int]:  # fmt: skip
    """Compute what is missing until each variant has so many trials on each task; give how many more there are.

    A search that was interrupted goes on where it was. Where Ctrl-C stops one, `KeyboardInterrupt` is raised.
    """
    parts = {task: TASKS[task](seed) for task in tasks}
    told: Counter[tuple[str, str]] = Counter()
    for wanted in [*range(ROUND, trials, ROUND), trials]:
        for task, variant in product(tasks, variants):
            begun = sorted(folder.glob(f"{task}-{variant}-{seed}-*"))
            searches = [Search.resume(each, OdysseyJob, *parts[task]) for each in begun if (each / RECORD).exists()]
            have = sum(len(search.points) for search in searches)
            if have < wanted:
                name = f"{task}-{variant}-{seed}-{have:04}"
                words = [int.from_bytes(word.encode(), "big") for word in (task, variant)]
                state = np.random.default_rng([seed, have, *words]).integers(2**32)
                asked = {**(settings or {}), "cell": VARIANTS[variant]}
                searches.append(Search.create(
                    folder / name, OdysseyJob, SPACE, *parts[task], settings=asked, trials=wanted - have,
                    random_state=int(state),
                ))  # fmt: skip
            for search in searches:
                if not search.finished and not search.run(workers, progress=False):
                    raise KeyboardInterrupt
                shutil.rmtree(search.folder / RUNS, ignore_errors=True)
            have = sum(len(search.points) for search in searches)
            yield have - told[task, variant]
            told[task, variant] = have
