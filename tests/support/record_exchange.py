"""Writes exchange.npz, what Keras 3 and TensorFlow compute; by hand, in tests/: python -m support.record_exchange.

Keras 3 and the last TensorFlow that has `BasicLSTMCell`, 2.15, do not go together: where TensorFlow is installed, it is
recorded, in float64, elsewhere Keras, in float32, and what the file has of the other is kept. (Keras 3.15 multiplies
matrices in float32, even if told otherwise, so its RNN has no other precision.)
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).with_name("exchange.npz")
T, B, I, H = 7, 3, 4, 5
os.environ.setdefault("KERAS_BACKEND", "torch")


def drawn(*shape: int) -> np.ndarray:
    """Numbers that look drawn, the same everywhere."""
    return np.sin(np.arange(np.prod(shape)) ** 2 + 1.0).reshape(shape)


def keras_weights(kind: str, bidirectional: bool, bias: bool) -> list[list[np.ndarray]]:
    """Two layers' ``get_weights``."""
    K = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[kind]
    shape_of_bias = (2, K * H) if kind == "GRU" else (K * H,)
    shapes = [[(inputs, K * H), (H, K * H), *([shape_of_bias] * bias)] for inputs in (I, H * (1 + bidirectional))]
    return [[drawn(*shape) / 2 for _ in range(1 + bidirectional) for shape in layer] for layer in shapes]


def keras_output(kind: str, bidirectional: bool, bias: bool, activation: str = "tanh") -> np.ndarray:
    """What two such layers of Keras make of `drawn(T, B, I)`, (T, B, D * H)."""
    import keras

    y = drawn(T, B, I).transpose(1, 0, 2).astype("float32")
    for arrays in keras_weights(kind, bidirectional, bias):
        layer = getattr(keras.layers, kind)(H, return_sequences=True, use_bias=bias, activation=activation)
        layer = keras.layers.Bidirectional(layer) if bidirectional else layer
        layer.build(y.shape)
        layer.set_weights(arrays)
        y = keras.ops.convert_to_numpy(layer(y))
    return y.transpose(1, 0, 2)


KERAS_CASES = [
    (kind, bidirectional, bias, activation)
    for kind, activation in (("LSTM", "tanh"), ("GRU", "tanh"), ("SimpleRNN", "tanh"), ("SimpleRNN", "relu"))
    for bidirectional in (False, True)
    for bias in (True, False)
]


def tensorflow_cells() -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernels and biases of two cells."""
    return [(drawn(inputs + H, 4 * H), drawn(4 * H)) for inputs in (I, H)]


def tensorflow_output(forget_bias: float) -> np.ndarray:
    """What two `BasicLSTMCell` make of `drawn(T, B, I)`, (T, B, H)."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default():
        cells = [v1.nn.rnn_cell.BasicLSTMCell(H, forget_bias=forget_bias, dtype="float64") for _ in range(2)]
        stack = v1.nn.rnn_cell.MultiRNNCell(cells)
        y, _ = v1.nn.dynamic_rnn(stack, tf.constant(drawn(T, B, I)), time_major=True, dtype="float64")
        assignments = [
            v1.assign(variable, array)
            for cell, pair in zip(cells, tensorflow_cells(), strict=True)
            for variable, array in zip(cell.variables, pair, strict=True)
        ]
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            session.run(assignments)
            return session.run(y)


def record() -> None:
    """Compute and write."""
    found = dict(np.load(GOLDEN)) if GOLDEN.exists() else {}
    if find_spec("tensorflow"):
        found |= {f"tensorflow {forget_bias}": tensorflow_output(forget_bias) for forget_bias in (1.0, 0.0)}
    else:
        found |= {f"keras {' '.join(map(str, case))}": keras_output(*case) for case in KERAS_CASES}
    np.savez_compressed(GOLDEN, **found)
    print(f"{GOLDEN}: {', '.join(found)}; {GOLDEN.stat().st_size:,} bytes")


if __name__ == "__main__":
    record()
