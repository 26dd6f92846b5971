"""Reads ONNX files that others have made, and holds each net read against ONNX Runtime's run of the very node.

``python tools/read_public_onnx.py FILE...`` prints a row of the table in docs/exchange.md for each file: what it holds,
what `nblstm.weights.from_onnx` makes of it, and the largest difference of y, h_n and c_n over all its nodes. It needs
onnx and onnxruntime. A node is taken out of its model together with all that its weights come from, gets 23 steps of 3
sequences of normal numbers and states of normal numbers, and runs alone: so no model needs input that makes sense to
it, and nodes in branches run too. The packages that the table's files come from are named there; each is a zip archive.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from nblstm import weights

RECURRENT = ("LSTM", "GRU", "RNN")
STEPS, BATCH = 23, 3
Scope = dict[str, Any]  # of each name the stored tensor, or the node, that it stands for


def nodes_of(graph: Any, around: Scope) -> Iterator[tuple[Any, Scope]]:
    """All nodes, those of subgraphs too, each with what the names around it stand for."""
    scope = around | {tensor.name: tensor for tensor in graph.initializer}
    scope |= {name: node for node in graph.node for name in node.output if name}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes_of(attribute.g, scope)
        yield node, scope


def node_alone(model: Any, node: Any, scope: Scope) -> bytes:
    """A model of this node: x and the initial states are inputs, and its weights come from where they came from."""
    tensors: dict[str, Any] = {}
    before: dict[str, Any] = {}

    def add(name: str) -> None:
        found = scope.get(name)
        if isinstance(found, onnx.TensorProto):
            tensors[name] = found
        elif found is not None and name not in before:
            for operand in filter(None, found.input):
                add(operand)
            before[name] = found

    operands = [*node.input, *[""] * (8 - len(node.input))]
    for place in (1, 2, 3, 7):
        add(operands[place])
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    given = ["x", operands[1], operands[2], operands[3], "", "h_0"]
    given += ["c_0", operands[7]] if node.op_type == "LSTM" else []
    outputs = ["Y", "h_n", "c_n"][: 3 if node.op_type == "LSTM" else 2]
    copy.input[:], copy.output[:] = given, outputs
    nodes = list({id(each): each for each in before.values()}.values())

    def value(name: str) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)

    inputs = [value(name) for name in given if name in ("x", "h_0", "c_0")]
    graph = helper.make_graph([*nodes, copy], "alone", inputs, list(map(value, outputs)), list(tensors.values()))
    opsets = list(model.opset_import)
    return helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version).SerializeToString()


def difference(model: Any, node: Any, scope: Scope, layer: Any) -> float:
    """The largest difference of y, h_n and c_n between the layer read and ONNX Runtime's run of the node."""
    rng = np.random.default_rng(0)
    state = (layer.directions, BATCH, layer.hidden_size)
    x = rng.standard_normal((STEPS, BATCH, layer.input_size)).astype("float32")
    given = {f"{kind}_0": rng.standard_normal(state).astype("float32") for kind in layer.cell.states}
    session = onnxruntime.InferenceSession(node_alone(model, node, scope), providers=["CPUExecutionProvider"])
    Y, *last = session.run(None, {"x": x} | given)
    y, found = layer(x, tuple(given.values()) if len(given) > 1 else given["h_0"])
    members = found if isinstance(found, tuple) else (found,)
    pairs = [(y, Y.transpose(0, 2, 1, 3).reshape(y.shape)), *zip(members, last, strict=True)]
    return max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)


def row(path: Path) -> str:
    """What the file holds, what happens with it, and the largest difference."""
    model = onnx.load(path)
    recurrent = list(nodes_of(model.graph, {}))
    kinds = Counter(node.op_type for node, _ in recurrent if any(kind in node.op_type for kind in RECURRENT))
    holds = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none"
    said: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            layers = weights.from_onnx(path)
        said += [str(warning.message) for warning in caught]
    except (ValueError, TypeError) as error:
        return f"| `{path.name}` | {holds} | refused: {str(error).removeprefix(str(path)).strip()} | |"
    largest = 0.0
    for node, scope in recurrent:
        if node.op_type in RECURRENT:
            name = node.name or next(filter(None, node.output))
            largest = max(largest, difference(model, node, scope, layers[name]))
    forms = Counter(map(repr, layers.values()))
    read = "; ".join(f"{count} x {form}" if count > 1 else form for form, count in forms.items())
    return f"| `{path.name}` | {holds} | {'; '.join([read, *said])} | {largest:.1e} |"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(row(Path(name)), flush=True)
