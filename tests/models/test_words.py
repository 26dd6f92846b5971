"""`WordLM`: what `CharLM` does, with words: its files, the text it draws, and what it never writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nblstm import CharLM, WordLM
from nblstm.datasets import encode_words, split_words
from nblstm.models import LanguageModel, Network

VOCABULARY = ("<unk>", "a", " a", " rose", " is", ".", "\n")


def small() -> WordLM:
    return WordLM(VOCABULARY, 3, 7, 2, dtype="float64", seed=5)


def test_a_saved_model_comes_back_as_what_it_is(tmp_path: Path) -> None:
    model = small()
    model.save(tmp_path / "model")
    for kind in (WordLM, LanguageModel, Network):
        found = kind.load(tmp_path / "model")
        assert isinstance(found, WordLM)
        assert (repr(found), found.vocabulary) == (repr(model), VOCABULARY)
        tokens = np.arange(6).reshape(3, 2)
        np.testing.assert_array_equal(found(tokens)[0], model(tokens)[0])
    assert repr(model).startswith("WordLM(7 tokens, embedding_size=3, ")
    with pytest.raises(ValueError, match=r"must be a model saved by CharLM\.save"):
        CharLM.load(tmp_path / "model")


def drawn_naively(model: WordLM, prompt: str, length: int, temperature: float, seed: int) -> str:
    """The whole text read anew for every token; without the unknown one the probabilities are those of the others."""
    tokens, drawn = encode_words(prompt or "\n", VOCABULARY).tolist(), []
    for u in np.random.default_rng(seed).random(length):
        z = model(np.array(tokens)[:, None])[0][-1, 0, 1:] / temperature
        p = np.exp(z - z.max())
        drawn.append(1 + int(np.argmax(np.cumsum(p / p.sum()) > u)))
        tokens.append(drawn[-1])
    return prompt + "".join(VOCABULARY[token] for token in drawn)


@pytest.mark.parametrize("prompt", ["", "a rose", "a lily is\n\na <unk>."])
def test_sampling_against_its_definition(prompt: str) -> None:
    model = small()
    with model.linear.editing() as p:
        p["weight"][...] *= 5
        p["bias"][0] = 6  # the likeliest by far, if it were drawn
    for temperature in (0.5, 2.0):
        found = model.sample(prompt, 40, temperature, seed=3)
        assert found == drawn_naively(model, prompt, 40, temperature, seed=3)
    assert "<unk>" not in found[len(prompt) :]
    assert len(list(split_words(found[len(prompt) :]))) > 20
    assert model.linear.params["bias"][0] == 6


def test_without_a_line_end_an_empty_prompt_stands_for_the_unknown_word() -> None:
    model = WordLM(VOCABULARY[:-1], 3, 7, 2, seed=5)
    with model.recurrent.editing() as p:
        p.flat[:] *= 5
    assert "lily" + model.sample("", 40, seed=3) == model.sample("lily", 40, seed=3)


def test_bad_vocabularies_are_refused() -> None:
    with pytest.raises(ValueError, match="vocabulary must be '<unk>' and then distinct tokens"):
        WordLM(VOCABULARY[1:], 3, 7, 1)
    with pytest.raises(TypeError, match="vocabulary must be a tuple or list of tokens"):
        WordLM("abc", 3, 7, 1)
