"""Nodes of ONNX files are read, wherever they and their weights lie; what a layer cannot have is not dropped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.onnx_files import SHAPES, B, H, I, T, assert_runs_alike, constants, floats, lstm, node, write
from support.record_exchange import drawn

from nblstm import weights

onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
pytestmark = pytest.mark.peers

# ------------------------------------------------------------------------------------------------ beside the file


def write_with_data(folder: Path) -> Path:
    """A file whose tensors lie in another, as the exporter of PyTorch 2.9 and newer leaves them."""
    path = write(folder / "m.onnx", [lstm()], constants())
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    return path


def test_weights_in_a_file_beside_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_with_data(tmp_path)
    assert path.stat().st_size < (tmp_path / "m.onnx.data").stat().st_size
    (layer,) = weights.from_onnx(path).values()
    assert_runs_alike(path, layer)
    monkeypatch.chdir(tmp_path)
    assert weights.from_onnx("m.onnx")["n"].flat_params.tobytes() == layer.flat_params.tobytes()


@pytest.mark.parametrize("damage", ["missing", "cut", "other length", "no length", "offset", "huge"])
def test_a_damaged_file_beside_is_named(tmp_path: Path, damage: str) -> None:
    path = write_with_data(tmp_path)
    data, model = tmp_path / "m.onnx.data", onnx.load(path, load_external_data=False)
    entries = {entry.key: entry for entry in model.graph.initializer[0].external_data}
    if damage == "missing":
        data.unlink()
    elif damage == "cut":
        data.write_bytes(data.read_bytes()[:20])
    elif damage == "other length":
        entries["length"].value = str(2**40)
    elif damage == "offset":
        entries["offset"].value = str(2**40)
    elif damage == "huge":
        model.graph.initializer[0].dims[0] = 2**40
    else:
        model.graph.initializer[0].external_data.remove(entries["length"])
    path.write_bytes(model.SerializeToString())
    if damage == "no length":  # which the format allows
        assert weights.from_onnx(path)["n"].input_size == I
        return
    with pytest.raises(ValueError, match="W of node n is damaged: tensor W cannot be read: ") as caught:
        weights.from_onnx(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "link", "folder", ""])
def test_a_file_beside_is_one_in_the_same_folder(tmp_path: Path, location: str) -> None:
    """The model names it, and could name any."""
    (tmp_path / "models" / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(4 * 4 * H * I))
    os.symlink(tmp_path / "secret", tmp_path / "models" / "link")
    path = write_with_data(tmp_path / "models")
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = location if entry.key == "location" else entry.value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="W of node n is damaged: tensor W cannot be read: "):
        weights.from_onnx(path)


# -------------------------------------------------------------------------------------------------- behind nodes


def test_weights_behind_nodes_that_rearrange_them_are_read(tmp_path: Path) -> None:
    """As exporters leave them that fold nothing: gates cut out and joined in another order, axes added."""
    whole = constants()
    gate = np.split(whole["W"][0], 4)
    tensors = {
        "weight": np.concatenate([gate[0], gate[2], gate[3], gate[1]]),  # i, f, c, o
        "R": whole["R"].transpose(0, 2, 1).astype("float64"),
        "bias": whole["B"].reshape(2, -1),
        "back": np.array([1, 8 * H]),
        "one": np.array([H]),
    }
    bounds = {f"at_{k}": np.array([k * H]) for k in range(5)} | {"zero": np.array([0])}
    ends = ["at_1", "at_2", "three_h", "at_4"]
    nodes = [
        node("Constant", [], "three", value_ints=[3]),
        node("Mul", ["three", "one"], "three_h"),
        *(node("Slice", ["weight", f"at_{k}", ends[k], "zero"], f"gate_{k}") for k in range(4)),
        node("Concat", ["gate_0", "gate_3", "gate_1", "gate_2"], "joined", axis=0),
        node("Unsqueeze", ["joined", "zero"], "W"),
        node("Cast", ["R"], "R_32", to=onnx.TensorProto.FLOAT),
        node("Transpose", ["R_32"], "R_turned", perm=[0, 2, 1]),
        node("Squeeze", ["R_turned", "zero"], "R_flat"),
        node("Unsqueeze", ["R_flat", "zero"], "R_again"),
        node("Reshape", ["bias", "back"], "B_whole"),
        node("Identity", ["B_whole"], "B"),
        lstm("W", "R_again", "B"),
    ]  # fmt: skip
    path = write(tmp_path / "a.onnx", nodes, tensors | bounds)
    assert_runs_alike(path, weights.from_onnx(path)["n"])


@pytest.mark.filterwarnings("ignore")  # PyTorch's own
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_what_pytorch_exports_without_folding_is_read(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(I, H, 2, bidirectional=True).eval()
    x = torch.randn(T, B, I)
    torch.onnx.export(module, (x,), tmp_path / "a.onnx", dynamo=False, do_constant_folding=False)
    y = x.numpy()
    for layer in weights.from_onnx(tmp_path / "a.onnx").values():
        y = layer(y)[0]
    np.testing.assert_allclose(y, module(x)[0].detach().numpy(), rtol=0, atol=1e-6)


def test_weights_that_depend_on_the_input_are_refused(tmp_path: Path) -> None:
    nodes = [node("Add", ["W_0", "x"], "sum"), node("Identity", ["sum"], "W"), lstm()]
    tensors = constants()
    tensors["W_0"] = tensors.pop("W")
    with pytest.raises(ValueError, match="node n must have its W stored in the file, got 'W'"):
        weights.from_onnx(write(tmp_path / "a.onnx", nodes, tensors))


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("kind", ["doubling", "spreading", "product", "circle", "nonsense"])
def test_nodes_that_swell_or_turn_in_circles_are_refused(tmp_path: Path, kind: str) -> None:
    tensors, few = constants(), 60
    tensors["W_0"] = tensors.pop("W")
    nodes = {
        "doubling": [node("Concat", [f"W_{k}"] * 2, f"W_{k + 1}", axis=1) for k in range(few)],
        "spreading": [node("Expand", ["W_0", "shape"], f"W_{few}")],
        "product": [node("Transpose", ["row"], "column"), node("Mul", ["row", "column"], f"W_{few}")],
        "circle": [node("Identity", [f"W_{few}"], f"W_{few}")],
        "nonsense": [node("Reshape", ["W_0", "shape"], f"W_{few}")],
    }[kind]
    tensors |= {"shape": np.array([10**6, 4 * H, I]), "row": np.zeros((1, 10**5), "f4")}
    with pytest.raises(ValueError, match=r"W of node n is damaged: node .* makes no sense|node n depend on themselves"):
        weights.from_onnx(write(tmp_path / "a.onnx", [*nodes, lstm(f"W_{few}", "R", "B")], tensors))


# -------------------------------------------------------------------------------------------------- in subgraphs


def test_nodes_in_the_branches_of_an_if_are_found(tmp_path: Path) -> None:
    """As in detectors of voices, which have a net for each sampling rate; one branch has its weights in itself."""
    helper, tensors = onnx.helper, constants()
    inner = {f"{name}_inner": -array for name, array in tensors.items()}
    then = helper.make_graph(
        [lstm(*inner, name="then")], "then", [], [floats("y_then", "T", 1, "B", H)],
        [onnx.numpy_helper.from_array(array, name) for name, array in inner.items()],
    )  # fmt: skip
    orelse = helper.make_graph([lstm(name="else")], "else", [], [floats("y_else", "T", 1, "B", H)])
    choice = node("If", ["condition"], "y", then_branch=then, else_branch=orelse)
    condition = helper.make_tensor_value_info("condition", onnx.TensorProto.BOOL, [])
    path = write(tmp_path / "a.onnx", [choice], tensors, [condition])
    found = weights.from_onnx(path)
    assert found.keys() == {"then", "else"}
    for name, layer in found.items():
        assert_runs_alike(path, layer, condition=np.array(name == "then"))


def test_names_within_a_subgraph_hide_those_around_it(tmp_path: Path) -> None:
    helper, tensors = onnx.helper, constants()
    body = helper.make_graph([lstm(name="inner")], "body", [floats("W", *SHAPES["W"])], [floats("y_inner")])
    nodes = [node("Loop", ["", "", "W"], "y", body=body)]
    with pytest.raises(ValueError, match="node inner must have its W stored in the file, got 'W'"):
        weights.from_onnx(write(tmp_path / "a.onnx", nodes, tensors))


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (["QGRU", "Relu", "QGRU", "DynamicQuantizeLSTM"], "got QGRU: 2, DynamicQuantizeLSTM: 1$"),
        (["Relu", "MatMul", "Relu"], "got Relu: 2, MatMul: 1$"),
        ([], "got none at all$"),
    ],
)
def test_without_a_node_to_read_the_error_names_what_is_there(tmp_path: Path, kinds: list[str], message: str) -> None:
    nodes = [node(kind, ["x"], f"y_{k}") for k, kind in enumerate(kinds)]
    with pytest.raises(ValueError, match="must have at least one LSTM, GRU or RNN node, " + message):
        weights.from_onnx(write(tmp_path / "a.onnx", nodes, {}))


def test_an_lstm_of_another_domain_is_none(tmp_path: Path) -> None:
    nodes = [onnx.helper.make_node("LSTM", ["x", *SHAPES], ["y"], "n", domain="com.example", hidden_size=H)]
    with pytest.raises(ValueError, match=r"at least one LSTM, GRU or RNN node, got com\.example\.LSTM: 1"):
        weights.from_onnx(write(tmp_path / "a.onnx", nodes, constants()))


# --------------------------------------------------------------------------------------------------------- states


def with_states(path: Path, h: np.ndarray, c: np.ndarray, *nodes: Any, names: Sequence[str] = "hc") -> Path:
    return write(path, [*nodes, lstm(*SHAPES, "", *names)], constants(h=h, c=c, shape=np.array([1, B, H])))


def test_states_of_zeros_are_what_a_layer_begins_with(tmp_path: Path) -> None:
    zeros = np.zeros((1, B, H), "f4")
    path = with_states(tmp_path / "a.onnx", zeros, zeros)
    assert_runs_alike(path, weights.from_onnx(path)["n"])
    nodes = [node("Expand", ["h", "shape"], "h_0"), node("ConstantOfShape", ["shape"], "c_0")]
    path = with_states(tmp_path / "a.onnx", zeros[:, :1, :1], zeros, *nodes, names=["h_0", "c_0"])
    assert_runs_alike(path, weights.from_onnx(path)["n"])


def test_other_states_are_not_dropped_in_silence(tmp_path: Path) -> None:
    zeros, ones = np.zeros((1, B, H), "f4"), np.ones((1, B, H), "f4")
    with pytest.warns(UserWarning, match="node n begins with an initial_c stored in the file that is not zeros"):
        weights.from_onnx(with_states(tmp_path / "a.onnx", zeros, ones))
    with pytest.warns(UserWarning, match="node n begins with an initial_h and an initial_c") as caught:
        weights.from_onnx(with_states(tmp_path / "a.onnx", ones, ones))
    assert caught[0].filename == __file__
    sizes = [node("Shape", ["x"], "sizes"), node("Expand", ["h", "sizes"], "h_0")]  # of the batch at hand
    with pytest.warns(UserWarning, match="node n begins with an initial_h"):
        weights.from_onnx(with_states(tmp_path / "a.onnx", ones[:, :1], zeros, *sizes, names=["h_0", "c"]))
    value = onnx.numpy_helper.from_array(np.ones(1, "f4"))
    filled = node("ConstantOfShape", ["shape"], "c_0", value=value)
    with pytest.warns(UserWarning, match="node n begins with an initial_c"):
        weights.from_onnx(with_states(tmp_path / "a.onnx", zeros, zeros, filled, names=["h", "c_0"]))


def test_a_damaged_state_is_named_with_its_node(tmp_path: Path) -> None:
    nothing = onnx.helper.make_node("Expand", [], ["h_0"])
    path = with_states(tmp_path / "a.onnx", np.zeros(1, "f4"), np.zeros(1, "f4"), nothing, names=["h_0", "c"])
    with pytest.raises(ValueError, match="initial_h of node n is damaged: node h_0 makes no sense"):
        weights.from_onnx(path)


def test_projections_are_refused(tmp_path: Path) -> None:
    """PyTorch's exporter of 2.9 writes an LSTM with `proj_size` as one of so many units, whose c is wider."""
    message = f"node n must have an initial_c as wide as its hidden_size {H}, got width 8: .*proj_size"
    zeros = np.zeros((1, B, H), "f4")
    with pytest.raises(ValueError, match=message):
        weights.from_onnx(with_states(tmp_path / "a.onnx", zeros, np.zeros((1, B, 8), "f4")))
    path = write(tmp_path / "a.onnx", [lstm(*SHAPES, "", "", "c")], constants(), [floats("c", 1, "B", 8)])
    with pytest.raises(ValueError, match=message):
        weights.from_onnx(path)
    path = write(tmp_path / "a.onnx", [lstm(*SHAPES, "", "", "c")], constants(), [floats("c", 1, "B", "width")])
    assert weights.from_onnx(path)["n"].hidden_size == H


def test_bfloat16_is_called_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", [lstm()], constants())
    model = onnx.load(path)
    tensor = onnx.helper.make_tensor("W", onnx.TensorProto.BFLOAT16, SHAPES["W"], drawn(*SHAPES["W"]).ravel())
    model.graph.initializer[0].CopyFrom(tensor)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(TypeError, match="W of node n must be float32 or float64, got bfloat16; convert it first"):
        weights.from_onnx(path)
