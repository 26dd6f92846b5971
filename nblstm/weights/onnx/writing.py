"""Writing: a layer, a chain of layers or a whole model as an ONNX file."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nblstm.arguments import as_flag
from nblstm.files import atomic_write
from nblstm.layers.embedding import Embedding
from nblstm.layers.linear import Linear
from nblstm.layers.recurrent import GRU, LSTM, RNN, Recurrent
from nblstm.layers.sequence import SequenceLayer
from nblstm.layers.sequential import Sequential
from nblstm.layers.single_step import CellLayer
from nblstm.models import LanguageModel, Network, SequenceModel
from nblstm.weights.onnx.form import require_onnx
from nblstm.weights.onnx.graph import Graph

STATE = "the state (h_0, and c_0 of an LSTM) is zeros at first, then what came out as h_n and c_n"


def to_onnx(
    model: LSTM | GRU | RNN | Recurrent | Sequential | Network, path: str | Path, *, lengths: bool = False,
    streaming: bool = False,
) -> None:  # fmt: skip
    """Write a layer or a whole model to an ONNX file, which ONNX Runtime and other tools run; atomically.

    Steps and batch may have any size at run time. What the inputs and outputs are called, and their shapes:

    ==================== ============================================ ==========================================
    model                inputs                                       outputs
    ==================== ============================================ ==========================================
    a recurrent layer    x (T, B, I), h_0 and c_0 (L * D, B, H)       y (T, B, D * H), h_n and c_n as h_0 and c_0
    `Sequential`         x (T, B, I), or int64 (T, B) where an        y (T, B, outputs), layer0_h_n ...
                         Embedding begins; of each recurrent layer
                         its state, layer0_h_0 and layer0_c_0 ...
    `CharLM`, `WordLM`   tokens int64 (T, B), h_0 and c_0             logits (T, B, V), h_n and c_n
    sequence models      x (T, B, I)                                  z (B, outputs)
    ==================== ============================================ ==========================================

    A GRU or an RNN has neither c_0 nor c_n. With ``batch_first`` x and y are (B, T, ...). Nothing is dropped. With
    `lengths` there is one more input, lengths int32 (B,). With `streaming` no input and no output has the axis T: the
    model takes one step a call, and a sequence model gives its answer after each, with h_0 and c_0, h_n and c_n beside
    it. The file's metadata have a line ``usage``, which says how to call the model, and of a `CharLM` or `WordLM` its
    ``vocabulary``, as JSON.

    Parameters
    ----------
    model : LSTM, GRU, RNN, Sequential, CharLM, WordLM, SequenceClassifier or SequenceRegressor
        Or a `Recurrent` of one of their cells.
    path : str or Path
    lengths : bool
        Whether the exported model takes the length of each sequence of a padded batch, as layers and sequence models
        do; past its end a sequence is not read.
    streaming : bool
        Whether the exported model takes one step a call and keeps nothing: its state comes in and goes out.

    Raises
    ------
    ImportError
        The package onnx is missing; the error says how to install it.
    TypeError
        `model` is something else, or has a layer that is.
    ValueError
        `lengths` of a `CharLM` or `WordLM`, which takes none, or with `streaming`; a model of two directions with
        `streaming`; a cell that ONNX does not have.
    OSError
        `path` cannot be written.

    Notes
    -----
    ONNX Runtime runs float32 models only: its LSTM and GRU have no float64.
    """
    onnx = require_onnx()
    lengths, streaming = as_flag("lengths", lengths), as_flag("streaming", streaming)
    if lengths and streaming:
        raise ValueError("lengths must be left out with streaming, which takes one step a call")
    content = _Writer(onnx, model, lengths, streaming).graph.model().SerializeToString()
    with atomic_write(path) as file:
        file.write(content)


class _Writer:
    """One model as a graph, with the inputs, outputs and words that its kind has."""

    def __init__(self, onnx: ModuleType, model: Any, lengths: bool, streaming: bool) -> None:
        self.graph = Graph(onnx, type(model).__name__)
        self.with_lengths, self.streaming = lengths, streaming
        if isinstance(model, SequenceLayer):
            self._add_layer(model)
        elif isinstance(model, Sequential):
            self._add_chain(model)
        elif isinstance(model, LanguageModel):
            self._add_language(model)
        elif isinstance(model, SequenceModel):
            self._add_sequences(model)
        else:
            way = ": load its parameters, _l0 after each name, into a layer" if isinstance(model, CellLayer) else ""
            raise TypeError(
                "model must be an LSTM, GRU, RNN, Sequential, CharLM, WordLM, SequenceClassifier or "
                f"SequenceRegressor, got {type(model).__name__}{way}"
            )

    def _add_layer(self, layer: SequenceLayer) -> None:
        x = self._begin("x", layer.dtype, (layer.input_size,), layer.batch_first)
        y = self._recurrent(layer, x, states=True, lengths=self._lengths())[0]
        self._end(y, "y", layer.dtype, layer.directions * layer.hidden_size, layer.batch_first)
        self._describe(f"x is {self._axes(layer.batch_first)}, y likewise; {STATE}")

    def _add_chain(self, model: Sequential) -> None:
        for k, layer in enumerate(model.layers):
            if not isinstance(layer, SequenceLayer | Linear | Embedding):
                raise TypeError(
                    "model must have layers LSTM, GRU, RNN, Recurrent, Linear or Embedding to be written, "
                    f"got {type(layer).__name__} at position {k}"
                )
        recurrent = [layer for layer in model.layers if isinstance(layer, SequenceLayer)]
        if self.with_lengths and not recurrent:
            raise ValueError("lengths must be left out for layers none of which reads sequences")
        batch_first, first = any(layer.batch_first for layer in recurrent), model.layers[0]
        if isinstance(first, Embedding):
            x, axes = (
                self._begin("x", np.dtype("int64"), (), batch_first),
                f"the indices, {self._axes(batch_first, '')}",
            )
        else:
            width = first.in_features if isinstance(first, Linear) else first.input_size
            x, axes = self._begin("x", model.dtype, (width,), batch_first), self._axes(batch_first)
        lengths = self._lengths()
        for k, layer in enumerate(model.layers):
            prefix = f"layer{k}_"
            if isinstance(layer, SequenceLayer):
                x, _ = self._recurrent(layer, x, states=True, lengths=lengths, prefix=prefix)
                width = layer.directions * layer.hidden_size
            elif isinstance(layer, Linear):
                x, width = self.graph.linear(layer, x, prefix), layer.out_features
            else:
                x, width = self.graph.embedding(layer, x, prefix), layer.embedding_dim
        self._end(x, "y", model.dtype, width, batch_first)
        state = "; the states (layer0_h_0 and others) are zeros at first, then what came out as layer0_h_n and others"
        self._describe(f"x is {axes}, y {self._axes(batch_first)}{state * bool(recurrent)}")

    def _add_language(self, model: LanguageModel) -> None:
        if self.with_lengths:
            raise ValueError(f"lengths must be left out for a {self.graph.name}, which takes none")
        tokens = self._begin("tokens", np.dtype("int64"), (), False)
        x = self.graph.embedding(model.embedding, tokens)
        y = self._recurrent(model.recurrent, x, states=True)[0]
        logits = self.graph.linear(model.linear, y)
        self._end(logits, "logits", model.dtype, model.linear.out_features, False)
        self.graph.metadata["vocabulary"] = json.dumps(model.vocabulary)
        step = "" if self.streaming else "[t]"
        self._describe(
            f"tokens {self._axes(False, '')} are the places of {model.item}s in the vocabulary, which these metadata "
            f"have as JSON; softmax(logits{step}) are the probabilities of the {model.item} after tokens{step}; {STATE}"
        )

    def _add_sequences(self, model: SequenceModel) -> None:
        graph, layer = self.graph, model.recurrent
        x = self._begin("x", layer.dtype, (layer.input_size,), False)
        h_n = self._recurrent(layer, x, states=self.streaming, lengths=self._lengths())[1]  # of the top layer (D, B, H)
        by_batch = graph.node("Transpose", [h_n], "h_n_of_top", perm=[1, 0, 2])
        shape = graph.weight("shape_of_answer", np.array([0, layer.directions * layer.hidden_size]))
        z = graph.linear(model.linear, graph.node("Reshape", [by_batch, shape], "h_n_of_sequence"))
        graph.output(z, "z", model.dtype, ("B", model.linear.out_features))
        answers = "the numbers" if "output_size" in model.config else "the logits of the classes"
        state = f", as far as it has been read; {STATE}" if self.streaming else ""
        self._describe(f"x is {self._axes(False)}; z[b] are {answers} for sequence b{state}")

    def _begin(self, name: str, dtype: np.dtype, features: tuple[int, ...], batch_first: bool) -> str:
        """The model's input, as (T, B, ...) whatever axes it has."""
        if self.streaming:
            given = self.graph.input(name, dtype, ("B", *features))
            return self.graph.node("Unsqueeze", [given, self.graph.weight("first_axis", np.array([0]))], f"{name}_step")
        given = self.graph.input(name, dtype, (*(("B", "T") if batch_first else ("T", "B")), *features))
        if not batch_first:
            return given
        return self.graph.node("Transpose", [given], f"{name}_by_time", perm=[1, 0, 2][: 2 + len(features)])

    def _end(self, value: str, name: str, dtype: np.dtype, width: int, batch_first: bool) -> None:
        """The model's output, from (T, B, width)."""
        axes: tuple[str, ...] = ("B", "T") if batch_first else ("T", "B")
        if self.streaming:
            value, axes = self.graph.node("Squeeze", [value, "first_axis"], f"{name}_step"), ("B",)
        elif batch_first:
            value = self.graph.node("Transpose", [value], f"{name}_by_batch", perm=[1, 0, 2])
        self.graph.output(value, name, dtype, (*axes, width))

    def _recurrent(self, layer: Any, x: str, *, states: bool, lengths: str = "", prefix: str = "") -> tuple[str, str]:
        if self.streaming and layer.bidirectional:
            raise ValueError(f"{layer!r} cannot stream: its reverse direction begins at the end of the sequence")
        return self.graph.recurrent(layer, x, states=states, lengths=lengths, prefix=prefix)

    def _lengths(self) -> str:
        """The input that says how long each sequence is, if there is one."""
        return self.graph.input("lengths", np.dtype("int32"), ("B",)) if self.with_lengths else ""

    def _axes(self, batch_first: bool, features: str = ", features") -> str:
        """The axes of an input, in words."""
        if self.streaming:
            return f"(batch{features})"
        return f"(batch, steps{features})" if batch_first else f"(steps, batch{features})"

    def _describe(self, usage: str) -> None:
        lengths = "; lengths are the steps of each sequence, 1 to T, whose x past its end is not read"
        begin = "one step a call: " * self.streaming
        self.graph.metadata["usage"] = begin + usage + lengths * self.with_lengths
