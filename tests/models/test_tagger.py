"""The tagger: answers at each step, its gradients, what does not count, tokens and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nblstm import LSTM, Linear, SequenceTagger, cross_entropy
from nblstm.models import Network

WORDS = ("<unk>", "the", "fox", "runs")


def tagger(vocabulary: tuple[str, ...] | None = None, **options: object) -> SequenceTagger:
    return SequenceTagger(3, 4, 2, 3, vocabulary=vocabulary, dtype="float64", seed=1, **options)  # type: ignore[arg-type]


def data(rng: np.random.Generator, tokens: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, targets and lengths of three sequences; a step in the middle does not count."""
    x = rng.integers(0, len(WORDS), (5, 3)) if tokens else rng.normal(size=(5, 3, 3))
    lengths = np.array([5, 2, 4])
    targets = np.where(np.arange(5)[:, None] < lengths, rng.integers(0, 3, (5, 3)), -100)
    targets[1, 0] = -100
    return x, targets, lengths


@pytest.mark.parametrize("bidirectional", [True, False])
def test_it_is_its_layers_one_after_the_other(rng: np.random.Generator, bidirectional: bool) -> None:
    model = tagger(bidirectional=bidirectional)
    lstm, linear = LSTM(3, 4, 2, bidirectional=bidirectional, dtype="float64"), Linear(8 if bidirectional else 4, 3)
    linear = Linear(linear.in_features, 3, dtype="float64")
    for layer, name in ((lstm, "lstm."), (linear, "linear.")):
        parts = {key.removeprefix(name): value for key, value in model.state_dict().items() if key.startswith(name)}
        layer.load_state_dict(parts)
    x, _, lengths = data(rng, tokens=False)
    expected = linear(lstm(x, lengths=lengths)[0])
    assert (model(x, lengths) == expected).all()
    assert (model.forward(x, lengths)[0] == expected).all()
    assert (model(x[:, 0]) == model(x)[:, 0]).all(), "one sequence without a batch"


@pytest.mark.gradients
@pytest.mark.parametrize("tokens", [True, False])
def test_gradients_are_those_of_differences(rng: np.random.Generator, tokens: bool) -> None:
    model = tagger(WORDS if tokens else None)
    x, targets, lengths = data(rng, tokens)
    weight = np.array([1.0, 0.5, 2.0])

    def loss(at: np.ndarray = x) -> float:
        return model.loss(model(at, lengths), targets, weight=weight)[0]

    z, tape = model.forward(x, lengths)
    dx = model.backward(model.loss(z, targets, weight=weight)[1], tape)
    step = 1e-6
    for layer in model.layers:
        for name, gradient in layer.grads.items():
            found = np.empty(gradient.shape)
            for place in np.ndindex(gradient.shape):
                sides = []
                for sign in (1, -1):
                    with layer.editing() as p:
                        p[name][place] += sign * step
                    sides.append(loss())
                    with layer.editing() as p:
                        p[name][place] -= sign * step
                found[place] = (sides[0] - sides[1]) / (2 * step)
            assert np.abs(found - gradient).max() <= 1e-7 * max(1, np.abs(gradient).max()), name
    if tokens:
        assert dx is None
        return
    assert dx is not None
    for place in ((0, 0, 1), (1, 0, 2), (1, 1, 0), (3, 2, 1)):
        sides = [x.copy(), x.copy()]
        sides[0][place] += step
        sides[1][place] -= step
        assert dx[place] == pytest.approx((loss(sides[0]) - loss(sides[1])) / (2 * step), abs=1e-8)


def test_what_does_not_count_does_not_matter(rng: np.random.Generator) -> None:
    model = tagger()
    x, targets, lengths = data(rng, tokens=False)
    z, tape = model.forward(x, lengths)
    loss, dz = model.loss(z, targets)
    counts = targets != -100
    assert loss == pytest.approx(cross_entropy(z[counts], targets[counts])[0])
    assert (dz[~counts] == 0).all()
    model.backward(dz, tape)
    before = model.layers[0].flat_grads.copy()
    x[np.arange(5)[:, None] >= lengths] = 1e3
    model.zero_grad()
    z, tape = model.forward(x, lengths, tape)
    assert model.loss(z, np.where(counts, targets, 7), ignore_index=7)[0] == loss
    model.backward(model.loss(z, targets)[1], tape)
    assert (model.layers[0].flat_grads == before).all()


def test_tokens_and_labels_are_kept_in_the_file(tmp_path: Path) -> None:
    model = tagger(WORDS, classes=["a", "b", "c"])
    model.save(tmp_path / "model.safetensors")
    for kind in (SequenceTagger, Network):
        loaded = kind.load(tmp_path / "model.safetensors")
        assert isinstance(loaded, SequenceTagger)
        assert (loaded.classes, loaded.vocabulary) == (("a", "b", "c"), WORDS)
        sentences = [["the", "fox", "runs"], ["zebra"], ["fox"] * 7]
        tags = loaded.tag(sentences)
        assert tags == loaded.tag(sentences, batch_size=1) == [model.tag([sentence])[0] for sentence in sentences]
        assert [len(one) for one in tags] == [3, 1, 7]
        x, lengths = loaded.encode([["zebra", "fox"], ["the"]])
        assert (x.tolist(), lengths.tolist()) == ([[0, 1], [2, 0]], [2, 1])


def test_steps_of_vectors_are_answered_by_the_names_of_their_classes(rng: np.random.Generator) -> None:
    x, _, lengths = data(rng, tokens=False)
    places = tagger()(x, lengths).argmax(axis=-1)
    assert (tagger().classify(x, lengths) == places).all()
    assert (tagger(classes=["a", "b", "c"]).classify(x, lengths) == np.array(["a", "b", "c"])[places]).all()


def test_what_it_refuses() -> None:
    for options, message in (
        ({"classes": ["a", "b"]}, "classes must be 3 labels, got 2"),
        ({"classes": ["a", "b", "a"]}, "classes must be one or more distinct labels"),
        ({"classes": "abc"}, "classes must be a list of labels"),
        ({"classes": ["a", 1, True]}, "all of one kind"),
        ({"vocabulary": ("the", "fox")}, "vocabulary must be '<unk>' and then distinct tokens"),
        ({"vocabulary": ("<unk>", "fox", "fox")}, "vocabulary must be distinct tokens"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            tagger(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a vocabulary alone, .*: classify\(x, lengths\)$"):
        tagger().tag([["the"]])
    words = tagger(WORDS)
    for sentences in ("the fox", [], ["the fox"], [[1]]):
        with pytest.raises(TypeError, match="sentences must be"):
            words.tag(sentences)  # type: ignore[arg-type]
    z, tape = words.forward(np.zeros((2, 1), int))
    with pytest.raises(TypeError, match="dz must be float64, got int64"):
        words.backward(np.zeros(z.shape, int), tape)
    with pytest.raises(TypeError, match="x must be an integer array, got float64"):
        words(np.zeros((2, 1)))
