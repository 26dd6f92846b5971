"""The job of a language model: a text, read by characters or by words."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from nblstm import datasets
from nblstm.arguments import as_choice, as_flag, check_kind
from nblstm.baselines import baselines
from nblstm.distributed import evaluate_together
from nblstm.jobs.job import Job, Metrics, form, optimizer
from nblstm.jobs.settings import TextSettings
from nblstm.models import CharLM, LanguageModel, WordLM
from nblstm.plot.sheet import brief
from nblstm.training import TextTrainer, evaluate

Known = Callable[[Callable[[], Sequence[str]]], Sequence[str]]
VALIDATED = {"characters": 200_000, "words": 100_000}
"""Characters of the last tenth that validation reads at most: all of a long text's would cost more than training. Where
they are read as words there are fewer: with ten thousand logits each, nearly all of the time is one product."""

WORD_METRICS: Metrics = {
    "perplexity": ("perplexity", lambda value: f"{value:,.0f}" if 100 <= value < 1e9 else f"{value:.3g}"),
    "bits_per_character": ("bits/character", lambda value: brief(value, 3)),
}


class TextJob(Job):
    """A `CharLM` or a `WordLM` that learns to predict a text, whose last tenth is for validation.

    Validation, and the baselines beside it, read the first 200,000 characters of that tenth, and 100,000 where they are
    read as words: all of them in a text of up to two million, or one.

    The vocabulary of characters is that of the whole text; that of words is counted on the training part alone.

    Parameters
    ----------
    settings : TextSettings
    shorten : sequence of str
        Which of ``"batch_size"`` and ``"window"`` become smaller where the text is too short for those of `settings`.
    continue_from : CharLM or WordLM, optional
        A model, of another text say, whose weights the run begins with. What `settings` say of the net's form must be
        what it has; `form_of` gives it.
    extend_vocabulary : bool
        Whether the model learns the tokens of the text that `continue_from` lacks: they are added to its vocabulary, as
        `with_vocabulary` does. Otherwise a text with other characters is refused, and other words are ``<unk>``.

    Attributes
    ----------
    settings : TextSettings
        With the sizes that the text has room for, and the vocabulary that `continue_from` leads to.

    Raises
    ------
    ValueError
        What the text, the model and the streams refuse.

    Examples
    --------
    >>> from pathlib import Path
    >>> from nblstm.jobs import TextJob, TextSettings
    >>> size = Path("roses.txt").write_text("a rose is a rose is a rose. " * 50)
    >>> job = TextJob(TextSettings(text="roses.txt", hidden_size=8, batch_size=4, window=20, steps=5))
    >>> job.model.vocabulary, job.batches, list(job.baselines)
    (' .aeiors', 15, ['uniform', 'unigram', 'bigram', '5-gram'])
    >>> Path("roses.txt").unlink()
    """

    settings_type = TextSettings
    settings: TextSettings
    model: LanguageModel

    def __init__(
        self,
        settings: TextSettings,
        shorten: Sequence[str] = (),
        continue_from: LanguageModel | None = None,
        extend_vocabulary: bool = False,
    ) -> None:
        super().__init__(settings)
        if continue_from is not None:
            check_kind("continue_from", continue_from, CharLM, WordLM)
            self.settings = settings = _settings_to_continue(settings, continue_from, self.form_of(continue_from))
        elif as_flag("extend_vocabulary", extend_vocabulary):
            raise ValueError("extend_vocabulary must be left out without continue_from")
        known = partial(_known, settings.vocabulary, continue_from, as_flag("extend_vocabulary", extend_vocabulary))
        sources = datasets.text_sources(settings.text)
        text = datasets.load_text(sources, settings.encoding)
        if len(text) < 20:
            raise ValueError(f"the text must be at least 20 characters for a validation part, got {len(text)}")
        self.digest, self.facts = _digest(text), {"files": len(sources), "characters": len(text)}
        training = self._words(text, known) if settings.tokens == "words" else self._characters(text, known)
        del text  # which may be long
        if continue_from is not None:
            vocabulary = self.model.vocabulary
            self.settings = replace(self.settings, vocabulary=vocabulary)
            self.model.load_state_dict(continue_from.with_vocabulary(vocabulary, settings.seed).state_dict())
        self.settings = settings = _with_room(self.settings, len(training) - 1, shorten)
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

    @staticmethod
    def form_of(model: LanguageModel) -> dict[str, Any]:
        """The settings that say the form of a model, for a run that continues from it."""
        check_kind("model", model, CharLM, WordLM)
        names = ("hidden_size", "num_layers", "cell", "formulation", "embedding_size")
        tokens = "characters" if isinstance(model, CharLM) else "words"
        own = {"heads": model.recurrent.heads, "layer_norm": model.recurrent.layer_norm, "tokens": tokens}
        return {name: model.config[name] for name in names} | own

    def _characters(self, text: str, known: Known) -> np.ndarray:
        """Make the model and the validation part; the training part."""
        vocabulary = known(lambda: datasets.vocabulary_of(text))
        training, held_out = datasets.split(datasets.encode(text, vocabulary, _smallest(len(vocabulary))))
        self.validation = held_out[: VALIDATED["characters"]]
        size = self.settings.embedding_size or 64
        self.model = CharLM(vocabulary, embedding_size=size, **form(self.settings))
        self.facts["vocabulary"] = vocabulary
        return training

    def _words(self, text: str, known: Known) -> np.ndarray:
        """As `_characters`, of the same parts of the text."""
        cut = len(text) * 9 // 10
        read, rest, held_out = text[:cut], text[cut:], text[cut : cut + VALIDATED["words"]]
        vocabulary = known(lambda: datasets.word_vocabulary(read, self.settings.vocabulary_size or 0))
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
        there, predicted = set(vocabulary), datasets.split_words(held_out)
        self.predicted = len(held_out) - len(next(predicted))  # characters
        unknown = sum(len(token) + 1 for token in predicted if token not in there)
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
        most = VALIDATED[self.settings.tokens]
        shorter = characters - characters * 9 // 10 > most
        part = f"; validation is on the first {most:,} characters of the last tenth" if shorter else ""
        given = self.settings.vocabulary is not None
        if isinstance(self.model, CharLM):
            known = f"; the model knows {distinct} distinct ones" if given else f", {distinct} of them distinct"
            return f"{text}: {characters:,} characters{known}{part}"
        tokens, unknown = self.facts["tokens"], self.facts["unknown"]
        return (
            f"{text}: {characters:,} characters in {tokens:,} tokens, words and marks; "
            f"the {distinct - 1:,} {'that the model knows' if given else 'most frequent ones'} are the vocabulary, "
            f"the other {unknown / tokens:.1%} are <unk>{part}"
        )


def _settings_to_continue(settings: TextSettings, model: LanguageModel, form: dict[str, Any]) -> TextSettings:
    """`settings`, which are for a net of the form of `model`."""
    if settings.embedding_size is None:
        settings = replace(settings, embedding_size=form["embedding_size"])
    differing = [
        f"{name}={value}, got {getattr(settings, name)}"
        for name, value in (form | {"vocabulary": None}).items()
        if getattr(settings, name) != value
    ]
    if differing:
        raise ValueError(f"settings must be those of the model that the run continues from: {'; '.join(differing)}")
    if model.dtype != np.float32:
        raise ValueError(f"continue_from must be a model of float32, got one of {model.dtype}")
    return settings


def _known(
    given: Sequence[str] | None, model: LanguageModel | None, extend: bool, of_text: Callable[[], Sequence[str]]
) -> Sequence[str]:
    """The vocabulary: the one given, or that of `model` and what it lacks of the text, or the text's own."""
    if model is None:
        return of_text() if given is None else given
    known, characters = model.vocabulary, isinstance(model, CharLM)
    if not characters and not extend:
        return known  # other words are <unk>
    there = set(known)
    new = [token for token in of_text() if token not in there]
    if new and not extend:
        some = ", ".join(map(repr, new[:10])) + (" ..." if len(new) > 10 else "")
        raise ValueError(
            f"the text must keep to the {len(known)} characters of the model that the run continues from, but has "
            f"{some}; extend_vocabulary adds them"
        )
    return "".join([*known, *new]) if characters else (*known, *new)


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
