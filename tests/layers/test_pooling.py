"""Pooling over time: plain loops over each sequence's own steps, differences, lengths and what stands past them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nblstm import GRU, AttentionOverTime, LastOverTime, MaxOverTime, MeanOverTime, gradcheck
from nblstm.layers.pooling import Pooling

T, B, F = 5, 4, 6
LENGTHS = [3, 5, 0, 1]


def naive_attention(layer: AttentionOverTime, steps: np.ndarray) -> np.ndarray:
    p = layer.params
    scores = []
    for x in steps:
        if layer.units is None:
            scores.append(sum(p["query"][f] * x[f] for f in range(F)) / math.sqrt(F))
        else:
            hidden = [math.tanh(p["weight"][u] @ x + p["bias"][u]) for u in range(layer.units)]
            scores.append(sum(p["query"][u] * hidden[u] for u in range(layer.units)))
    shares = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
    return np.array([share * x for share, x in zip(shares, steps, strict=True)]).sum(axis=0)


def dot(**options: Any) -> AttentionOverTime:
    return AttentionOverTime(F, dtype="float64", seed=3, **options)


def additive(**options: Any) -> AttentionOverTime:
    return AttentionOverTime(F, 4, dtype="float64", seed=3, **options)


def both(**options: Any) -> LastOverTime:
    return LastOverTime(bidirectional=True, **options)


# What makes the layer, and what it does to the steps (n, F) of one sequence.
POOLS: dict[str, tuple[Callable[..., Pooling], Callable[[Any, np.ndarray], np.ndarray]]] = {
    "mean": (MeanOverTime, lambda _, steps: sum(steps) / len(steps)),
    "max": (MaxOverTime, lambda _, steps: np.array([max(column) for column in steps.T])),
    "last": (LastOverTime, lambda _, steps: steps[-1]),
    "last of both directions": (both, lambda _, steps: np.concatenate([steps[-1, : F // 2], steps[0, F // 2 :]])),
    "dot": (dot, naive_attention),
    "additive": (additive, naive_attention),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_every_sequence_by_itself(rng: np.random.Generator, name: str, lengths: list[int] | None) -> None:
    make, naive = POOLS[name]
    layer, x = make(), rng.normal(size=(T, B, F))
    steps = [T] * B if lengths is None else lengths
    for b in range(B):
        x[steps[b] :, b] = np.nan
    expected = np.array([naive(layer, x[:n, b]) if n else np.zeros(F) for b, n in enumerate(steps)])
    y, tape = layer.forward(x, lengths)
    np.testing.assert_allclose(y, expected, rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(layer(x, lengths), y)
    dx = layer.backward(np.ones_like(y), tape)
    assert dx is not None
    assert np.isfinite(dx).all()
    past = np.arange(T)[:, None] >= steps
    assert not dx[past].any()
    by_batch = make(batch_first=True)
    turned, tape = by_batch.forward(x.transpose(1, 0, 2), lengths)
    np.testing.assert_array_equal(turned, y)
    np.testing.assert_array_equal(by_batch.backward(np.ones_like(y), tape).transpose(1, 0, 2), dx)
    alone, tape = layer.forward(x[: steps[0], 0])
    np.testing.assert_allclose(alone, y[0], rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(layer.backward(np.ones(F), tape), dx[: steps[0], 0], rtol=1e-13, atol=1e-15)


@pytest.mark.gradients
@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_gradients(rng: np.random.Generator, name: str, lengths: list[int] | None) -> None:
    assert gradcheck(POOLS[name][0](), rng.normal(size=(T, B, F)), lengths=lengths).error < 1e-7


@pytest.mark.parametrize("name", POOLS)
def test_float32_stays_float32_and_a_batch_may_be_empty(rng: np.random.Generator, name: str) -> None:
    options = {"dtype": "float32", "seed": 0}
    layer = {"dot": AttentionOverTime(F, **options), "additive": AttentionOverTime(F, 4, **options)}.get(
        name, POOLS[name][0]() if name not in ("dot", "additive") else None
    )
    assert layer is not None
    y, tape = layer.forward(rng.normal(size=(T, B, F)).astype("float32"), LENGTHS)
    dx = layer.backward(y, tape)
    assert dx is not None
    assert y.dtype == dx.dtype == "float32"
    assert layer.forward(np.zeros((T, 0, F), "float32"), np.zeros(0, int))[0].shape == (0, F)


def test_the_first_of_equal_maxima_gets_the_gradient() -> None:
    layer = MaxOverTime()
    _, tape = layer.forward(np.array([[1.0], [2.0], [2.0]]))
    np.testing.assert_array_equal(layer.backward(np.ones(1), tape), [[0], [1], [0]])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_last_step_is_the_last_state(rng: np.random.Generator, bidirectional: bool) -> None:
    gru = GRU(3, 4, bidirectional=bidirectional, dtype="float64", seed=0)
    lengths = [2, 5, 1]
    y, h_n = gru(rng.normal(size=(T, 3, 3)), lengths=lengths)
    found = LastOverTime(bidirectional=bidirectional)(y, lengths)
    np.testing.assert_array_equal(found, np.concatenate(h_n, axis=-1))


@pytest.mark.parametrize("make", [dot, additive])
def test_weights_sum_to_one_and_make_the_mean(rng: np.random.Generator, make: Callable[..., AttentionOverTime]) -> None:
    layer, x = make(), rng.normal(size=(T, B, F))
    shares = layer.weights(x, LENGTHS)
    np.testing.assert_allclose(shares.sum(axis=0), [1, 1, 0, 1], rtol=1e-15)
    np.testing.assert_allclose((shares[..., None] * x).sum(axis=0), layer(x, LENGTHS), rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(make(batch_first=True).weights(x.transpose(1, 0, 2), LENGTHS), shares.T)
    np.testing.assert_allclose(layer.weights(x[:, 1]), shares[:, 1], rtol=1e-15)


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda x: MeanOverTime()(x[0, 0]), ValueError, r"x must have 2 dimensions \(T, F\) or 3 with a batch, got 1"),
        (lambda x: MeanOverTime()(x[:0]), ValueError, "x must have at least one time step"),
        (lambda x: MeanOverTime()(x[:, 0], [5]), ValueError, "lengths must be None for x without a batch"),
        (lambda x: MaxOverTime()(x, [1, 2]), ValueError, r"lengths must have shape \(4,\), got \(2,\)"),
        (lambda x: LastOverTime()(x, [1, 2, 3, 6]), ValueError, r"lengths must be in 0\.\.5, got lengths\[3\] = 6"),
        (lambda x: both()(x[..., :5]), ValueError, "x must have an even number of features"),
        (lambda x: dot()(x[..., :5]), ValueError, "x must have 6 features, its last axis"),
        (lambda x: dot()(x.astype("float32")), TypeError, "x must be float64, got float32"),
        (lambda x: AttentionOverTime(6, 0), ValueError, "units must be at least 1, got 0"),
    ],
)
def test_what_is_refused(
    rng: np.random.Generator, act: Callable[[np.ndarray], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        act(rng.normal(size=(T, B, F)))
