"""`Composed` and layers of one's own: one net to optimisers, files and gradcheck; nothing is lost by a refusal."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nblstm import GRU, Adam, Composed, Dropout, Layer, Linear, Sequential, Tanh, clip_grad_norm, gradcheck, weights

B = 4


class Two(Composed):
    """Two inputs, two outputs, a part that is composed itself."""

    def __init__(self, dtype: str = "float64") -> None:
        self.left = Sequential(lin=Linear(3, 2, dtype=dtype, seed=0), act=Tanh(), drop=Dropout(0.5, seed=1))
        self.right = Linear(5, 2, dtype=dtype, seed=2)
        super().__init__({"left": self.left, "right": self.right})

    def forward(self, x: np.ndarray, z: np.ndarray, tape: Any = None) -> Any:
        tapes = self.rewind(tape, 2)
        a, _, tapes[0] = self.left.forward(x, tape=tapes[0])
        b, tapes[1] = self.right.forward(z, tapes[1])
        return self.record(tape, (a + b, a * b), (*tapes, a, b))

    def backward(self, dy: Any, tape: Any) -> Any:
        (dsum, dproduct), (left, right, a, b) = self.replay(tape, dy)
        dx, _ = self.left.backward(dsum + dproduct * b, left)
        return dx, self.right.backward(dsum + dproduct * a, right)


@pytest.fixture
def inputs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(B, 3)), rng.normal(size=(B, 5))


@pytest.mark.gradients
def test_gradients_of_several_inputs_and_outputs(inputs: tuple[np.ndarray, np.ndarray]) -> None:
    net = Two()
    before = copy.deepcopy(net)
    table = gradcheck(net, inputs)
    names = ["left.lin.weight", "left.lin.bias", "right.weight", "right.bias", "x", "z"]
    assert [row.name for row in table.rows] == names
    assert table.error < 1e-7
    for name, tensor in net.params.items():
        np.testing.assert_array_equal(tensor, before.params[name])
    np.testing.assert_array_equal(net.forward(*inputs)[0][0], before.forward(*inputs)[0][0])


def test_a_wrong_backward_is_found(inputs: tuple[np.ndarray, np.ndarray]) -> None:
    class Wrong(Two):
        def backward(self, dy: Any, tape: Any) -> Any:
            dx, dz = super().backward(dy, tape)
            return dx, dz + 1e-3

    class Forgotten(Two):
        def backward(self, dy: Any, tape: Any) -> Any:
            return super().backward(dy, tape)[0]

    net = Wrong()
    net.left.layers[0].flat_grads[:] = 7
    with pytest.raises(AssertionError, match=r"^z\["):
        gradcheck(net, inputs)
    assert (net.left.layers[0].flat_grads == 7).all()
    with pytest.raises(ValueError, match=r"backward must return the gradient of z, of shape \(4, 5\), got NoneType"):
        gradcheck(Forgotten(), inputs)


def test_all_is_done_in_one_call(inputs: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    net = Two()
    assert [type(layer).__name__ for layer in net.layers] == ["Linear", "Tanh", "Dropout", "Linear"]
    assert net.num_parameters == 8 + 12
    optimizer = Adam(net)
    (y, z), tape = net.forward(*inputs)
    net.backward((y, z), tape)
    assert all(gradient.any() for gradient in net.grads.values())
    norm = float(np.sqrt(sum(np.square(gradient).sum() for gradient in net.grads.values())))
    assert clip_grad_norm(net, 1e9) == pytest.approx(norm)
    assert clip_grad_norm([net.left, net.right], 1e9) == pytest.approx(norm)
    before = net.state_dict()
    optimizer.step()
    assert all((tensor != before[name]).any() for name, tensor in net.params.items())
    optimizer.zero_grad()
    assert not any(gradient.any() for gradient in net.grads.values())
    path = tmp_path / "net.safetensors"
    weights.save(path, net.state_dict())
    other = pickle.loads(pickle.dumps(Two()))
    other.load_state_dict(weights.load(path))
    for name, tensor in net.params.items():
        np.testing.assert_array_equal(other.params[name], tensor)
    lines = net.summary().splitlines()
    assert (
        lines[0]
        == repr(net)
        == (
            "Two(left=Sequential(lin=Linear(3, 2, bias=True), act=Tanh(), drop=Dropout(0.5)), "
            "right=Linear(5, 2, bias=True))"
        )
    )
    assert lines[1].split()[0] == "left.lin.weight"
    with pytest.raises(ValueError, match=r"Two: the state dict does not fit: missing: left\.lin\.weight"):
        other.load_state_dict({})


def test_optimisers_take_a_layer_and_pass_over_those_without_parameters(rng: np.random.Generator) -> None:
    layer, twin = (Linear(3, 2, dtype="float64", seed=0) for _ in range(2))
    gradient = rng.normal(size=8)
    for one, given in ((layer, layer), (twin, [Tanh(), twin])):
        one.flat_grads[:] = gradient
        clip_grad_norm(given, 0.1)
        Adam(given).step()
    np.testing.assert_array_equal(layer.flat_params, twin.flat_params)
    for given in (Tanh(), [Tanh()], Sequential(Tanh())):
        with pytest.raises(ValueError, match="layers must hold at least one layer with parameters"):
            Adam(given)
    with pytest.raises(ValueError, match="layers must hold each layer once"):
        Adam([layer, Sequential(layer)])


def test_a_net_that_was_refused_has_lost_nothing(inputs: tuple[np.ndarray, np.ndarray]) -> None:
    net = Two()
    y, tape = net.forward(*inputs)
    with pytest.raises(TypeError, match="dy must be a tuple of 2 arrays, as y is, got ndarray"):
        net.backward(y[0], tape)
    with pytest.raises(ValueError, match=r"dy\[1\] must have shape \(4, 2\), got \(3, 2\)"):
        net.backward((y[0], y[1][:3]), tape)
    with pytest.raises(ValueError, match="tape must be one of this layer's"):
        Two().backward(y, tape)
    assert not any(gradient.any() for gradient in net.grads.values())
    net.backward(y, tape)
    with pytest.raises(RuntimeError, match="backward has already run"):
        net.backward(y, tape)
    net.forward(*inputs, tape)
    with net.right.editing():
        pass
    with pytest.raises(RuntimeError, match="the parameters were written between"):
        net.backward(y, tape)


def test_a_part_that_has_gone_back_by_itself_is_noticed(inputs: tuple[np.ndarray, np.ndarray]) -> None:
    net = Two()
    y, tape = net.forward(*inputs)
    net.right.backward(y[0], tape.kept[1])
    net.zero_grad()
    with pytest.raises(RuntimeError, match="backward has already run"):
        net.backward(y, tape)
    assert not any(gradient.any() for gradient in net.grads.values())


def test_a_forward_that_broke_off_allows_no_backward(inputs: tuple[np.ndarray, np.ndarray]) -> None:
    net = Two()
    y, tape = net.forward(*inputs)
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 5\)"):
        net.forward(inputs[0], inputs[1][:, :2], tape)
    with pytest.raises(RuntimeError, match="run forward again"):
        net.backward(y, tape)
    net.forward(*inputs, tape)
    net.backward(y, tape)


class Scale(Layer):
    """A factor for each feature; in no way like those of the library."""

    def __init__(self, features: int, dtype: str = "float64") -> None:
        self.in_features = self.out_features = features
        super().__init__({"weight": (features,)}, dtype)
        with self.editing() as p:
            p["weight"][...] = np.arange(1, features + 1)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.params["weight"] * x

    def forward(self, x: np.ndarray, tape: Any = None) -> Any:
        return self.record(tape, self(x), x)

    def backward(self, dy: np.ndarray, tape: Any) -> np.ndarray:
        dy, x = self.replay(tape, dy)
        self.grads["weight"] += (dy * x).reshape(-1, x.shape[-1]).sum(axis=0)
        return dy * self.params["weight"]


class Residual(Composed):
    """One array in, one out: a part for a chain."""

    def __init__(self, inner: Layer) -> None:
        super().__init__({"inner": inner})

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x + self.parts["inner"](x)

    def forward(self, x: np.ndarray, tape: Any = None) -> Any:
        (inner,) = self.rewind(tape, 1)
        y, inner = self.parts["inner"].forward(x, inner)
        return self.record(tape, x + y, (inner,))

    def backward(self, dy: np.ndarray, tape: Any) -> np.ndarray:
        dy, (inner,) = self.replay(tape, dy)
        return dy + self.parts["inner"].backward(dy, inner)


@pytest.mark.gradients
def test_a_chain_takes_layers_and_nets_of_ones_own(rng: np.random.Generator) -> None:
    net = Sequential(
        scale=Scale(3), gru=GRU(3, 4, dtype="float64", seed=0), more=Residual(Scale(4)),
        linear=Linear(4, 2, dtype="float64", seed=1),
    )  # fmt: skip
    x = rng.normal(size=(5, 2, 3))
    table = gradcheck(net, x, lengths=[5, 2])
    assert table.error < 1e-7
    assert {row.name for row in table.rows} >= {"scale.weight", "more.inner.weight", "x", "gru.h_0"}
    np.testing.assert_array_equal(net(x)[0], net.forward(x)[0])
    assert repr(Scale(3)) == "Scale(weight=(3,))"
    with pytest.raises(ValueError, match="layer 1 reads 4 numbers a step, and layer 0 returns 3"):
        Sequential(Scale(3), Scale(4))


def test_parameters_say_how_they_are_written() -> None:
    layer = Linear(2, 1, dtype="float64", seed=0)
    net = Sequential(layer)
    new = np.ones((1, 2))
    for one, name in ((layer, "weight"), (net, "0.weight")):
        with pytest.raises(ValueError, match=r'write them within "with layer\.editing\(\) as p:"'):
            one.params[name] = new
        with pytest.raises(AttributeError, match=r"params are read-only.* load_state_dict"):
            one.params = {name: new}  # type: ignore[misc, assignment]
        one.grads[name] = 2 * new
        assert (layer.grads["weight"] == 2).all()
        layer.zero_grad()
        with pytest.raises(KeyError, match="no tensor is called 'nothing'; there are"):
            one.grads["nothing"] = new
    assert type(copy.deepcopy(net.params)) is dict


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Composed({}), ValueError, "parts must hold at least one layer, got none"),
        (lambda: Composed([Tanh()]), TypeError, "parts must be a dictionary, got list"),  # type: ignore[arg-type]
        (lambda: Composed({"a": 3}), TypeError, "parts must be layers .* got int at 'a'"),  # type: ignore[dict-item]
        (lambda: Composed({"a.b": Tanh()}), ValueError, r"parts must have names without a dot, got 'a\.b'"),
        (
            lambda: Composed({"a": Linear(2, 2), "b": Sequential(c=Linear(2, 2, dtype="float64"))}),
            ValueError,
            r"one dtype, got float32 in layer a and float64 in layer b\.c",
        ),
        (lambda: gradcheck(Two("float32"), (np.zeros((1, 3)),) * 2), TypeError, "layer must be float64"),
        (lambda: gradcheck(Tanh(), np.zeros(3, "float32")), TypeError, "x must be float64 for .* got float32"),
        (lambda: gradcheck(Two(), (np.zeros((1, 3)),), lengths=[1]), TypeError, "lengths must be None for Two"),
    ],
)
def test_what_is_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
