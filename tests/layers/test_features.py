"""Layers over features: activations, LayerNorm and Dropout against plain formulas, differences and PyTorch."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nblstm import Dropout, LayerNorm, Linear, ReLU, Sigmoid, Softmax, Tanh, gradcheck, thread_policy
from nblstm.layers.features import FeatureLayer

F = 5


def moved_norm(dtype: str = "float64") -> LayerNorm:
    """A LayerNorm whose weight and bias are not those that it begins with."""
    layer = LayerNorm(F, eps=0.01, dtype=dtype)
    with layer.editing() as p:
        p.flat[:] = np.random.default_rng(7).normal(size=2 * F)
    return layer


def naive_norm(row: list[float]) -> list[float]:
    layer = moved_norm()
    mean = sum(row) / F
    deviation = math.sqrt(sum((value - mean) ** 2 for value in row) / F + 0.01)
    weight, bias = layer.params["weight"], layer.params["bias"]
    return [weight[k] * (row[k] - mean) / deviation + bias[k] for k in range(F)]


def naive_softmax(row: list[float]) -> list[float]:
    return [math.exp(value) / sum(map(math.exp, row)) for value in row]


LAYERS: dict[str, tuple[Callable[[], FeatureLayer], Callable[[list[float]], list[float]]]] = {
    "Tanh": (Tanh, lambda row: [math.tanh(value) for value in row]),
    "Sigmoid": (Sigmoid, lambda row: [1 / (1 + math.exp(-value)) for value in row]),
    "ReLU": (ReLU, lambda row: [max(value, 0.0) for value in row]),
    "Softmax": (Softmax, naive_softmax),
    "LayerNorm": (moved_norm, naive_norm),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shape", [(F,), (4, F), (3, 2, F), (0, 2, F)])
def test_forward_and_the_call_are_the_formula(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> None:
    make, naive = LAYERS[name]
    layer, x = make(), rng.normal(scale=3, size=shape)
    expected = np.array([naive(row) for row in x.reshape(-1, F).tolist()]).reshape(shape)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-13, atol=1e-14)
    strange = np.repeat(x, 2, axis=-1)[..., ::2]
    y, tape = layer.forward(strange)
    np.testing.assert_array_equal(y, layer(x))
    assert not y.flags.writeable
    assert layer.backward(np.ones(shape), tape, need_dx=False) is None


@pytest.mark.gradients
@pytest.mark.parametrize("name", LAYERS)
def test_gradients(rng: np.random.Generator, name: str) -> None:
    table = gradcheck(LAYERS[name][0](), rng.normal(size=(3, 2, F)))
    assert table.error < 1e-7
    assert [row.name for row in table.rows] == (["weight", "bias"] if name == "LayerNorm" else []) + ["x"]


@pytest.mark.parametrize("layer", [Tanh(), Sigmoid(), ReLU(), Softmax(), moved_norm("float32"), Dropout(0.5, seed=0)])
def test_float32_stays_float32(rng: np.random.Generator, layer: FeatureLayer) -> None:
    x = rng.normal(size=(4, F)).astype("float32")
    y, tape = layer.forward(x)
    dx = layer.backward(x, tape)
    assert dx is not None
    assert layer(x).dtype == y.dtype == dx.dtype == layer.grads.flat.dtype == "float32"


@pytest.mark.peers
@pytest.mark.parametrize("name", LAYERS)
def test_they_are_those_of_pytorch(rng: np.random.Generator, name: str) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    layer, x, dy = LAYERS[name][0](), rng.normal(size=(3, 2, F)), rng.normal(size=(3, 2, F))
    options: dict[str, Any] = {"Softmax": {"dim": -1}}.get(name, {})
    peer = torch.nn.LayerNorm(F, eps=0.01).double() if name == "LayerNorm" else getattr(torch.nn, name)(**options)
    peer.load_state_dict({key: torch.from_numpy(tensor) for key, tensor in layer.state_dict().items()})
    theirs = torch.from_numpy(x).requires_grad_()
    result = peer(theirs)
    result.backward(torch.from_numpy(dy))
    y, tape = layer.forward(x)
    np.testing.assert_allclose(y, result.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(layer.backward(dy, tape), theirs.grad.numpy(), rtol=1e-11, atol=1e-13)
    for key, parameter in peer.named_parameters():
        np.testing.assert_allclose(layer.grads[key], parameter.grad.numpy(), rtol=1e-12)


def test_what_is_far_from_zero_and_what_is_no_number() -> None:
    x = np.array([-np.inf, -800.0, 800.0, np.inf, np.nan])
    np.testing.assert_array_equal(Sigmoid()(x), [0, np.exp(-800.0), 1, 1, np.nan])
    np.testing.assert_array_equal(Tanh()(x), [-1, -1, 1, 1, np.nan])
    np.testing.assert_array_equal(ReLU()(x), [0, 0, 800, np.inf, np.nan])
    assert np.isnan(LayerNorm(5, dtype="float64")(x)).all()
    np.testing.assert_array_equal(LayerNorm(3, dtype="float64")(np.full((2, 3), 7.0)), np.zeros((2, 3)))


# ----------------------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(2000,), (80, 25), (20, 10, 10)])
def test_dropout_drops_its_share_and_scales_up_the_rest(
    rng: np.random.Generator, p: float, shape: tuple[int, ...]
) -> None:
    layer, x = Dropout(p, seed=1), rng.normal(size=shape)
    y, tape = layer.forward(x)
    kept = y != 0
    assert abs((~kept).mean() - p) <= 4 * math.sqrt(p * (1 - p) / x.size)
    np.testing.assert_allclose(y[kept], x[kept] / (1 - p), rtol=1e-15)
    np.testing.assert_array_equal(layer.backward(x, tape), y)
    np.testing.assert_array_equal(layer(x), x)
    assert not np.shares_memory(layer(x), x)
    again = layer.forward(x)[0]
    assert np.array_equal(again, y) == (p == 0)


def test_dropout_can_be_repeated_and_resumed(rng: np.random.Generator) -> None:
    x = rng.normal(size=(40, 30, 10))
    layer, twin = Dropout(0.3, seed=4), Dropout(0.3, seed=4)
    np.testing.assert_array_equal(layer.forward(x)[0], twin.forward(x)[0])
    state = layer.dropout_state()
    y = layer.forward(x)[0]
    copied = pickle.loads(pickle.dumps(twin))
    twin.set_dropout_state(state)
    for other in (twin, copied):
        np.testing.assert_array_equal(other.forward(x)[0], y)
    with pytest.raises(ValueError, match="state must be what dropout_state gave"):
        layer.set_dropout_state({})


def test_dropout_is_the_same_for_any_number_of_threads(rng: np.random.Generator) -> None:
    x, results = rng.normal(size=(7, 5, 10)), []
    for serial_below in (0, 10**9):
        with thread_policy(serial_below=serial_below):
            results.append(Dropout(0.3, seed=4).forward(x)[0])
    np.testing.assert_array_equal(*results)


@pytest.mark.gradients
def test_gradients_of_dropout(rng: np.random.Generator) -> None:
    layer = Dropout(0.4, seed=2)
    state = layer.dropout_state()
    assert gradcheck(layer, rng.normal(size=(4, 3, F))).error < 1e-7
    assert layer.dropout_state() == state


# --------------------------------------------------------------------------------------------------------- bad input


def test_what_is_refused_leaves_the_tape_as_it_was(rng: np.random.Generator) -> None:
    layer, x = moved_norm(), rng.normal(size=(2, F))
    y, tape = layer.forward(x)
    for wrong, error, message in (
        (x[:, :3], ValueError, r"x must have shape \(\.\.\., 5\), got \(2, 3\)"),
        (x.astype("float32"), TypeError, "x must be float64, got float32"),
        (np.array(1.0), ValueError, r"x must have shape \(\.\.\., 5\), got \(\)"),
    ):
        for run in (layer, layer.forward, lambda given: layer.forward(given, tape)):
            with pytest.raises(error, match=message):
                run(wrong)
    for wrong_dy, error, message in (
        (y[:1], ValueError, r"dy must have shape \(2, 5\), got \(1, 5\)"),
        (y.astype("float32"), TypeError, "dy must be float64, got float32"),
    ):
        with pytest.raises(error, match=message):
            layer.backward(wrong_dy, tape)
    with pytest.raises(ValueError, match="tape must be one of this layer's, got another layer's"):
        moved_norm().forward(x, tape)
    strange: Any = Linear(F, F, dtype="float64").forward(x)[1]
    strange.layer = layer
    with pytest.raises(TypeError, match="tape must be Record, got LinearTape"):
        layer.forward(x, strange)
    assert not layer.flat_grads.any()
    assert layer.backward(y, tape) is not None
    with pytest.raises(RuntimeError, match="backward has already run on this forward"):
        layer.backward(y, tape)
    y, tape = layer.forward(x, tape)
    with layer.editing():
        pass
    with pytest.raises(RuntimeError, match="the parameters were written between"):
        layer.backward(y, tape)
    with pytest.raises(TypeError, match="a tape cannot be copied"):
        copy.copy(tape)


def test_gradients_may_be_kept_apart(rng: np.random.Generator) -> None:
    layer, x = moved_norm(), rng.normal(size=(2, F))
    y, tape = layer.forward(x)
    block = layer.new_grads()
    layer.backward(y, tape, grads=block)
    assert block.flat.all()
    assert not layer.flat_grads.any()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Dropout(1.0), ValueError, r"p must be in \[0, 1\), got 1\.0"),
        (lambda: LayerNorm(0), ValueError, "features must be at least 1, got 0"),
        (lambda: LayerNorm(3, eps=-1.0), ValueError, "eps must be 0 or more and finite, got -1.0"),
        (lambda: Tanh()(np.zeros(3, int)), TypeError, "x must be float32, got int64"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
