"""ONNX: whole models written for ONNX Runtime, and the LSTM and RNN nodes of a model read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.arguments import as_path, as_size
from nblstm.layers.embedding import Embedding
from nblstm.layers.linear import Linear
from nblstm.layers.recurrent import LSTM, RNN
from nblstm.layers.single_step import CellLayer
from nblstm.weights.files import atomic_write, check_file
from nblstm.weights.tracks import Track, as_array, gates_apart, layer_of, tracks_of

if TYPE_CHECKING:
    from nblstm.models import CharLM, Network, SequenceModel

OPSET, IR_VERSION = 14, 8  # old enough for the runtimes in use
LARGEST = 2**31 - 1  # bytes that the format, Protocol Buffers, can hold
GATES = {4: [0, 3, 1, 2], 1: [0]}  # i, o, f, c from i, f, g, o: c is our g
BACK = {4: [0, 2, 3, 1], 1: [0]}
PEEPHOLES = [0, 2, 1]  # i, o, f from i, f, o, and back
ACTIVATIONS = {"lstm": ["Sigmoid", "Tanh", "Tanh"], "tanh": ["Tanh"], "relu": ["Relu"]}


def to_onnx(model: LSTM | RNN | Network, path: str | Path) -> None:
    """Write a layer or a whole model to an ONNX file, which ONNX Runtime and other tools run; atomically.

    Steps and batch may have any size at run time. What the inputs and outputs are called, and their shapes:

    ==================== ============================================ ==========================================
    model                inputs                                       outputs
    ==================== ============================================ ==========================================
    `LSTM`, `RNN`        x (T, B, I), h_0 and c_0 (L * D, B, H)       y (T, B, D * H), h_n and c_n as h_0 and c_0
    `CharLM`             tokens int64 (T, B), h_0 and c_0             logits (T, B, V), h_n and c_n
    sequence models      x (T, B, I)                                  z (B, outputs)
    ==================== ============================================ ==========================================

    An RNN has neither c_0 nor c_n. With ``batch_first`` x and y are (B, T, ...). Nothing is dropped.

    Parameters
    ----------
    model : LSTM, RNN, CharLM, SequenceClassifier or SequenceRegressor
    path : str or Path

    Raises
    ------
    ImportError
        The package onnx is missing; the error says how to install it.
    TypeError
        `model` is something else.
    OSError
        `path` cannot be written.

    Notes
    -----
    ONNX Runtime runs float32 models only: its LSTM has no float64.
    """
    onnx = _require_onnx()
    content = _Graph(onnx, model).model().SerializeToString()
    with atomic_write(path) as file:
        file.write(content)


def from_onnx(path: str | Path) -> dict[str, LSTM | RNN]:
    """Every LSTM and RNN node of an ONNX file as a layer, by the name of the node, in the order of the graph.

    Each is a layer of its own: ONNX stacks layers by nodes that follow one another. Initial states and lengths are not
    read, even where the file has them: a layer gets them when it is called.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to LSTM or RNN

    Raises
    ------
    ImportError
        The package onnx is missing; the error says how to install it.
    ValueError
        No ONNX file, no such node, weights that are not stored in the file, or a node that does what nblstm does not:
        direction "reverse", clip, input_forget, other activations. The node is named.
    """
    onnx, path = _require_onnx(), as_path("path", path)
    check_file(path, "an ONNX file")
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{path} is damaged or no ONNX file: {size:,} bytes, where at most {LARGEST:,} are possible")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own errors, which are of no common type
        raise ValueError(f"{path} is damaged or no ONNX file: {error}") from error
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and [attribute.name for attribute in node.attribute] == ["value"]:
            constants[node.output[0]] = node.attribute[0].t
    found: dict[str, LSTM | RNN] = {}
    for node in model.graph.node:
        if node.op_type in ("LSTM", "RNN"):
            name = node.name or next(filter(None, node.output), node.op_type)
            if name in found:
                raise ValueError(f"{path} must have a name of its own for each LSTM and RNN node, got {name} twice")
            try:
                found[name] = _layer_of_node(onnx, node, name, constants)
            except (AttributeError, KeyError) as error:  # of an attribute or a tensor of a kind that ONNX has not there
                raise ValueError(f"{path} is damaged: node {name} cannot be read: {error}") from error
    if not found:
        raise ValueError(f"{path} must have at least one LSTM or RNN node, got none")
    return found


def _require_onnx() -> ModuleType:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            f"this needs the package onnx, which cannot be imported ({error}): pip install onnx"
        ) from error
    return onnx


class _Graph:
    """The nodes, weights, inputs and outputs of one model as ONNX has them."""

    def __init__(self, onnx: ModuleType, model: Any) -> None:
        from nblstm.models import CharLM, SequenceModel

        self.onnx = onnx
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.name = type(model).__name__
        if isinstance(model, (LSTM, RNN)):
            self._add_layer(model)
        elif isinstance(model, CharLM):
            self._add_characters(model)
        elif isinstance(model, SequenceModel):
            self._add_sequences(model)
        else:
            way = ": load its parameters, _l0 after each name, into a layer" if isinstance(model, CellLayer) else ""
            raise TypeError(
                "model must be an LSTM, RNN, CharLM, SequenceClassifier or SequenceRegressor, "
                f"got {type(model).__name__}{way}"
            )

    def model(self) -> Any:
        """All of it as one model, which ONNX's checker accepts."""
        helper = self.onnx.helper
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        model = helper.make_model(
            graph, producer_name="nblstm", ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
        )
        self.onnx.checker.check_model(model, full_check=True)
        return model

    def _add_layer(self, layer: LSTM | RNN) -> None:
        form = ("B", "T") if layer.batch_first else ("T", "B")
        x = self._input("x", layer.dtype, (*form, layer.input_size))
        if layer.batch_first:
            x = self._node("Transpose", [x], "x_by_time", perm=[1, 0, 2])
        y, _ = self._recurrent(layer, x, states=True)
        if layer.batch_first:
            y = self._node("Transpose", [y], "y_by_batch", perm=[1, 0, 2])
        self._output(y, "y", layer.dtype, (*form, layer.directions * layer.hidden_size))

    def _add_characters(self, model: CharLM) -> None:
        tokens = self._input("tokens", np.dtype("int64"), ("T", "B"))
        x = self._embedding(model.embedding, tokens)
        y, _ = self._recurrent(model.recurrent, x, states=True)
        logits = self._linear(model.linear, y)
        self._output(logits, "logits", model.dtype, ("T", "B", model.linear.out_features))

    def _add_sequences(self, model: SequenceModel) -> None:
        layer = model.recurrent
        x = self._input("x", layer.dtype, ("T", "B", layer.input_size))
        _, h_n = self._recurrent(layer, x, states=False)  # of the top layer, (D, B, H)
        by_batch = self._node("Transpose", [h_n], "h_n_by_batch", perm=[1, 0, 2])
        shape = self._weight("shape_of_h_n", np.array([0, layer.directions * layer.hidden_size]))
        z = self._linear(model.linear, self._node("Reshape", [by_batch, shape], "h_n_joined"))
        self._output(z, "z", model.dtype, ("B", model.linear.out_features))

    def _embedding(self, layer: Embedding, tokens: str) -> str:
        return self._node("Gather", [self._weight("embedding.weight", layer.params["weight"]), tokens], "x")

    def _linear(self, layer: Linear, x: str) -> str:
        product = self._node("MatMul", [x, self._weight("linear.weight", layer.params["weight"].T)], "product")
        if "bias" not in layer.params:
            return product
        return self._node("Add", [product, self._weight("linear.bias", layer.params["bias"])], "sum")

    def _recurrent(self, layer: LSTM | RNN, x: str, states: bool) -> tuple[str, str]:
        """All layers over x, from states that are inputs, or from zeros; y, and the top layer's h_n."""
        L, D, H = layer.num_layers, layer.directions, layer.hidden_size
        kinds = ("h", "c")[: 1 + layer.has_cell]
        initial = {kind: [""] * L for kind in kinds}
        final: dict[str, list[str]] = {kind: [] for kind in kinds}
        if states:
            for kind in kinds:
                whole = self._input(f"{kind}_0", layer.dtype, (L * D, "B", H))
                initial[kind] = self._split(whole, kind, L, D) if L > 1 else [whole]
        tracks = tracks_of(layer)
        merged = self._weight("shape_of_y", np.array([0, 0, D * H]))
        h_n = ""
        for k in range(L):
            operands = self._operands(k, tracks[k * D : (k + 1) * D], [initial[kind][k] for kind in kinds])
            outputs = [f"Y_l{k}", *(f"{kind}_n_l{k}" for kind in kinds)]
            activations = ACTIVATIONS["lstm" if isinstance(layer, LSTM) else layer.nonlinearity] * D
            node = self.onnx.helper.make_node(
                "LSTM" if isinstance(layer, LSTM) else "RNN",
                [x, *operands],
                outputs,
                f"{self.name}.l{k}",
                hidden_size=H,
                direction="bidirectional" if D == 2 else "forward",
                activations=activations,
            )
            self.nodes.append(node)
            by_batch = self._node("Transpose", [f"Y_l{k}"], f"Y_l{k}_by_batch", perm=[0, 2, 1, 3])
            x = self._node("Reshape", [by_batch, merged], f"y_l{k}")
            h_n = outputs[1]
            for kind, name in zip(kinds, outputs[1:], strict=True):
                final[kind].append(name)
        if states:
            for kind in kinds:
                joined = self._node("Concat", final[kind], f"{kind}_n_joined", axis=0)
                self._output(joined, f"{kind}_n", layer.dtype, (L * D, "B", H))
        return x, h_n

    def _operands(self, k: int, tracks: list[Track], initial: list[str]) -> list[str]:
        """W, R, B, no lengths, initial states and P of one node."""
        order = GATES[len(tracks[0].ih)]
        names = [
            self._weight(f"W_l{k}", np.stack([np.concatenate(track.ih[order]) for track in tracks])),
            self._weight(f"R_l{k}", np.stack([np.concatenate(track.hh[order]) for track in tracks])),
            "",
            "",
            *initial,
        ]
        if tracks[0].bias_ih is not None:
            biases = [np.array([track.bias_ih, track.bias_hh])[:, order].ravel() for track in tracks]
            names[2] = self._weight(f"B_l{k}", np.stack(biases))
        if tracks[0].peephole is not None:
            peepholes = [np.asarray(track.peephole)[PEEPHOLES].ravel() for track in tracks]
            names.append(self._weight(f"P_l{k}", np.stack(peepholes)))
        return names

    def _split(self, whole: str, kind: str, L: int, D: int) -> list[str]:
        sizes = self._weight(f"layers_of_{kind}", np.full(L, D))
        parts = [f"{kind}_0_l{k}" for k in range(L)]
        self.nodes.append(self.onnx.helper.make_node("Split", [whole, sizes], parts, axis=0))
        return parts

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _weight(self, name: str, array: np.ndarray) -> str:
        self.weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _input(self, name: str, dtype: np.dtype, shape: tuple[str | int, ...]) -> str:
        self.inputs.append(self._value(name, dtype, shape))
        return name

    def _output(self, value: str, name: str, dtype: np.dtype, shape: tuple[str | int, ...]) -> None:
        self._node("Identity", [value], name)
        self.outputs.append(self._value(name, dtype, shape))

    def _value(self, name: str, dtype: np.dtype, shape: tuple[str | int, ...]) -> Any:
        helper = self.onnx.helper
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)


def _layer_of_node(onnx: ModuleType, node: Any, name: str, constants: Mapping[str, Any]) -> LSTM | RNN:
    """The layer that a node of the type LSTM or RNN is."""
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    direction = attributes.pop("direction", b"forward").decode()
    hidden_size, batch_first = attributes.pop("hidden_size", None), bool(attributes.pop("layout", 0))
    if direction not in ("forward", "bidirectional"):
        raise ValueError(f"node {name} must have direction forward or bidirectional, got {direction}")
    D = 1 + (direction == "bidirectional")
    gates = {"LSTM": 4, "RNN": 1}[node.op_type]
    default = ACTIVATIONS["lstm" if gates == 4 else "tanh"]
    activations = [text.decode() for text in attributes.pop("activations", None) or []] or default * D
    known = [default] if gates == 4 else [ACTIVATIONS["tanh"], ACTIVATIONS["relu"]]
    if activations not in [kind * D for kind in known]:
        raise ValueError(f"node {name} has the activations {', '.join(activations)}, which nblstm does not have")
    if attributes.pop("input_forget", 0) or attributes:
        raise ValueError(
            f"node {name} has {', '.join(map(str, attributes)) or 'input_forget'}, which nblstm does not have"
        )

    def constant(place: int, letter: str, dimensions: int) -> np.ndarray | None:
        if place >= len(node.input) or not node.input[place]:
            return None
        if node.input[place] not in constants or constants[node.input[place]].data_location:
            raise ValueError(f"node {name} must have its {letter} stored in the file, got {node.input[place]!r}")
        try:
            stored = onnx.numpy_helper.to_array(constants[node.input[place]])
        except TypeError as error:  # of no type at all
            raise ValueError(f"{letter} of node {name} is damaged: {error}") from error
        array = as_array(f"{letter} of node {name}", stored, dimensions)
        if len(array) != D:
            raise ValueError(f"{letter} of node {name} must have {D} directions, got shape {array.shape}")
        return array

    W, R, B, P = constant(1, "W", 3), constant(2, "R", 3), constant(3, "B", 2), constant(7, "P", 2)
    if W is None or R is None:
        raise ValueError(f"node {name} must have W and R")
    H = as_size(f"hidden_size of node {name}", hidden_size or R.shape[2])
    if P is not None and P.shape[1] != 3 * H:
        raise ValueError(f"P of node {name} must have 3 blocks of {H}, got shape {P.shape}")
    order, tracks = BACK[gates], []
    for d in range(D):
        ih, hh = (gates_apart(f"{letter} of node {name}", array[d], H, 0) for letter, array in (("W", W), ("R", R)))
        if len(ih) != gates or len(hh) != gates:
            raise ValueError(
                f"W and R of node {name} must have {gates} blocks of {H} rows, got {W.shape} and {R.shape}"
            )
        bias_ih = bias_hh = None
        if B is not None:
            both = gates_apart(f"B of node {name}", B[d], H, 0)
            if len(both) != 2 * gates:
                raise ValueError(f"B of node {name} must have {2 * gates} blocks of {H}, got shape {B.shape}")
            bias_ih, bias_hh = both[:gates][order], both[gates:][order]
        peephole = None if P is None else gates_apart(f"P of node {name}", P[d], H, 0)[PEEPHOLES]
        tracks.append(Track(ih[order], hh[order], bias_ih, bias_hh, peephole))
    layer = layer_of(
        f"node {name}", tracks, bidirectional=D == 2, nonlinearity="relu" if activations[0] == "Relu" else "tanh"
    )
    layer.batch_first = batch_first
    return layer
