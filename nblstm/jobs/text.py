"""The job of a character model."""

from __future__ import annotations

import hashlib

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
        text = datasets.load_text(settings.text)
        vocabulary = datasets.vocabulary_of(text)
        training, self.validation = datasets.split(datasets.encode(text, vocabulary))
        self.model = CharLM(vocabulary, **form(settings))
        streams = datasets.streams(training, settings.batch_size, settings.window)
        optimizer = Adam(self.model.layers, lr=settings.learning_rate)
        self.trainer = TextTrainer(self.model, optimizer, streams, settings.window, settings.clip)
        self.batches = (len(streams) - 1) // settings.window
        self.size = settings.batch_size * settings.window
        self.baselines = baselines(training, self.validation, len(vocabulary))
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self.facts = {"characters": len(text), "vocabulary": vocabulary}

    def evaluate(self) -> dict[str, float]:
        """Bits per character of the validation part."""
        return {"validation": evaluate(self.model, self.validation)}

    def describe(self) -> str:
        """The text in a line."""
        characters, distinct = self.facts["characters"], len(self.model.vocabulary)
        return f"{self.settings.text}: {characters:,} characters, {distinct} of them distinct"
