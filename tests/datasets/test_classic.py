"""The tasks of the first papers: every target against plain Python, the places where marks may stand, bad input."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nblstm
from nblstm.datasets import adding, spike_timing, temporal_order

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 5), st.integers(20, 130))
@settings(deadline=None, derandomize=True)
def test_adding_marks_two_numbers_and_asks_for_them(seed: int, batch: int, steps: int) -> None:
    x, target, lengths = adding(np.random.default_rng(seed), batch, steps)
    assert x.shape == (lengths.max(), batch, 2)
    assert (x.dtype, target.dtype, lengths.dtype) == (np.float32, np.float32, np.int64)
    assert (target.shape, lengths.shape) == ((batch,), (batch,))
    for b, length in enumerate(lengths):
        assert steps <= length <= steps * 1.1
        assert not x[length:, b].any()
        values, markers = x[:length, b].T.tolist()
        first, second = (t for t in range(length) if markers[t] == 1)
        assert first < 10
        assert second < steps // 2
        assert markers[-1] == -1
        assert markers[0] == (-1 if first else 1)
        assert all(markers[t] == 0 for t in range(1, length - 1) if t not in (first, second))
        assert all(-1 <= value <= 1 for value in values)
        assert first or values[0] == 0
        assert target[b] == pytest.approx(0.5 + (values[first] + values[second]) / 4, abs=1e-6)


def test_adding_draws_every_place_and_the_constant_guess_has_the_stated_error() -> None:
    x, target, lengths = adding(np.random.default_rng(0), 40_000, 30)
    places = np.sort(np.nonzero((x[..., 1] == 1).T)[1].reshape(-1, 2))
    assert set(places[:, 1]) == set(range(1, 15))
    assert set(places[:, 0]) == set(range(10))
    assert set(lengths) == set(range(30, 34))
    assert x[..., 0].mean() == pytest.approx(0, abs=0.01)
    unseen = places[:, 0] > 0  # no number that counts as 0
    assert np.mean((target[unseen] - 0.5) ** 2) == pytest.approx(1 / 24, abs=0.001)


@given(seeds, st.integers(1, 5), st.integers(20, 130), st.sampled_from([2, 3]))
@settings(deadline=None, derandomize=True)
def test_temporal_order_asks_for_the_marks_in_their_order(seed: int, batch: int, steps: int, marks: int) -> None:
    x, target, lengths = temporal_order(np.random.default_rng(seed), batch, steps, marks)
    assert x.shape == (lengths.max(), batch, 8)
    assert (x.dtype, target.dtype, lengths.dtype) == (np.float32, np.int64, np.int64)
    hundredths = {2: (10, 50), 3: (10, 33, 66)}[marks]
    for b, length in enumerate(lengths):
        assert steps <= length <= steps * 1.1
        assert not x[length:, b].any()
        assert (x[:length, b].sum(axis=1) == 1).all()
        text = "".join("abcdXYEB"[token] for token in x[:length, b].argmax(1))
        assert (text[0], text[-1]) == ("E", "B")
        assert not set(text[1:-1]) & set("EB")
        places = [t for t, letter in enumerate(text) if letter in "XY"]
        for place, start in zip(places, hundredths, strict=True):
            assert start * steps // 100 <= place <= start * steps // 100 + steps // 10
        orders = ["".join(order) for order in itertools.product("XY", repeat=marks)]
        assert orders[target[b]] == "".join(text[place] for place in places)


@pytest.mark.parametrize("marks", [2, 3])
def test_every_order_is_equally_likely(marks: int) -> None:
    _, target, lengths = temporal_order(np.random.default_rng(0), 40_000, 20, marks)
    share = 0.5**marks
    np.testing.assert_allclose(np.bincount(target) / 40_000, share, atol=6 * np.sqrt(share / 40_000))
    assert set(lengths) == {20, 21, 22}


@given(seeds, st.integers(1, 4), st.integers(1, 9), st.integers(2, 40))
@settings(deadline=None, derandomize=True)
def test_spike_timing_asks_for_the_distance_to_the_spike_before(seed: int, batch: int, gap: int, more: int) -> None:
    steps = gap + more
    x, target = spike_timing(np.random.default_rng(seed), batch, steps, gap)
    assert (x.shape, x.dtype, target.shape, target.dtype) == ((steps, batch, 1), np.float32, (steps, batch), np.int64)
    for spikes, answers in zip(x[..., 0].T, target.T, strict=True):
        assert set(spikes) <= {0, 1}
        places = [t for t in range(steps) if spikes[t]]
        assert places[0] == 0
        assert steps - places[-1] <= gap + 1, "the stream does not stop before its end"
        expected = [-1] * steps
        for before, place in itertools.pairwise(places):
            assert place - before in (gap, gap + 1)
            expected[place] = place - before - gap
        assert list(answers) == expected


def test_the_two_distances_are_equally_likely_and_fit_the_loss() -> None:
    x, target = spike_timing(np.random.default_rng(0), 10_000, 22, 20)
    answers = target[target >= 0]
    assert answers.size == 10_000
    assert answers.mean() == pytest.approx(0.5, abs=0.03)
    assert (x.sum(axis=0) == 2).all()
    logits = np.zeros((22, 10_000, 2), np.float32)
    loss, dlogits = nblstm.cross_entropy(logits, target, ignore_index=-1)
    assert loss == pytest.approx(np.log(2), abs=1e-6)
    assert not dlogits[:20].any()


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: adding(rng, 5, 20),
        lambda rng: temporal_order(rng, 5, 20),
        lambda rng: spike_timing(rng, 5, 20, 3),
    ],
)
def test_the_seed_decides(make: Callable) -> None:
    first, again, other = (make(np.random.default_rng(seed)) for seed in (0, 0, 1))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert first[0].shape != other[0].shape or (first[0] != other[0]).any()


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: adding(0, 3, 20), TypeError, "rng must be a numpy.random.Generator, got int"),
        (lambda: temporal_order(None, 3), TypeError, "rng must be a numpy.random.Generator, got NoneType"),
        (lambda: spike_timing(np.random, 3, 9, 2), TypeError, "rng must be a numpy.random.Generator, got module"),
        (lambda: adding(RNG, 0, 20), ValueError, "batch must be at least 1, got 0"),
        (lambda: adding(RNG, 3, 19), ValueError, "steps must be at least 20, got 19"),
        (lambda: adding(RNG, 3, 20.0), TypeError, "steps must be an integer, got 20.0"),
        (lambda: temporal_order(RNG, 3, 19), ValueError, "steps must be at least 20, got 19"),
        (lambda: temporal_order(RNG, 3, 20, 4), ValueError, "marks must be 2 or 3, got 4"),
        (lambda: temporal_order(RNG, 3, 20, 2.0), TypeError, "marks must be an integer, got 2.0"),
        (lambda: spike_timing(RNG, 3, 9, 0), ValueError, "gap must be at least 1, got 0"),
        (lambda: spike_timing(RNG, 3, 9, 8), ValueError, r"gap must be at most steps - 2 = 7, .* got 8"),
        (lambda: spike_timing(RNG, 3, 0, 1), ValueError, "steps must be at least 1, got 0"),
    ],
)
def test_bad_input_is_one_sentence(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
