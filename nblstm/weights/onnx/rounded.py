"""Weights of 8 bits, as ONNX Runtime's DynamicQuantizeLSTM has them, as the numbers that they stand for."""

from __future__ import annotations

import numpy as np

PLACES = {"W": (8, 9), "R": (10, 11)}  # where a node has the scale and the zero point of each


def unrounded(name: str, array: np.ndarray, scale: np.ndarray | None, zero: np.ndarray | None) -> np.ndarray:
    """(D, rows, inputs) of float32 from whole numbers q (D, inputs, rows): scale times (q - zero).

    Scale and zero point, 0 where there is none, are one for each direction or one for each of its rows.
    """
    if array.dtype not in (np.int8, np.uint8) or array.ndim != 3 or scale is None or scale.dtype != np.float32:
        raise ValueError(f"{name} must be numbers of 8 bits, (directions, inputs, rows), with a scale of float32")
    D, _, rows = array.shape
    zero = np.zeros(D, array.dtype) if zero is None else zero
    if scale.size not in (D, D * rows) or zero.size not in (D, D * rows) or zero.dtype != array.dtype:
        raise ValueError(f"{name} must have a scale and a zero point for each direction or each row")
    whole = array.astype(np.int32) - zero.astype(np.int32).reshape(D, 1, -1)
    return (whole * scale.reshape(D, 1, -1)).transpose(0, 2, 1).astype(np.float32)
