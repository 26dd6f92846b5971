"""The gradient check itself: it finds what is wrong, names it, and leaves the layer as it was."""

from __future__ import annotations

import numpy as np
import pytest

import nblstm
from nblstm.cells import tanh

T, B, I, H = 4, 3, 2, 5


class Wrong(nblstm.LSTM):
    """An LSTM whose backward pass has one wrong number in one tensor."""

    def __init__(self, tensor: str, index: tuple[int, ...]) -> None:
        super().__init__(I, H, dtype="float64", seed=1)
        self.tensor, self.index = tensor, index

    def backward(self, dy, tape, dstate=None, need_dx=True, grads=None):
        dx, (dh_0, dc_0) = super().backward(dy, tape, dstate, need_dx, grads)
        results = {"x": dx.copy(), "h_0": dh_0.copy(), "c_0": dc_0.copy()}
        (results if self.tensor in results else grads or self.grads)[self.tensor][self.index] += 1e-3
        return results["x"], (results["h_0"], results["c_0"])


PLANTED = [
    ("weight_ih_l0", (13, 1)),
    ("weight_hh_l0", (0, 4)),
    ("bias_ih_l0", (7,)),
    ("x", (3, 2, 0)),
    ("h_0", (0, 1, 2)),
    ("c_0", (0, 0, 4)),
]


@pytest.fixture
def x(rng) -> np.ndarray:
    return rng.standard_normal((T, B, I))


@pytest.mark.parametrize(("tensor", "index"), PLANTED, ids=[name for name, _ in PLANTED])
def test_a_planted_error_is_found_and_named(tensor, index, x):
    with pytest.raises(AssertionError) as caught:
        nblstm.gradcheck(Wrong(tensor, index), x)
    worst = caught.value.table.worst
    assert (worst.name, worst.index) == (tensor, index)
    assert worst.analytic - worst.numeric == pytest.approx(1e-3, rel=1e-5)
    message = str(caught.value)
    assert message.startswith(f"{tensor}{list(index)}: analytic {worst.analytic:.9g}, numeric {worst.numeric:.9g}")
    assert str(caught.value.table) in message
    assert all(row.error < 1e-7 and row.projection < 1e-7 for row in caught.value.table.rows if row.name != tensor)


def test_what_the_sample_misses_the_projection_sees(x):
    with pytest.raises(AssertionError, match=r"weight_hh_l0.* along a random direction") as caught:
        nblstm.gradcheck(Wrong("weight_hh_l0", (0, 4)), x, entries=1)
    row = caught.value.table.worst
    assert row.checked == 1
    assert row.error < 1e-7 < row.projection


def test_a_gradient_that_is_not_a_number_is_wrong(x):
    class NotANumber(Wrong):
        def backward(self, *arguments, **named):
            dx, dstate = super().backward(*arguments, **named)
            return dx * np.nan, dstate

    with pytest.raises(AssertionError, match=r"^x\["):
        nblstm.gradcheck(NotANumber("x", (0, 0, 0)), x)


def test_the_table_has_a_row_for_every_tensor(x):
    layer = nblstm.RNN(I, H, 2, bidirectional=True, dtype="float64", seed=1)
    table = nblstm.gradcheck(layer, x, entries=3)
    assert [row.name for row in table.rows] == [*layer.params, "x", "h_0"]
    assert {row.checked for row in table.rows} == {3}
    lines = str(table).splitlines()
    assert lines[0].split() == ["tensor", "shape", "checked", "max|grad|", "error", "projection"]
    assert [line.split()[0] for line in lines[2:]] == [row.name for row in table.rows]
    assert all(row.error <= 1e-7 and row.projection <= 1e-7 for row in table.rows)


def test_the_states_have_the_names_that_the_cell_has_for_them(x):
    def forward(s, m_prev, k_prev):
        t = tanh(s)
        return (t,), (m_prev * t, t - k_prev, m_prev + k_prev)

    def backward(t, m_prev, dh, dm, dk):
        return ((dh * m_prev + dm) * (1 - t * t),), (dh * t + dk, dk - dm)

    own = nblstm.Cell("own", sums=("s",), states=("h", "m", "k"), forward=forward, backward=backward)
    table = nblstm.gradcheck(nblstm.Recurrent(own, I, H, dtype="float64", seed=1), x)
    assert [row.name for row in table.rows][-3:] == ["h_0", "m_0", "k_0"]


def test_the_layer_is_left_as_it_was(x, rng):
    layer = nblstm.LSTM(I, H, 2, dropout=0.5, dtype="float64", seed=1)
    layer.flat_grads[:] = rng.standard_normal(layer.num_parameters)
    params, grads, keys = layer.flat_params.copy(), layer.flat_grads.copy(), layer.dropout_state()
    given = x.copy()
    nblstm.gradcheck(layer, x, entries=2)
    assert np.array_equal(layer.flat_params, params)
    assert np.array_equal(layer.flat_grads, grads)
    assert layer.dropout_state() == keys
    assert np.array_equal(x, given)


def test_it_is_left_as_it_was_after_an_error_too(x):
    layer = Wrong("bias_hh_l0", (0,))
    params = layer.flat_params.copy()
    with pytest.raises(AssertionError):
        nblstm.gradcheck(layer, x)
    assert np.array_equal(layer.flat_params, params)


def test_the_seed_decides_everything(x):
    layer = nblstm.LSTM(I, H, dtype="float64", seed=1)
    tables = [nblstm.gradcheck(layer, x, entries=2, seed=seed) for seed in (5, 5, 6)]
    assert tables[0] == tables[1] != tables[2]


def test_padding_may_be_anything(x):
    x[2:, 0] = np.nan
    table = nblstm.gradcheck(nblstm.LSTM(I, H, dtype="float64", seed=1), x, lengths=[2, 4, 4])
    assert table.error < 1e-7


def test_one_sequence_without_a_batch(x, rng):
    layer = nblstm.LSTM(I, H, dtype="float64", seed=1)
    table = nblstm.gradcheck(layer, x[:, 0], (rng.standard_normal((1, H)), None))
    assert [row.shape for row in table.rows[-3:]] == [(T, I), (1, H), (1, H)]


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda x: nblstm.gradcheck(nblstm.LSTM(I, H), x), TypeError, "layer must be float64 .* got float32"),
        (lambda x: nblstm.gradcheck(nblstm.Linear(I, H, dtype="float64"), x, x), TypeError, "state must be None"),
        (
            lambda x: nblstm.gradcheck(nblstm.LSTMCell(I, H, dtype="float64"), x[0], None, [1]),
            TypeError,
            "lengths must be None",
        ),
        (
            lambda x: nblstm.gradcheck(nblstm.LSTM(I, H, dtype="float64"), x, entries=0),
            ValueError,
            "entries must be at least 1",
        ),
        (lambda x: nblstm.gradcheck(nblstm.LSTM(I, H, dtype="float64"), x, x), TypeError, "state must be a pair"),
    ],
    ids=["float32", "state of a Linear", "lengths of a cell", "no entries", "bare state"],
)
def test_bad_input(act, error, words, x):
    with pytest.raises(error, match=words):
        act(x)
