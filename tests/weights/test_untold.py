"""What a list of weights does not say of the layer that it came from: layout, activations, cuDNN's order, prefix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.record_exchange import GOLDEN, B, H, I, T, drawn, keras_weights

import nblstm
from nblstm import LSTM, RNN, LSTMCell, weights


def refused(message: str, call: Any, *arguments: Any, error: type[Exception] = ValueError, **options: Any) -> None:
    with pytest.raises(error, match=message):
        call(*arguments, **options)


# ---------------------------------------------------------------------------------------------------------- layout


def test_a_layer_from_keras_takes_the_batch_first() -> None:
    layer = weights.from_keras(keras_weights("LSTM", False, True))
    recorded = np.load(GOLDEN)["keras LSTM False True tanh"].transpose(1, 0, 2)
    np.testing.assert_allclose(layer(drawn(T, B, I).transpose(1, 0, 2))[0], recorded, rtol=1e-5, atol=1e-6)
    assert "batch_first=True" in repr(layer)
    assert not weights.from_keras(keras_weights("LSTM", False, True), batch_first=False).batch_first


def test_repr_shows_the_layout_where_it_is_not_the_default() -> None:
    assert repr(LSTM(3, 5, batch_first=True)) == "LSTM(3, 5, batch_first=True)"
    assert repr(RNN(3, 5)) == "RNN(3, 5)"
    assert repr(LSTMCell(3, 5)) == "LSTMCell(3, 5)"


def test_a_state_dict_is_time_first_unless_told() -> None:
    state_dict = LSTM(I, H, batch_first=True, seed=1).state_dict()
    assert not weights.from_pytorch(state_dict).batch_first
    assert weights.from_pytorch(state_dict, batch_first=True).batch_first


@pytest.mark.peers
def test_a_module_of_pytorchs_says_what_its_state_dict_does_not() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    torch.manual_seed(0)
    inner = torch.nn.RNN(I, H, 2, nonlinearity="relu", batch_first=True, dropout=0.25)
    found = weights.from_pytorch(inner)
    assert repr(found) == f"RNN({I}, {H}, num_layers=2, nonlinearity='relu', batch_first=True, dropout=0.25)"
    x = torch.randn(B, T, I)
    expected = inner.eval()(x)[0].detach().numpy()
    np.testing.assert_allclose(found(x.numpy())[0], expected, rtol=0, atol=1e-6)
    outer = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ModuleDict({"rnn": inner}))
    assert repr(weights.from_pytorch(outer, prefix="1.rnn.")) == repr(found)
    assert not weights.from_pytorch(inner, batch_first=False).batch_first
    assert weights.from_pytorch(inner, nonlinearity="tanh").nonlinearity == "tanh"
    refused("prefix='1.rnn.'", weights.from_pytorch, outer)
    refused("mapping or a module of PyTorch's, got LSTM", weights.from_pytorch, LSTM(2, 3), error=TypeError)


# ----------------------------------------------------------------------------------------------------- activations


def test_activations_that_nblstm_has_not_are_refused() -> None:
    arrays = keras_weights("LSTM", False, True)
    refused("recurrent_activation must be 'sigmoid'.*'hard_sigmoid'", weights.from_keras, arrays,
            recurrent_activation="hard_sigmoid")  # fmt: skip
    for kind in ("LSTM", "GRU"):
        refused("activation must be 'tanh' for an LSTM or GRU, got 'relu'", weights.from_keras,
                keras_weights(kind, False, True), activation="relu")  # fmt: skip
    refused("activation must be 'tanh' or 'relu', got 'elu'", weights.from_keras, arrays, activation="elu")


def test_peepholes_are_not_dropped() -> None:
    refused("no peepholes", weights.from_pytorch, LSTM(2, 3, peephole=True).state_dict())


# ----------------------------------------------------------------------------------------------------------- cuDNN


def as_cudnn_has_them(kernel: np.ndarray, recurrent_kernel: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
    """As Keras converts the weights of its ``LSTM`` for ``CuDNNLSTM`` and of its ``GRU``: gate by gate."""
    K = recurrent_kernel.shape[1] // len(recurrent_kernel)
    gates = [part.T.reshape(part.shape) for part in np.split(kernel, K, axis=1)]
    recurrent = [part.T for part in np.split(recurrent_kernel, K, axis=1)]
    if K == 4:
        share = np.linspace(-1, 2, len(bias))
        bias = np.array([share * bias, (1 - share) * bias])
    return [np.hstack(gates), np.hstack(recurrent), bias.ravel()]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_weights_of_cudnns_layers_are_those_of_the_plain_ones(kind: str, bidirectional: bool, rng: Any) -> None:
    plain = keras_weights(kind, bidirectional, True)
    cudnn = [
        [array for start in range(0, len(arrays), 3) for array in as_cudnn_has_them(*arrays[start : start + 3])]
        for arrays in plain
    ]
    assert cudnn[0][2].shape == ({"LSTM": 8, "GRU": 6}[kind] * H,)
    found = weights.from_keras(cudnn, bidirectional=bidirectional)
    expected = weights.from_keras(plain, bidirectional=bidirectional)
    x = rng.normal(size=(B, T, I))
    np.testing.assert_allclose(found(x)[0], expected(x)[0], rtol=0, atol=1e-14)


# ---------------------------------------------------------------------------------------------------- what to do


def test_stacks_of_unequal_units_are_named() -> None:
    stack = [weights.to_keras(LSTM(inputs, units))[0] for inputs, units in ((3, 5), (5, 5), (5, 6))]
    refused(
        "layers must have as many units in every layer, got 5 in layer 0 and 6 in layer 2", weights.from_keras, stack
    )
    stack[1:] = weights.to_keras(RNN(5, 5))
    refused(
        "layers must have as many gates in every layer, got 4 in layer 0 and 1 in layer 1", weights.from_keras, stack
    )
    cells = [weights.to_tensorflow(LSTM(inputs, units))[0] for inputs, units in ((3, 5), (5, 6))]
    refused("cells must .* 5 in layer 0 and 6 in layer 1: convert them one by one", weights.from_tensorflow, cells)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_line_that_the_error_names_joins_them(rng: np.random.Generator, bidirectional: bool) -> None:
    D = 1 + bidirectional
    parts = [
        LSTM(3, 5, dtype="float64", bidirectional=bidirectional, seed=0),
        RNN(5 * D, 2, dtype="float64", bidirectional=bidirectional, seed=1),
    ]
    layers = [arrays for part in parts for arrays in weights.to_keras(part)]
    with pytest.raises(ValueError, match="one by one") as caught:
        weights.from_keras(layers, bidirectional=bidirectional, batch_first=False)
    _, line = str(caught.value).split("one by one, ")
    joined = eval(line, {"nblstm": nblstm, "layers": layers})
    x = rng.normal(size=(T, B, 3))
    np.testing.assert_allclose(joined(x)[0], nblstm.Sequential(*parts)(x)[0], rtol=0, atol=1e-14)
    cells = [weights.to_tensorflow(LSTM(inputs, units), 0.5)[0] for inputs, units in ((3, 5), (5, 6))]
    with pytest.raises(ValueError, match="one by one") as caught:
        weights.from_tensorflow(cells, 0.5)
    _, line = str(caught.value).split("one by one, ")
    again = [weights.to_tensorflow(layer, 0.5)[0] for layer in eval(line, {"nblstm": nblstm, "cells": cells}).layers]
    for (kernel, bias), (other_kernel, other_bias) in zip(again, cells, strict=True):
        np.testing.assert_array_equal(kernel, other_kernel)
        np.testing.assert_allclose(bias, other_bias, rtol=0, atol=1e-6)


def test_the_prefix_is_suggested() -> None:
    state_dict = {f"encoder.lstm.{name}": tensor for name, tensor in LSTM(2, 3).state_dict().items()}
    refused(
        "names like weight_ih_l0, found under the prefix 'encoder.lstm.': prefix='encoder.lstm.'",
        weights.from_pytorch, state_dict,
    )  # fmt: skip
    two = state_dict | {f"a.{name}": tensor for name, tensor in LSTM(2, 3).state_dict().items()}
    refused(
        "names like b.weight_ih_l0, found under several prefixes, 'a.', 'encoder.lstm.': choose one, prefix='a.' say",
        weights.from_pytorch, two, prefix="b.",
    )  # fmt: skip
    refused(
        "names like encoder.lstmweight_ih_l0, the dot is part of the prefix: prefix='encoder.lstm.'",
        weights.from_pytorch, two, prefix="encoder.lstm",
    )  # fmt: skip
    many = {f"layer{k}.weight": drawn(2, 2) for k in range(100)}
    refused(r"weight_ih_l0, got layer0.weight, .*layer16.weight, \.\.\.$", weights.from_pytorch, many)


@pytest.mark.peers
def test_bfloat16_is_called_so() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    for dtype in ("bfloat16", "float16"):
        module = torch.nn.LSTM(3, 4).to(getattr(torch, dtype))
        refused(f"weight_ih_l0 must be float32 or float64, got {dtype}; convert it first", weights.from_pytorch,
                module.state_dict(), error=TypeError)  # fmt: skip


def test_what_load_returns_goes_where_what_save_took_came_from(tmp_path: Path) -> None:
    lstm = LSTM(2, 3, seed=1)
    weights.save(tmp_path / "lstm", lstm.state_dict(), {"made": "by hand"})
    other = LSTM(2, 3, seed=2)
    other.load_state_dict(weights.load(tmp_path / "lstm"))
    again = weights.from_pytorch(weights.load(tmp_path / "lstm"))
    assert other.flat_params.tobytes() == again.flat_params.tobytes() == lstm.flat_params.tobytes()
    assert weights.load_with_metadata(tmp_path / "lstm")[1] == {"made": "by hand"}
