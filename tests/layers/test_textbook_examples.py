"""The examples of the texts that this project grew from: their shapes and their counts."""

from __future__ import annotations

import numpy as np
import pytest

import nblstm


def shapes(layer) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in layer.params.items()}


def test_two_cells_chained(rng):
    """30 -> 20 -> 10 over 12 steps of 3 sequences."""
    first, second = nblstm.LSTMCell(30, 20, seed=0), nblstm.LSTMCell(20, 10, seed=1)
    assert shapes(first) == {"weight_ih": (80, 30), "weight_hh": (80, 20), "bias_ih": (80,), "bias_hh": (80,)}
    assert shapes(second) == {"weight_ih": (40, 20), "weight_hh": (40, 10), "bias_ih": (40,), "bias_hh": (40,)}
    outer = inner = None
    for x in rng.standard_normal((12, 3, 30)).astype("float32"):
        outer = first(x, outer)
        inner = second(outer[0], inner)
    assert [member.shape for member in (*outer, *inner)] == [(3, 20), (3, 20), (3, 10), (3, 10)]


def test_cells_of_100_and_20(rng):
    x, h = rng.standard_normal((5, 100)).astype("float32"), np.zeros((5, 20), "float32")
    rnn, lstm = nblstm.RNNCell(100, 20), nblstm.LSTMCell(100, 20)
    assert shapes(rnn) == {"weight_ih": (20, 100), "weight_hh": (20, 20), "bias_ih": (20,), "bias_hh": (20,)}
    assert shapes(lstm) == {"weight_ih": (80, 100), "weight_hh": (80, 20), "bias_ih": (80,), "bias_hh": (80,)}
    assert rnn(x, h).shape == (5, 20)
    assert [member.shape for member in lstm(x, (h, h))] == [(5, 20), (5, 20)]


def test_200_to_1000_over_70_steps(rng):
    lstm = nblstm.LSTM(200, 1000, seed=0)
    assert shapes(lstm) == {
        "weight_ih_l0": (4000, 200),
        "weight_hh_l0": (4000, 1000),
        "bias_ih_l0": (4000,),
        "bias_hh_l0": (4000,),
    }
    assert lstm.num_parameters == 4_808_000
    y, (h_n, c_n) = lstm(rng.standard_normal((70, 1, 200)).astype("float32"))
    assert (y.shape, h_n.shape, c_n.shape) == ((70, 1, 1000), (1, 1, 1000), (1, 1, 1000))
    assert "4,808,000" in lstm.summary()


@pytest.mark.parametrize(("x", "h"), [(200, 1000), (28, 128), (3, 7)])
def test_the_count_with_one_bias(x, h):
    """4 (h (h + x) + h): what the concatenated formulation has, while two biases make 4h more."""
    assert nblstm.LSTM(x, h, formulation="concat").num_parameters == 4 * (h * (h + x) + h)
    assert nblstm.LSTM(x, h).num_parameters == 4 * (h * (h + x) + h) + 4 * h
    assert nblstm.RNN(x, h, formulation="concat").num_parameters == h * (h + x) + h


@pytest.mark.parametrize(("bidirectional", "width", "count"), [(False, 128, 212_992), (True, 256, 557_056)])
def test_images_row_by_row(bidirectional, width, count, rng):
    """28 -> 128, two layers, 100 images of 28 rows."""
    lstm = nblstm.LSTM(28, 128, 2, bidirectional=bidirectional, seed=0)
    images = rng.standard_normal((28, 100, 28)).astype("float32")
    y, (h_n, c_n) = lstm(images)
    assert y.shape == (28, 100, width)
    assert h_n.shape == c_n.shape == (width // 64, 100, 128)
    assert lstm.num_parameters == count
    assert np.array_equal(y[-1, :, :128], h_n[-2 if bidirectional else -1])
    if bidirectional:
        assert np.array_equal(y[0, :, 128:], h_n[-1])
