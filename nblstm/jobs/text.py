"""The job of a character model."""

from __future__ import annotations

import hashlib

import numpy as np

from nblstm import datasets
from nblstm.baselines import baselines
from nblstm.jobs.job import Job, form
from nblstm.models import CharLM
from nblstm.optim import Adam
from nblstm.settings import TextSettings
from nblstm.training import TextTrainer, evaluate


class TextJob(Job):
    """A `CharLM` that learns to predict the characters of a text; the last tenth of the text is for validation.

    Raises
    ------
    ValueError
        What the text, the model and the streams refuse.
    """

    settings_type = TextSettings
    item, measure = "character", "bits per character"
    settings: TextSettings
    model: CharLM

    def __init__(self, settings: TextSettings) -> None:
        super().__init__(settings)
        text = datasets.load_text(settings.text, settings.encoding)
        vocabulary, characters, digest = datasets.vocabulary_of(text), len(text), _digest(text)
        tokens = datasets.encode(text, vocabulary, np.min_scalar_type(len(vocabulary) - 1))
        del text  # which may be long
        training, self.validation = datasets.split(tokens)
        self.model = CharLM(vocabulary, **form(settings))
        streams = datasets.streams(training, settings.batch_size, settings.window)
        optimizer = Adam(self.model.layers, lr=settings.learning_rate)
        self.trainer = TextTrainer(self.model, optimizer, streams, settings.window, settings.clip)
        self.batches = (len(streams) - 1) // settings.window
        self.size = settings.batch_size * settings.window
        self.baselines = baselines(training, self.validation, len(vocabulary))
        self.digest = digest
        self.facts = {"characters": characters, "vocabulary": vocabulary}

    def evaluate(self) -> dict[str, float]:
        """Bits per character of the validation part."""
        return {"validation": evaluate(self.model, self.validation)}

    def describe(self) -> str:
        """The text in a line."""
        characters, distinct = self.facts["characters"], len(self.model.vocabulary)
        return f"{self.settings.text}: {characters:,} characters, {distinct} of them distinct"


def _digest(text: str) -> str:
    """Of the characters as UTF-8 has them, so whatever the file's encoding is."""
    digest = hashlib.sha256()
    for start in range(0, len(text), datasets.text.PIECE):
        digest.update(text[start : start + datasets.text.PIECE].encode())
    return digest.hexdigest()
