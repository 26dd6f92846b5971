"""ONNX files of a few nodes, made with onnx.helper, and a layer beside ONNX Runtime's run of such a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.record_exchange import drawn

onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
T, B, I, H = 5, 2, 4, 5  # not those of the recorded cases: the nodes here are made in this file
SHAPES = {"W": (1, 4 * H, I), "R": (1, 4 * H, H), "B": (1, 8 * H)}


def drawn32(*shape: int) -> np.ndarray:
    return drawn(*shape).astype("float32")


def constants(**more: np.ndarray) -> dict[str, np.ndarray]:
    return {name: drawn32(*shape) for name, shape in SHAPES.items()} | more


def lstm(*inputs: str, name: str = "n", **attributes: Any) -> Any:
    """An LSTM node with the inputs x, W, R, B unless others are given."""
    operands = ["x", *(inputs or SHAPES)]
    return onnx.helper.make_node("LSTM", operands, [f"y_{name}"], name, **({"hidden_size": H} | attributes))


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, inputs, [output], f"node of {output}", **attributes)


def floats(name: str, *shape: int | str) -> Any:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def write(
    path: Path, nodes: Sequence[Any], tensors: dict[str, np.ndarray], inputs: Sequence[Any] = (), *,
    known: Sequence[Any] = (), outputs: Sequence[Any] = (),
) -> Path:  # fmt: skip
    """A model of these nodes; those of its LSTM nodes that stand in the graph itself give its outputs by default.

    `known` are values between nodes, with the shapes that the file is to tell.
    """
    helper = onnx.helper
    outputs = outputs or [floats(one.output[0], "T", 1, "B", H) for one in nodes if one.op_type in ("LSTM", "If")]
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "g", [floats("x", "T", "B", I), *inputs], outputs, stored, value_info=known)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def assert_runs_alike(path: Path, layer: Callable[[np.ndarray], Any], **given: np.ndarray) -> None:
    """ONNX Runtime makes of the file what the layer read from it makes."""
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: the extra `peers`")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = drawn32(T, B, I)
    y = session.run(None, {"x": x} | given)[0]
    np.testing.assert_allclose(layer(x)[0], y[:, 0], rtol=0, atol=1e-6)
