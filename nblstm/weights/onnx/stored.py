"""What an ONNX file has stored: tensors in it or in a file beside it, also where nodes rearrange them before use."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nblstm.weights.onnx.form import LARGEST, STANDARD, first_line

Scope = ChainMap[str, Any]  # what each name stands for in a graph and those around it: a tensor, a node, an array
# What exporters put between stored weights and a node, and what they compute the places of slices with.
FOLDED = {
    "Cast", "Concat", "Constant", "Expand", "Identity", "Mul", "Reshape", "Shape", "Slice", "Squeeze", "Transpose",
    "Unsqueeze",
}  # fmt: skip
SPREADING = {"Expand", "Identity", "Slice"}  # in whose output is no number that their first input has not
WORK = 32  # times the bytes of a file that may be computed from it: far more than rearranging takes


class Stored:
    """The tensors and nodes of a model, and what of it is the same in every run.

    `shapes` has the extents of every value whose shape the file tells, None for one that differs from run to run.
    """

    def __init__(self, onnx: ModuleType, model: Any, path: Path) -> None:
        self.onnx, self.folder = onnx, str(path.parent)
        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        self.shapes: dict[str, list[int | None]] = {}
        self._left = WORK * path.stat().st_size

    def nodes(self, graph: Any, outer: Scope | None = None) -> Iterator[tuple[Any, Scope]]:
        """All nodes in order, each with what the names around it stand for; a node's subgraphs come before it."""
        scope = outer.new_child() if outer is not None else ChainMap()
        for value in (*graph.input, *graph.value_info):
            if value.type.tensor_type.HasField("shape"):
                extents = [extent.dim_value or None for extent in value.type.tensor_type.shape.dim]
                if self.shapes.setdefault(value.name, extents) != extents:  # two branches have two of that name
                    self.shapes[value.name] = []
        scope.update(dict.fromkeys((value.name for value in graph.input), None))  # hides those of the same name around
        scope.update({tensor.name: tensor for tensor in graph.initializer})
        for node in graph.node:
            values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
            origin = values[0] if node.op_type == "Constant" and values else node
            scope.update(dict.fromkeys(filter(None, node.output), origin))
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == self.onnx.AttributeProto.GRAPH:
                    yield from self.nodes(attribute.g, scope)
            yield node, scope

    def array(self, name: str, scope: Scope) -> np.ndarray | None:
        """What `name` stands for in every run; None if it depends on what the model is given."""
        home = next((k for k, names in enumerate(scope.maps) if name in names), None)
        if home is None:
            return None
        found, around = scope.maps[home][name], ChainMap(*scope.maps[home:])
        if isinstance(found, self.onnx.TensorProto):
            found = self._read(found)
        elif isinstance(found, self.onnx.NodeProto):
            found = self._folded(found, around)
        if found is not None:
            scope.maps[home][name] = found
        return found

    def spread(self, name: str, scope: Scope) -> np.ndarray | None:
        """Numbers that `name` consists of, whatever its shape in a run; None if they depend on the model's inputs."""
        array, node = self.array(name, scope), scope.get(name)
        if array is None and isinstance(node, self.onnx.NodeProto):
            if node.op_type in SPREADING:
                return self.spread(node.input[0], scope)
            if node.op_type == "ConstantOfShape":
                values = [self._read(attribute.t) for attribute in node.attribute if attribute.name == "value"]
                return values[0] if values else np.zeros(1, "float32")
        return array

    def width(self, name: str, scope: Scope) -> int | None:
        """The last extent of `name`, if the file tells it, or that of what it is a slice of along the first axis."""
        node = scope.get(name)
        if name not in self.shapes and isinstance(node, self.onnx.NodeProto) and node.op_type == "Slice":
            axes = self.array(node.input[3], scope) if len(node.input) > 3 else None
            return self.width(node.input[0], scope) if axes is not None and not axes.any() else None
        return (self.shapes.get(name) or [None])[-1]

    def _read(self, tensor: Any) -> np.ndarray:
        """A tensor's array; onnx itself sees to it that another file is one in the same folder."""
        try:
            if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
                tensor = self._with_length(tensor)
            return np.asarray(self.onnx.numpy_helper.to_array(tensor, self.folder))
        except Exception as error:  # OSError, ValueError, TypeError, or onnx's own
            raise ValueError(f"tensor {tensor.name} cannot be read: {first_line(error)}") from error

    def _with_length(self, tensor: Any) -> Any:
        """A copy of an external tensor that takes from its file no more than its shape says."""
        itemsize = self.onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        size = math.prod(tensor.dims) * itemsize
        if not 0 <= size <= LARGEST:
            raise ValueError(f"{size:,} bytes, where at most {LARGEST:,} are possible")
        copy = self.onnx.TensorProto()
        copy.CopyFrom(tensor)
        for entry in [entry for entry in copy.external_data if entry.key == "length"]:
            if entry.value != str(size):
                raise ValueError(f"shape {tuple(tensor.dims)} takes {size:,} bytes, and {entry.value[:20]} are stored")
            copy.external_data.remove(entry)
        copy.external_data.add(key="length", value=str(size))
        self._left += WORK * size
        return copy

    def _folded(self, node: Any, scope: Scope) -> np.ndarray | None:
        """The one output of a node all of whose inputs are stored."""
        from onnx.reference import ReferenceEvaluator

        if node.op_type not in FOLDED or node.domain not in STANDARD:
            return None
        if node.op_type == "Shape" and (extents := self._extents(node)) is not None:
            return extents
        operands: dict[str, np.ndarray] = {}
        for name in filter(None, node.input):
            array = self.array(name, scope)
            if array is None:
                return None
            operands[name] = array
        try:
            self._pay(node, [operands[name] for name in node.input if name])
            helper = self.onnx.helper
            inputs, outputs = (
                [helper.make_empty_tensor_value_info(name) for name in names] for names in (operands, node.output[:1])
            )
            graph = helper.make_graph([node], "one node", inputs, outputs)
            return np.asarray(ReferenceEvaluator(graph, opsets=self.opsets).run(None, operands)[0])
        except Exception as error:  # whatever the evaluator meets in a node that makes no sense
            raise ValueError(f"node {node.name or node.output[0]} makes no sense: {first_line(error)}") from error

    def _extents(self, node: Any) -> np.ndarray | None:
        """What a node Shape gives, if the file tells it: exporters cut weights by the last extent of a state."""
        extents = self.shapes.get(node.input[0]) if node.input else None
        if not extents:
            return None
        places = {attribute.name: attribute.i for attribute in node.attribute}
        asked = extents[places.get("start", 0) : places.get("end")]
        return None if None in asked else np.array(asked, np.int64)

    def cause(self, name: str, scope: Scope) -> str:
        """What `name` hangs on that is not the same in every run: the first such node, or an input of the model."""
        node = scope.get(name)
        if not isinstance(node, self.onnx.NodeProto):
            return f"input {name!r}"
        if node.op_type in FOLDED and node.domain in STANDARD:
            moving = [operand for operand in node.input if operand and self.array(operand, scope) is None]
            if node.op_type != "Shape" and moving:
                return self.cause(moving[0], scope)
        return f"node {node.name or name} ({node.op_type})"

    def _pay(self, node: Any, operands: list[np.ndarray]) -> None:
        """Take the largest size that the output can have from what may be computed, before it takes memory."""
        if node.op_type == "Expand":
            size = math.prod(np.broadcast_shapes(operands[0].shape, tuple(map(int, operands[1]))))
        elif node.op_type == "Mul":
            size = math.prod(operand.size for operand in operands)
        else:
            size = sum(operand.size for operand in operands)
        self._left -= 8 * size
        if self._left < 0:
            raise ValueError("more would come of the stored tensors than weights can need")
