"""The project's own words and sentences: what their README says of them, and what makes the sentences a fair task."""

from __future__ import annotations

import collections
import hashlib
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from nblstm.datasets import hold_out, sentences, words

DATA = Path(__file__).parents[2] / "data"


def test_every_file_stands_in_the_readme_with_its_digest() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| `([\w-]+\.txt)` \|.*\| `([0-9a-f]{64})` \|$", readme, flags=re.MULTILINE))
    assert said == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DATA.glob("*.txt")}
    assert f" {len(words()):,} common English words" in readme


def test_the_words_are_many_and_sorted_and_plain() -> None:
    found = words()
    assert found == sorted(set(found))
    assert len(found) > 2000
    assert all(re.fullmatch("[a-z]{3,14}", word) for word in found)
    assert collections.Counter(word[-1] for word in found).most_common(1)[0][0] == "e"


def test_the_sentences_are_all_combinations_and_each_object_has_one_verb() -> None:
    english = sentences()
    assert english == sentences("en")
    subjects, verbs, _ = map(set, zip(*english, strict=True))
    assert (len(subjects), len(verbs), len(set(english))) == (12, 6, 432)
    verbs_of = collections.defaultdict(set)
    for _, verb, thing in english:
        verbs_of[thing].add(verb)
    assert {len(found) for found in verbs_of.values()} == {1}
    objects_of = {verb: {thing for thing, (own,) in verbs_of.items() if own == verb} for verb in verbs}
    assert {len(found) for found in objects_of.values()} == {6}
    assert set(english) == {(s, v, o) for s, v in itertools.product(subjects, verbs) for o in objects_of[v]}


def test_the_chinese_sentences_are_the_english_ones_word_by_word() -> None:
    english, chinese = sentences("en"), sentences("zh")
    assert len(english) == len(chinese)
    for place in range(3):
        pairs = {(one[place], other[place]) for one, other in zip(english, chinese, strict=True)}
        assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
        assert all(re.fullmatch("[\u4e00-\u9fff]+", other) for _, other in pairs)
    assert "".join(chinese[0]) == "我爱中国"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_part_held_out_tells_nothing_by_its_subjects(language: str) -> None:
    everything = sentences(language)
    training, test = hold_out(everything)
    assert sorted(training + test) == sorted(everything)
    assert training == [sentence for sentence in everything if sentence in set(training)]
    asked = collections.Counter((subject, verb) for subject, verb, _ in test)
    shown = collections.Counter((subject, verb) for subject, verb, _ in training)
    assert set(asked.values()) == {1}
    assert set(shown.values()) == {5}
    assert set(collections.Counter(thing for _, _, thing in test).values()) == {2}
    assert set(collections.Counter(thing for _, _, thing in training).values()) == {10}


def test_by_the_subject_one_in_six_is_right_and_by_the_object_all() -> None:
    training, test = hold_out(sentences())
    by = [collections.defaultdict(collections.Counter) for _ in range(2)]
    for subject, verb, thing in training:
        by[0][subject][verb] += 1
        by[1][thing][verb] += 1
    rates = [
        np.mean([by[k][sentence[2 * k]].most_common(1)[0][0] == sentence[1] for sentence in test]) for k in range(2)
    ]
    assert rates == pytest.approx([1 / 6, 1])


def test_other_numbers_of_objects_are_held_out_too() -> None:
    few = [("a", "v", "x"), ("a", "w", "y"), ("b", "v", "x"), ("b", "v", "z")]
    training, test = hold_out(few)
    assert test == [("a", "v", "x"), ("a", "w", "y"), ("b", "v", "z")]
    assert training == [("b", "v", "x")]
    assert hold_out([]) == ([], [])


@pytest.mark.parametrize("language", ["de", None, 1])
def test_other_languages_are_refused(language: object) -> None:
    with pytest.raises(ValueError, match="language must be 'en' or 'zh', got "):
        sentences(language)  # type: ignore[arg-type]
