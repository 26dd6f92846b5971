"""The made-up tasks: every target against plain Python, unequal lags, extremes, bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nblstm.datasets import brackets, echo, remember

seeds = st.integers(0, 2**32 - 1)


def tokens_of(x: np.ndarray) -> list[list[int]]:
    """The characters of every sequence of a batch; x must be float32 and one-hot, or zero from some step on."""
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    sequences = []
    for b in range(x.shape[1]):
        rows = [list(row) for row in x[:, b]]
        while rows and not any(rows[-1]):
            rows.pop()
        assert all(sorted(row) == [0] * (len(row) - 1) + [1] for row in rows)
        sequences.append([row.index(1) for row in rows])
    return sequences


@given(seeds, st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(2, 5))
@settings(deadline=None, derandomize=True)
def test_remember_asks_for_the_first_symbol_after_each_sequences_own_lag(
    seed: int, lags: list[int], symbols: int
) -> None:
    x, target, lengths = remember(np.random.default_rng(seed), len(lags), np.array(lags), symbols)
    assert x.shape == (max(lags) + 1, len(lags), 2 * symbols)
    assert (target.dtype, lengths.dtype) == (np.int64, np.int64)
    assert list(lengths) == [lag + 1 for lag in lags]
    for sequence, lag, answer in zip(tokens_of(x), lags, target, strict=True):
        assert sequence[0] == answer
        assert len(sequence) == lag + 1
        assert all(symbols <= token < 2 * symbols for token in sequence[1:])


@given(seeds, st.integers(1, 4), st.integers(1, 12), st.integers(2, 5), st.data())
@settings(deadline=None, derandomize=True)
def test_echo_asks_for_the_symbol_so_many_steps_before(
    seed: int, batch: int, steps: int, symbols: int, data: st.DataObject
) -> None:
    lag = data.draw(st.integers(0, steps - 1))
    x, target = echo(np.random.default_rng(seed), batch, steps, lag, symbols)
    assert (x.shape, target.shape, target.dtype) == ((steps, batch, symbols), (steps, batch), np.int64)
    for sequence, answers in zip(tokens_of(x), target.T, strict=True):
        assert list(answers) == [-1] * lag + sequence[: steps - lag]


@given(seeds, st.integers(1, 4), st.integers(1, 40), st.integers(1, 4))
@settings(deadline=None, derandomize=True)
def test_brackets_counts_what_is_open(seed: int, batch: int, steps: int, most: int) -> None:
    x, depth = brackets(np.random.default_rng(seed), batch, steps, most)
    assert (x.shape, depth.shape, depth.dtype) == ((steps, batch, 3), (steps, batch), np.int64)
    for sequence, counted in zip(tokens_of(x), depth.T, strict=True):
        text = "".join("()a"[token] for token in sequence)
        for t in range(steps):
            assert counted[t] == text[: t + 1].count("(") - text[: t + 1].count(")")
            assert 0 <= counted[t] <= most


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: remember(rng, 5, 7),
        lambda rng: echo(rng, 5, 7, 3),
        lambda rng: brackets(rng, 5, 7),
    ],
)
def test_the_seed_decides(make: Callable) -> None:
    first, again, other = (make(np.random.default_rng(seed)) for seed in (0, 0, 1))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0] != other[0]).any()


def test_symbols_and_distractors_are_uniform_and_tell_nothing_of_each_other() -> None:
    x, target, _ = remember(np.random.default_rng(0), 40_000, 1, symbols=4)
    counts = np.zeros((4, 4))
    np.add.at(counts, (target, x[1].argmax(1) - 4), 1)
    np.testing.assert_allclose(counts / 40_000, 1 / 16, atol=6 * np.sqrt(1 / 16 / 40_000))


def test_every_depth_is_equally_likely_in_the_long_run() -> None:
    _, depth = brackets(np.random.default_rng(0), 20_000, 60, max_depth=3)
    np.testing.assert_allclose(np.bincount(depth[-1]) / 20_000, 1 / 4, atol=6 * np.sqrt(3 / 16 / 20_000))


def test_with_no_lag_the_answer_is_what_was_just_read() -> None:
    x, target, lengths = remember(np.random.default_rng(0), 3, np.array(0))
    assert x.shape == (1, 3, 16)
    np.testing.assert_array_equal(x[0].argmax(1), target)
    np.testing.assert_array_equal(lengths, 1)
    x, target = echo(np.random.default_rng(0), 3, 5, 0)
    np.testing.assert_array_equal(x.argmax(2), target)


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: remember(0, 3, 2), TypeError, "rng must be a numpy.random.Generator, got int"),
        (lambda: echo(np.random, 3, 5, 2), TypeError, "rng must be a numpy.random.Generator, got module"),
        (lambda: brackets(np.random.RandomState(0), 3, 5), TypeError, "rng must .* got RandomState; make one with"),
        (lambda: remember(RNG, 0, 2), ValueError, "batch must be at least 1, got 0"),
        (lambda: echo(RNG, 2.0, 5, 2), TypeError, "batch must be an integer, got 2.0"),
        (lambda: brackets(RNG, -1, 5), ValueError, "batch must be at least 1, got -1"),
        (lambda: remember(RNG, 3, -1), ValueError, "lag must be at least 0, got -1"),
        (lambda: remember(RNG, 3, 1.5), TypeError, "lag must be an integer, got 1.5"),
        (lambda: remember(RNG, 3, [1, 2]), ValueError, r"lag must be one integer or have shape \(3,\).*got \(2,\)"),
        (lambda: remember(RNG, 2, np.ones((2, 1), int)), ValueError, r"lag must .* got \(2, 1\)"),
        (lambda: remember(RNG, 2, [0, -3]), ValueError, "lag must be at least 0, got -3"),
        (lambda: remember(RNG, 2, [0.0, 3.0]), TypeError, "lag must be integers, got float64"),
        (lambda: remember(RNG, 2, [True, False]), TypeError, "lag must be integers, got bool"),
        (lambda: remember(RNG, 2, 1, symbols=1), ValueError, "symbols must be at least 2, got 1"),
        (lambda: echo(RNG, 2, 5, 5), ValueError, "lag must be less than steps = 5, .* got 5"),
        (lambda: echo(RNG, 2, 5, -1), ValueError, "lag must be at least 0, got -1"),
        (lambda: echo(RNG, 2, 0, 0), ValueError, "steps must be at least 1, got 0"),
        (lambda: brackets(RNG, 2, 5, max_depth=0), ValueError, "max_depth must be at least 1, got 0"),
    ],
)
def test_bad_input_is_one_sentence(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
