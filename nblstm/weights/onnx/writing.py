"""Writing: a layer or a whole model as an ONNX file."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.arguments import as_flag
from nblstm.cells.rnn import RNN_RELU
from nblstm.layers.embedding import Embedding
from nblstm.layers.linear import Linear
from nblstm.layers.recurrent import GRU, LSTM, RNN, Recurrent
from nblstm.layers.sequence import SequenceLayer
from nblstm.layers.single_step import CellLayer
from nblstm.weights.files import atomic_write
from nblstm.weights.onnx.form import ACTIVATIONS, GATES, OPERATORS, PEEPHOLES, require_onnx
from nblstm.weights.tracks import Track, tracks_of

if TYPE_CHECKING:
    from nblstm.models import LanguageModel, Network, SequenceModel

OPSET, IR_VERSION = 14, 8  # old enough for the runtimes in use
STEPS_FIRST, BATCH_FIRST = "(steps, batch, features)", "(batch, steps, features)"
STATES = "the state (h_0, and c_0 of an LSTM) is zeros at first, then what came out as h_n and c_n"


def to_onnx(model: LSTM | GRU | RNN | Recurrent | Network, path: str | Path, *, lengths: bool = False) -> None:
    """Write a layer or a whole model to an ONNX file, which ONNX Runtime and other tools run; atomically.

    Steps and batch may have any size at run time. What the inputs and outputs are called, and their shapes:

    ==================== ============================================ ==========================================
    model                inputs                                       outputs
    ==================== ============================================ ==========================================
    a recurrent layer    x (T, B, I), h_0 and c_0 (L * D, B, H)       y (T, B, D * H), h_n and c_n as h_0 and c_0
    `CharLM`, `WordLM`   tokens int64 (T, B), h_0 and c_0             logits (T, B, V), h_n and c_n
    sequence models      x (T, B, I)                                  z (B, outputs)
    ==================== ============================================ ==========================================

    A GRU or an RNN has neither c_0 nor c_n. With ``batch_first`` x and y are (B, T, ...). Nothing is dropped. With
    `lengths` there is one more input, lengths int32 (B,). The file's metadata have a line ``usage``, which says how to
    call the model, and of a `CharLM` or `WordLM` its ``vocabulary``, as JSON.

    Parameters
    ----------
    model : LSTM, GRU, RNN, CharLM, WordLM, SequenceClassifier or SequenceRegressor
        Or a `Recurrent` of one of their cells.
    path : str or Path
    lengths : bool
        Whether the exported model takes the length of each sequence of a padded batch, as layers and sequence models
        do; past its end a sequence is not read.

    Raises
    ------
    ImportError
        The package onnx is missing; the error says how to install it.
    TypeError
        `model` is something else.
    ValueError
        `lengths` of a `CharLM` or `WordLM`, which takes none; a cell that ONNX does not have.
    OSError
        `path` cannot be written.

    Notes
    -----
    ONNX Runtime runs float32 models only: its LSTM and GRU have no float64.
    """
    onnx = require_onnx()
    content = _Graph(onnx, model, as_flag("lengths", lengths)).model().SerializeToString()
    with atomic_write(path) as file:
        file.write(content)


class _Graph:
    """The nodes, weights, inputs and outputs of one model as ONNX has them."""

    def __init__(self, onnx: ModuleType, model: Any, lengths: bool) -> None:
        from nblstm.models import LanguageModel, SequenceModel

        self.onnx = onnx
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.metadata: dict[str, str] = {}
        self.name, self.with_lengths = type(model).__name__, lengths
        if isinstance(model, SequenceLayer):
            self._add_layer(model)
        elif isinstance(model, LanguageModel):
            self._add_language(model)
        elif isinstance(model, SequenceModel):
            self._add_sequences(model)
        else:
            way = ": load its parameters, _l0 after each name, into a layer" if isinstance(model, CellLayer) else ""
            raise TypeError(
                "model must be an LSTM, GRU, RNN, CharLM, WordLM, SequenceClassifier or SequenceRegressor, "
                f"got {type(model).__name__}{way}"
            )

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

    def _add_layer(self, layer: SequenceLayer) -> None:
        form = ("B", "T") if layer.batch_first else ("T", "B")
        x = self._input("x", layer.dtype, (*form, layer.input_size))
        if layer.batch_first:
            x = self._node("Transpose", [x], "x_by_time", perm=[1, 0, 2])
        y, _ = self._recurrent(layer, x, states=True, lengths=self._lengths())
        self._describe(f"x is {STEPS_FIRST if not layer.batch_first else BATCH_FIRST}, y likewise; {STATES}")
        if layer.batch_first:
            y = self._node("Transpose", [y], "y_by_batch", perm=[1, 0, 2])
        self._output(y, "y", layer.dtype, (*form, layer.directions * layer.hidden_size))

    def _add_language(self, model: LanguageModel) -> None:
        if self.with_lengths:
            raise ValueError(f"lengths must be left out for a {self.name}, which takes none")
        tokens = self._input("tokens", np.dtype("int64"), ("T", "B"))
        x = self._embedding(model.embedding, tokens)
        y, _ = self._recurrent(model.recurrent, x, states=True, lengths="")
        logits = self._linear(model.linear, y)
        self._output(logits, "logits", model.dtype, ("T", "B", model.linear.out_features))
        self.metadata["vocabulary"] = json.dumps(model.vocabulary)
        self._describe(
            f"tokens (steps, batch) are the places of {model.item}s in the vocabulary, which these metadata have as "
            f"JSON; softmax(logits[t]) are the probabilities of the {model.item} after tokens[t]; {STATES}"
        )

    def _add_sequences(self, model: SequenceModel) -> None:
        layer = model.recurrent
        x = self._input("x", layer.dtype, ("T", "B", layer.input_size))
        _, h_n = self._recurrent(layer, x, states=False, lengths=self._lengths())  # of the top layer, (D, B, H)
        by_batch = self._node("Transpose", [h_n], "h_n_by_batch", perm=[1, 0, 2])
        shape = self._weight("shape_of_h_n", np.array([0, layer.directions * layer.hidden_size]))
        z = self._linear(model.linear, self._node("Reshape", [by_batch, shape], "h_n_joined"))
        self._output(z, "z", model.dtype, ("B", model.linear.out_features))
        answers = "the numbers" if "output_size" in model.config else "the logits of the classes"
        self._describe(f"x is {STEPS_FIRST}; z[b] are {answers} for sequence b")

    def _lengths(self) -> str:
        """The input that says how long each sequence is, if there is one."""
        return self._input("lengths", np.dtype("int32"), ("B",)) if self.with_lengths else ""

    def _describe(self, usage: str) -> None:
        lengths = "; lengths are the steps of each sequence, 1 to T, whose x past its end is not read"
        self.metadata["usage"] = usage + lengths * self.with_lengths

    def _embedding(self, layer: Embedding, tokens: str) -> str:
        return self._node("Gather", [self._weight("embedding.weight", layer.params["weight"]), tokens], "x")

    def _linear(self, layer: Linear, x: str) -> str:
        product = self._node("MatMul", [x, self._weight("linear.weight", layer.params["weight"].T)], "product")
        if "bias" not in layer.params:
            return product
        return self._node("Add", [product, self._weight("linear.bias", layer.params["bias"])], "sum")

    def _recurrent(self, layer: Any, x: str, states: bool, lengths: str) -> tuple[str, str]:
        """All layers over x, from states that are inputs, or from zeros; y, and the top layer's h_n."""
        L, D, H = layer.num_layers, layer.directions, layer.hidden_size
        kinds = layer.cell.states
        initial = {kind: [""] * L for kind in kinds}
        final: dict[str, list[str]] = {kind: [] for kind in kinds}
        if states:
            for kind in kinds:
                whole = self._input(f"{kind}_0", layer.dtype, (L * D, "B", H))
                initial[kind] = self._split(whole, kind, L, D) if L > 1 else [whole]
        tracks = tracks_of(layer)
        operator = OPERATORS[len(layer.cell.sums)]
        own = {"linear_before_reset": 1} if operator == "GRU" else {}
        merged = self._weight("shape_of_y", np.array([0, 0, D * H]))
        h_n = ""
        for k in range(L):
            operands = self._operands(k, tracks[k * D : (k + 1) * D], lengths, [initial[kind][k] for kind in kinds])
            outputs = [f"Y_l{k}", *(f"{kind}_n_l{k}" for kind in kinds)]
            node = self.onnx.helper.make_node(
                operator,
                [x, *operands],
                outputs,
                f"{self.name}.l{k}",
                hidden_size=H,
                direction="bidirectional" if D == 2 else "forward",
                activations=ACTIVATIONS[operator][layer.cell is RNN_RELU] * D,
                **own,
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

    def _operands(self, k: int, tracks: list[Track], lengths: str, initial: list[str]) -> list[str]:
        """W, R, B, lengths, initial states and P of one node."""
        order = GATES[len(tracks[0].ih)]
        names = [
            self._weight(f"W_l{k}", np.stack([np.concatenate(track.ih[order]) for track in tracks])),
            self._weight(f"R_l{k}", np.stack([np.concatenate(track.hh[order]) for track in tracks])),
            "",
            lengths,
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
