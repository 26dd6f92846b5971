"""Numbers below the normal ones: states and gradients that halve with every step do so down to the smallest."""

from __future__ import annotations

import numpy as np
import pytest

import nblstm

# whether numbers are flushed is set for each thread: so with threads, and without
pytestmark = pytest.mark.usefixtures("threads_and_serial")

B, H = 5, 21
LAST = {"float32": 149, "float64": 1074}  # 2^-LAST is the smallest number above 0


def halved(dtype: str, steps: int) -> np.ndarray:
    """1, 1/2, 1/4 ... of so many steps, which ends in zeros."""
    powers = np.arange(steps + 1)
    return np.where(powers <= LAST[dtype], np.ldexp(np.ones(1, dtype), -np.minimum(powers, LAST[dtype])), 0)


@pytest.mark.parametrize("dtype", LAST)
@pytest.mark.parametrize("peephole", [False, True])
def test_lstm(peephole: bool, dtype: str) -> None:
    """All parameters zero, so i = f = o = 1/2 and g = 0: c' = c / 2, h' = tanh(c') / 2, and dc = dc' / 2."""
    T = LAST[dtype] + 3
    lstm = nblstm.LSTM(1, H, peephole=peephole, dtype=dtype, seed=0)
    with lstm.editing() as p:
        p.flat[:] = 0
    ones = np.ones((1, B, H), dtype)
    h, c = np.empty((T, B, H), dtype), np.empty((T, B, H), dtype)
    expected = halved(dtype, T)
    state = (None, ones)
    for s in range(T):
        h[s], state = lstm(np.zeros((1, B, 1), dtype), state)
        c[s] = state[1]
    assert (c == expected[1:, None, None]).all()
    small = slice(30, None)  # from where on tanh(c) = c
    assert (h[small] == (expected[1:, None, None] / 2)[small]).all()

    for steps in (T - 10, T):
        y, _, tape = lstm.forward(np.zeros((steps, B, 1), dtype), (None, ones))
        assert np.array_equal(y, h[:steps])
        _, (_, dc_0) = lstm.backward(None, tape, (None, ones))
        assert (dc_0 == expected[steps]).all()


@pytest.mark.parametrize("dtype", LAST)
@pytest.mark.parametrize("formulation", ["split", "concat"])
def test_rnn(formulation: str, dtype: str) -> None:
    """h' = max(0, h / 2) and dh = dh' / 2: through the matrix products, forward and backward."""
    T = LAST[dtype] + 3
    rnn = nblstm.RNN(1, H, 1, "relu", formulation="split", dtype=dtype, seed=0)
    with rnn.editing() as p:
        p.flat[:] = 0
        p["weight_hh_l0"][...] = np.eye(H) / 2
    rnn = rnn.to_formulation(formulation)
    ones = np.ones((1, B, H), dtype)
    expected = halved(dtype, T)
    for steps in (T - 10, T):
        y, _, tape = rnn.forward(np.zeros((steps, B, 1), dtype), ones)
        assert (y == expected[1 : steps + 1, None, None]).all()
        _, dh_0 = rnn.backward(None, tape, ones)
        # Where h is 0, relu stops the gradient; elsewhere it halves.
        assert (dh_0 == (expected[steps] if steps <= LAST[dtype] else 0)).all()
