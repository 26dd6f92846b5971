"""Weights that travel: to PyTorch, Keras, TensorFlow and ONNX and back, beside recorded outputs and the real peers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import record_exchange
from support.record_exchange import GOLDEN, KERAS_CASES, B, H, I, T, drawn

from nblstm import LSTM, RNN, CharLM, LSTMCell, SequenceClassifier, SequenceRegressor, weights

FORMS: list[tuple[type[LSTM | RNN], dict[str, Any]]] = [
    (LSTM, {}),
    (LSTM, {"bias": False}),
    (LSTM, {"formulation": "concat"}),
    (LSTM, {"peephole": True}),
    (RNN, {}),
    (RNN, {"nonlinearity": "relu"}),
]
BOTH = [False, True]


def by_form(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else "-".join(map(str, value.values())) or "plain"


forms = pytest.mark.parametrize(("form", "options"), FORMS, ids=by_form)
depths = pytest.mark.parametrize("num_layers", [1, 2])
directions = pytest.mark.parametrize("bidirectional", BOTH)


def made(form: type[LSTM | RNN], num_layers: int, bidirectional: bool, dtype: str, **options: Any) -> Any:
    return form(I, H, num_layers, bidirectional=bidirectional, dtype=dtype, seed=5, **options)


def assert_same_function(found: LSTM | RNN, layer: LSTM | RNN, rng: np.random.Generator, atol: float = 1e-13) -> None:
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
    rng: np.random.Generator, to: str, form: type[LSTM | RNN], options: dict[str, Any], num_layers: int,
    bidirectional: bool,
) -> None:  # fmt: skip
    layer = made(form, num_layers, bidirectional, "float64", **options)
    more: dict[str, Any] = {"nonlinearity": options["nonlinearity"]} if "nonlinearity" in options else {}
    if to == "keras":
        more = {"bidirectional": bidirectional, "activation": more.get("nonlinearity", "tanh"), "batch_first": False}
    if options.get("peephole") or (to == "tensorflow" and (form is RNN or bidirectional)):
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
    rng: np.random.Generator, form: type[LSTM | RNN], options: dict[str, Any], num_layers: int, bidirectional: bool
) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    if options.get("peephole"):
        pytest.skip("PyTorch has no peepholes")
    layer = made(form, num_layers, bidirectional, "float64", **options)
    names = {name: options[name] for name in ("bias", "nonlinearity") if name in options}
    peer = getattr(torch.nn, form.__name__)(I, H, num_layers, bidirectional=bidirectional, **names).double()
    peer.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.to_pytorch(layer).items()})
    x = rng.normal(size=(T, B, I))
    np.testing.assert_allclose(peer(torch.from_numpy(x))[0].detach().numpy(), layer(x)[0], rtol=0, atol=1e-13)
    found = weights.from_pytorch(peer.state_dict(), nonlinearity=options.get("nonlinearity", "tanh"))
    assert_same_function(found, layer, rng)


# ----------------------------------------------------------------------------------------------------------- ONNX


def run_onnx(path: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: the extra `peers`")
    onnx.checker.check_model(str(path), full_check=True)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert {entry.name for entry in session.get_inputs()} == feeds.keys()
    names = [entry.name for entry in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def states(rng: np.random.Generator, layer: LSTM | RNN, batch: int) -> dict[str, np.ndarray]:
    shape = (layer.num_layers * layer.directions, batch, layer.hidden_size)
    return {name: rng.normal(size=shape).astype("float32") for name in ("h_0", "c_0")[: 1 + layer.has_cell]}


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
    tmp_path: Path, rng: np.random.Generator, form: type[LSTM | RNN], options: dict[str, Any], num_layers: int,
    bidirectional: bool, batch_first: bool,
) -> None:  # fmt: skip
    layer = made(form, num_layers, bidirectional, "float32", batch_first=batch_first, **options)
    pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    weights.to_onnx(layer, tmp_path / "a.onnx")
    for steps, batch in ((T, B), (2, 1)):
        x = rng.normal(size=(batch, steps, I) if batch_first else (steps, batch, I)).astype("float32")
        given = states(rng, layer, batch)
        state = tuple(given.values()) if layer.has_cell else given["h_0"]
        assert_same_outputs(run_onnx(tmp_path / "a.onnx", {"x": x} | given), "y", layer(x, state))
    found = weights.from_onnx(tmp_path / "a.onnx")
    assert list(found) == [f"{form.__name__}.l{k}" for k in range(num_layers)]
    y = x = rng.normal(size=(T, B, I)).astype("float32")
    for one in found.values():
        y = one(y)[0]
    layer.batch_first = False
    np.testing.assert_allclose(y, layer(x)[0], rtol=0, atol=1e-6)


@pytest.mark.peers
@pytest.mark.parametrize("cell", ["lstm", "peephole", "rnn_tanh", "rnn_relu"])
def test_onnx_runtime_runs_a_character_model(tmp_path: Path, rng: np.random.Generator, cell: str) -> None:
    pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    model = CharLM("abcdefg", 3, 8, 2, cell=cell, dropout=0.5, seed=1)
    weights.to_onnx(model, tmp_path / "a.onnx")
    tokens, given = rng.integers(0, 7, (T, B)), states(rng, model.recurrent, B)
    state = tuple(given.values()) if model.recurrent.has_cell else given["h_0"]
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
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": 3.0}, "node n has clip, which nblstm does not have"),
        ({"input_forget": 1}, "node n has input_forget"),
        ({"direction": "reverse"}, "node n must have direction forward or bidirectional, got reverse"),
        ({"activations": ["Sigmoid", "Relu", "Tanh"]}, "the activations Sigmoid, Relu, Tanh"),
        ({"hidden_size": 3}, "W of node n must have a whole number of blocks of 3 units"),
        ({"direction": "bidirectional"}, "W of node n must have 2 directions"),
        ({"W": "x"}, "node n must have its W stored in the file, got 'x'"),
    ],
)
def test_nodes_that_nblstm_has_not_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    W = changes.pop("W", "W") if "W" in changes else "W"
    node = onnx.helper.make_node("LSTM", ["x", W, "R"], ["y"], "n", **({"hidden_size": 5} | changes))
    tensors = [onnx.numpy_helper.from_array(drawn(1, 20, n), name) for name, n in (("W", 4), ("R", 5))]
    graph = onnx.helper.make_graph([node], "g", [], [], tensors)
    (tmp_path / "a.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(ValueError, match=message):
        weights.from_onnx(tmp_path / "a.onnx")


@pytest.mark.peers
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"P": 1}, "P of node n must have 3 blocks of 5"),
        ({"P": 4}, "P of node n must have 3 blocks of 5"),
        ({"direction": 3}, "is damaged: node n cannot be read"),
        ({"activations": [1.0]}, "is damaged: node n cannot be read"),
        ({"twice": True}, "a name of its own for each LSTM and RNN node, got n twice"),
    ],
)
def test_nodes_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    changes = dict(changes)
    shapes = {"W": (1, 20, 4), "R": (1, 20, 5), "P": (1, 5 * changes.pop("P", 3))}
    nodes = 1 + changes.pop("twice", False)
    tensors = [onnx.numpy_helper.from_array(drawn(*shape), name) for name, shape in shapes.items()]
    node = onnx.helper.make_node("LSTM", ["x", "W", "R", "", "", "", "", "P"], ["y"], "n", hidden_size=5, **changes)
    graph = onnx.helper.make_graph([node] * nodes, "g", [], [], tensors)
    (tmp_path / "a.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(ValueError, match=message):
        weights.from_onnx(tmp_path / "a.onnx")


@pytest.mark.peers
def test_nodes_without_a_name_are_named_by_their_first_output(tmp_path: Path) -> None:
    """Which need not be y: it may be left out."""
    onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    tensors = [onnx.numpy_helper.from_array(drawn(1, 20, n), name) for name, n in (("W", 5), ("R", 5))]
    nodes = [onnx.helper.make_node("LSTM", [x, "W", "R"], ["", h]) for x, h in (("x", "h"), ("h", "k"))]
    nodes.append(onnx.helper.make_node("Constant", [], ["nothing"]))
    graph = onnx.helper.make_graph(nodes, "g", [], [], tensors)
    (tmp_path / "a.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    assert list(weights.from_onnx(tmp_path / "a.onnx")) == ["h", "k"]


@pytest.mark.peers
def test_files_that_are_no_onnx_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    (tmp_path / "a.onnx").write_bytes(b"\xff" * 50)
    with pytest.raises(ValueError, match="damaged or no ONNX file"):
        weights.from_onnx(tmp_path / "a.onnx")
    (tmp_path / "a.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match="at least one LSTM or RNN node"):
        weights.from_onnx(tmp_path / "a.onnx")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        weights.from_onnx(tmp_path / "b.onnx")
    which = "model must be an LSTM, RNN, CharLM, SequenceClassifier or SequenceRegressor, got"
    with pytest.raises(TypeError, match=f"{which} dict$"):
        weights.to_onnx({}, tmp_path / "c.onnx")  # type: ignore[arg-type]
    cell = LSTMCell(2, 3, seed=0)
    with pytest.raises(TypeError, match=f"{which} LSTMCell: load its parameters, _l0 after each name, into a layer$"):
        weights.to_onnx(cell, tmp_path / "c.onnx")  # type: ignore[arg-type]
    layer = LSTM(2, 3, seed=1)
    layer.load_state_dict({f"{name}_l0": tensor for name, tensor in cell.params.items()})


def test_a_missing_onnx_is_named_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (lambda: weights.to_onnx(LSTM(2, 3), tmp_path / "a.onnx"), lambda: weights.from_onnx("a.onnx")):
        with pytest.raises(ImportError, match="pip install onnx"):
            call()


# -------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: weights.to_pytorch({}), TypeError, "layer must be an LSTM or RNN, got dict"),
        (lambda: weights.from_pytorch({}), ValueError, "must hold names like weight_ih_l0"),
        (lambda: weights.from_pytorch({"weight_ih_l1": drawn(20, 3)}), ValueError, "lacks weight_ih_l0, weight_hh_l0"),
        (lambda: weights.from_pytorch({"weight_hr_l0": drawn(2, 3)}), ValueError, "without projections"),
        (
            lambda: weights.from_pytorch({"weight_ih_l0": drawn(15, 3), "weight_hh_l0": drawn(15, 5)}),
            ValueError,
            "got 3 .3 is a GRU",
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
        (lambda: weights.from_tensorflow([]), ValueError, "at least one cell, got none"),
        (lambda: weights.from_tensorflow([(drawn(8, 20), drawn(16))]), ValueError, r"cells\[0\] must have a kernel"),
        (lambda: weights.from_tensorflow([(drawn(5, 20), drawn(20))]), ValueError, r"cells\[0\] must have a kernel"),
        (lambda: weights.to_tensorflow(RNN(2, 3)), ValueError, "layer must be an LSTM in one direction"),
    ],
)
def test_bad_weights_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
