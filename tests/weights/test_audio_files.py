"""RTNeural's JSON and `.nam` files, beside plain NumPy players written from the formats' descriptions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nblstm import GRU, LSTM, RNN, Embedding, Linear, Recurrent, SequenceRegressor, Sequential, weights

I, H, T = 2, 5, 7


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm_step(sums: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i, f, g, o = np.split(sums, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def play_rtneural(path: Path, x: np.ndarray) -> np.ndarray:
    """Sample by sample, as the library does: kernels are (inputs, gates), of a GRU z, r, c, with two rows of biases."""
    content = json.loads(path.read_text())
    assert content["in_shape"] == [None, None, x.shape[1]]
    for entry in content["layers"]:
        W, U, *b = (np.array(each) for each in entry["weights"])
        units = entry["shape"][-1]
        h, c, rows = np.zeros(units), np.zeros(units), []
        for x_t in x:
            if entry["type"] == "dense":
                h = x_t @ W + U
            elif entry["type"] == "lstm":
                h, c = lstm_step(x_t @ W + h @ U + b[0], c)
            else:
                (z_x, r_x, n_x), (z_h, r_h, n_h) = np.split(x_t @ W + b[0][0], 3), np.split(h @ U + b[0][1], 3)
                n = np.tanh(n_x + sigmoid(r_x + r_h) * n_h)
                z = sigmoid(z_x + z_h)
                h = (1 - z) * n + z * h
            rows.append(h)
        x = np.array(rows)
    return x


def play_nam(path: Path, x: np.ndarray) -> np.ndarray:
    """Sample by sample, as NAM's core does: it takes the numbers one after the other, and multiplies with [x, h]."""
    content = json.loads(path.read_text())
    assert content["architecture"] == "LSTM"
    config, numbers = content["config"], list(content["weights"])

    def take(*shape: int) -> np.ndarray:
        taken = numbers[: int(np.prod(shape))]
        del numbers[: len(taken)]
        return np.array(taken).reshape(shape)

    units, width = config["hidden_size"], config["input_size"]
    cells = []
    for k in range(config["num_layers"]):
        cells.append([take(4 * units, (units if k else width) + units), take(4 * units), take(units), take(units)])
    outputs = config.get("out_channels", 1)
    head, head_bias = take(outputs, units), take(outputs)
    assert not numbers
    rows = []
    for x_t in x:
        for cell in cells:
            W, b, h, c = cell
            cell[2], cell[3] = lstm_step(W @ np.concatenate([x_t, h]) + b, c)
            x_t = cell[2]
        rows.append(head @ x_t + head_bias)
    return np.array(rows)


def net(*layers: Any) -> Sequential:
    return Sequential(*layers)


def recurrent(kind: Any, *sizes: int, **options: Any) -> Any:
    return kind(*sizes, dtype="float64", seed=sizes[0], **options)


def head(inputs: int, outputs: int = 1, **options: Any) -> Linear:
    return Linear(inputs, outputs, dtype="float64", seed=1, **options)


NETS = {
    "lstm": lambda: net(recurrent(LSTM, I, H), head(H)),
    "two layers": lambda: net(recurrent(LSTM, I, H, num_layers=2, formulation="concat"), head(H)),
    "without biases": lambda: net(recurrent(LSTM, I, H, bias=False), head(H, bias=False)),
    "two outputs": lambda: net(recurrent(LSTM, I, H, batch_first=True), head(H, 2)),
    "two LSTMs": lambda: net(recurrent(LSTM, I, H), recurrent(LSTM, H, H), head(H)),
    "one input": lambda: net(recurrent(LSTM, 1, H), head(H)),
}
WITH_GRUS = {
    "gru": lambda: net(recurrent(GRU, I, H, num_layers=2), head(H)),
    "gru without biases": lambda: net(recurrent(GRU, I, H, bias=False), head(H)),
    "of all kinds": lambda: net(head(I, 3), recurrent(GRU, 3, H), recurrent(LSTM, H, 4), head(4, 2)),
    "by its cell": lambda: net(Recurrent("gru", I, H, dtype="float64", seed=0)),
}


@pytest.mark.parametrize("made", (NETS | WITH_GRUS).values(), ids=NETS | WITH_GRUS)
def test_rtneural_plays_what_the_net_computes_and_it_is_read_back(
    made: Any, tmp_path: Path, rng: np.random.Generator
) -> None:
    model = made()
    weights.to_rtneural(model, tmp_path / "a.json")
    x = rng.standard_normal((T, json.loads((tmp_path / "a.json").read_text())["in_shape"][-1]))
    y, _ = model(x)
    np.testing.assert_allclose(play_rtneural(tmp_path / "a.json", x), y, rtol=0, atol=1e-13)
    again = weights.from_rtneural(tmp_path / "a.json", dtype="float64")
    np.testing.assert_allclose(again(x)[0], y, rtol=0, atol=1e-13)
    single = weights.from_rtneural(tmp_path / "a.json")
    assert single.dtype == np.float32
    np.testing.assert_allclose(single(x.astype("f4"))[0], y, rtol=0, atol=1e-5)


def test_layers_alone_are_written_as_nets(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.standard_normal((T, I))
    for layer in (recurrent(LSTM, I, H), head(I, 3)):
        weights.to_rtneural(layer, tmp_path / "a.json")
        y = layer(x)[0] if isinstance(layer, LSTM) else layer(x)
        np.testing.assert_allclose(play_rtneural(tmp_path / "a.json", x), y, rtol=0, atol=1e-13)


@pytest.mark.parametrize("with_states", [False, True])
@pytest.mark.parametrize("made", NETS.values(), ids=NETS)
def test_nam_plays_what_the_net_computes_and_it_is_read_back(
    made: Any, with_states: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    model = made()
    states = None
    if with_states:
        forms = [(layer.num_layers, H) for layer in model.layers[:-1]]
        states = [*((rng.standard_normal(form), rng.standard_normal(form)) for form in forms), None]
    weights.to_nam(model, tmp_path / "a.nam", states)
    x = rng.standard_normal((T, model.layers[0].input_size))
    y, _ = model(x, states)
    np.testing.assert_allclose(play_nam(tmp_path / "a.nam", x), y, rtol=0, atol=1e-13)
    again, begins = weights.from_nam(tmp_path / "a.nam", dtype="float64")
    np.testing.assert_allclose(again(x, begins)[0], y, rtol=0, atol=1e-13)
    stream = again.layers[0].stream(begins[0])
    np.testing.assert_allclose(again.layers[1](np.array([stream(row) for row in x])), y, rtol=0, atol=1e-13)
    config = json.loads((tmp_path / "a.nam").read_text())["config"]
    assert ("in_channels" in config, "out_channels" in config) == (x.shape[1] > 1, y.shape[1] > 1)


def test_what_the_formats_do_not_have_is_refused(tmp_path: Path) -> None:
    for layer in (
        LSTM(I, H, bidirectional=True), LSTM(I, H, peephole=True), GRU(I, H, reset_after=False), RNN(I, H),
        Recurrent("mgu", I, H), Embedding(3, I),
    ):  # fmt: skip
        width = 2 * H if getattr(layer, "bidirectional", False) else I if isinstance(layer, Embedding) else H
        for to in (weights.to_rtneural, weights.to_nam):
            with pytest.raises((TypeError, ValueError), match=r"must (have LSTMs|be of a cell|be an LSTM|be a Seq)"):
                to(Sequential(layer, Linear(width, 1)), tmp_path / "a")
    odd = Sequential(LSTM(I, 3), LSTM(3, 4), Linear(4, 1))
    with pytest.raises(ValueError, match="all of as many units"):
        weights.to_nam(odd, tmp_path / "a")
    for wrong in (LSTM(I, H), Sequential(LSTM(I, H)), Sequential(Linear(I, 1))):
        with pytest.raises(TypeError, match="model must be a Sequential of LSTMs and a Linear, got"):
            weights.to_nam(wrong, tmp_path / "a")  # type: ignore[arg-type]
    nested = Sequential(Linear(I, I), SequenceRegressor(I, H, 1, 1))  # has the layers of a chain, but is none
    with pytest.raises(TypeError, match="model must be an LSTM, GRU, Linear or Sequential of them, got SequenceRegr"):
        weights.to_rtneural(nested, tmp_path / "a")
    with pytest.raises(TypeError, match="Sequential of LSTMs and a Linear, got one of SequenceRegressor"):
        weights.to_nam(Sequential(SequenceRegressor(I, H, 1, 1)), tmp_path / "a")
    with pytest.raises(TypeError, match="model must be an LSTM, GRU, Linear or Sequential of them, got str"):
        weights.to_rtneural("net", tmp_path / "a")  # type: ignore[arg-type]
    model = Sequential(LSTM(I, H), Linear(H, 1))
    for states, message in (
        ([None], "states must be a list with one member for each of the 2 layers"),
        ([None, 1], r"states\[1\] must be None"),
        ([np.zeros((1, H)), None], r"states\[0\] must be a pair"),
    ):
        with pytest.raises(TypeError, match=message):
            weights.to_nam(model, tmp_path / "a", states)
    with model.layers[1].editing() as p:
        p["weight"][0, 0] = np.nan
    for to in (weights.to_rtneural, weights.to_nam):
        with pytest.raises(ValueError, match="model must have finite weights"):
            to(model, tmp_path / "a")
    assert not (tmp_path / "a").exists()


RTNEURAL_FAULTS = {
    "no layers": (lambda c: c.pop("layers"), "must have a list of layers, a file of RTNeural's does; got in_shape"),
    "GuitarML": (lambda c: (c.pop("layers"), c.update(state_dict={})), "which from_pytorch takes as arrays"),
    "another layer": (lambda c: c["layers"][0].update(type="conv1d"), r"layers\[0\] must be an lstm.*got 'conv1d'"),
    "no object": (lambda c: c["layers"].append(3), r"layers\[2\] must be an lstm, a gru or dense, got None"),
    "an activation": (lambda c: c["layers"][1].update(activation="relu"), r"layers\[1\] has the activation 'relu'"),
    "of a gru": (lambda c: c["layers"][0].update(type="gru"), r"layers\[0\].weights\[2\] must have 2 dimensions"),
    "a shape": (lambda c: c["layers"][0].update(shape=[None, 4]), r"layers\[0\].shape must be a list that ends in 5"),
    "the first shape": (lambda c: c.update(in_shape=7), "in_shape must be a list that ends in 2"),
    "two weights": (lambda c: c["layers"][0]["weights"].pop(), r"layers\[0\] must have a list of 3 weights"),
    "ragged": (lambda c: c["layers"][0]["weights"][0].append([1]), r"weights\[0\] must be lists of numbers"),
    "words": (lambda c: c["layers"][1]["weights"][1].append("a"), r"weights\[1\] must be lists of numbers"),
    "too large": (lambda c: c["layers"][1].update(weights=[[[1e60]], [1]]), "must be numbers that float32 has"),
    "a bias": (lambda c: c["layers"][1]["weights"][1].append(1.5), r"weights\[1\] must have 1 numbers|layers\[1\].sh"),
    "widths": (lambda c: c["layers"].pop(0), "in_shape must be a list that ends in 5"),
}
NAM_FAULTS = {
    "another net": (lambda c: c.update(architecture="WaveNet"), "of the architecture 'LSTM', got 'WaveNet'"),
    "no config": (lambda c: c.update(config=[]), "must have a config, an object"),
    "no size": (lambda c: c["config"].pop("num_layers"), "config must have num_layers, a whole number"),
    "a yes for a size": (lambda c: c["config"].update(hidden_size=True), "config must have hidden_size"),
    "a size too many": (lambda c: c["config"].update(hidden_size=2**30), r"weights must be 4,611.* numbers"),
    "too few": (lambda c: c["weights"].pop(), "weights must be 176 numbers for 1 layers of 5 units.*, got 175"),
    "no numbers": (lambda c: c.update(weights={"a": 1}), "weights must be lists of numbers"),
    "true and false": (lambda c: c.update(weights=[True] * 176), "weights must be lists of numbers"),
    "digits": (lambda c: c.update(weights=[10**30] * 176), "weights must be lists of numbers"),
}
FORMATS = {"rtneural": (weights.to_rtneural, weights.from_rtneural), "nam": (weights.to_nam, weights.from_nam)}


@pytest.mark.parametrize(
    ("form", "change", "message"),
    [("rtneural", *fault) for fault in RTNEURAL_FAULTS.values()] + [("nam", *fault) for fault in NAM_FAULTS.values()],
    ids=[*RTNEURAL_FAULTS, *NAM_FAULTS],
)
def test_files_that_say_what_cannot_be_are_refused(form: str, change: Any, message: str, tmp_path: Path) -> None:
    to, read = FORMATS[form]
    to(Sequential(LSTM(I, H, seed=0), Linear(H, 1, seed=0)), tmp_path / "a")
    content = json.loads((tmp_path / "a").read_text())
    change(content)
    (tmp_path / "a").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "a")


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"a": NaN}', "[" * 10**5, '{"a": ' + "9" * 5000 + "}", "\udcff"])
@pytest.mark.parametrize("form", FORMATS)
def test_what_is_no_json_of_this_kind_is_refused(form: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(text.encode(errors="surrogateescape"))
    expected = re.escape(f"{tmp_path / 'a'} is damaged or not a")
    with pytest.raises(ValueError, match=expected) as error:
        FORMATS[form][1](tmp_path / "a")
    assert "\n" not in str(error.value)


def test_what_a_player_adds_is_told(tmp_path: Path) -> None:
    weights.to_rtneural(LSTM(1, 3), tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(content | {"in_skip": 0, "out_gain": 0.0}))
    weights.from_rtneural(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps(content | {"in_skip": 1, "out_gain": -3.0}))
    words = r"adds the input to the output \(in_skip\) and scales the output \(out_gain\) besides"
    with pytest.warns(UserWarning, match=words):
        weights.from_rtneural(tmp_path / "a.json")
