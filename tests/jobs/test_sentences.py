"""Sentences in lists: what becomes of their tokens and tags, and which are refused."""

from __future__ import annotations

import pytest

from nblstm.jobs import tagged_sequences

WORDS = ["<unk>", "a", "fox"]


def test_tokens_become_places_and_tags_stay_names() -> None:
    found = tagged_sequences([["a", "red", "fox"], [], ["fox"]], [["D", "ADJ", "N"], [], ["N"]], WORDS)
    assert found.x.tolist() == [[1, 0, 2], [0, 0, 0], [2, 0, 0]]
    assert found.targets.tolist() == [["D", "", "N"], ["ADJ", "", ""], ["N", "", ""]]
    assert found.lengths is not None
    assert found.lengths.tolist() == [3, 0, 1]


@pytest.mark.parametrize(
    ("sentences", "tags", "message"),
    [
        ([["a"]], [["D"], ["N"]], "tags must be those of 1 sentences, got 2"),
        ([["a"], ["a", "fox"]], [["D"], ["D"]], r"tags\[1\] must have a tag for each of 2 tokens, got 1"),
        (["a fox"], [["D", "N"]], "sentences must be lists of tokens, got 'a fox'"),
        ([["a"]], [[1]], r"tags must be lists of tokens, got \[1\]"),
    ],
)
def test_what_does_not_fit_is_named(sentences: list, tags: list, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        tagged_sequences(sentences, tags, WORDS)
