"""Writing: a layer, a chain of layers or a whole model as an ONNX file."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nblstm.arguments import as_flag
from nblstm.files import atomic_write
from nblstm.layers.chain import PASSED_ON, reads_steps, reads_width
from nblstm.layers.embedding import Embedding
from nblstm.layers.linear import Linear
from nblstm.layers.recurrent import GRU, LSTM, RNN, Recurrent
from nblstm.layers.sequence import SequenceLayer
from nblstm.layers.sequential import Sequential
from nblstm.layers.single_step import CellLayer
from nblstm.models import LanguageModel, Network, SequenceModel, SequenceTagger
from nblstm.weights.onnx.features import FEATURES, POOLING, add_features, add_pooling
from nblstm.weights.onnx.form import require_onnx
from nblstm.weights.onnx.graph import Graph

STATE = "the state (h_0, and c_0 of an LSTM) is zeros at first, then what came out as h_n and c_n"
WRITTEN = SequenceLayer, Sequential, LanguageModel, SequenceModel, SequenceTagger


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
                                                                      after pooling over time y (B, outputs)
    `CharLM`, `WordLM`   tokens int64 (T, B), h_0 and c_0             logits (T, B, V), h_n and c_n
    sequence models      x (T, B, I)                                  z (B, outputs)
    `SequenceTagger`     x (T, B, I), or tokens int64 (T, B)          z (T, B, K)
    ==================== ============================================ ==========================================

    A GRU or an RNN has neither c_0 nor c_n. With ``batch_first`` x and y are (B, T, ...). Nothing is dropped. With
    `lengths` there is one more input, lengths int32 (B,). With `streaming` no input and no output has the axis T: the
    model takes one step a call, and a sequence model or a tagger gives its answer after each, with h_0 and c_0, h_n and
    c_n beside it. The file's metadata have a line ``usage``, which says how to call the model, and, where the model has
    them, its ``vocabulary`` and the names of its ``classes``, as JSON.

    Of a `Sequential` the layers that can be written are the recurrent ones, `Linear`, `Embedding`, the activations,
    `Softmax`, `LayerNorm`, `Dropout`, which is passed over, and `MeanOverTime`, `MaxOverTime` and `LastOverTime`.

    Parameters
    ----------
    model : LSTM, GRU, RNN, Sequential, CharLM, WordLM, SequenceClassifier, SequenceRegressor or SequenceTagger
        Or a `Recurrent` of one of their cells.
    path : str or Path
    lengths : bool
        Whether the exported model takes the length of each sequence of a padded batch, as layers, sequence
        models and taggers do; past its end a sequence is not read.
    streaming : bool
        Whether the exported model takes one step a call and keeps nothing: its state comes in and goes out.

    Raises
    ------
    ImportError
        The package onnx is missing; the error says how to install it.
    TypeError
        `model` is something else, or has a layer that is.
    ValueError
        `lengths` of a `CharLM` or `WordLM`, which takes none, or with `streaming`; a model of two directions, or one
        that pools over time, with `streaming`; a cell that ONNX does not have.
    OSError
        `path` cannot be written.

    Examples
    --------
    >>> from nblstm import SequenceClassifier, weights
    >>> model = SequenceClassifier(3, 16, 1, num_classes=2, classes=["walks", "runs"], seed=0)
    >>> weights.to_onnx(model, "model.onnx", lengths=True)  # doctest: +SKIP

    And to run it, without nblstm:

    >>> import onnxruntime  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("model.onnx")  # doctest: +SKIP
    >>> x, lengths = np.zeros((12, 5, 3), "float32"), np.array([12, 3, 7, 1, 9], "int32")
    >>> (z,) = session.run(["z"], {"x": x, "lengths": lengths})  # doctest: +SKIP
    >>> z.shape  # doctest: +SKIP
    (5, 2)

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
        if isinstance(model, WRITTEN) and not _computes_as_written(model):
            raise TypeError(f"model must compute as nblstm's own do, got {type(model).__name__} with its own __call__")
        if isinstance(model, SequenceLayer):
            self._add_layer(model)
        elif isinstance(model, Sequential):
            self._add_chain(model)
        elif isinstance(model, LanguageModel):
            self._add_language(model)
        elif isinstance(model, SequenceModel):
            self._add_sequences(model)
        elif isinstance(model, SequenceTagger):
            self._add_tagger(model)
        else:
            way = ": load its parameters, _l0 after each name, into a layer" if isinstance(model, CellLayer) else ""
            raise TypeError(
                "model must be an LSTM, GRU, RNN, Sequential, CharLM, WordLM, SequenceClassifier, SequenceRegressor or "
                f"SequenceTagger, got {type(model).__name__}{way}"
            )

    def _add_layer(self, layer: SequenceLayer) -> None:
        x = self._begin("x", layer.dtype, (layer.input_size,), layer.batch_first)
        y = self._recurrent(layer, x, states=True, lengths=self._lengths())[0]
        self._end(y, "y", layer.dtype, layer.directions * layer.hidden_size, layer.batch_first)
        self._describe(f"x is {self._axes(layer.batch_first)}, y likewise; {STATE}")

    def _add_chain(self, model: Sequential) -> None:
        layers = list(model.parts.values())
        self._check_chain(layers)
        timed = [layer for layer in layers if reads_steps(layer)]
        batch_first, pooled = any(layer.batch_first for layer in timed), False
        if isinstance(layers[0], Embedding):
            width, what = 0, f"the indices, {self._axes(batch_first, '')}"
            x = self._begin("x", np.dtype("int64"), (), batch_first)
        else:
            width, what = self._width_of_input(layers), self._axes(batch_first)
            x = self._begin("x", model.dtype, (width,), batch_first)
        lengths = self._lengths()
        for k, layer in enumerate(layers):
            prefix = f"layer{k}_"
            if isinstance(layer, SequenceLayer):
                x, _ = self._recurrent(layer, x, states=True, lengths=lengths, prefix=prefix)
                width = layer.directions * layer.hidden_size
            elif isinstance(layer, Linear):
                x, width = self.graph.linear(layer, x, prefix), layer.out_features
            elif isinstance(layer, Embedding):
                x, width = self.graph.embedding(layer, x, prefix), layer.embedding_dim
            elif isinstance(layer, POOLING):
                x, pooled = add_pooling(self.graph, layer, x, model.dtype, width, lengths), True
            else:
                x = add_features(self.graph, layer, x, prefix)
        if pooled:
            self.graph.output(x, "y", model.dtype, ("B", width))
        else:
            self._end(x, "y", model.dtype, width, batch_first)
        names = ", ".join(f"layer{k}_h_0" for k, layer in enumerate(layers) if isinstance(layer, SequenceLayer))
        state = f"; the states ({names}, and c_0 of LSTMs) are zeros at first, then what came out as h_n and c_n"
        y = "(batch, features)" if pooled else self._axes(batch_first)
        self._describe(f"x is {what}, y {y}{state * bool(names)}")

    def _check_chain(self, layers: list[Any]) -> None:
        """All of its layers can be written, in the way that is wanted."""
        for k, layer in enumerate(layers):
            weighted = isinstance(layer, SequenceLayer | Linear | Embedding) and _computes_as_written(layer)
            if not weighted and type(layer) not in (*FEATURES, *POOLING):
                others = ", ".join(kind.__name__ for kind in (*FEATURES, *POOLING))
                raise TypeError(
                    f"model must have layers LSTM, GRU, RNN, Recurrent, Linear, Embedding, {others} to be written, "
                    f"got {type(layer).__name__} at position {k}"
                )
            if self.streaming and isinstance(layer, POOLING):
                raise ValueError(
                    f"streaming must be left out for a chain that pools over time, got {type(layer).__name__} at "
                    f"position {k}"
                )
        if self.with_lengths and not any(map(reads_steps, layers)):
            raise ValueError("lengths must be left out for layers none of which reads sequences")

    def _width_of_input(self, layers: list[Any]) -> int:
        """What the first layer reads that does not take every width; those before it pass theirs on."""
        for width in map(reads_width, layers):
            if width is not None and width != PASSED_ON:
                return width
        raise ValueError(f"model must have a layer of a fixed width to be written, got {layers}")

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
        self._name_classes(model)
        answers = "the numbers" if "output_size" in model.config else "the logits of the classes"
        state = f", as far as it has been read; {STATE}" if self.streaming else ""
        self._describe(f"x is {self._axes(False)}; z[b] are {answers} for sequence b{state}")

    def _add_tagger(self, model: SequenceTagger) -> None:
        if model.embedding is None:
            x, what = self._begin("x", model.dtype, (model.recurrent.input_size,), False), f"x is {self._axes(False)}"
        else:
            tokens = self._begin("tokens", np.dtype("int64"), (), False)
            x, places = self.graph.embedding(model.embedding, tokens), "places in the vocabulary, 0 for what is unknown"
            what = f"tokens {self._axes(False, '')} are {places}"
            self.graph.metadata["vocabulary"] = json.dumps(model.vocabulary)
        y = self._recurrent(model.recurrent, x, states=self.streaming, lengths=self._lengths())[0]
        self._end(self.graph.linear(model.linear, y), "z", model.dtype, model.linear.out_features, False)
        self._name_classes(model)
        step, state = ("", f"; {STATE}") if self.streaming else ("[t]", "")
        self._describe(f"{what}; z{step} are the logits of the classes at {'this' if state else 'each'} step{state}")

    def _name_classes(self, model: Any) -> None:
        """The names of the classes, if the model has any, in the order of the logits."""
        if getattr(model, "classes", None) is not None:
            self.graph.metadata["classes"] = json.dumps(model.classes)

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


def _computes_as_written(part: Any) -> bool:
    """Whether its call is nblstm's own: a subclass with another one computes something else."""
    return type(part).__call__.__module__.startswith("nblstm.")
