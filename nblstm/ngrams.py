"""N-grams counted: what a long text says of those of a shorter one, and in how little memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

PIECE = 2**16
"""Tokens that are counted at once, so that nothing in eight bytes each is as long as the text."""

SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: keys near each other have products whose highest bits are far apart."""

_NOTHING = np.empty(0, np.int64)


class Counts:
    """What the training part says of the k-grams h c of the validation part, k = 1 .. order.

    They are numbered 0, 1, ... without a gap, in the order of their keys: the number of h among the (k - 1)-grams times
    V, plus c. So a key stays below M V, however long the context, and fits into 64 bits. The training part is far the
    longer one: it is read in pieces, and of what the validation part does not ask for only the kinds are kept.
    """

    def __init__(self, training: np.ndarray, validation: np.ndarray, vocabulary_size: int, order: int) -> None:
        self.validation, self.size = validation, vocabulary_size
        self.grams: list[Numbers] = []
        contexts = [1]
        for k in range(order):
            found = Distinct()
            for piece in self._pieces(validation, k + 1):
                longest = piece[-1][1]
                found.add(longest[longest >= 0])
            keys = found.sorted()
            self.grams.append(Numbers(keys))
            contexts.append(len(keys))
        self.counts = [np.zeros(count, np.int64) for count in contexts[1:]]  # n(h c)
        self.totals = [np.zeros(count, np.int64) for count in contexts[:-1]]  # n(h)
        self.kinds = [np.zeros(count, np.int64) for count in contexts[:-1]]  # T(h)
        self._count(training)

    def _pieces(self, text: np.ndarray, orders: int) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
        """For each k up to `orders`, piece by piece of a text, the numbers of the contexts there and the keys.

        Both are -1 where the context is not one of the validation part's, or reaches beyond the beginning of the text.
        """
        for start in range(0, len(text), PIECE):
            before = min(start, orders - 1)
            characters = text[start - before : start + PIECE].astype(np.int64)
            keys, found = characters, [(np.zeros(len(characters), np.int64)[before:], characters[before:])]
            for shorter in self.grams[: orders - 1]:
                contexts = np.append(-1, shorter.find(keys)[:-1])
                keys = np.where(contexts >= 0, contexts * self.size + characters, -1)
                found.append((contexts[before:], keys[before:]))
            yield found

    def _count(self, training: np.ndarray) -> None:
        from tqdm import tqdm

        others = [Distinct() for _ in self.grams]  # the keys seen that the validation part has not
        with tqdm(
            desc="baselines", unit=" tokens", unit_scale=True, total=len(training), leave=False, delay=1,
            disable=sys.stderr is None,
        ) as bar:  # fmt: skip
            for piece in self._pieces(training, len(self.grams)):
                for k, (contexts, keys) in enumerate(piece):
                    keys = keys[keys >= 0]
                    places = self.grams[k].find(keys)
                    self.counts[k] += np.bincount(places[places >= 0], minlength=len(self.counts[k]))
                    self.totals[k] += np.bincount(contexts[contexts >= 0], minlength=len(self.totals[k]))
                    others[k].add(keys[places < 0])
                bar.update(len(contexts))
        for k, kinds in enumerate(self.kinds):
            for keys in (self.grams[k].keys[self.counts[k] > 0], others[k].sorted()):
                kinds += np.bincount(keys // self.size, minlength=len(kinds))

    def interpolated(self) -> np.ndarray:
        """See `nblstm.baselines.ngram_probabilities`."""
        parts = []
        for piece in self._pieces(self.validation, len(self.grams)):
            probabilities = np.full(len(piece[0][1]), 1 / self.size)
            for k, (contexts, keys) in enumerate(piece):
                kinds = _look_up(self.kinds[k], contexts)
                total = _look_up(self.totals[k], contexts) + kinds
                counts = _look_up(self.counts[k], self.grams[k].find(keys))
                mixed = (counts + kinds * probabilities) / np.maximum(total, 1)
                probabilities = np.where(total > 0, mixed, probabilities)
            parts.append(probabilities)
        return np.concatenate([np.empty(0), *parts])[1:]

    def smoothed_bigrams(self, a: float) -> np.ndarray:
        """(n(b c) + a) / (n(b) + a V) of every token of the validation part but its first."""
        parts = []
        for _, (contexts, keys), *_ in self._pieces(self.validation, 2):
            counts = _look_up(self.counts[1], self.grams[1].find(keys)) + a
            parts.append(counts / (_look_up(self.totals[1], contexts) + a * self.size))
        return np.concatenate(parts)[1:]


class Numbers:
    """The numbers of sorted keys, none of them negative, in a hash table of which at most half is full.

    A key is in the first slot that was free from the one on where its product with `SPREAD` points; so a search ends at
    the key or at a free slot. That takes one or two steps, where one in the sorted keys would take twenty.
    """

    def __init__(self, keys: np.ndarray) -> None:
        self.keys = keys
        bits = (2 * len(keys) + 1).bit_length()
        self.shift, self.last = np.uint64(64 - bits), 2**bits - 1
        self.slots = np.full(2**bits, -1, np.int32)
        left, slots = np.arange(len(keys), dtype=np.int32), self._first(keys)
        while len(left):
            free = self.slots[slots] < 0
            self.slots[slots[free]] = left[free]  # where several want one slot, it is the last one's
            others = self.slots[slots] != left
            left, slots = left[others], (slots[others] + 1) & self.last

    def _first(self, keys: np.ndarray) -> np.ndarray:
        return (keys.view(np.uint64) * SPREAD >> self.shift).view(np.int64)

    def find(self, asked: np.ndarray) -> np.ndarray:
        """The numbers of the keys `asked`; -1 of what is none of them, such as -1."""
        slots = self._first(asked)
        found = self.slots[slots]
        others = np.flatnonzero(self._another(found, asked))
        while len(others):
            slots[others] = (slots[others] + 1) & self.last
            found[others] = self.slots[slots[others]]
            others = others[self._another(found[others], asked[others])]
        return found.astype(np.int64)

    def _another(self, numbers: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """Whether there is a key of that number, and it is not the one asked for."""
        taken = numbers >= 0
        return taken & (self.keys[numbers] != asked) if len(self.keys) else taken


class Distinct:
    """Keys out of many pieces, each of them once."""

    def __init__(self) -> None:
        self.known, self.waiting, self.count = _NOTHING, [_NOTHING], 0

    def add(self, keys: np.ndarray) -> None:
        """Those of one piece more."""
        self.waiting.append(keys)
        self.count += len(keys)
        if self.count > max(PIECE, len(self.known) // 2):  # so that what is known is seldom copied
            self.sorted()

    def sorted(self) -> np.ndarray:
        """All of them, in their order."""
        new = np.unique(np.concatenate(self.waiting))
        new = new[_find(self.known, new) < 0]
        self.known = np.sort(np.concatenate([self.known, new]), kind="stable")  # which merges sorted parts
        self.waiting, self.count = [_NOTHING], 0
        return self.known


def _find(keys: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The places of `asked` among sorted keys, none of which is negative, or -1."""
    nearest = np.searchsorted(keys, asked)
    found = np.append(keys, -2)[nearest] == asked  # where the place is beyond the end, -2 is not asked for
    return np.where(found, nearest, -1)


def _look_up(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``values[places]``, and 0 where a place is -1."""
    return np.append(values, 0)[places]
