"""Layers without memory as nodes: activations, layer norm, dropout, and pooling over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from nblstm.layers.activations import ReLU, Sigmoid, Softmax, Tanh
from nblstm.layers.dropout import Dropout
from nblstm.layers.normalisation import LayerNorm
from nblstm.layers.pooling import LastOverTime, MaxOverTime, MeanOverTime
from nblstm.weights.onnx.graph import Graph

ACTIVATIONS: dict[type, str] = {ReLU: "Relu", Sigmoid: "Sigmoid", Softmax: "Softmax", Tanh: "Tanh"}
FEATURES = (Dropout, LayerNorm, *ACTIVATIONS)
POOLING = (MeanOverTime, MaxOverTime, LastOverTime)


def add_features(graph: Graph, layer: Any, x: str, prefix: str) -> str:
    """A layer of `FEATURES` over the last axis of x; Dropout, which drops in training alone, is passed over."""
    if isinstance(layer, Dropout):
        return x
    if isinstance(layer, LayerNorm):
        return _norm(graph, layer, x, prefix)
    kind = ACTIVATIONS[type(layer)]
    return graph.node(kind, [x], f"{prefix}{kind.lower()}")  # Softmax takes the last axis, if not told another


def _norm(graph: Graph, layer: LayerNorm, x: str, prefix: str) -> str:
    """Written out: ONNX has a node for it since opset 17 only."""
    eps = graph.weight(f"{prefix}eps", np.array(layer.eps, layer.dtype))
    centred = graph.node("Sub", [x, graph.node("ReduceMean", [x], f"{prefix}mean", axes=[-1])], f"{prefix}centred")
    squares = graph.node("Mul", [centred, centred], f"{prefix}squares")
    variance = graph.node(
        "Add", [graph.node("ReduceMean", [squares], f"{prefix}mean_square", axes=[-1]), eps], f"{prefix}variance"
    )
    normed = graph.node("Div", [centred, graph.node("Sqrt", [variance], f"{prefix}deviation")], f"{prefix}normed")
    weight, bias = (graph.weight(f"{prefix}norm.{name}", layer.params[name]) for name in ("weight", "bias"))
    return graph.node("Add", [graph.node("Mul", [normed, weight], f"{prefix}scaled"), bias], f"{prefix}norm")


def add_pooling(graph: Graph, layer: Any, x: str, dtype: np.dtype, width: int, lengths: str) -> str:
    """A layer of `POOLING` over x (T, B, width), of which `lengths` names the steps (B,), if there are any: (B, width).

    A chain pools once, so the values' names need no prefix.
    """
    if isinstance(layer, LastOverTime):
        return _last(graph, layer, x, dtype, width, lengths)
    highest = isinstance(layer, MaxOverTime)
    if not lengths:
        return graph.node("ReduceMax" if highest else "ReduceMean", [x], "pooled", axes=[0], keepdims=0)
    inside = _where(graph, "Less", lengths, x, np.array(-np.inf if highest else 0, dtype))
    if highest:
        return graph.node("ReduceMax", [inside], "pooled", axes=[0], keepdims=0)
    column = graph.node("Unsqueeze", [lengths, graph.weight("axis_of_features", np.array([1]))], "lengths_as_column")
    return graph.node("Div", [_sum(graph, inside), graph.cast(column, dtype, "divisors")], "pooled")


def _last(graph: Graph, layer: LastOverTime, x: str, dtype: np.dtype, width: int, lengths: str) -> str:
    """The last step; of the second half of the features, in two directions, the first."""
    first = ""
    if layer.bidirectional:
        halves = graph.weight("width_of_directions", np.full(2, width // 2))
        x, other = graph.split(x, halves, ["forward", "backward"], axis=2)
        first = graph.node("Gather", [other, graph.weight("first", np.array(0))], "y_first", axis=0)
    if lengths:
        ends = graph.node("Sub", [lengths, graph.weight("one_step", np.array(1, "int32"))], "ends")
        y = _sum(graph, _where(graph, "Equal", ends, x, np.zeros((), dtype)))
    else:
        y = graph.node("Gather", [x, graph.weight("last", np.array(-1))], "y_last", axis=0)
    return graph.node("Concat", [y, first], "pooled", axis=1) if first else y


def _where(graph: Graph, comparison: str, steps: str, x: str, other: np.ndarray) -> str:
    """x (T, B, F) at the steps t whose comparison with `steps` (B,), int32, is true, `other` elsewhere."""
    zero, one = graph.weight("zero", np.array(0)), graph.weight("one", np.array(1))
    count = graph.node("Gather", [graph.node("Shape", [x], "shape_of_x"), zero], "count_of_steps", axis=0)
    times = graph.cast(graph.node("Range", [zero, count, one], "range"), np.dtype("int32"), "times")
    column = graph.node("Unsqueeze", [times, graph.weight("axis_of_batch", np.array([1]))], "times_as_column")
    found = graph.node(comparison, [column, steps], "found")
    mask = graph.node("Unsqueeze", [found, graph.weight("last_axis", np.array([2]))], "mask")
    return graph.node("Where", [mask, x, graph.weight("elsewhere", other)], "chosen")


def _sum(graph: Graph, x: str) -> str:
    return graph.node("ReduceSum", [x, graph.weight("axis_of_time", np.array([0]))], "sum_over_time", keepdims=0)
