"""What reading and writing share: the package onnx itself and its errors, ONNX's operators, gates and names."""

from __future__ import annotations

from types import ModuleType
from typing import Any

OPERATORS = {4: "LSTM", 3: "GRU", 1: "RNN"}  # by the number of their gates
GATES = {4: [0, 3, 1, 2], 3: [1, 0, 2], 1: [0]}  # i, o, f, c from i, f, g, o: c is our g; z, r, h from r, z, n
BACK = {4: [0, 2, 3, 1], 3: [1, 0, 2], 1: [0]}
PEEPHOLES = [0, 2, 1]  # i, o, f from i, f, o, and back
ACTIVATIONS = {"LSTM": [["Sigmoid", "Tanh", "Tanh"]], "GRU": [["Sigmoid", "Tanh"]], "RNN": [["Tanh"], ["Relu"]]}
STANDARD = ("", "ai.onnx")  # names of the domain of ONNX's own operators
ROUNDED = "com.microsoft", "DynamicQuantizeLSTM"  # ONNX Runtime's LSTM of weights of 8 bits
LARGEST = 2**31 - 1  # bytes that the format, Protocol Buffers, can hold


def require_onnx() -> ModuleType:
    """The package onnx, which few need."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            f"this needs the package onnx, which cannot be imported ({error}): pip install onnx"
        ) from error
    return onnx


def operator_of(node: Any) -> str:
    """LSTM, GRU or RNN, where a node computes one, whatever form its weights have; else nothing."""
    if (node.domain, node.op_type) == ROUNDED:
        return "LSTM"
    return node.op_type if node.domain in STANDARD and node.op_type in OPERATORS.values() else ""


def first_line(error: Exception) -> str:
    """What an error of onnx's says, without the lines that it often adds."""
    return (str(error).splitlines() or [type(error).__name__])[0]
