"""Texts as words: nothing is lost, the rare words are one token, and the baselines are those of characters."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nblstm.baselines import baselines
from nblstm.datasets import encode_words, load_text, split_words, word_vocabulary
from nblstm.datasets.words_of_text import TOKEN

FORM = ("<unk>", "a", " rose", "\n")


@given(st.text(st.sampled_from(" \t\n\u3000ab1_é漢.,'’-<\0\u0301😀")))
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_pieces_are_split_as_the_whole(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    text = load_text()[:20_000] + "  x\u3000 \n\ny don't"
    monkeypatch.setattr("nblstm.datasets.words_of_text.PIECE", size)
    assert list(split_words(text)) == TOKEN.findall(text)


def test_what_a_token_is() -> None:
    found = list(split_words("The cat's 'paw' -- x_1,\r\n\n  (so)"))
    assert found == [
        "The", " cat's", " '", "paw", "'", " -", "-", " x_1", ",", "\r", "\n", "\n", " ", " (", "so", ")",
    ]  # fmt: skip
    assert list(split_words("")) == []


def test_the_vocabulary_are_the_most_frequent_tokens() -> None:
    text = load_text()[:50_000]
    counts = Counter(split_words(text))
    vocabulary = word_vocabulary(text, 100)
    assert (len(vocabulary), vocabulary[0]) == (100, "<unk>")
    frequencies = [counts[token] for token in vocabulary[1:]]
    assert frequencies == sorted(counts.values(), reverse=True)[:99]
    assert word_vocabulary("b a b a c") == ("<unk>", " a", "b", " b", " c")


def test_what_is_not_in_the_vocabulary_is_unknown() -> None:
    tokens = encode_words("a rose, a\nrose <unk>", FORM, "uint8")
    assert (tokens.dtype, tokens.tolist()) == (np.uint8, [1, 2, 0, 0, 3, 0, 0, 0, 0])


@pytest.mark.parametrize(
    "vocabulary",
    [
        (),
        ("<unk>",),
        ("a", "<unk>"),
        ("<unk>", "a", "a"),
        ("<unk>", "a b"),
        ("<unk>", ""),
        ("<unk>", 3),
        ("<unk>", "<unk>"),
    ],
)
def test_vocabularies_that_are_none_are_refused(vocabulary: Any) -> None:
    with pytest.raises(ValueError, match="vocabulary must be '<unk>' and then distinct tokens"):
        encode_words("a", vocabulary)


def test_other_arguments_that_are_refused() -> None:
    for wrong in ("<unk>", {"<unk>", "a"}, 3):
        with pytest.raises(TypeError, match="vocabulary must be a tuple or list of tokens"):
            encode_words("a", wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="size must be at least 2, got 1"):
        word_vocabulary("a", 1)
    with pytest.raises(ValueError, match="text must have at least one character"):
        word_vocabulary("")
    with pytest.raises(ValueError, match="dtype must be an integer type that holds 300 places"):
        encode_words("a", ["<unk>", *(f"w{k}" for k in range(299))], "uint8")


def test_baselines_of_words_against_plain_counting() -> None:
    text = load_text()[:60_000]
    vocabulary = word_vocabulary(text[:50_000], 1000)
    training, validation = encode_words(text[:50_000], vocabulary), encode_words(text[50_000:], vocabulary)
    ones, pairs = Counter(training.tolist()), Counter(itertools.pairwise(training.tolist()))
    before = Counter(training[:-1].tolist())
    unigram = [(ones[c] + 0.1) / (len(training) + 100) for c in validation[1:].tolist()]
    bigram = [(pairs[b, c] + 0.1) / (before[b] + 100) for b, c in itertools.pairwise(validation.tolist())]
    found = baselines(training, validation, 1000)
    assert found["unigram"] == pytest.approx(-np.log2(unigram).mean(), rel=1e-12)
    assert found["bigram"] == pytest.approx(-np.log2(bigram).mean(), rel=1e-12)
    assert found["5-gram"] < found["unigram"]
