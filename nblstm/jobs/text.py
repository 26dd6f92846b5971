"""The job of a character model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nblstm import datasets
from nblstm.arguments import as_choice, check_kind
from nblstm.baselines import baselines
from nblstm.jobs.job import Job, form
from nblstm.models import CharLM
from nblstm.optim import Adam
from nblstm.settings import TextSettings
from nblstm.training import TextTrainer, evaluate


class TextJob(Job):
    """A `CharLM` that learns to predict the characters of a text; the last tenth of the text is for validation.

    Parameters
    ----------
    settings : TextSettings
    shorten : sequence of str
        Which of ``"batch_size"`` and ``"window"`` become smaller where the text is too short for those of `settings`.

    Attributes
    ----------
    settings : TextSettings
        With the sizes that the text has room for.

    Raises
    ------
    ValueError
        What the text, the model and the streams refuse.
    """

    settings_type = TextSettings
    item, measure = "character", "bits per character"
    settings: TextSettings
    model: CharLM

    def __init__(self, settings: TextSettings, shorten: Sequence[str] = ()) -> None:
        super().__init__(settings)
        sources = datasets.text_sources(settings.text)
        text = datasets.load_text(sources, settings.encoding)
        vocabulary, characters, digest = datasets.vocabulary_of(text), len(text), _digest(text)
        tokens = datasets.encode(text, vocabulary, np.min_scalar_type(len(vocabulary) - 1))
        del text  # which may be long
        training, self.validation = datasets.split(tokens)
        self.settings = settings = _with_room(settings, len(training) - 1, shorten)
        self.model = CharLM(vocabulary, **form(settings))
        streams = datasets.streams(training, settings.batch_size, settings.window)
        optimizer = Adam(self.model.layers, lr=settings.learning_rate)
        self.trainer = TextTrainer(self.model, optimizer, streams, settings.window, settings.clip)
        self.batches = (len(streams) - 1) // settings.window
        self.size = settings.batch_size * settings.window
        self.baselines = baselines(training, self.validation, len(vocabulary))
        self.digest = digest
        self.facts = {"files": len(sources), "characters": characters, "vocabulary": vocabulary}

    def evaluate(self) -> dict[str, float]:
        """Bits per character of the validation part."""
        return {"validation": evaluate(self.model, self.validation)}

    def describe(self) -> str:
        """The text in a line."""
        files, characters, distinct = self.facts["files"], self.facts["characters"], len(self.model.vocabulary)
        text = f"{datasets.text.named(self.settings.text)}{f' ({files:,} files)' if files > 1 else ''}"
        return f"{text}: {characters:,} characters, {distinct} of them distinct"


def _with_room(settings: TextSettings, room: int, shorten: Sequence[str]) -> TextSettings:
    """`settings` with sizes, of those to `shorten`, such that each of `room` predictions but a few has its place.

    If both may shrink, there are as many streams as windows of the old length the text has, or one more, and a window
    is all of a stream.
    """
    check_kind("shorten", shorten, list, tuple)
    names = {as_choice("shorten", name, ("batch_size", "window")) for name in shorten}
    batch_size, window = settings.batch_size, settings.window
    if batch_size * window <= room:
        return settings
    if "batch_size" in names:
        batch_size = math.ceil(room / window) if "window" in names else max(1, room // window)
    if "window" in names:
        window = max(1, room // batch_size)
    if batch_size * window > room:
        raise ValueError(
            f"the training part, {room + 1:,} characters, is too short for batch_size={batch_size} with "
            f"window={window}: their product must be at most {room:,}"
        )
    return replace(settings, batch_size=batch_size, window=window)


def _digest(text: str) -> str:
    """Of the characters as UTF-8 has them, so whatever the file's encoding is."""
    digest = hashlib.sha256()
    for start in range(0, len(text), datasets.tokens.PIECE):
        digest.update(text[start : start + datasets.tokens.PIECE].encode())
    return digest.hexdigest()
