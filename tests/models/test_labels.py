"""Labels that are strings or booleans: learned by trainers, taken by losses, kept in files, and given back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nblstm import Adam, SequenceClassifier, SequenceTagger
from nblstm.models import Network
from nblstm.training import BatchTrainer, TagTrainer

RNG = np.random.default_rng(0)
X, LENGTHS = RNG.normal(size=(5, 40, 2)).astype("float32"), RNG.integers(1, 6, 40)
NUMBERS = (X[-1, :, 0] > 0).astype(int)
STEPS = (X[..., 0] > 0).astype(int)
KINDS: list[tuple[Any, Any]] = [("down", "up"), (False, True)]


def classifier(**options: Any) -> SequenceClassifier:
    return SequenceClassifier(2, 6, 1, 2, seed=0, **options)


def tagger(**options: Any) -> SequenceTagger:
    return SequenceTagger(2, 6, 1, 2, seed=0, **options)


@pytest.mark.parametrize("labels", KINDS)
@pytest.mark.parametrize("as_objects", [False, True])
def test_a_trainer_learns_the_names_of_the_classes(labels: tuple[Any, Any], as_objects: bool, tmp_path: Path) -> None:
    targets = np.array(labels, object if as_objects else None)[NUMBERS]
    found = []
    for given in (NUMBERS, targets):
        model = classifier()
        trainer = BatchTrainer(model, Adam(model, lr=0.05), X, given, 8)
        found.append([trainer.step() for _ in range(20)])
    assert found[0] == found[1], "the same numbers as with integers"
    model.save(tmp_path / "model.safetensors")
    for each in (model, Network.load(tmp_path / "model.safetensors")):
        assert isinstance(each, SequenceClassifier)
        assert each.classes == labels
        assert (each.classify(X) == targets).mean() > 0.9
    z = model(X)
    assert model.loss(z, targets)[0] == model.loss(z, NUMBERS)[0]


@pytest.mark.parametrize("labels", KINDS)
def test_a_trainer_of_tags_learns_them_too(labels: tuple[Any, Any], tmp_path: Path) -> None:
    past = np.arange(5)[:, None] >= LENGTHS
    targets = np.array(labels)[STEPS]
    if labels[0] == "down":
        targets = np.where(past, "neither", targets)  # which does not count
        targets[0, LENGTHS > 1] = ""  # nor does this
    found = []
    for given in (np.where(targets == "", -100, STEPS) if labels[0] == "down" else STEPS, targets):
        model = tagger()
        trainer = TagTrainer(model, Adam(model, lr=0.05), X, given, 8, lengths=LENGTHS)
        found.append([trainer.step() for _ in range(20)])
    assert found[0] == found[1], "the same numbers as with integers"
    model.save(tmp_path / "model.safetensors")
    same = SequenceTagger.load(tmp_path / "model.safetensors")
    assert same.classes == labels
    assert (same.classify(X, LENGTHS)[~past] == np.array(labels)[STEPS[~past]]).mean() > 0.9
    z, within = model(X, LENGTHS), np.where(past, "", np.array(KINDS[0])[STEPS])
    if labels[0] == "down":
        assert model.loss(z, within)[0] == model.loss(z, np.where(past, -100, STEPS))[0]


def test_names_that_a_model_has_are_kept() -> None:
    model = classifier(classes=["up", "down"])
    BatchTrainer(model, Adam(model), X, np.full(40, "down"))
    assert model.classes == ("up", "down")
    with pytest.raises(ValueError, match="targets must be among the classes 'up', 'down', got 'sideways'"):
        BatchTrainer(model, Adam(model), X, np.full(40, "sideways"))


def test_one_value_of_booleans_names_both() -> None:
    model = classifier()
    BatchTrainer(model, Adam(model), X, np.ones(40, bool))
    assert model.classes == (False, True)


@pytest.mark.parametrize("kind", [classifier, tagger])
def test_labels_that_a_model_cannot_have_are_refused_and_it_learns_none(kind: Any) -> None:
    model, shape = kind(), (40,) if kind is classifier else (5, 40)
    trainer: Any = BatchTrainer if kind is classifier else TagTrainer
    z = model(X)
    with pytest.raises(ValueError, match="targets must be integers for a model whose classes have no names"):
        model.loss(z, np.full(shape, "up"))
    with pytest.raises(ValueError, match=r"targets must be 2 distinct labels, .* got 1, 'up': make it with classes="):
        trainer(model, Adam(model), X, np.full(shape, "up"))
    with pytest.raises(ValueError, match=r"got 3, 'a', 'b', 'c': make it with num_classes=3$"):
        trainer(model, Adam(model), X, np.resize(np.array(["a", "b", "c"]), shape))
    missing = np.full(shape, "up", object)
    missing[-1] = None
    with pytest.raises(TypeError, match=r"targets must be integers, strings or booleans, .* got NoneType, str"):
        trainer(model, Adam(model), X, missing)
    mixed = np.full(shape, "up", object)
    mixed[0] = True
    with pytest.raises(TypeError, match="targets must be strings, booleans or integers, all of one kind"):
        trainer(model, Adam(model), X, mixed)
    both = np.resize(np.array(["down", "up"]), shape)
    with pytest.raises(ValueError, match="batch_size must be at most the 40 sequences"):
        trainer(model, Adam(model), X, both, 41)
    assert model.classes is None
    assert "classes" not in model.config
