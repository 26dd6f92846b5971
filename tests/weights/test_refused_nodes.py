"""Nodes of ONNX files that do what nblstm does not, or that make no sense, are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.record_exchange import drawn

from nblstm import weights

onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
pytestmark = pytest.mark.peers


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
    W = changes.pop("W", "W") if "W" in changes else "W"
    node = onnx.helper.make_node("LSTM", ["x", W, "R"], ["y"], "n", **({"hidden_size": 5} | changes))
    tensors = [onnx.numpy_helper.from_array(drawn(1, 20, n), name) for name, n in (("W", 4), ("R", 5))]
    graph = onnx.helper.make_graph([node], "g", [], [], tensors)
    (tmp_path / "a.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(ValueError, match=message):
        weights.from_onnx(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activations": ["HardSigmoid", "Tanh"]}, "the activations HardSigmoid, Tanh"),
        ({"linear_before_reset": 1, "activations": ["Sigmoid", "Relu"]}, "the activations Sigmoid, Relu"),
        ({"linear_before_reset": 1, "hidden_size": 3}, "W and R of node n must have 3 blocks of 3 rows"),
    ],
)
def test_grus_that_nblstm_has_not_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    node = onnx.helper.make_node("GRU", ["x", "W", "R"], ["y"], "n", **({"hidden_size": 5} | changes))
    tensors = [onnx.numpy_helper.from_array(drawn(1, 15, n), name) for name, n in (("W", 4), ("R", 5))]
    graph = onnx.helper.make_graph([node], "g", [], [], tensors)
    (tmp_path / "a.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(ValueError, match=message):
        weights.from_onnx(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"P": 1}, "P of node n must have 3 blocks of 5"),
        ({"P": 4}, "P of node n must have 3 blocks of 5"),
        ({"direction": 3}, "is damaged: node n cannot be read"),
        ({"activations": [1.0]}, "is damaged: node n cannot be read"),
        ({"twice": True}, "a name of its own for each LSTM, GRU and RNN node, got n twice"),
    ],
)
def test_nodes_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    changes = dict(changes)
    shapes = {"W": (1, 20, 4), "R": (1, 20, 5), "P": (1, 5 * changes.pop("P", 3))}
    nodes = 1 + changes.pop("twice", False)
    tensors = [onnx.numpy_helper.from_array(drawn(*shape), name) for name, shape in shapes.items()]
    node = onnx.helper.make_node("LSTM", ["x", "W", "R", "", "", "", "", "P"], ["y"], "n", hidden_size=5, **changes)
    graph = onnx.helper.make_graph([node] * nodes, "g", [], [], tensors)
    (tmp_path / "a.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(ValueError, match=message):
        weights.from_onnx(tmp_path / "a.onnx")


def test_nodes_without_a_name_are_named_by_their_first_output(tmp_path: Path) -> None:
    """Which need not be y: it may be left out."""
    tensors = [onnx.numpy_helper.from_array(drawn(1, 20, n), name) for name, n in (("W", 5), ("R", 5))]
    nodes = [onnx.helper.make_node("LSTM", [x, "W", "R"], ["", h]) for x, h in (("x", "h"), ("h", "k"))]
    nodes.append(onnx.helper.make_node("Constant", [], ["nothing"]))
    graph = onnx.helper.make_graph(nodes, "g", [], [], tensors)
    (tmp_path / "a.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    assert list(weights.from_onnx(tmp_path / "a.onnx")) == ["h", "k"]


def test_files_that_are_no_onnx_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"\xff" * 50)
    with pytest.raises(ValueError, match="damaged or no ONNX file"):
        weights.from_onnx(tmp_path / "a.onnx")
    (tmp_path / "a.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match="at least one LSTM, GRU or RNN node"):
        weights.from_onnx(tmp_path / "a.onnx")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        weights.from_onnx(tmp_path / "b.onnx")
