"""The job of a language model: a text, read by characters or by words."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nblstm import datasets
from nblstm.arguments import as_choice, check_kind
from nblstm.baselines import baselines
from nblstm.distributed import evaluate_together
from nblstm.jobs.job import Job, Metrics, form, optimizer
from nblstm.jobs.settings import TextSettings
from nblstm.models import CharLM, LanguageModel, WordLM
from nblstm.plot.sheet import brief
from nblstm.training import TextTrainer, evaluate

VALIDATED = 200_000
"""Characters of the last tenth that validation reads at most: all of a long text's would cost more than training."""

WORD_METRICS: Metrics = {
    "perplexity": ("perplexity", lambda value: f"{value:,.0f}" if 100 <= value < 1e9 else f"{value:.3g}"),
    "bits_per_character": ("bits/character", lambda value: brief(value, 3)),
}


class TextJob(Job):
    """A `CharLM` or a `WordLM` that learns to predict a text, whose last tenth is for validation.

    Validation, and the baselines beside it, read the first 200,000 characters of that tenth, which are all of them in a
    text of up to two million.

    The vocabulary of characters is that of the whole text; that of words is counted on the training part alone.

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
    settings: TextSettings
    model: LanguageModel

    def __init__(self, settings: TextSettings, shorten: Sequence[str] = ()) -> None:
        super().__init__(settings)
        sources = datasets.text_sources(settings.text)
        text = datasets.load_text(sources, settings.encoding)
        if len(text) < 20:
            raise ValueError(f"the text must be at least 20 characters for a validation part, got {len(text)}")
        self.digest, self.facts = _digest(text), {"files": len(sources), "characters": len(text)}
        training = self._words(text) if settings.tokens == "words" else self._characters(text)
        del text  # which may be long
        self.settings = settings = _with_room(settings, len(training) - 1, shorten)
        self.item = self.model.item
        self.metrics = WORD_METRICS if settings.tokens == "words" else {}
        self.measure = f"bits per {self.item}"
        streams = datasets.streams(training, settings.batch_size, settings.window)
        self.trainer = self._shared_out(
            TextTrainer(self.model, optimizer(settings, self.model), streams, settings.window, settings.clip)
        )
        self.batches = (len(streams) - 1) // settings.window
        self.size = settings.batch_size * settings.window
        self.baselines = baselines(training, self.validation, len(self.model.vocabulary))

    def _characters(self, text: str) -> np.ndarray:
        """Make the model and the validation part; the training part."""
        vocabulary = datasets.vocabulary_of(text)
        training, held_out = datasets.split(datasets.encode(text, vocabulary, _smallest(len(vocabulary))))
        self.validation = held_out[:VALIDATED]
        size = self.settings.embedding_size or 64
        self.model = CharLM(vocabulary, embedding_size=size, **form(self.settings))
        self.facts["vocabulary"] = vocabulary
        return training

    def _words(self, text: str) -> np.ndarray:
        """As `_characters`, of the same parts of the text."""
        cut = len(text) * 9 // 10
        read, rest, held_out = text[:cut], text[cut:], text[cut : cut + VALIDATED]
        vocabulary = datasets.word_vocabulary(read, self.settings.vocabulary_size or 0)
        kind = _smallest(len(vocabulary))
        training, tokens_left, self.validation = (
            datasets.encode_words(part, vocabulary, kind) for part in (read, rest, held_out)
        )
        if min(len(training), len(self.validation)) < 2:
            raise ValueError(
                f"the text must have at least two words in its last tenth, which is for validation, and two before, "
                f"got {len(self.validation)} and {len(training)}"
            )
        size = self.settings.embedding_size or self.settings.hidden_size
        self.model = WordLM(vocabulary, embedding_size=size, **form(self.settings))
        known, predicted = set(vocabulary), datasets.split_words(held_out)
        self.predicted = len(held_out) - len(next(predicted))  # characters
        unknown = sum(len(token) + 1 for token in predicted if token not in known)
        self.spelling = unknown * math.log2(len(set(text)) + 1)  # bits
        self.facts["tokens"] = len(training) + len(tokens_left)
        self.facts["unknown"] = sum(int(np.count_nonzero(part == 0)) for part in (training, tokens_left))
        return training

    def evaluate(self) -> dict[str, float]:
        """Bits per token of the validation part; of words also the perplexity and the bits per character.

        These count a word that is not in the vocabulary as its sign and then its spelling, in which each character of
        the text, and the end, is as likely as any other. So they compare with those of a model of characters.
        """
        shards = self.settings.shards
        bits = (
            evaluate(self.model, self.validation)
            if shards == 1
            else evaluate_together(self.model, self.validation, shards, self.ranks)
        )
        if isinstance(self.model, CharLM):
            return {"validation": bits}
        per_character = (bits * (len(self.validation) - 1) + self.spelling) / self.predicted
        perplexity = 2.0 ** min(bits, 1000)  # which a float can hold
        return {"validation": bits, "perplexity": perplexity, "bits_per_character": per_character}

    def describe(self) -> str:
        """The text in a line."""
        files, characters, distinct = self.facts["files"], self.facts["characters"], len(self.model.vocabulary)
        text = f"{datasets.text.named(self.settings.text)}{f' ({files:,} files)' if files > 1 else ''}"
        shorter = characters - characters * 9 // 10 > VALIDATED
        part = f"; validation is on the first {VALIDATED:,} characters of the last tenth" if shorter else ""
        if isinstance(self.model, CharLM):
            return f"{text}: {characters:,} characters, {distinct} of them distinct{part}"
        tokens, unknown = self.facts["tokens"], self.facts["unknown"]
        return (
            f"{text}: {characters:,} characters in {tokens:,} tokens, words and marks; the {distinct - 1:,} most "
            f"frequent ones are the vocabulary, the other {unknown / tokens:.1%} are <unk>{part}"
        )


def _smallest(size: int) -> np.dtype:
    """The smallest type of the places in a vocabulary of that size."""
    return np.min_scalar_type(size - 1)


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
            f"the training part, {room + 1:,} {settings.tokens}, is too short for batch_size={batch_size} with "
            f"window={window}: their product must be at most {room:,}"
        )
    return replace(settings, batch_size=batch_size, window=window)


def _digest(text: str) -> str:
    """Of the characters as UTF-8 has them, so whatever the file's encoding is."""
    digest = hashlib.sha256()
    for start in range(0, len(text), datasets.tokens.PIECE):
        digest.update(text[start : start + datasets.tokens.PIECE].encode())
    return digest.hexdigest()
