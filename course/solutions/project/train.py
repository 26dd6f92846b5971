"""Train three nets on nine tenths of the text, from three seeds, and hand in the first, whichever is the best.

    python train.py

It takes some minutes, and prints the lines that report.md begins with.
"""

import json
import statistics
import struct

import numpy as np
from lstm import HERE, ORDER, backward, forward, load_weights, logits, softmax

D, H, WINDOW, BATCH, STEPS, RATE, CLIP = 12, 40, 96, 16, 1500, 1e-2, 1.0


def start(size, rng):
    """Weights of a net for `size` characters; the forget gate begins open."""
    draw = lambda *shape: rng.uniform(-1, 1, shape) / np.sqrt(H)  # noqa: E731
    weights = {"E": rng.standard_normal((size, D)), "W": draw(4 * H, D), "U": draw(4 * H, H), "b": np.zeros(4 * H)}
    weights["b"][H : 2 * H] = 1
    return weights | {"V": draw(size, H), "a": np.zeros(size)}


def loss_and_gradients(weights, tokens, targets, state):
    """Mean loss in nats over tokens (T, B), its gradients by name, and the state after them."""
    y, h, c, kept = forward(weights["E"][tokens], *state, weights)
    p = softmax(y @ weights["V"].T + weights["a"])
    steps, rows = np.indices(targets.shape)
    loss = -np.log(p[steps, rows, targets]).mean()
    dz = p
    dz[steps, rows, targets] -= 1
    dz /= targets.size
    zeros = np.zeros_like(h)
    gradients = backward(dz @ weights["V"], zeros, zeros, kept, weights)
    gradients["E"] = np.zeros_like(weights["E"])
    np.add.at(gradients["E"], tokens, gradients["x"])
    gradients["V"], gradients["a"] = np.einsum("tbk,tbh->kh", dz, y), dz.sum(axis=(0, 1))
    return loss, {name: gradients[name] for name in weights}, (h, c)


def train(tokens, size, seed):
    """Adam on windows that follow one another in BATCH streams; the state is carried from each to the next."""
    rng = np.random.default_rng(seed)
    weights = start(size, rng)
    first, second = ({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))
    streams = tokens[: len(tokens) // BATCH * BATCH].reshape(BATCH, -1).T  # (time, BATCH)
    zeros = np.zeros((BATCH, H))
    at, state = 0, (zeros, zeros)
    for step in range(1, STEPS + 1):
        if at + WINDOW >= len(streams):
            at, state = 0, (zeros, zeros)
        window = streams[at : at + WINDOW + 1]
        loss, gradients, state = loss_and_gradients(weights, window[:-1], window[1:], state)
        at += WINDOW
        shrink = min(1, CLIP / np.sqrt(sum((g**2).sum() for g in gradients.values())))
        rate = RATE * (1 - step / (STEPS + 1))
        for name, g in gradients.items():
            first[name] = 0.9 * first[name] + 0.1 * shrink * g
            second[name] = 0.999 * second[name] + 0.001 * (shrink * g) ** 2
            mean, square = first[name] / (1 - 0.9**step), second[name] / (1 - 0.999**step)
            weights[name] -= rate * mean / (np.sqrt(square) + 1e-8)
        if step % 250 == 0:
            print(f"seed {seed}, step {step}: {loss / np.log(2):.3f} bits per character")
    return weights


def bits(weights, tokens):
    """Bits per character of all tokens but the first, read in one go from a state of zeros."""
    p = softmax(logits(weights, tokens[:-1, None]))[:, 0]
    return -np.log2(p[np.arange(len(p)), tokens[1:]]).mean()


def save(path, weights, vocabulary):
    """As a safetensors file of the form that the project's own weights have, in float32."""
    tensors = {
        "embedding": weights["E"],
        "input_weights": weights["W"].T,
        "hidden_weights": weights["U"].T,
        "input_bias": weights["b"],
        "hidden_bias": np.zeros_like(weights["b"]),
        "head_weights": weights["V"].T,
        "head_bias": weights["a"],
    }
    header, data = {"__metadata__": {"gates": ", ".join(ORDER), "vocabulary": vocabulary}}, b""
    for name, tensor in tensors.items():
        raw = tensor.astype("<f4").tobytes()
        about = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        header[name], data = about, data + raw
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    path.write_bytes(struct.pack("<Q", len(words)) + words + data)


if __name__ == "__main__":
    text = (HERE / "text.txt").read_text(encoding="utf-8")
    vocabulary = "".join(sorted(set(text)))
    tokens = np.array([vocabulary.index(character) for character in text])
    cut = len(tokens) * 9 // 10
    nets = [train(tokens[:cut], len(vocabulary), seed) for seed in range(3)]
    held_out = [bits(net, tokens[cut:]) for net in nets]
    save(HERE / "model.safetensors", nets[0], vocabulary)
    print("held-out bits by seed:", " ".join(f"{one:.3f}" for one in held_out))
    print(f"mean and spread: {statistics.mean(held_out):.3f} ± {statistics.stdev(held_out):.3f}")
    print(f"handed in: {bits(load_weights(HERE / 'model.safetensors'), tokens[cut:]):.3f}")
    print("training bits by seed:", " ".join(f"{bits(net, tokens[:cut]):.3f}" for net in nets))
