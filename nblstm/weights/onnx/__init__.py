"""ONNX: whole models written for ONNX Runtime, and the LSTM, GRU and RNN nodes of a model read back."""

from nblstm.weights.onnx.reading import from_onnx
from nblstm.weights.onnx.writing import to_onnx

__all__ = ["from_onnx", "to_onnx"]
