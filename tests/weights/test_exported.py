"""What PyTorch's exporters write besides plain nodes is read: functions, weights cut by extents, sizes that differ.

The files are built as ``torch.onnx.export`` of PyTorch 2.13 writes them (dynamo, with ``optimize=False``), whose own
files were read and compared with ONNX Runtime when these tests were written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.onnx_files import SHAPES, B, H, I, T, assert_runs_alike, constants, drawn32, floats, lstm, node, write

from nblstm import Sequential, weights

onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
pytestmark = pytest.mark.peers

# ------------------------------------------------------------------------------------------------------- functions


def function(name: str, nodes: Sequence[Any], inputs: Sequence[str], outputs: Sequence[str], opset: int = 18) -> Any:
    imports = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("own", 1)]
    return onnx.helper.make_function("own", name, inputs, outputs, nodes, imports, ["units"])


def call(name: str, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    return onnx.helper.make_node(name, inputs, outputs, f"call of {name}", domain="own", units=H)


def write_with_functions(path: Path, nodes: Sequence[Any], functions: Sequence[Any]) -> Path:
    model = onnx.load(write(path, nodes, constants()))
    model.functions.extend(functions)
    model.opset_import.append(onnx.helper.make_opsetid("own", 1))
    model.graph.output.append(floats("y", "T", 1, "B", H))
    path.write_bytes(model.SerializeToString())
    return path


def lstm_of_units() -> Any:
    """An LSTM whose hidden_size is an attribute of the function that it is in."""
    found = lstm(name="inner")
    (attribute,) = found.attribute
    attribute.ref_attr_name = "units"
    attribute.ClearField("i")
    return found


def test_nodes_in_functions_are_found_once_for_each_call(tmp_path: Path) -> None:
    """Those of a function that another one calls too, and with weights in a file beside."""
    cell = function("cell", [lstm_of_units()], ["x", *SHAPES], ["y_inner"])
    turned = function(
        "turned",
        [
            node("Neg", ["x"], "minus"),
            onnx.helper.make_node("cell", ["minus", *SHAPES], ["y_outer"], domain="own", units=H),
        ],
        ["x", *SHAPES],
        ["y_outer"],
    )
    nodes = [
        call("cell", ["x", *SHAPES], ["y_0"]),
        call("turned", ["x", *SHAPES], ["y_1"]),
        node("Add", ["y_0", "y_1"], "y"),
    ]
    path = write_with_functions(tmp_path / "a.onnx", nodes, [cell, turned])
    found = weights.from_onnx(path)
    assert len(found) == 2
    plain, minus = found.values()
    assert_runs_alike(path, lambda x: [plain(x)[0] + minus(-x)[0]])
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, location="a.data", size_threshold=0)
    beside = weights.from_onnx(path)
    assert [layer.flat_params.tobytes() for layer in beside.values()] == [plain.flat_params.tobytes()] * 2


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("doubling", "more nodes would come of its functions than a model can need"),
        ("circle", "its functions call one another in a circle, or too deeply"),
        ("deep", "its functions call one another in a circle, or too deeply"),
        ("opset", "function f_0 must have the opset of the model"),
        ("nonsense", "its functions cannot take the places of their calls"),
    ],
)
def test_functions_that_swell_or_make_no_sense_are_refused(tmp_path: Path, kind: str, message: str) -> None:
    last = function("f_0", [lstm(name="inner")], ["x", *SHAPES], ["y_inner"], opset=14 if kind == "opset" else 18)
    each = {"doubling": 2, "deep": 1}.get(kind, 0)
    more = [
        function(
            f"f_{k}", [call(f"f_{k - 1}", ["x", *SHAPES], [f"y_{n}"]) for n in range(each)], ["x", *SHAPES], ["y_0"]
        )
        for k in range(1, {"doubling": 60, "deep": 3000}.get(kind, 1))
    ]
    if kind == "circle":
        last = function("f_0", [call("f_0", ["x", *SHAPES], ["y_0"])], ["x", *SHAPES], ["y_0"])
    if kind == "nonsense":
        more = [last]  # twice under one name
    top = call(f"f_{len(more) if each else 0}", ["x", *SHAPES], ["y"])
    with pytest.raises(ValueError, match=message):
        weights.from_onnx(write_with_functions(tmp_path / "a.onnx", [top], [last, *more]))


# ------------------------------------------------------------------------------------------------- cut by extents


def cut(units: str) -> tuple[list[Any], dict[str, np.ndarray]]:
    """Nodes that cut the gates out of PyTorch's weights by a number of units that other nodes compute."""
    W, R = drawn32(4 * H, I), drawn32(4 * H, H)
    nodes = [node("Mul", [units, f"times_{k}"], f"at_{k}") for k in range(5)]
    for name in ("W", "R"):
        nodes += [node("Slice", [f"{name}_torch", f"at_{k}", f"at_{k + 1}", "zero"], f"{name}_{k}") for k in range(4)]
        nodes += [node("Concat", [f"{name}_{k}" for k in (0, 3, 1, 2)], f"{name}_joined", axis=0)]
        nodes += [node("Unsqueeze", [f"{name}_joined", "zero"], name)]
    times = {f"times_{k}": np.array([k]) for k in range(5)}
    return nodes, {"W_torch": W, "R_torch": R, "zero": np.array([0]), "one": np.array([1])} | times


def zeros_of_the_batch(width: int = H) -> tuple[list[Any], dict[str, np.ndarray]]:
    """An initial state as wide as it is told, for the batch at hand."""
    nodes = [
        node("Shape", ["x"], "batch", start=1, end=2),
        node("Concat", ["one", "batch", "width"], "shape", axis=0),
        node("Expand", ["nothing", "shape"], "zeros"),
        node("Slice", ["zeros", "zero", "one", "zero"], "h_0"),
    ]
    return nodes, {"nothing": np.zeros((), "f4"), "width": np.array([width])}


def test_weights_cut_by_the_extents_of_a_state_are_read(tmp_path: Path) -> None:
    states, first = zeros_of_the_batch()
    slices, second = cut("units")
    nodes = [*states, node("Shape", ["zeros"], "units", start=2, end=3), *slices, lstm("W", "R", "", "", "h_0", "h_0")]
    path = write(tmp_path / "a.onnx", nodes, first | second, known=[floats("zeros", 1, "B", H)])
    assert_runs_alike(path, weights.from_onnx(path)["n"])


def test_weights_cut_by_the_extents_of_an_input_are_read(tmp_path: Path) -> None:
    """In the branch of an If, and with a state that the model is given."""
    slices, tensors = cut("units")
    inner = [node("Shape", ["h"], "units", start=-1), *slices, lstm("W", "R", "", "", "h", "h")]
    then = onnx.helper.make_graph(inner, "then", [], [floats("y_n", "T", 1, "B", H)])
    orelse = onnx.helper.make_graph([node("Identity", ["y_none"], "y_else")], "else", [], [floats("y_else")])
    nodes = [node("If", ["yes"], "y", then_branch=then, else_branch=orelse)]
    tensors |= {"yes": np.array(True), "y_none": np.zeros((1, 1, 1, H), "f4")}
    path = write(tmp_path / "a.onnx", nodes, tensors, [floats("h", 1, "B", H)])
    h = drawn32(1, B, H)
    (layer,) = weights.from_onnx(path).values()
    assert_runs_alike(path, lambda x: layer(x, (h, h)), h=h)


def test_weights_cut_by_what_a_run_decides_are_refused_by_name(tmp_path: Path) -> None:
    slices, tensors = cut("units")
    nodes = [node("Shape", ["x"], "units", start=0, end=1), *slices, lstm("W", "R")]
    message = r"node n must have its W stored in the file, got 'W', by node node of units \(Shape\)"
    with pytest.raises(ValueError, match=message):
        weights.from_onnx(write(tmp_path / "a.onnx", nodes, tensors))
    twice = [floats("h", 1, "B", H), floats("h", 1, "B", H + 1)]  # of two branches, say
    nodes = [node("Shape", ["h"], "units", start=2, end=3), *slices, lstm("W", "R")]
    with pytest.raises(ValueError, match=message):
        weights.from_onnx(write(tmp_path / "a.onnx", nodes, tensors, twice))
    nodes = [node("Reshape", ["x", "one"], "W"), lstm("W", "R_torch")]
    with pytest.raises(ValueError, match="got 'W', by input 'x'"):
        weights.from_onnx(write(tmp_path / "a.onnx", nodes, tensors))


def test_projections_behind_a_slice_are_refused(tmp_path: Path) -> None:
    states, tensors = zeros_of_the_batch(8)
    nodes = [*states, lstm(*SHAPES, "", "", "h_0")]
    path = write(tmp_path / "a.onnx", nodes, constants() | tensors | cut("")[1], known=[floats("zeros", 1, "B", 8)])
    with pytest.raises(ValueError, match=f"an initial_c as wide as its hidden_size {H}, got width 8"):
        weights.from_onnx(path)


# -------------------------------------------------------------------------------------------- sizes that differ


def test_nodes_of_different_sizes_make_a_sequential(tmp_path: Path) -> None:
    tensors = constants(
        V=drawn32(2, 4 * 3, H), S=drawn32(2, 4 * 3, 3), turn=np.array([0, 0, -1]), W_3=drawn32(1, 4 * H, 6)
    )
    nodes = [
        lstm(name="first"),
        node("Squeeze", ["y_first", "one"], "x_1"),
        onnx.helper.make_node("LSTM", ["x_1", "V", "S"], ["y_1"], "second", hidden_size=3, direction="bidirectional"),
        node("Transpose", ["y_1"], "y_2", perm=[0, 2, 1, 3]),
        node("Reshape", ["y_2", "turn"], "x_2"),
        onnx.helper.make_node("LSTM", ["x_2", "W_3", "R", "B"], ["y"], "third", hidden_size=H),
    ]
    path = write(tmp_path / "a.onnx", nodes, tensors | {"one": np.array([1])}, outputs=[floats("y", "T", 1, "B", H)])
    net = Sequential(*weights.from_onnx(path).values())
    assert [layer.hidden_size for layer in net.layers] == [H, 3, H]
    assert_runs_alike(path, net)


@pytest.mark.filterwarnings("ignore")  # PyTorch's own
def test_what_pytorchs_newer_exporter_writes_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    pytest.importorskip("onnxscript", reason="needs onnxscript, which PyTorch's exporter needs")
    torch.manual_seed(0)
    module = torch.nn.LSTM(I, H, 2, bidirectional=True).eval()
    x = torch.randn(T, B, I)
    batch = {1: torch.export.Dim("B", min=2, max=100)}
    torch.onnx.export(
        module, (x,), tmp_path / "a.onnx", dynamo=True, optimize=False, dynamic_shapes=(batch,), verbose=False
    )
    net = Sequential(*weights.from_onnx(tmp_path / "a.onnx").values())
    np.testing.assert_allclose(net(x.numpy())[0], module(x)[0].detach().numpy(), rtol=0, atol=1e-6)
