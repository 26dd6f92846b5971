"""The three tasks of the odyssey, each with an answer at some or all steps: characters, rows of digits, brackets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nblstm import datasets
from nblstm.jobs import Sequences
from nblstm.models.tagger import IGNORED

LETTERS = " abcdefghijklmnopqrstuvwxyz"
WINDOW = 50
DIGITS = 4
KINDS, DEEPEST, BRACKETS = 3, 5, 40


class Parts(NamedTuple):
    """What is learned from, what decides which evaluation counts, and what is reported."""

    training: Sequences
    validation: Sequences
    test: Sequences


def characters(seed: int) -> Parts:
    """The next character of the default text, in small letters; whatever is no letter is a space, several are one.

    27 symbols, one-hot; windows of 50 steps, of which the state begins at zero. The first eight tenths of the text
    train, the next one validates, the last one tests. The text is that of the running Python.
    """
    text = "".join(c if c in LETTERS else " " for c in datasets.load_text(datasets.DEFAULT_TEXT).lower())
    symbols = np.array([LETTERS.index(c) for c in " ".join(text.split())])
    rng = np.random.default_rng([seed, 0])
    cuts = [int(part * len(symbols)) for part in (0, 0.8, 0.9, 1)]

    def some(part: int, count: int) -> Sequences:
        starts = rng.integers(cuts[part], cuts[part + 1] - WINDOW, size=count)
        windows = symbols[starts + np.arange(WINDOW + 1)[:, None]]
        return _next_symbol(windows, len(LETTERS))

    return Parts(some(0, 1000), some(1, 200), some(2, 200))


def digits(seed: int) -> Parts:
    """Four handwritten digits one after the other, row by row: 32 frames of 8 pixels; name each at its last row.

    Images 1..1,200 train, 1,201..1,500 validate, the rest test, so that the writers are others.
    """
    images, labels = datasets.digits()
    rng = np.random.default_rng([seed, 1])

    def some(part: slice, count: int) -> Sequences:
        chosen = rng.integers(len(labels[part]), size=(count, DIGITS))
        rows = images.shape[1]
        x = images[part][chosen].reshape(count, DIGITS * rows, -1).transpose(1, 0, 2)
        targets = np.full(x.shape[:2], IGNORED)
        targets[rows - 1 :: rows] = labels[part][chosen].T
        return Sequences(np.ascontiguousarray(x), targets)

    return Parts(some(slice(1200), 1000), some(slice(1200, 1500), 200), some(slice(1500, None), 200))


def brackets(seed: int) -> Parts:
    """The next symbol of a generated formal language: brackets of three kinds, nested up to five deep.

    A closing bracket is of the kind that was opened last and is still open. Where both are allowed, opening and closing
    are equally likely; so are the kinds. 6 symbols, one-hot; 40 steps from the first bracket on.
    """
    rng = np.random.default_rng([seed, 2])

    def some(count: int) -> Sequences:
        return _next_symbol(draw_brackets(rng, count, BRACKETS + 1), 2 * KINDS)

    return Parts(some(1000), some(200), some(200))


def draw_brackets(rng: np.random.Generator, count: int, steps: int) -> np.ndarray:
    """Symbols (steps, count): k < 3 opens a bracket of kind k, and k + 3 closes it."""
    symbols, opened, depth = np.empty((steps, count), int), np.empty((DEEPEST, count), int), np.zeros(count, int)
    every = np.arange(count)
    for step in symbols:
        opens = (depth == 0) | ((depth < DEEPEST) & (rng.random(count) < 0.5))
        kinds = rng.integers(KINDS, size=count)
        opened[depth[opens], every[opens]] = kinds[opens]
        depth += np.where(opens, 1, -1)
        step[:] = np.where(opens, kinds, KINDS + opened[depth - opens, every])
    return symbols


def _next_symbol(symbols: np.ndarray, count: int) -> Sequences:
    """One-hot, and at each step the symbol that follows."""
    return Sequences(np.eye(count, dtype=np.float32)[symbols[:-1]], symbols[1:])


TASKS: dict[str, Callable[[int], Parts]] = {"characters": characters, "digits": digits, "brackets": brackets}
