"""A language model over another vocabulary: what both have is kept, and what is new is like the rarest."""

from __future__ import annotations

import numpy as np
import pytest

from nblstm import CharLM, WordLM
from nblstm.models import LanguageModel


def same(one: LanguageModel, other: LanguageModel) -> bool:
    return all(np.array_equal(tensor, other.params[name]) for name, tensor in one.params.items())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_what_both_have_is_read_and_predicted_as_before(cell: str, rng: np.random.Generator) -> None:
    model = CharLM("abcde", 4, 7, 2, cell=cell, dropout=0.25, dtype="float64", seed=0)
    before = model.state_dict()
    more = model.with_vocabulary("xcadb", seed=1)
    assert (more.vocabulary, more.config) == ("xcadb", model.config | {"vocabulary": "xcadb"})
    old, new = (np.array([vocabulary.index(c) for c in "abcd"]) for vocabulary in (model.vocabulary, more.vocabulary))
    drawn = rng.integers(0, 4, (9, 3))
    found, expected = more(new[drawn])[0], model(old[drawn])[0]
    np.testing.assert_allclose(found[..., new], expected[..., old], rtol=0, atol=1e-13)
    x = more.vocabulary.index("x")
    assert more.params["linear.bias"][x] == before["linear.bias"].min()
    assert not np.isin(more.params["embedding.weight"][x], before["embedding.weight"]).any()
    assert all(np.array_equal(tensor, before[name]) for name, tensor in model.params.items())
    assert same(model.with_vocabulary("xcadb", seed=1), more)


def test_the_same_vocabulary_gives_the_same_model() -> None:
    model = WordLM(["<unk>", "a", " rose"], 3, 5, 1, seed=0)
    assert same(model.with_vocabulary(model.vocabulary), model)
    more = model.with_vocabulary(["<unk>", " is", "a", " rose"], seed=3)
    assert type(more) is WordLM
    for name in ("embedding.weight", "linear.weight", "linear.bias"):
        assert np.array_equal(more.params[name][[0, 2, 3]], model.params[name])


def test_a_vocabulary_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="vocabulary must have distinct characters"):
        CharLM("ab", 2, 3, 1).with_vocabulary("abb")
    with pytest.raises(TypeError, match="vocabulary must be a string or a list of characters, got int"):
        CharLM("ab", 2, 3, 1).with_vocabulary(3)  # type: ignore[arg-type]
