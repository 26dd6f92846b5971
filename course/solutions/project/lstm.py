"""A character LSTM in NumPy: forward, backward, a check of the gradients, a weights file, and probabilities of a text.

Gates stand in the order i, f, g, o. T steps, B sequences, I inputs, H units, K characters.
"""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ORDER = "ifgo"


def sigmoid(z):
    """Of weighted sums of any shape, and of any size: exp never overflows."""
    return 0.5 * (1 + np.tanh(z / 2))


def forward(x, h_0, c_0, weights):
    """x (T, B, I), h_0 and c_0 (B, H) -> y (T, B, H), h_n and c_n (B, H), and what `backward` needs."""
    h, c, kept, y = h_0, c_0, [], []
    for x_t in x:
        z = x_t @ weights["W"].T + h @ weights["U"].T + weights["b"]  # (B, 4H)
        z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
        h_prev, c_prev = h, c
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        y.append(h)
        kept.append((x_t, h_prev, c_prev, i, f, g, o, c))
    return np.stack(y), h, c, kept


def backward(dy, dh_n, dc_n, kept, weights):
    """dy (T, B, H), dh_n and dc_n (B, H) -> the gradients of W, U, b, x, h_0 and c_0, by these names."""
    gradients = {name: np.zeros_like(weights[name]) for name in "WUb"}
    dh, dc, dx = dh_n, dc_n, []
    for dy_t, (x_t, h_prev, c_prev, i, f, g, o, c) in zip(reversed(dy), reversed(kept), strict=True):
        dh = dh + dy_t
        tanh_c = np.tanh(c)
        dc = dc + dh * o * (1 - tanh_c**2)  # both paths: dc is complete
        dz_i = dc * g * i * (1 - i)
        dz_f = dc * c_prev * f * (1 - f)
        dz_g = dc * i * (1 - g**2)
        dz_o = dh * tanh_c * o * (1 - o)
        dz = np.hstack([dz_i, dz_f, dz_g, dz_o])  # (B, 4H)
        gradients["W"] += dz.T @ x_t
        gradients["U"] += dz.T @ h_prev
        gradients["b"] += dz.sum(axis=0)
        dx.append(dz @ weights["W"])
        dh, dc = dz @ weights["U"], dc * f
    return gradients | {"x": np.stack(dx[::-1]), "h_0": dh, "c_0": dc}


def check_gradients(loss, arrays, gradients, eps=1e-5):
    """Largest |d - n| / max(1, |d|, |n|) over all entries; d is the gradient handed in, n the centred difference."""
    worst = 0.0
    for name, array in arrays.items():
        for k in np.ndindex(array.shape):
            centre = array[k]
            array[k] = centre + eps
            above = loss()
            array[k] = centre - eps
            below = loss()
            array[k] = centre
            d, n = gradients[name][k], (above - below) / (2 * eps)
            worst = max(worst, abs(d - n) / max(1, abs(d), abs(n)))
    return worst


def read_file(path):
    """All tensors of a safetensors file by name, and its metadata: length of the header, header, numbers."""
    raw = Path(path).read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, about in header.items():
        first, last = about["data_offsets"]
        dtype = {"F64": "<f8", "F32": "<f4"}[about["dtype"]]
        tensors[name] = np.frombuffer(raw[start + first : start + last], dtype).reshape(about["shape"]).astype(float)
    return tensors, metadata


def load_weights(path):
    """E (K, D), W (4H, D), U (4H, H), b (4H,), V (K, H) and a (K,); the file says in which order its gates are."""
    tensors, metadata = read_file(path)
    there = metadata["gates"].split(", ")

    def rows(array):  # (..., 4H) in the file's order -> (4H, ...) in ours
        blocks = dict(zip(there, np.split(array, 4, axis=-1), strict=True))
        return np.concatenate([blocks[gate] for gate in ORDER], axis=-1).T

    return {
        "E": tensors["embedding"],
        "W": rows(tensors["input_weights"]),
        "U": rows(tensors["hidden_weights"]),
        "b": rows(tensors["input_bias"] + tensors["hidden_bias"]),
        "V": tensors["head_weights"].T,
        "a": tensors["head_bias"],
    }


def logits(weights, tokens):
    """z (T, B, K) after each of the tokens (T, B), from a state of zeros."""
    zeros = np.zeros((tokens.shape[1], weights["U"].shape[1]))
    y = forward(weights["E"][tokens], zeros, zeros, weights)[0]
    return y @ weights["V"].T + weights["a"]


def softmax(z):
    """Along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def probabilities(text):
    """The vocabulary, and p (len(text), K): in row t how likely each character is to follow after text[: t + 1]."""
    vocabulary = read_file(HERE / "model.safetensors")[1]["vocabulary"]
    tokens = np.array([vocabulary.index(character) for character in text])[:, None]
    return vocabulary, softmax(logits(load_weights(HERE / "model.safetensors"), tokens))[:, 0]
