"""Dropout between layers: who drops, how much, the same for any threads, resumable, and differentiated."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

import nblstm
from nblstm import weights

T, B, I, H = 40, 9, 3, 30


def see_through(dropout: float = 0.25, layers: int = 2, seed: int | None = 3, dtype: str = "float64") -> nblstm.RNN:
    """A ReLU net whose layers after the first pass on what they get, so that y shows what was dropped."""
    rnn = nblstm.RNN(I, H, layers, "relu", dropout=dropout, seed=seed, dtype=dtype)
    with rnn.editing() as p:
        for name, tensor in p.items():
            if not name.endswith("_l0"):
                tensor[...] = np.eye(H) if name.startswith("weight_ih") else 0
            elif name.startswith("bias"):
                tensor[...] = 1  # keeps the first layer's output above zero, so a zero is a dropped number
            else:
                tensor[...] = np.abs(tensor) / H
    return rnn


@pytest.fixture
def x(rng) -> np.ndarray:
    return rng.uniform(0, 1, (T, B, I))


def test_a_call_drops_nothing(x):
    assert np.array_equal(see_through(0.25)(x)[0], see_through(0.0)(x)[0])


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_forward_drops_its_share_and_scales_up_the_rest(x, dropout):
    rnn = see_through(dropout)
    kept, (y, *_) = rnn(x)[0], rnn.forward(x)
    dropped = y == 0
    count = y.size
    assert abs(dropped.mean() - dropout) < 4 * np.sqrt(dropout * (1 - dropout) / count)
    np.testing.assert_allclose(y[~dropped], kept[~dropped] / (1 - dropout), rtol=1e-14)
    for axis in range(3):  # no step, sequence or unit is favoured
        other = tuple(k for k in range(3) if k != axis)
        share, size = dropped.mean(axis=other), count / dropped.shape[axis]
        assert np.abs(share - dropout).max() < 5 * np.sqrt(dropout * (1 - dropout) / size)


def test_the_last_layer_is_never_dropped(x):
    with pytest.warns(UserWarning, match="dropout=0.5 has no effect with one layer"):
        one = nblstm.RNN(I, H, 1, dropout=0.5, seed=3, dtype="float64")
    assert np.array_equal(one.forward(x)[0], one(x)[0])


def test_only_who_makes_the_layer_is_warned():
    with pytest.warns(UserWarning, match="has no effect with one layer") as told:
        lstm = nblstm.LSTM(I, H, dropout=0.5, seed=3, dtype="float64")
    assert [warning.filename for warning in told] == [__file__]
    others = [lstm.to_formulation("concat"), lstm.to_formulation("split"), copy.copy(lstm)]
    others += [copy.deepcopy(lstm), pickle.loads(pickle.dumps(lstm))]  # here a warning is an error
    assert [other.dropout for other in others] == [0.5] * len(others)
    for to in (weights.to_pytorch, weights.to_keras, weights.to_tensorflow):
        assert to(others[0])
    lstm.stream()
    nblstm.gradcheck(lstm, np.ones((2, 1, I)), entries=1)


def test_every_layer_and_every_pass_has_its_own_mask(x):
    twice = see_through(0.5, layers=3)
    y, *_ = twice.forward(x)
    assert abs((y == 0).mean() - 0.75) < 0.03
    assert not np.array_equal(y, twice.forward(x)[0])


def test_the_mask_depends_on_the_seed_alone(x, rng):
    masks = [see_through(seed=seed).forward(x)[0] == 0 for seed in (3, 3, 4)]
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


def test_the_state_of_the_generator_resumes_the_masks(x):
    rnn = see_through()
    rnn.forward(x)
    state = json.loads(json.dumps(rnn.dropout_state()))
    expected = [rnn.forward(x)[0] for _ in range(2)]
    other = see_through(seed=99)
    other.load_state_dict(rnn.state_dict())
    other.set_dropout_state(state)
    assert all(np.array_equal(other.forward(x)[0], y) for y in expected)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_go_through_the_mask(x, bidirectional):
    lstm = nblstm.LSTM(I, 7, 3, dropout=0.4, bidirectional=bidirectional, dtype="float64", seed=1)
    nblstm.gradcheck(lstm, x[:5, :3], lengths=[3, 5, 1], entries=20)


def test_masks_of_neighbouring_layers_share_no_pattern():
    lstm = nblstm.LSTM(I, 30, 3, dropout=0.5, seed=1)
    *_, tape = lstm.forward(np.ones((50, 10, I), "float32"))
    first, second = (dropped.ravel() == 0 for dropped in tape.dropped)
    for shift in range(-40, 41):
        agreement = (np.roll(first, shift) == second).mean()
        assert abs(agreement - 0.5) < 5 * 0.5 / np.sqrt(first.size), shift


def test_a_sequence_keeps_its_mask_whatever_its_neighbours():
    lstm, x = nblstm.LSTM(I, 30, 2, dropout=0.5, seed=1), np.ones((6, 5, I), "float32")
    key = lstm.dropout_state()
    all_five = lstm.forward(x)[0].copy()
    lstm.set_dropout_state(key)
    assert np.array_equal(lstm.forward(x[:, :2])[0], all_five[:, :2])


@pytest.mark.parametrize("formulation", ["split", "concat"])
def test_another_formulation_drops_on_from_the_same_place(formulation):
    rnn = see_through()
    rnn.forward(np.ones((2, 1, rnn.input_size)))
    assert rnn.to_formulation(formulation).dropout_state() == rnn.dropout_state()
