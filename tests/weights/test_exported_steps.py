"""Chains of layers as ONNX, and models that take one step a call: beside ONNX Runtime, step by step."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nblstm import (
    GRU,
    LSTM,
    RNN,
    AttentionOverTime,
    CharLM,
    Dropout,
    Embedding,
    LastOverTime,
    LayerNorm,
    Linear,
    MaxOverTime,
    MeanOverTime,
    Recurrent,
    ReLU,
    SequenceClassifier,
    SequenceRegressor,
    SequenceTagger,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    weights,
)

pytestmark = pytest.mark.peers
runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: the extra `peers`")
pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
T, B, I, H, V = 6, 3, 2, 5, 7


class Exported:
    """A model written to a file and run by ONNX Runtime."""

    def __init__(self, path: Path, model: Any, **options: Any) -> None:
        weights.to_onnx(model, path, **options)
        self.session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.inputs = {entry.name: entry.shape for entry in self.session.get_inputs()}
        self.outputs = [entry.name for entry in self.session.get_outputs()]
        self.usage = self.session.get_modelmeta().custom_metadata_map["usage"]

    def __call__(self, **given: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(self.outputs, self.session.run(None, given), strict=True))

    def state(self, batch: int) -> dict[str, np.ndarray]:
        """Zeros for all inputs that are states."""
        return {
            name: np.zeros([batch if extent == "B" else extent for extent in shape], "float32")
            for name, shape in self.inputs.items()
            if name.endswith(("h_0", "c_0"))
        }

    def steps(self, name: str, output: str, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """An output at each step of x (T, B, ...), and the state after the last."""
        state, rows = self.state(x.shape[1]), []
        for x_t in x:
            found = self(**{name: x_t}, **state)
            rows.append(found[output])
            state = {each: found[each.removesuffix("0") + "n"] for each in state}
        return np.array(rows), state


def near(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


CHAINS = {
    "sizes that differ": lambda **o: Sequential(LSTM(I, H, 2, **o), GRU(H, 3, **o), Linear(3, 4)),
    "a head before and after": lambda **o: Sequential(Linear(I, 4), LSTM(4, H, **o), Linear(H, 1, bias=False)),
    "an embedding": lambda **o: Sequential(Embedding(V, 4), RNN(4, H, nonlinearity="relu", **o), Linear(H, V)),
    "peepholes, no bias": lambda **o: Sequential(LSTM(I, H, peephole=True, **o), LSTM(H, 4, bias=False, **o)),
    "by its cell": lambda **o: Sequential(Recurrent("gru", I, H, 2, **o)),
}


def taken(rng: np.random.Generator, model: Sequential, *shape: int) -> np.ndarray:
    """An x of such a shape that the model takes."""
    if isinstance(model.layers[0], Embedding):
        return rng.integers(0, V, shape)
    return rng.standard_normal((*shape, I)).astype("float32")


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("made", CHAINS.values(), ids=CHAINS)
def test_a_chain_is_written_and_runs_the_same(
    made: Any, batch_first: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    model = made(batch_first=batch_first)
    x = taken(rng, model, *((B, T) if batch_first else (T, B)))
    exported = Exported(tmp_path / "a.onnx", model)
    state = {name: rng.standard_normal(zeros.shape).astype("float32") for name, zeros in exported.state(B).items()}
    found = exported(x=x, **state)

    def states_of(arrays: dict[str, np.ndarray], end: str) -> list[Any]:
        each: list[Any] = []
        for k in range(len(model.layers)):
            members = [arrays[f"layer{k}_{kind}_{end}"] for kind in "hc" if f"layer{k}_{kind}_{end}" in arrays]
            each.append(None if not members else members[0] if len(members) == 1 else tuple(members))
        return each

    y, last = model(x, states_of(state, "0"))
    near(found["y"], y)
    for mine, theirs in zip(last, states_of(found, "n"), strict=True):
        if mine is not None:
            near(np.array(theirs), np.array(mine))
    kinds = [type(layer).__name__ for layer in model.layers if not isinstance(layer, Linear | Embedding)]
    assert len(weights.from_onnx(tmp_path / "a.onnx")) >= len(kinds)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_chain_of_two_directions_takes_lengths(batch_first: bool, tmp_path: Path, rng: np.random.Generator) -> None:
    options: dict[str, Any] = {"bidirectional": True, "batch_first": batch_first}
    model = Sequential(LSTM(I, H, **options), GRU(2 * H, 4, **options), Linear(8, 2))
    exported = Exported(tmp_path / "a.onnx", model, lengths=True)
    x = taken(rng, model, *((B, T) if batch_first else (T, B)))
    lengths = np.array([2, T, 1], "int32")
    near(exported(x=x, lengths=lengths, **exported.state(B))["y"], model(x, lengths=lengths)[0])
    assert "lengths are the steps of each sequence" in exported.usage


def test_layers_without_sequences_have_no_state(tmp_path: Path, rng: np.random.Generator) -> None:
    model = Sequential(Linear(I, 4), Linear(4, 3))
    exported = Exported(tmp_path / "a.onnx", model)
    x = taken(rng, model, T, B)
    near(exported(x=x)["y"], model(x)[0])
    assert exported.usage == "x is (steps, batch, features), y (steps, batch, features)"
    with pytest.raises(ValueError, match="lengths must be left out for layers none of which reads sequences"):
        weights.to_onnx(model, tmp_path / "a.onnx", lengths=True)


FEATURES = {
    "activations": lambda: Sequential(Tanh(), Linear(I, 4), ReLU(), LSTM(4, H), Dropout(0.5), Linear(H, 3), Softmax()),
    "norm": lambda: Sequential(LSTM(I, H), LayerNorm(H, eps=1e-3), Sigmoid(), GRU(H, 2)),
}


@pytest.mark.parametrize("made", FEATURES.values(), ids=FEATURES)
def test_layers_over_features_are_written(made: Any, tmp_path: Path, rng: np.random.Generator) -> None:
    model = made()
    for layer in model.layers:
        with layer.editing() as p:
            p.flat[:] = rng.uniform(-1, 1, p.flat.size)
    x = taken(rng, model, T, B)
    exported = Exported(tmp_path / "a.onnx", model)
    near(exported(x=x, **exported.state(B))["y"], model(x)[0])
    near(Exported(tmp_path / "b.onnx", model, streaming=True).steps("x", "y", x)[0], model(x)[0])


POOLING = {
    "mean": MeanOverTime, "max": MaxOverTime, "last": LastOverTime,
    "last of both": lambda **o: LastOverTime(bidirectional=True, **o),
}  # fmt: skip


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("pool", POOLING.values(), ids=POOLING)
def test_pooling_over_time_is_written(pool: Any, batch_first: bool, tmp_path: Path, rng: np.random.Generator) -> None:
    options: dict[str, Any] = {"batch_first": batch_first}
    model = Sequential(GRU(I, H, bidirectional=True, **options), pool(**options), Linear(2 * H, 2), Tanh())
    x, lengths = taken(rng, model, *((B, T) if batch_first else (T, B))), np.array([2, T, 1], "int32")
    whole, ragged = Exported(tmp_path / "a.onnx", model), Exported(tmp_path / "b.onnx", model, lengths=True)
    near(whole(x=x, **whole.state(B))["y"], model(x)[0])
    near(ragged(x=x, lengths=lengths, **ragged.state(B))["y"], model(x, lengths=lengths)[0])
    assert whole.usage.startswith(f"x is {'(batch, steps' if batch_first else '(steps, batch'}, features), y (batch, f")
    with pytest.raises(ValueError, match=r"streaming must be left out for a chain that pools .* at position 1$"):
        weights.to_onnx(model, tmp_path / "c.onnx", streaming=True)


def test_a_chain_without_recurrent_layers_pools_too(tmp_path: Path, rng: np.random.Generator) -> None:
    model = Sequential(Embedding(V, 4), MeanOverTime(), Linear(4, 2))
    x, lengths = taken(rng, model, T, B), np.array([2, T, 1], "int32")
    near(Exported(tmp_path / "a.onnx", model, lengths=True)(x=x, lengths=lengths)["y"], model(x, lengths=lengths)[0])


# ------------------------------------------------------------------------------------------------------------ taggers


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_tagger_is_written(tokens: bool, bidirectional: bool, tmp_path: Path, rng: np.random.Generator) -> None:
    vocabulary, names = ["<unk>", "a", "b"] if tokens else None, ["noun", "verb", "\u96ea"]
    model = SequenceTagger(I, H, 2, 3, classes=names, vocabulary=vocabulary, bidirectional=bidirectional, seed=1)
    x = rng.integers(0, 3, (T, B)) if tokens else rng.standard_normal((T, B, I)).astype("float32")
    name, lengths = "tokens" if tokens else "x", np.array([3, T, 1], "int32")
    near(Exported(tmp_path / "a.onnx", model)(**{name: x})["z"], model(x))
    ragged = Exported(tmp_path / "a.onnx", model, lengths=True)
    within = np.arange(T)[:, None] < lengths
    near(ragged(**{name: x}, lengths=lengths)["z"][within], model(x, lengths)[within])
    metadata = ragged.session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == names
    assert json.loads(metadata.get("vocabulary", "null")) == vocabulary
    assert "z[t] are the logits of the classes at each step; lengths are" in ragged.usage
    if not bidirectional:
        near(Exported(tmp_path / "b.onnx", model, streaming=True).steps(name, "z", x)[0], model(x))


# ---------------------------------------------------------------------------------------------------- one step a call


@pytest.mark.parametrize("made", CHAINS.values(), ids=CHAINS)
def test_a_streamed_chain_goes_step_by_step(made: Any, tmp_path: Path, rng: np.random.Generator) -> None:
    model = made(batch_first=False)
    exported = Exported(tmp_path / "a.onnx", model, streaming=True)
    x = taken(rng, model, T, B)
    rows, state = exported.steps("x", "y", x)
    y, last = model(x)
    near(rows, y)
    members = [
        np.asarray(each) for one in last if one is not None for each in (one if isinstance(one, tuple) else (one,))
    ]
    for found, expected in zip(state.values(), members, strict=True):
        near(found, expected)
    assert exported.usage.startswith("one step a call: x is ")
    told = re.findall(r"layer\d+_h_0", exported.usage)
    assert told == [name for name in exported.inputs if name.endswith("h_0")]
    assert not any("T" in shape for shape in exported.inputs.values())


@pytest.mark.parametrize("cell", ["lstm", "peephole", "gru", "gru_original", "rnn_relu"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_streamed_layer_is_the_stream(cell: str, batch_first: bool, tmp_path: Path, rng: np.random.Generator) -> None:
    layer = Recurrent(cell, I, H, 2, batch_first=batch_first, seed=1)
    exported = Exported(tmp_path / "a.onnx", layer, streaming=True)
    assert exported.inputs["x"] == ["B", I]
    x, stream = rng.standard_normal((T, 1, I)).astype("float32"), layer.stream()
    rows, state = exported.steps("x", "y", x)
    near(rows[:, 0], stream.process(x[:, 0].copy()))
    near(state["h_0"][:, 0], stream.state[0] if isinstance(stream.state, tuple) else stream.state)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_streamed_character_model_goes_on_where_it_was(cell: str, tmp_path: Path, rng: np.random.Generator) -> None:
    model = CharLM("abcdefg", 3, H, 2, cell=cell, seed=1)
    exported = Exported(tmp_path / "a.onnx", model, streaming=True)
    tokens = rng.integers(0, V, (T, B))
    rows, _ = exported.steps("tokens", "logits", tokens)
    near(rows, model(tokens)[0])
    assert "softmax(logits) are the probabilities of the character after tokens;" in exported.usage


@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
def test_a_streamed_sequence_model_answers_after_each_step(kind: Any, tmp_path: Path, rng: np.random.Generator) -> None:
    model = kind(I, H, 2, 3, seed=1)
    exported = Exported(tmp_path / "a.onnx", model, streaming=True)
    x = rng.standard_normal((T, B, I)).astype("float32")
    rows, _ = exported.steps("x", "z", x)
    near(rows, [model(x[: t + 1]) for t in range(T)])
    assert "for sequence b, as far as it has been read; the state" in exported.usage


def test_what_cannot_be_written_so_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    two = LSTM(I, H, bidirectional=True)
    for model in (two, Sequential(two), SequenceClassifier(I, H, 1, 2, bidirectional=True)):
        with pytest.raises(ValueError, match="cannot stream: its reverse direction begins at the end of the sequence"):
            weights.to_onnx(model, path, streaming=True)
    with pytest.raises(ValueError, match="lengths must be left out with streaming, which takes one step a call"):
        weights.to_onnx(LSTM(I, H), path, streaming=True, lengths=True)
    with pytest.raises(TypeError, match="to be written, got SequenceClassifier at position 1"):
        weights.to_onnx(Sequential(Linear(I, I), SequenceClassifier(I, H, 1, 2)), path)
    own_classifier = type("OwnClassifier", (SequenceClassifier,), {"__call__": lambda self, x: x})(I, H, 1, 2)
    own_layer = type("OwnLSTM", (LSTM,), {"__call__": lambda self, x: x})(I, H)
    for own in (own_classifier, own_layer):
        with pytest.raises(TypeError, match=r"compute as nblstm's own do, got Own\w+ with its own __call__"):
            weights.to_onnx(own, path)
    with pytest.raises(TypeError, match="to be written, got OwnLSTM at position 0"):
        weights.to_onnx(Sequential(own_layer), path)
    with pytest.raises(TypeError, match="LastOverTime to be written, got AttentionOverTime at position 1"):
        weights.to_onnx(Sequential(GRU(I, H), AttentionOverTime(H)), path)
    with pytest.raises(ValueError, match=r"a layer of a fixed width to be written, got \[Tanh\(\)\]"):
        weights.to_onnx(Sequential(Tanh()), path)
    assert not path.exists()
