"""The checks of `nblstm check`, one after the other, and the table that shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np

from nblstm.check import accuracy
from nblstm.check.recorded import Recording, largest_error, recorded
from nblstm.gradcheck.compare import gradcheck
from nblstm.layers import GRU, LSTM, RNN, Embedding, GRUCell, Linear, LSTMCell, RNNCell

GRADIENT, RECORDED = 1e-7, 1e-11
EVERY = 4099  # of the numbers of float32 there are, a million
SAMPLE = 1 << 12  # numbers of float64
KINDS = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN, tanh", "rnn_relu": "RNN, ReLU"}


class Row(NamedTuple):
    """One check: what was compared, the largest error found, the largest allowed, and the unit of both."""

    what: str
    found: float
    allowed: float
    unit: str

    @property
    def passed(self) -> bool:
        """Whether the error is as small as it should be; NaN is not."""
        return self.found <= self.allowed


Check = Callable[[], Row]


def rows() -> Iterator[Row]:
    """Every check in turn, as soon as it is done."""
    return (check() for check in _checks())


def count() -> int:
    """How many checks there are."""
    return len(_checks())


def _checks() -> list[Check]:
    return [*_gradients(), *_recorded(), *_accuracy(), _same_bits]


def table(found: list[Row]) -> str:
    """The rows as a table to read."""
    width = max(len(row.what) for row in found)
    verdicts = ["ok" if row.passed else "FAILED" for row in found]
    lines = [
        f"{row.what:<{width}}  {row.found:>7.1e}  {row.allowed:>7.1e}  {verdict:<6}  {row.unit}"
        for row, verdict in zip(found, verdicts, strict=True)
    ]
    head = f"{'check':<{width}}  {'error':>7}  {'allowed':>7}"
    return "\n".join([head, "-" * max(map(len, lines)), *lines])


def _gradients() -> Iterator[Check]:
    """Every gradient of every layer against centred differences."""
    rng = np.random.default_rng(0)
    T, B, I, H = 5, 3, 2, 7
    x, lengths = rng.standard_normal((T, B, I)), np.array([5, 1, 4])
    common: dict[str, Any] = {"dtype": "float64", "seed": 1}
    stacked: dict[str, Any] = {"num_layers": 2, "bidirectional": True, **common}
    state = rng.standard_normal((2, 4, B, H))
    layers: dict[str, LSTM | GRU | RNN] = {
        "LSTM": LSTM(I, H, **stacked),
        "LSTM, concat": LSTM(I, H, formulation="concat", **stacked),
        "LSTM, peepholes": LSTM(I, H, peephole=True, **stacked),
        "LSTM, checkpoint": LSTM(I, H, checkpoint=2, **stacked),
        "GRU": GRU(I, H, **stacked),
        "GRU, checkpoint": GRU(I, H, checkpoint=2, **stacked),
        "RNN, tanh": RNN(I, H, **stacked),
        "RNN, ReLU": RNN(I, H, nonlinearity="relu", **stacked),
    }
    for name, layer in layers.items():
        initial = tuple(state) if len(layer.cell.states) > 1 else state[0]
        yield partial(_gradient_row, f"{name}, two layers, both directions", layer, x, initial, lengths)
    yield partial(_gradient_row, "LSTMCell", LSTMCell(I, H, **common), x[0], tuple(state[:, 0]))
    yield partial(_gradient_row, "GRUCell", GRUCell(I, H, **common), x[0], state[0, 0])
    yield partial(_gradient_row, "RNNCell", RNNCell(I, H, **common), x[0], state[0, 0])
    yield partial(_gradient_row, "Linear", Linear(I, H, **common), x)
    yield partial(_gradient_row, "Embedding", Embedding(4, H, **common), rng.integers(0, 4, (T, B)))


def _gradient_row(name: str, layer: Any, x: np.ndarray, state: Any = None, lengths: np.ndarray | None = None) -> Row:
    found = gradcheck(layer, x, state, lengths, tolerance=np.inf)
    return Row(f"gradients: {name}", found.error, GRADIENT, "of the largest entry")


def _recorded() -> Iterator[Check]:
    """Outputs and gradients of each net that PyTorch computed once."""
    for recording in recorded().values():
        yield partial(_recorded_row, recording)


def _recorded_row(recording: Recording) -> Row:
    return Row(f"as PyTorch: {_in_words(recording)}", largest_error(recording), RECORDED, "of the largest entry")


def _in_words(recording: Recording) -> str:
    """What net it is."""
    form = recording.form
    words = {
        KINDS[form["cell"]]: True,
        "two layers": form["num_layers"] == 2,
        "both directions": form["bidirectional"],
        "lengths": "lengths" in recording.problem,
        "batch first": form["batch_first"],
        "no bias": not form["bias"],
    }
    return ", ".join(word for word, true in words.items() if true)


def _accuracy() -> Iterator[Check]:
    for name in accuracy.FUNCTIONS:
        for dtype in ("float32", "float64"):
            yield partial(_accuracy_row, name, dtype)


def _accuracy_row(name: str, dtype: str) -> Row:
    function = accuracy.FUNCTIONS[name]
    survey = accuracy.survey32(function, EVERY) if dtype == "float32" else accuracy.survey64(function, SAMPLE)
    return Row(f"accuracy: {name}, {dtype}", survey.normal.value, accuracy.LARGEST[name], "ulp")


def _same_bits() -> Row:
    """One thread and all of them, over a batch and over a single sequence."""
    differing = 0
    threads = numba.get_num_threads()
    for batch, units in ((64, 200), (1, 700)):
        x = np.random.default_rng(batch).standard_normal((20, batch, 40), dtype="float32")
        results = []
        for count in (1, threads):
            numba.set_num_threads(count)
            layer = LSTM(40, units, seed=0)
            y, _, tape = layer.forward(x)
            dx: Any = layer.backward(y, tape)[0]
            results.append(np.concatenate([np.ravel(array) for array in (y, dx, layer.flat_grads)]))
        differing += int(np.count_nonzero(results[0] != results[1]))
    return Row(f"the same bits with 1 and {threads} threads", differing, 0, "numbers that differ")
