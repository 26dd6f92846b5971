"""Weights that travel: to PyTorch, Keras and TensorFlow and back, beside recorded outputs and the real peers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import record_exchange
from support.forms import depths, directions, forms, made
from support.record_exchange import GOLDEN, KERAS_CASES, B, H, I, T, drawn

from nblstm import GRU, LSTM, RNN, Cell, Recurrent, Sequential, weights
from nblstm.cells import tanh
from nblstm.cells.gru import GRU_ORIGINAL


def assert_same_function(found: Any, layer: Any, rng: np.random.Generator, atol: float = 1e-13) -> None:
    assert type(found) is type(layer)
    x = rng.normal(size=(T, B, layer.input_size)).astype(layer.dtype)
    np.testing.assert_allclose(found(x)[0], layer(x)[0], rtol=0, atol=atol)
    np.testing.assert_allclose(found(x)[1], layer(x)[1], rtol=0, atol=atol)


# --------------------------------------------------------------------------------------------------- there and back


@directions
@depths
@forms
@pytest.mark.parametrize("to", ["pytorch", "keras", "tensorflow"])
def test_there_and_back(
    rng: np.random.Generator, to: str, form: type[LSTM | GRU | RNN], options: dict[str, Any], num_layers: int,
    bidirectional: bool,
) -> None:  # fmt: skip
    layer = made(form, num_layers, bidirectional, "float64", **options)
    more: dict[str, Any] = {"nonlinearity": options["nonlinearity"]} if "nonlinearity" in options else {}
    if to == "keras":
        more = {"bidirectional": bidirectional, "activation": more.get("nonlinearity", "tanh"), "batch_first": False}
    original = layer.cell is GRU_ORIGINAL and to == "pytorch"
    if options.get("peephole") or original or (to == "tensorflow" and (form is not LSTM or bidirectional)):
        with pytest.raises(ValueError, match="layer must be"):
            getattr(weights, f"to_{to}")(layer)
        return
    found = getattr(weights, f"from_{to}")(getattr(weights, f"to_{to}")(layer), **more)
    assert_same_function(found, layer, rng)


def test_state_dicts_have_pytorchs_names_and_survive_a_file(tmp_path: Path) -> None:
    lstm = LSTM(I, H, 2, bidirectional=True, seed=1)
    weights.save(
        tmp_path / "net.safetensors", {f"net.{k}": v for k, v in lstm.state_dict().items()} | {"head": drawn(3)}
    )
    found = weights.from_pytorch(weights.load(tmp_path / "net.safetensors"), prefix="net.")
    np.testing.assert_array_equal(found.flat_params, lstm.flat_params)
    assert (found.num_layers, found.bidirectional, found.dtype) == (2, True, np.float32)


# ------------------------------------------------------------------------------------------------------- recorded


@pytest.mark.parametrize("case", KERAS_CASES, ids=lambda case: "-".join(map(str, case)))
def test_recorded_keras(case: tuple[str, bool, bool, str]) -> None:
    kind, bidirectional, bias, activation = case
    arrays = record_exchange.keras_weights(kind, bidirectional, bias)
    layer = weights.from_keras(arrays, bidirectional=bidirectional, activation=activation)
    recorded = np.load(GOLDEN)[f"keras {' '.join(map(str, case))}"]
    y = layer(drawn(T, B, I).transpose(1, 0, 2))[0]  # Keras is (B, T, I)
    np.testing.assert_allclose(y.transpose(1, 0, 2), recorded, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("forget_bias", [1.0, 0.0])
def test_recorded_tensorflow(forget_bias: float) -> None:
    layer = weights.from_tensorflow(record_exchange.tensorflow_cells(), forget_bias)
    recorded = np.load(GOLDEN)[f"tensorflow {forget_bias}"]
    np.testing.assert_allclose(layer(drawn(T, B, I))[0], recorded, rtol=0, atol=1e-13)


# ---------------------------------------------------------------------------------------------------- other cells


def keras_gru(kernel: np.ndarray, recurrent_kernel: np.ndarray, bias: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The last h of Keras' GRU with `reset_after=False` over x (T, B, I), beside its equations."""
    h = np.zeros((x.shape[1], len(recurrent_kernel)))
    (W_z, W_r, W_h), (U_z, U_r, U_h) = (np.split(part, 3, axis=1) for part in (kernel, recurrent_kernel))
    b_z, b_r, b_h = np.split(bias, 3)
    for x_t in x:
        z, r = (1 / (1 + np.exp(-s)) for s in (x_t @ W_z + h @ U_z + b_z, x_t @ W_r + h @ U_r + b_r))
        h = z * h + (1 - z) * np.tanh(x_t @ W_h + (r * h) @ U_h + b_h)
    return h


def test_a_gru_that_resets_before_the_product_goes_to_keras_and_back(rng: np.random.Generator) -> None:
    arrays = [rng.normal(size=shape) for shape in ((I, 3 * H), (H, 3 * H), 3 * H)]
    x = rng.normal(size=(T, B, I))
    layer = weights.from_keras([arrays], batch_first=False)
    assert repr(layer) == f"GRU({I}, {H}, reset_after=False, dtype='float64')"
    np.testing.assert_allclose(layer(x)[1][0], keras_gru(*arrays, x), rtol=0, atol=1e-13)
    (again,) = weights.to_keras(layer)
    for found, given in zip(again, arrays, strict=True):
        np.testing.assert_array_equal(found, given)
    both = GRU(I, H, 2, bidirectional=True, reset_after=False, dtype="float64", seed=0)
    found = weights.from_keras(weights.to_keras(both), bidirectional=True, batch_first=False)
    np.testing.assert_allclose(found(x)[0], both(x)[0], rtol=0, atol=1e-13)


def test_without_biases_reset_after_says_which_gru_it_is(rng: np.random.Generator) -> None:
    x = rng.normal(size=(T, B, I))
    for reset_after in (True, False):
        layer = GRU(I, H, bias=False, reset_after=reset_after, dtype="float64", seed=0)
        found = weights.from_keras(weights.to_keras(layer), batch_first=False, reset_after=reset_after)
        np.testing.assert_array_equal(found(x)[0], layer(x)[0])
    assert weights.from_keras(weights.to_keras(layer)).reset_after, "Keras' default"


def test_a_layer_goes_by_its_cell(rng: np.random.Generator) -> None:
    """Whatever class it has; a cell that nobody else has stays at home."""
    given = Recurrent("gru", I, H, 2, dtype="float64", seed=0)
    for found in (
        weights.from_pytorch(weights.to_pytorch(given)),
        weights.from_keras(weights.to_keras(given), batch_first=False),
    ):
        assert type(found) is GRU
        x = rng.normal(size=(T, B, I))
        np.testing.assert_allclose(found(x)[0], given(x)[0], rtol=0, atol=1e-13)
    own = Recurrent(
        Cell(
            "own", sums=("s",), forward=lambda s: ((s,), (tanh(s),)), backward=lambda s, h, dh: ((dh - dh * h * h,), ())
        ),
        I, H,
    )  # fmt: skip
    for to in (weights.to_pytorch, weights.to_keras, weights.to_tensorflow):
        message = r"layer must be of a cell that other libraries have, lstm, .*rnn_relu, got Cell\('own'\)"
        with pytest.raises(ValueError, match=message):
            to(own)


# ---------------------------------------------------------------------------------------------------------- peers


@pytest.mark.peers
@pytest.mark.parametrize("case", KERAS_CASES, ids=lambda case: "-".join(map(str, case)))
@pytest.mark.filterwarnings("ignore")  # Keras's own
def test_keras_computes_what_is_recorded(case: tuple[str, bool, bool, str]) -> None:
    pytest.importorskip("keras", reason="needs Keras: the extra `peers`")
    recorded = np.load(GOLDEN)[f"keras {' '.join(map(str, case))}"]
    np.testing.assert_allclose(record_exchange.keras_output(*case), recorded, rtol=1e-5, atol=1e-6)


@pytest.mark.peers
@directions
@depths
@forms
def test_pytorch_computes_the_same(
    rng: np.random.Generator,
    form: type[LSTM | GRU | RNN],
    options: dict[str, Any],
    num_layers: int,
    bidirectional: bool,
) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    if options.get("peephole") or "reset_after" in options:
        pytest.skip("PyTorch has no peepholes, and one form of the GRU")
    layer = made(form, num_layers, bidirectional, "float64", **options)
    names = {name: options[name] for name in ("bias", "nonlinearity") if name in options}
    peer = getattr(torch.nn, form.__name__)(I, H, num_layers, bidirectional=bidirectional, **names).double()
    peer.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.to_pytorch(layer).items()})
    x = rng.normal(size=(T, B, I))
    np.testing.assert_allclose(peer(torch.from_numpy(x))[0].detach().numpy(), layer(x)[0], rtol=0, atol=1e-13)
    found = weights.from_pytorch(peer.state_dict(), nonlinearity=options.get("nonlinearity", "tanh"))
    assert_same_function(found, layer, rng)


# -------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: weights.to_pytorch({}), TypeError, "layer must be an LSTM, GRU or RNN, got dict$"),
        (
            lambda: weights.to_keras(Sequential(LSTM(2, 3))),
            TypeError,
            "got Sequential: convert its layers one by one, those in .layers$",
        ),
        (lambda: weights.from_pytorch({}), ValueError, "must hold names like weight_ih_l0"),
        (lambda: weights.from_pytorch({"weight_ih_l1": drawn(20, 3)}), ValueError, "lacks weight_ih_l0, weight_hh_l0"),
        (lambda: weights.from_pytorch({"weight_hr_l0": drawn(2, 3)}), ValueError, "without projections"),
        (
            lambda: weights.from_pytorch({"weight_ih_l0": drawn(10, 3), "weight_hh_l0": drawn(10, 5)}),
            ValueError,
            "state_dict must hold the weights of an LSTM, 4 gates, of a GRU, 3, or of an RNN, 1; got 2",
        ),
        (
            lambda: weights.from_pytorch({"weight_ih_l0": drawn(20, 3), "weight_hh_l0": drawn(20, 6)}),
            ValueError,
            "weight_ih_l0 must have a whole number of blocks of 6 units",
        ),
        (
            lambda: weights.from_pytorch({"weight_ih_l0": drawn(20, 3), "weight_hh_l0": drawn(20, 5).astype("f2")}),
            TypeError,
            "weight_hh_l0 must be float32 or float64, got float16",
        ),
        (
            lambda: weights.from_pytorch({"weight_ih_l0": drawn(20, 3), "weight_hh_l0": drawn(20, 5).astype("f4")}),
            TypeError,
            "weight_hh_l0 is float32",
        ),
        (lambda: weights.from_keras([]), ValueError, "at least one layer, got none"),
        (lambda: weights.from_keras([[drawn(3, 20)]]), ValueError, r"layers\[0\] must hold kernel, recurrent_kernel"),
        (
            lambda: weights.from_keras([[drawn(3, 20), drawn(5)]]),
            ValueError,
            r"layers\[0\]\[1\] must have 2 dimensions",
        ),
        (
            lambda: weights.from_keras([drawn(3, 20), drawn(5, 20), drawn(20)]),
            TypeError,
            r"layers must hold a list of arrays for each layer, got arrays: .* \[layer\.get_weights\(\)\]",
        ),
        (
            lambda: weights.from_keras([[drawn(3, 20), drawn(5, 20), drawn(15)]]),
            ValueError,
            r"layers\[0\]\[2\] must be a bias of 20 numbers, 4 x 5 units, got shape \(15,\)",
        ),
        (
            lambda: weights.from_keras([[drawn(3, 5), drawn(5, 5), drawn(7)]]),
            ValueError,
            r"layers\[0\]\[2\] must be a bias of 5 numbers, 1 x 5 units, got shape \(7,\)",
        ),
        *(
            (
                lambda shape=shape: weights.from_keras([[drawn(3, 15), drawn(5, 15), drawn(*shape)]]),
                ValueError,
                r"layers\[0\]\[2\] must be a bias of \(2, 15\) or \(15,\), 3 x 5 units, got shape "
                + re.escape(str(shape)),
            )
            for shape in ((20,), (3, 15), (2, 10))
        ),
        (
            lambda: weights.from_keras([[drawn(3, 20), drawn(5, 20), drawn(2, 20)]]),
            ValueError,
            r"layers\[0\]\[2\] must have 1 dimensions",
        ),
        (
            lambda: weights.from_keras(
                [[drawn(3, 15), drawn(5, 15), drawn(15)], [drawn(5, 15), drawn(5, 15), drawn(2, 15)]]
            ),
            ValueError,
            "layers must hold GRUs of one form, .* reset_after=None$",
        ),
        (
            lambda: weights.from_keras([[drawn(3, 15), drawn(5, 15), drawn(15)]], reset_after=True),
            ValueError,
            "layers must hold GRUs of one form, .* reset_after=True$",
        ),
        (
            lambda: weights.from_keras([[drawn(3, 20), drawn(5, 20), drawn(20)]], reset_after=False),
            ValueError,
            "reset_after must be left out but for a GRU, got False",
        ),
        (
            lambda: weights.to_pytorch(GRU(2, 3, reset_after=False)),
            ValueError,
            "layer must be a GRU with reset_after=True, PyTorch's only form, got one with False",
        ),
        (
            lambda: weights.from_keras([[drawn(3, 20), drawn(5, 25)]]),
            ValueError,
            r"layers\[0\]\[1\] must be \(5, 20\), 4 x 5 units, got shape \(5, 25\)",
        ),
        (
            lambda: weights.from_pytorch(
                {"weight_ih_l0": drawn(20, 3), "weight_hh_l0": drawn(20, 5), "bias_ih_l0": drawn(20)}
                | {"bias_hh_l0": drawn(15)}
            ),
            ValueError,
            "state_dict must have biases of 20 numbers, got 15 in layer 0",
        ),
        (lambda: weights.from_tensorflow([]), ValueError, "at least one cell, got none"),
        (lambda: weights.from_tensorflow([(drawn(8, 20), drawn(16))]), ValueError, r"cells\[0\] must have a kernel"),
        (lambda: weights.from_tensorflow([(drawn(5, 20), drawn(20))]), ValueError, r"cells\[0\] must have a kernel"),
        (
            lambda: weights.from_tensorflow([(drawn(8, 20), drawn(20), drawn(5, 3))]),
            TypeError,
            r"cells\[0\] must be a pair of kernel and bias, .* without projections and peepholes, got 3 members",
        ),
        (lambda: weights.to_tensorflow(RNN(2, 3)), ValueError, "layer must be an LSTM in one direction"),
    ],
)
def test_bad_weights_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
