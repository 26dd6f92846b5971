"""Models written as ONNX compute the same in ONNX Runtime, and layers are read back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.forms import BOTH, depths, directions, forms, made
from support.record_exchange import B, H, I, T

from nblstm import GRU, LSTM, RNN, CharLM, LSTMCell, SequenceClassifier, SequenceRegressor, WordLM, weights


def run_onnx(path: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: the extra `peers`")
    onnx.checker.check_model(str(path), full_check=True)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert {entry.name for entry in session.get_inputs()} == feeds.keys()
    names = [entry.name for entry in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def states(rng: np.random.Generator, layer: LSTM | GRU | RNN, batch: int) -> dict[str, np.ndarray]:
    shape = (layer.num_layers * layer.directions, batch, layer.hidden_size)
    return {name: rng.normal(size=shape).astype("float32") for name in ("h_0", "c_0")[: len(layer.cell.states)]}


def assert_same_outputs(found: dict[str, np.ndarray], name: str, result: tuple[np.ndarray, Any]) -> None:
    output, state = result
    members = state if isinstance(state, tuple) else (state,)
    expected = {name: output} | dict(zip(("h_n", "c_n"), members, strict=False))
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=0, atol=1e-6, err_msg=key)


@pytest.mark.peers
@pytest.mark.parametrize("batch_first", BOTH)
@directions
@depths
@forms
def test_onnx_runtime_runs_a_layer_and_it_is_read_back(
    tmp_path: Path, rng: np.random.Generator, form: type[LSTM | GRU | RNN], options: dict[str, Any], num_layers: int,
    bidirectional: bool, batch_first: bool,
) -> None:  # fmt: skip
    layer = made(form, num_layers, bidirectional, "float32", batch_first=batch_first, **options)
    pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    weights.to_onnx(layer, tmp_path / "a.onnx")
    for steps, batch in ((T, B), (2, 1)):
        x = rng.normal(size=(batch, steps, I) if batch_first else (steps, batch, I)).astype("float32")
        given = states(rng, layer, batch)
        state = tuple(given.values()) if len(layer.cell.states) > 1 else given["h_0"]
        assert_same_outputs(run_onnx(tmp_path / "a.onnx", {"x": x} | given), "y", layer(x, state))
    found = weights.from_onnx(tmp_path / "a.onnx")
    assert list(found) == [f"{form.__name__}.l{k}" for k in range(num_layers)]
    y = x = rng.normal(size=(T, B, I)).astype("float32")
    for one in found.values():
        y = one(y)[0]
    layer.batch_first = False
    np.testing.assert_allclose(y, layer(x)[0], rtol=0, atol=1e-6)


@pytest.mark.peers
@pytest.mark.parametrize("cell", ["lstm", "peephole", "gru", "gru_original", "rnn_tanh", "rnn_relu"])
def test_onnx_runtime_runs_a_character_model(tmp_path: Path, rng: np.random.Generator, cell: str) -> None:
    pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    model = CharLM("abcdefg", 3, 8, 2, cell=cell, dropout=0.5, seed=1)
    weights.to_onnx(model, tmp_path / "a.onnx")
    tokens, given = rng.integers(0, 7, (T, B)), states(rng, model.recurrent, B)
    state = tuple(given.values()) if len(model.recurrent.cell.states) > 1 else given["h_0"]
    found = run_onnx(tmp_path / "a.onnx", {"tokens": tokens} | given)
    assert_same_outputs(found, "logits", model(tokens, state))


@pytest.mark.peers
@directions
@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
def test_onnx_runtime_runs_a_sequence_model(
    tmp_path: Path, rng: np.random.Generator, kind: Any, bidirectional: bool
) -> None:
    pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    model = kind(I, H, 2, 3, bidirectional=bidirectional, seed=1)
    weights.to_onnx(model, tmp_path / "a.onnx")
    x = rng.normal(size=(T, B, I)).astype("float32")
    found = run_onnx(tmp_path / "a.onnx", {"x": x})
    np.testing.assert_allclose(found["z"], model(x), rtol=0, atol=1e-6)


@pytest.mark.peers
@pytest.mark.parametrize("batch_first", BOTH)
@directions
def test_an_exported_layer_takes_lengths(
    tmp_path: Path, rng: np.random.Generator, bidirectional: bool, batch_first: bool
) -> None:
    pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    layer = made(LSTM, 2, bidirectional, "float32", batch_first=batch_first)
    weights.to_onnx(layer, tmp_path / "a.onnx", lengths=True)
    x, lengths, given = (
        rng.normal(size=(T, B, I)).astype("float32"),
        np.array([3, T, 1], "int32"),
        states(rng, layer, B),
    )
    x = x.transpose(1, 0, 2).copy() if batch_first else x
    found = run_onnx(tmp_path / "a.onnx", {"x": x, "lengths": lengths} | given)
    assert_same_outputs(found, "y", layer(x, tuple(given.values()), lengths))
    assert len(weights.from_onnx(tmp_path / "a.onnx")) == 2


@pytest.mark.peers
@directions
@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
def test_an_exported_sequence_model_takes_lengths(
    tmp_path: Path, rng: np.random.Generator, kind: Any, cell: str, bidirectional: bool
) -> None:
    pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    model = kind(I, H, 2, 3, cell=cell, bidirectional=bidirectional, seed=1)
    weights.to_onnx(model, tmp_path / "a.onnx", lengths=True)
    x, lengths = rng.normal(size=(T, B, I)).astype("float32"), np.array([3, T, 1], "int32")
    found = run_onnx(tmp_path / "a.onnx", {"x": x, "lengths": lengths})
    np.testing.assert_allclose(found["z"], model(x, lengths), rtol=0, atol=1e-6)
    assert np.abs(found["z"] - model(x)).max() > 1e-3


@pytest.mark.peers
def test_the_metadata_say_how_to_call_a_model(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: the extra `peers`")
    vocabulary = "ab\n\0\u00e9\u96ea\U0001f40d"
    characters, classifier = CharLM(vocabulary, 3, 4, 1, seed=0), SequenceClassifier(I, H, 1, 3, seed=0)
    regressor, layer = SequenceRegressor(I, H, 1, 3, seed=0), LSTM(I, H, batch_first=True, seed=0)

    def metadata(model: Any, **options: Any) -> dict[str, str]:
        weights.to_onnx(model, tmp_path / "a.onnx", **options)
        session = runtime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
        return session.get_modelmeta().custom_metadata_map

    assert json.loads(metadata(characters)["vocabulary"]) == vocabulary
    assert "tokens (steps, batch) are the places of characters in the vocabulary" in metadata(characters)["usage"]
    words = ["<unk>", "a", " \u96ea", "\n"]
    described = metadata(WordLM(words, 3, 4, 1, seed=0))
    assert json.loads(described["vocabulary"]) == words
    assert "places of tokens in the vocabulary" in described["usage"]
    assert metadata(classifier) == {
        "usage": "x is (steps, batch, features); z[b] are the logits of the classes for sequence b"
    }
    named = SequenceClassifier(I, H, 1, 2, classes=[True, False], seed=0)
    assert json.loads(metadata(named)["classes"]) == [True, False]
    assert "z[b] are the numbers for sequence b; lengths are the steps" in metadata(regressor, lengths=True)["usage"]
    assert metadata(layer)["usage"].startswith("x is (batch, steps, features), y likewise; the state")


@pytest.mark.peers
def test_models_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    which = "model must be an LSTM, GRU, .*SequenceClassifier, SequenceRegressor or SequenceTagger, got"
    with pytest.raises(TypeError, match=f"{which} dict$"):
        weights.to_onnx({}, tmp_path / "c.onnx")  # type: ignore[arg-type]
    cell = LSTMCell(2, 3, seed=0)
    with pytest.raises(TypeError, match=f"{which} LSTMCell: load its parameters, _l0 after each name, into a layer$"):
        weights.to_onnx(cell, tmp_path / "c.onnx")  # type: ignore[arg-type]
    layer = LSTM(2, 3, seed=1)
    layer.load_state_dict({f"{name}_l0": tensor for name, tensor in cell.params.items()})
    with pytest.raises(ValueError, match="lengths must be left out for a CharLM"):
        weights.to_onnx(CharLM("ab", 2, 3, 1), tmp_path / "c.onnx", lengths=True)
    assert not (tmp_path / "c.onnx").exists()


def test_a_missing_onnx_is_named_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (lambda: weights.to_onnx(LSTM(2, 3), tmp_path / "a.onnx"), lambda: weights.from_onnx("a.onnx")):
        with pytest.raises(ImportError, match="pip install onnx"):
            call()
