"""The net of 1997: its gradient beside a plain twin's and differences, its number of weights, its errors."""

from __future__ import annotations

import numpy as np
import pytest
from support.differences import slopes

from nblstm.experiments.block_net import BlockNet, BlockSettings
from nblstm.experiments.tasks import Sequences

I, O = 3, 2


def sigma(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def plain_pass(net: BlockNet, sequences: Sequences, lr: float) -> np.ndarray:
    """The same, as the paper's appendix writes it: a derivative for every weight of every cell's state, in lists."""
    blocks, cells = net.settings.blocks, net.settings.cells
    size, units = 2 + cells, blocks * (2 + cells)
    W, V = net.hidden.tolist(), net.output.tolist()
    out = np.zeros(sequences.targets.shape)
    x = sequences.dense(I).astype(float)
    for b, length in enumerate(sequences.lengths):
        y, s = [0.0] * units, {(j, c): 0.0 for j in range(blocks) for c in range(cells)}
        W_new, V_new = [list(row) for row in W], [list(row) for row in V]
        ds = {(place, which): [0.0] * (I + units + 1) for place in s for which in ("in", "cell")}
        for t in range(length):
            sources = [*x[t, b], *y, 1.0]
            nets = [sum(w * v for w, v in zip(row, sources, strict=True)) for row in W]
            y = [sigma(each) for each in nets]
            for (j, c), old in s.items():
                g, slope = 4 * sigma(nets[j * size + 2 + c]) - 2, 4 * sigma(nets[j * size + 2 + c])
                slope *= 1 - sigma(nets[j * size + 2 + c])
                y_in, y_out = y[j * size], y[j * size + 1]
                s[j, c] = old + y_in * g
                y[j * size + 2 + c] = y_out * (2 * sigma(s[j, c]) - 1)
                for m, source in enumerate(sources):
                    ds[(j, c), "in"][m] += g * y_in * (1 - y_in) * source
                    ds[(j, c), "cell"][m] += slope * y_in * source
            if len(out) == 1 and t < length - 1:
                continue
            at = 0 if len(out) == 1 else t
            h = [y[j * size + 2 + c] for j, c in s]
            y_k = [sigma(sum(v * each for v, each in zip(row, [*h, 1.0], strict=True))) for row in V]
            out[at, b] = y_k
            delta = [(sequences.targets[at, b, k] - y_k[k]) * y_k[k] * (1 - y_k[k]) for k in range(O)]
            back = [sum(V[k][c] * delta[k] for k in range(O)) for c in range(len(h))]
            for k in range(O):
                for c, each in enumerate([*h, 1.0]):
                    V_new[k][c] += lr * delta[k] * each
            for number, (j, c) in enumerate(s):
                squashed, y_out = 2 * sigma(s[j, c]) - 1, y[j * size + 1]
                e = back[number] * y_out * (1 - squashed**2) / 2
                for m, source in enumerate(sources):
                    W_new[j * size][m] += lr * e * ds[(j, c), "in"][m]
                    W_new[j * size + 2 + c][m] += lr * e * ds[(j, c), "cell"][m]
                    W_new[j * size + 1][m] += lr * back[number] * squashed * y_out * (1 - y_out) * source
        W, V = W_new, V_new
    net.hidden[...], net.output[...] = W, V
    return out


def make(every_step: bool, seed: int = 0) -> Sequences:
    rng = np.random.default_rng(seed)
    lengths = np.array([5, 7, 6])
    return Sequences(rng.standard_normal((7, 3, I)), lengths, rng.uniform(size=(7 if every_step else 1, 3, O)))


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize(("blocks", "cells"), [(1, 3), (2, 2), (3, 1)])
def test_truncated_gradient_is_the_plain_twins(blocks: int, cells: int, every_step: bool) -> None:
    settings = BlockSettings(blocks, cells, lr=0.7, init=1.0)
    net, twin = (BlockNet(I, O, settings, np.random.default_rng(1)) for _ in range(2))
    float32 = make(every_step)
    sequences = Sequences(float32.inputs.astype(np.float32).astype(float), float32.lengths, float32.targets)
    first = net.hidden.copy()
    np.testing.assert_allclose(net.train(sequences), plain_pass(twin, sequences, 0.7), rtol=1e-11)
    np.testing.assert_allclose(net.hidden, twin.hidden, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(net.output, twin.output, rtol=1e-10, atol=1e-13)
    assert (net.hidden != first).mean() > 0.9


def test_gradient_is_the_difference_quotient_where_nothing_is_truncated() -> None:
    """Without weights from hidden units no error could go back through them: then both are one, for all weights."""
    net = BlockNet(I, O, BlockSettings(2, 2, lr=1.0, init=1.0), np.random.default_rng(2))
    net.hidden[:, I:-1] = 0
    sequences = make(False).part(slice(0, 1))

    def loss() -> float:
        return 0.5 * float(((net.answer(sequences) - sequences.targets) ** 2).sum())

    expected = [slopes(loss, array) for array in (net.hidden, net.output)]
    before = net.hidden.copy(), net.output.copy()
    net.train(sequences)
    for array, old, gradient in zip((net.hidden, net.output), before, expected, strict=True):
        np.testing.assert_allclose(old - array, gradient, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("every_step", [False, True])
def test_truncated_gradient_is_the_difference_quotient_where_earlier_units_are_held(every_step: bool) -> None:
    """The paper sets the derivatives by y(t - 1) to 0: what units said is recorded once, then weights alone vary."""
    net = BlockNet(I, O, BlockSettings(2, 2, lr=0.3, init=1.0), np.random.default_rng(5))
    sequences = make(every_step).part(slice(0, 1))
    x, length, targets = sequences.inputs[:, 0], sequences.lengths[0], sequences.targets[:, 0]

    def loss(W: np.ndarray, V: np.ndarray, held: list[np.ndarray], record: bool) -> float:
        s, total = np.zeros((2, 2)), 0.0
        for t in range(length):
            gate_in, gate_out, *cells = (W @ np.concatenate((x[t], held[t], [1]))).reshape(2, 4).T
            s = s + sigma(gate_in)[:, None] * (4 * sigma(np.stack(cells, 1)) - 2)
            y = sigma(gate_out)[:, None] * (2 * sigma(s) - 1)
            if record:
                held.append(np.column_stack((sigma(gate_in), sigma(gate_out), y)).ravel())
            if every_step or t == length - 1:
                out = sigma(V @ np.append(y, 1))
                total += 0.5 * float(((out - targets[t if every_step else 0]) ** 2).sum())
        return total

    held = [np.zeros(len(net.hidden))]
    loss(net.hidden, net.output, held, record=True)
    before = net.hidden.copy(), net.output.copy()
    net.train(sequences)
    for which, new in enumerate((net.hidden, net.output)):
        for place in np.ndindex(new.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [each.copy() for each in before]
                moved[which][place] += step
                sides.append(loss(moved[0], moved[1], held, record=False))
            change = new[place] - before[which][place]
            np.testing.assert_allclose(change, -0.3 * (sides[0] - sides[1]) / 2e-5, rtol=1e-5, atol=1e-10)


def test_biases_that_a_section_does_not_have_stay_zero() -> None:
    net = BlockNet(I, O, BlockSettings(2, 1, lr=0.5, in_gates=(-1, -2), biases=("gates",)), np.random.default_rng(3))
    assert (net.hidden[[0, 3], -1] == [-1, -2]).all()
    net.train(make(True))
    assert not net.hidden[[2, 5], -1].any()
    assert not net.output[:, -1].any()
    assert net.hidden[[0, 1, 3, 4], -1].all()
    assert net.weights == 6 * (I + 6) + 4 + O * 2


def test_answers_change_nothing_and_symbols_are_their_lines() -> None:
    net = BlockNet(I, O, BlockSettings(2, 2, lr=0.5, init=1.0), np.random.default_rng(4))
    before = net.hidden.copy()
    lengths, targets = np.array([4, 4]), np.zeros((4, 2, O))
    symbols = np.array([[0, 1], [2, 2], [1, 0], [2, 1]])
    said = net.answer(Sequences(symbols, lengths, targets))
    np.testing.assert_allclose(said, net.answer(Sequences(np.eye(I)[symbols], lengths, targets)), rtol=1e-14)
    assert (net.hidden == before).all()
