"""Record what the course's project is graded by: course/project/weights.safetensors and recorded.npz.

    python tools/record_project.py

The outputs are the library's own in float64; tests/course/test_grading.py holds them against the plain twin.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nblstm import LSTM, CharLM
from nblstm.files import save

PROJECT = Path(__file__).resolve().parents[1] / "course" / "project"
VOCABULARY = "\n abcdeghilmnorst"
THERE = "oifg"
"""The order of the file's gates, which is nobody's: a reader must look into the metadata."""


def one_layer(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights, inputs, what arrives at the outputs, and all that one layer makes of them."""
    T, B, I, H = 6, 3, 4, 5
    net = LSTM(I, H, dtype="float64", seed=18)
    W, U, b = rng.standard_normal((4 * H, I)), rng.standard_normal((4 * H, H)), rng.standard_normal(4 * H)
    state = {"weight_ih_l0": W, "weight_hh_l0": U, "bias_ih_l0": b, "bias_hh_l0": np.zeros(4 * H)}
    net.load_state_dict({name: state[name] for name in net.state_dict()})
    x, dy = rng.standard_normal((T, B, I)), rng.standard_normal((T, B, H))
    h_0, c_0, dh_n, dc_n = rng.standard_normal((4, 1, B, H))
    y, (h_n, c_n), tape = net.forward(x, (h_0, c_0))
    net.zero_grad()
    dx, (dh_0, dc_0) = net.backward(dy, tape, (dh_n, dc_n))
    inputs = {"x": x, "h_0": h_0[0], "c_0": c_0[0], "W": W, "U": U, "b": b}
    outputs = {"y": y, "h_n": h_n[0], "c_n": c_n[0]}
    arriving = {"dy": dy, "dh_n": dh_n[0], "dc_n": dc_n[0]}
    of_weights = {f"gradient_{name}": net.grads[f"{key}_l0"] for name, key in
                  (("W", "weight_ih"), ("U", "weight_hh"), ("b", "bias_ih"))}  # fmt: skip
    of_inputs = {"gradient_x": dx, "gradient_h_0": dh_0[0], "gradient_c_0": dc_0[0]}
    copied = {name: array.copy() for name, array in (inputs | outputs | arriving | of_weights | of_inputs).items()}
    return copied


def whole_net(rng: np.random.Generator) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The tensors of the weights file, and tokens with the logits after them."""
    net = CharLM(VOCABULARY, 5, 7, 1, dtype="float64", seed=18)
    ours = {name: rng.standard_normal(tensor.shape) for name, tensor in net.state_dict().items()}
    net.load_state_dict(ours)
    tokens = rng.integers(len(VOCABULARY), size=(20, 2))

    def columns(name: str) -> np.ndarray:
        blocks = dict(zip("ifgo", np.split(ours[name], 4), strict=True))
        return np.ascontiguousarray(np.concatenate([blocks[gate] for gate in THERE]).T)

    tensors = {
        "embedding": ours["embedding.weight"],
        "input_weights": columns("lstm.weight_ih_l0"),
        "hidden_weights": columns("lstm.weight_hh_l0"),
        "input_bias": columns("lstm.bias_ih_l0"),
        "hidden_bias": columns("lstm.bias_hh_l0"),
        "head_weights": np.ascontiguousarray(ours["linear.weight"].T),
        "head_bias": ours["linear.bias"],
    }
    mine = {
        "E": tensors["embedding"],
        "W": ours["lstm.weight_ih_l0"],
        "U": ours["lstm.weight_hh_l0"],
        "b": ours["lstm.bias_ih_l0"] + ours["lstm.bias_hh_l0"],
        "V": ours["linear.weight"],
        "a": ours["linear.bias"],
    }
    return tensors, {f"weights_{name}": array for name, array in mine.items()} | {
        "tokens": tokens,
        "logits": net(tokens)[0].copy(),
    }


if __name__ == "__main__":
    rng = np.random.default_rng(18)
    layer = one_layer(rng)
    tensors, net = whole_net(rng)
    PROJECT.mkdir(exist_ok=True)
    save(PROJECT / "weights.safetensors", tensors, {"gates": ", ".join(THERE), "vocabulary": VOCABULARY})
    np.savez(PROJECT / "recorded.npz", **layer, **net)
