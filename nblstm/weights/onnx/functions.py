"""Functions that a file defines for itself, as some exporters write them: their nodes take the places of the calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nblstm.weights.onnx.form import OPERATORS, STANDARD, first_line


def inlined(model: Any, most: int) -> Any:
    """The model without its own functions; all their nodes, repeated for each call, must take at most `most` bytes."""
    if not model.functions:
        return model
    functions = {(function.domain, function.name, function.overload): function.node for function in model.functions}
    sizes: dict[tuple[str, str, str], int] = {}

    def size(nodes: Iterable[Any]) -> int:
        total = 0
        for node in nodes:
            called = node.domain, node.op_type, node.overload
            if called in functions and called not in sizes:
                sizes[called] = size(functions[called])
            total += node.ByteSize() + sizes.get(called, 0)
            total += sum(size(attribute.g.node) for attribute in node.attribute if attribute.HasField("g"))
        return total

    from onnx.inliner import inline_local_functions

    try:
        if size(model.graph.node) > most:
            raise ValueError("more nodes would come of its functions than a model can need")
    except RecursionError:
        raise ValueError("its functions call one another in a circle, or too deeply") from None
    try:
        model = inline_local_functions(model)
    except Exception as error:  # onnx's own errors, which are of no common type
        raise ValueError(f"its functions cannot take the places of their calls: {first_line(error)}") from error
    for function in model.functions:  # of another version of ONNX's operators than the rest
        if any(node.op_type in OPERATORS.values() and node.domain in STANDARD for node in function.node):
            raise ValueError(f"function {function.name} must have the opset of the model")
    return model
