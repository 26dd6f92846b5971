"""Draw the pictures of docs/pictures.md, one for each function of nblstm.plot: python tools/draw_pictures.py (15 s)."""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from PIL import Image

import nblstm
from nblstm import plot
from nblstm.datasets import brackets, remember

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
TEXT = "One cell keeps what another forgets. And so on."


def training(seed: int, lag: int, kind: str) -> Iterator[tuple[nblstm.LSTM | nblstm.RNN, nblstm.Linear, float]]:
    """Layer, head and accuracy at remembering a symbol over `lag` distractors, every ten steps of training."""
    rng = np.random.default_rng(seed)
    first = int(rng.integers(1000))
    layer = nblstm.RNN(16, 24, seed=first) if kind == "RNN" else nblstm.LSTM(16, 24, forget_bias=1, seed=first)
    head = nblstm.Linear(24, 8, seed=first)
    optimiser = nblstm.Adam([layer, head], lr=1e-2)
    for step in range(151):
        x, target, _ = remember(rng, 128, lag)
        y, _, tape = layer.forward(x)
        logits, head_tape = head.forward(y[-1])
        if step % 10 == 0:
            yield layer, head, float((logits.argmax(1) == target).mean())
        dy = np.zeros_like(y)
        dy[-1] = head.backward(nblstm.cross_entropy(logits, target)[1], head_tape)
        layer.backward(dy, tape, need_dx=False)
        optimiser.step()
        layer.zero_grad()
        head.zero_grad()


def curves() -> Axes:
    runs = {kind: [[run[2] for run in training(s, 8, kind)] for s in range(5)] for kind in ("LSTM", "RNN")}
    names = {"xlabel": "step of training", "ylabel": "accuracy (share of 128)", "title": "A symbol, 8 distractors"}
    return plot.curves(np.arange(0, 151, 10), runs, **names, baselines={"chance": 1 / 8})


def confusion_matrix() -> Axes:
    """Of an LSTM that has learnt half of it."""
    layer, head, _ = next(run for run in training(0, 8, "LSTM") if run[2] > 0.5)
    x, target, _ = remember(np.random.default_rng(1), 400, 8)
    predicted = head(layer(x)[0][-1]).argmax(1)
    return plot.confusion_matrix(target, predicted, classes="ABCDEFGH")


def saliency_over_text() -> Axes:
    """Which characters of one sequence move the logit of the right answer, after training."""
    *_, (layer, head, _) = training(0, 8, "LSTM")
    x, target, _ = remember(np.random.default_rng(3), 1, 8)
    text = "".join("ABCDEFGHstuvwxyz"[token] for token in x[:, 0].argmax(1))
    y, _, tape = layer.forward(x)
    logits, head_tape = head.forward(y[-1])
    dy = np.zeros_like(y)
    dy[-1] = head.backward(np.eye(8, dtype=logits.dtype)[target], head_tape)
    saliency = np.linalg.norm(layer.backward(dy, tape)[0], axis=2)[:, 0]
    return plot.saliency_over_text(text, saliency, predicted=text[0], title="A symbol, 8 distractors, the answer")


def roofline() -> Axes:
    points = {"Python loops": (0.5, 0.004), "NumPy": (2, 9), "Numba": (2, 2.5), "vectors": (2, 20), "tiles": (16, 180)}
    peaks = {"one core": 117, "two cores": 235}  # made up, as the points are: nblstm bench measures them
    return plot.roofline(points, peaks=peaks, bandwidths={"memory": 18, "level-2 cache": 90})


def loss_curves() -> Axes:
    steps = np.arange(0, 2001, 200)  # made up: a run takes minutes
    training, validation = 2.1 + 4.6 * np.exp(-steps / 250), 2.3 + 4.4 * np.exp(-steps / 240)
    training[0] = np.nan
    return plot.loss_curves(
        steps, training, validation, {"uniform": 6.69, "unigram": 4.67, "bigram": 3.34, "5-gram": 1.90}
    )


def gradient_over_lag() -> Axes:
    """Of a linear recurrent net, dL/dh at a lag is a power of W^T: an orthogonal W times its spectral radius."""
    norms, v = {}, np.eye(24)[0]
    w = np.linalg.qr(np.random.default_rng(0).standard_normal((24, 24)))[0]
    for radius in (0.8, 1.0, 1.1):
        norms[f"radius {radius}"] = [np.linalg.norm(np.linalg.matrix_power(radius * w.T, k) @ v) for k in range(61)]
    return plot.gradient_over_lag(np.arange(61), norms, title="A linear recurrent net")


def gates_over_text() -> Axes:
    """The gates of an LSTM of five units whose forget gates are wired to shut at some characters."""
    characters = sorted(set(TEXT))
    shut = [". ", "aeiou", ".", "AO", "st"]
    lstm = nblstm.LSTM(len(characters), len(shut), seed=0)
    with lstm.editing() as p:
        p["weight_ih_l0"][5:10] = [[-6.0 if character in unit else 3.0 for character in characters] for unit in shut]
    tokens = [characters.index(character) for character in TEXT]
    _, _, tape = lstm.forward(np.eye(len(characters), dtype=np.float32)[tokens])
    return plot.gates_over_text(TEXT, tape.gates()[:, 0, 1], name="f")


def activation_over_text() -> Axes:
    """What a bracket counter holds."""
    x, depth = brackets(np.random.default_rng(0), 1, 150, max_depth=6)
    text = "".join("()a"[token] for token in x[:, 0].argmax(1))
    return plot.activation_over_text(text, depth[:, 0] / 6, title="A counter of open brackets", label="depth / 6")


PICTURES: dict[str, Callable[[], Axes]] = {
    "curves": curves,
    "loss_curves": loss_curves,
    "gradient_over_lag": gradient_over_lag,
    "confusion_matrix": confusion_matrix,
    "roofline": roofline,
    "gates_over_text": gates_over_text,
    "activation_over_text": activation_over_text,
    "saliency_over_text": saliency_over_text,
    "weight_blocks": lambda: plot.weight_blocks(nblstm.LSTM(28, 128)),
    "draw_neuron": plot.draw_neuron,
    "draw_rnn_cell": plot.draw_rnn_cell,
    "draw_unrolled": lambda: plot.draw_unrolled(4, cell="lstm", truncate_after=2),
    "draw_unrolled_both": lambda: plot.draw_unrolled(4, cell="lstm", bidirectional=True),
    **{f"draw_lstm_{stage}": lambda stage=stage: plot.draw_lstm(stage) for stage in (1, 2, 3, 4)},
    "draw_backward_rnn": lambda: plot.draw_backward("rnn"),
    "draw_backward": plot.draw_backward,
    "draw_two_formulations": plot.draw_two_formulations,
}

if __name__ == "__main__":
    pyplot.switch_backend("agg")
    pyplot.style.use("nblstm.plot.course")
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        ax, pixels, file = draw(), BytesIO(), FOLDER / f"{name}.png"
        ax.figure.savefig(pixels, dpi=132)
        pyplot.close(ax.figure)
        Image.open(pixels).convert("RGB").quantize(128).save(file, optimize=True)  # a third of the size
        print(f"{file.relative_to(FOLDER.parents[1])}: {file.stat().st_size / 1024:.0f} KB")
