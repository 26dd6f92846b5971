"""What an ONNX model is put together from: nodes, weights, inputs and outputs, and the layers as nodes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from nblstm.cells.gru import GRU
from nblstm.cells.rnn import RNN_RELU
from nblstm.layers.embedding import Embedding
from nblstm.layers.linear import Linear
from nblstm.weights.onnx.form import ACTIVATIONS, GATES, OPERATORS, PEEPHOLES
from nblstm.weights.tracks import Track, tracks_of

OPSET, IR_VERSION = 14, 8  # old enough for the runtimes in use


class Graph:
    """The nodes, weights, inputs and outputs of one model as ONNX has them; values go by their names."""

    def __init__(self, onnx: ModuleType, name: str) -> None:
        self.onnx, self.name = onnx, name
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.metadata: dict[str, str] = {}

    def model(self) -> Any:
        """All of it as one model, which ONNX's checker accepts."""
        helper = self.onnx.helper
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        model = helper.make_model(
            graph, producer_name="nblstm", ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
        )
        helper.set_model_props(model, self.metadata)
        self.onnx.checker.check_model(model, full_check=True)
        return model

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """A node of one output, which is returned."""
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def cast(self, value: str, dtype: np.dtype, output: str) -> str:
        """The same numbers in another type."""
        return self.node("Cast", [value], output, to=self.onnx.helper.np_dtype_to_tensor_dtype(dtype))

    def split(self, whole: str, sizes: str, parts: list[str], axis: int) -> list[str]:
        """Parts of these sizes along an axis."""
        self.nodes.append(self.onnx.helper.make_node("Split", [whole, sizes], parts, axis=axis))
        return parts

    def weight(self, name: str, array: np.ndarray) -> str:
        """A tensor that the file stores."""
        self.weights.append(self.onnx.numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def input(self, name: str, dtype: np.dtype, shape: tuple[str | int, ...]) -> str:
        """What the model is given; extents that are names may differ from run to run."""
        self.inputs.append(self._value(name, dtype, shape))
        return name

    def output(self, value: str, name: str, dtype: np.dtype, shape: tuple[str | int, ...]) -> None:
        """What the model returns, under a name of its own."""
        self.node("Identity", [value], name)
        self.outputs.append(self._value(name, dtype, shape))

    def embedding(self, layer: Embedding, tokens: str, prefix: str = "") -> str:
        """The vectors of `tokens`."""
        return self.node(
            "Gather", [self.weight(f"{prefix}embedding.weight", layer.params["weight"]), tokens], f"{prefix}vectors"
        )

    def linear(self, layer: Linear, x: str, prefix: str = "") -> str:
        """The layer over the last axis of x."""
        weight = self.weight(f"{prefix}linear.weight", layer.params["weight"].T)
        product = self.node("MatMul", [x, weight], f"{prefix}product")
        if "bias" not in layer.params:
            return product
        return self.node("Add", [product, self.weight(f"{prefix}linear.bias", layer.params["bias"])], f"{prefix}sum")

    def recurrent(self, layer: Any, x: str, *, states: bool, lengths: str = "", prefix: str = "") -> tuple[str, str]:
        """All of a layer's `num_layers` over x (T, B, I): y, and the top one's h_n.

        With `states` the layer begins with inputs of the model, and what it ends with are outputs; else with zeros.
        """
        L, D, H = layer.num_layers, layer.directions, layer.hidden_size
        kinds = layer.cell.states
        initial = {kind: [""] * L for kind in kinds}
        final: dict[str, list[str]] = {kind: [] for kind in kinds}
        if states:
            for kind in kinds:
                whole = self.input(f"{prefix}{kind}_0", layer.dtype, (L * D, "B", H))
                initial[kind] = self._split(whole, f"{prefix}{kind}", L, D) if L > 1 else [whole]
        tracks = tracks_of(layer)
        operator = OPERATORS[len(layer.cell.sums)]
        own = {"linear_before_reset": int(layer.cell is GRU)} if operator == "GRU" else {}
        merged = self.weight(f"{prefix}shape_of_y", np.array([0, 0, D * H]))
        h_n = ""
        for k in range(L):
            suffix = f"l{k}"
            first = [initial[kind][k] for kind in kinds]
            operands = self._operands(f"{prefix}{{}}_{suffix}", tracks[k * D : (k + 1) * D], lengths, first)
            outputs = [f"{prefix}Y_{suffix}", *(f"{prefix}{kind}_n_{suffix}" for kind in kinds)]
            node = self.onnx.helper.make_node(
                operator,
                [x, *operands],
                outputs,
                f"{self.name}.{prefix}{suffix}",
                hidden_size=H,
                direction="bidirectional" if D == 2 else "forward",
                activations=ACTIVATIONS[operator][layer.cell is RNN_RELU] * D,
                **own,
            )
            self.nodes.append(node)
            by_batch = self.node("Transpose", [outputs[0]], f"{prefix}Y_{suffix}_by_batch", perm=[0, 2, 1, 3])
            x = self.node("Reshape", [by_batch, merged], f"{prefix}y_{suffix}")
            h_n = outputs[1]
            for kind, name in zip(kinds, outputs[1:], strict=True):
                final[kind].append(name)
        if states:
            for kind in kinds:
                joined = self.node("Concat", final[kind], f"{prefix}{kind}_n_joined", axis=0)
                self.output(joined, f"{prefix}{kind}_n", layer.dtype, (L * D, "B", H))
        return x, h_n

    def _operands(self, form: str, tracks: list[Track], lengths: str, initial: list[str]) -> list[str]:
        """W, R, B, lengths, initial states and P of one node; `form` makes a name of each letter."""
        order = GATES[len(tracks[0].ih)]
        names = [
            self.weight(form.format("W"), np.stack([np.concatenate(track.ih[order]) for track in tracks])),
            self.weight(form.format("R"), np.stack([np.concatenate(track.hh[order]) for track in tracks])),
            "",
            lengths,
            *initial,
        ]
        if tracks[0].bias_ih is not None:
            biases = [np.array([track.bias_ih, track.bias_hh])[:, order].ravel() for track in tracks]
            names[2] = self.weight(form.format("B"), np.stack(biases))
        if tracks[0].peephole is not None:
            peepholes = [np.asarray(track.peephole)[PEEPHOLES].ravel() for track in tracks]
            names.append(self.weight(form.format("P"), np.stack(peepholes)))
        return names

    def _split(self, whole: str, name: str, L: int, D: int) -> list[str]:
        """The states of each of L layers, from those of all."""
        sizes = self.weight(f"layers_of_{name}", np.full(L, D))
        return self.split(whole, sizes, [f"{name}_0_l{k}" for k in range(L)], axis=0)

    def _value(self, name: str, dtype: np.dtype, shape: tuple[str | int, ...]) -> Any:
        helper = self.onnx.helper
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)
