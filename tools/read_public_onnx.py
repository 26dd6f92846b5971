"""Reads ONNX models that others have made, and holds each net read against ONNX Runtime's run of the very node.

``python tools/read_public_onnx.py FILE...`` takes ONNX files and Python packages that hold some, as ``pip download
--no-deps`` fetches them (wheels, sdists, archives in them), and prints the rows of the table in docs/exchange.md: what
a model holds, what `nblstm.weights.from_onnx` makes of it, the largest difference of y, h_n and c_n from those of ONNX
Runtime, and how far those are from the same net in float64. Models of a package of one form share a row, and those
without a recurrent node have none. It needs onnx and onnxruntime.

A node is taken out of its model together with all that its weights come from, gets 23 steps of 3 sequences of normal
numbers and states of normal numbers, and runs alone: so no model needs input that makes sense to it, and nodes in
branches run too. Where weights are rounded to 8 bits, ONNX Runtime rounds x and h as well, and so does this for the net
read, one sequence and one step at a time.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
from onnx import helper

from nblstm import Recurrent, weights

RECURRENT = ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM")
STEPS, BATCH = 23, 3
Scope = dict[str, Any]  # of each name the stored tensor, or the node, that it stands for


def models_in(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of the ONNX files that a file is or holds."""
    if name.endswith(".onnx"):
        yield name.rsplit("/", 1)[-1], content
    elif name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                if member.endswith((".onnx", ".zip", ".tar.gz")):
                    yield from models_in(member, archive.read(member))
    elif name.endswith(".tar.gz"):
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for entry in archive.getmembers():
                if entry.isfile() and entry.name.endswith((".onnx", ".zip", ".tar.gz")):
                    opened = archive.extractfile(entry)
                    assert opened is not None
                    yield from models_in(entry.name, opened.read())


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

    operands = [*node.input, *[""] * (12 - len(node.input))]
    for place in (1, 2, 3, 7, 8, 9, 10, 11):
        add(operands[place])
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    given, returned = ["x", *operands[1:4], "", "h_0"], ["Y", "h_n"]
    if "LSTM" in node.op_type:
        given, returned = [*given, "c_0", *operands[7 : max(8, len(node.input))]], [*returned, "c_n"]
    alone.input[:], alone.output[:] = given, returned

    def value(name: str) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)

    inputs = [value(name) for name in given if name in ("x", "h_0", "c_0")]
    nodes = [*{id(each): each for each in before.values()}.values(), alone]
    graph = helper.make_graph(nodes, "alone", inputs, list(map(value, returned)), list(tensors.values()))
    found = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    return found.SerializeToString()


def differences(model: Any, node: Any, scope: Scope, layer: Any) -> tuple[float, float]:
    """Largest differences of y, h_n and c_n: ONNX Runtime's run of the node from the layer read, and from float64."""
    rng = np.random.default_rng(0)
    rounded = node.op_type == "DynamicQuantizeLSTM"
    batch = 1 if rounded else BATCH  # of several it may round some together, as its threads share them out
    x = rng.standard_normal((STEPS, batch, layer.input_size)).astype("float32")
    form = (layer.directions, batch, layer.hidden_size)
    given = {f"{kind}_0": rng.standard_normal(form).astype("float32") for kind in layer.cell.states}
    session = onnxruntime.InferenceSession(node_alone(model, node, scope), providers=["CPUExecutionProvider"])
    exact = Recurrent(
        layer.cell.name, layer.input_size, layer.hidden_size, bias=layer.bias, bidirectional=layer.bidirectional,
        dtype="float64",
    )  # fmt: skip
    exact.load_state_dict({name: tensor.astype("float64") for name, tensor in layer.state_dict().items()})
    # With weights of 8 bits ONNX Runtime rounds x and h as well; then step by step, each from its own last state.
    found = [0.0, 0.0]
    for piece in np.split(x, STEPS) if rounded else [x]:
        Y, *last = session.run(None, {"x": piece} | given)
        theirs = [Y.transpose(0, 2, 1, 3).reshape(*piece.shape[:2], -1), *last]
        for k, net in enumerate((layer, exact)):
            taken, (h, *others) = piece, given.values()
            if rounded:
                taken, h = to_8_bits(piece), np.stack([to_8_bits(direction) for direction in h])
            states = [state.astype(net.dtype) for state in (h, *others)]
            y, reached = net(taken.astype(net.dtype), tuple(states) if others else states[0])
            ours = [y, *(reached if isinstance(reached, tuple) else (reached,))]
            found[k] = max(found[k], *(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True)))
        given = dict(zip(given, last, strict=True))
    return found[0], found[1]


def to_8_bits(array: np.ndarray) -> np.ndarray:
    """The numbers nearest to those of `array` among 256 from its smallest, or 0, to its largest, or 0."""
    low, high = min(array.min(), np.float32(0)), max(array.max(), np.float32(0))
    scale = (high - low) / np.float32(255)
    zero = np.rint(-low / scale)
    return scale * (np.clip(np.rint(array / scale) + zero, 0, 255) - zero)


def read(content: bytes) -> tuple[str, str, tuple[float, float] | None]:
    """What a model holds, what becomes of it, and the differences if there is something to compare."""
    model = onnx.load_from_string(content)
    model = onnx.inliner.inline_local_functions(model) if model.functions else model
    recurrent = list(nodes_of(model.graph, {}))
    kinds = Counter(node.op_type for node, _ in recurrent if node.op_type in RECURRENT)
    holds = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        warnings.simplefilter("always")
        try:
            layers = weights.from_onnx(path)
        except (ValueError, TypeError) as error:
            return holds, f"refused: {str(error).removeprefix(str(path)).strip()}", None
    pairs = [
        differences(model, node, scope, layers[node.name or next(filter(None, node.output))])
        for node, scope in recurrent
        if node.op_type in RECURRENT
    ]
    forms = Counter(map(repr, layers.values()))
    made = [f"{count} `{form}`" if count > 1 else f"`{form}`" for form, count in forms.items()]
    largest = max(ours for ours, _ in pairs), max(exact for _, exact in pairs)
    told = {str(warning.message).split(", which")[0].split(" ", 2)[2] for warning in caught}  # without the node's name
    return holds, "; ".join([*made, *sorted(told)]), largest


def rows(path: Path) -> Iterator[str]:
    """The rows of the table for a file."""
    package = " ".join(path.name.removesuffix(".tar.gz").split("-")[:2]) if path.suffix != ".onnx" else ""
    groups: dict[tuple[str, str], list[tuple[str, tuple[float, float] | None]]] = {}
    for name, content in models_in(path.name, path.read_bytes()):
        holds, becomes, largest = read(content)
        if holds or not package:
            groups.setdefault((holds, becomes), []).append((name, largest))
    for (holds, becomes), members in groups.items():
        more = f" and {len(members) - 1} more" * (len(members) > 1)
        compared = [largest for _, largest in members if largest]
        figures = [f"{max(pair[k] for pair in compared):.0e}" for k in range(2)] if compared else ["", ""]
        yield f"| {package} | `{members[0][0]}`{more} | {holds} | {becomes} | {' | '.join(figures)} |"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        for line in rows(Path(name)):
            print(line, flush=True)
