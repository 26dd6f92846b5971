"""Attention between two sequences: plain loops, differences, PyTorch, lengths, one query or many."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nblstm import AdditiveAttention, DotProductAttention, gradcheck
from nblstm.layers.attention import Attention

S, T, B, K, V = 3, 5, 4, 6, 2
LENGTHS = [3, 5, 0, 1]


def dot(**options: Any) -> DotProductAttention:
    return DotProductAttention(**options)


def additive(**options: Any) -> AdditiveAttention:
    return AdditiveAttention(K, K, 7, dtype="float64", seed=2, **options)


KINDS = pytest.mark.parametrize("make", [dot, additive])
Make = Callable[..., Attention]


@pytest.fixture
def arrays(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rng.normal(size=(S, B, K)), rng.normal(size=(T, B, K)), rng.normal(size=(T, B, V))


def naive(layer: Attention, query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The context (V,) of one query (K,) over the keys (n, K) and values (n, V) of one sequence."""
    p = layer.params
    scores = []
    for key in keys:
        if isinstance(layer, AdditiveAttention):
            sums = p["weight_query"] @ query + p["weight_key"] @ key + p["bias"]
            scores.append(sum(p["weight_score"][u] * math.tanh(sums[u]) for u in range(len(sums))))
        else:
            scores.append(sum(query[k] * key[k] for k in range(K)) / math.sqrt(K))
    shares = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
    return sum((share * value for share, value in zip(shares, values, strict=True)), np.zeros(values.shape[1]))


@KINDS
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_every_query_by_itself(make: Make, arrays: Any, lengths: list[int] | None) -> None:
    layer, (query, keys, values) = make(), arrays
    steps = [T] * B if lengths is None else lengths
    for b, n in enumerate(steps):
        keys[n:, b] = values[n:, b] = np.nan
    expected = [[naive(layer, query[s, b], keys[:n, b], values[:n, b]) for b, n in enumerate(steps)] for s in range(S)]
    y, tape = layer.forward(query, keys, values, lengths)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(layer(query, keys, values, lengths), y)
    found = layer.backward(np.ones_like(y), tape)
    assert all(one is not None and np.isfinite(one).all() for one in found)
    assert not any(one[n:, b].any() for one in found[1:] if one is not None for b, n in enumerate(steps))
    by_batch = make(batch_first=True)
    turned, tape = by_batch.forward(*(one.transpose(1, 0, 2) for one in (query, keys, values)), lengths)
    np.testing.assert_allclose(turned.transpose(1, 0, 2), y, rtol=1e-14)
    for one, other in zip(by_batch.backward(np.ones_like(turned), tape), found, strict=True):
        assert one is not None
        np.testing.assert_allclose(one.transpose(1, 0, 2), other, rtol=1e-13, atol=1e-14)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """But for the order in which a matrix product adds up."""
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@KINDS
@pytest.mark.parametrize("batch_first", [False, True])
def test_one_query_a_sequence_is_a_step_of_many(make: Make, arrays: Any, batch_first: bool) -> None:
    layer, twin, (query, keys, values) = make(batch_first=batch_first), make(), arrays
    turned = (keys.transpose(1, 0, 2), values.transpose(1, 0, 2)) if batch_first else (keys, values)
    y, tape = layer.forward(query[1], *turned, LENGTHS)
    whole, twins_tape = twin.forward(query[1:2], keys, values, LENGTHS)
    assert_close(y, whole[0])
    dquery, dkeys, _ = layer.backward(np.ones_like(y), tape)
    expected = twin.backward(np.ones_like(whole), twins_tape)
    assert_close(dquery, expected[0][0])
    assert_close(dkeys.transpose(1, 0, 2) if batch_first else dkeys, expected[1])
    assert_close(layer.grads.flat, twin.grads.flat)
    assert_close(layer.weights(query[1], turned[0]), twin.weights(query, keys)[:, 1])


@pytest.mark.gradients
@KINDS
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_gradients(make: Make, arrays: Any, lengths: list[int] | None) -> None:
    query, keys, values = arrays
    table = gradcheck(make(), (query, keys, values), lengths=lengths)
    assert [row.name for row in table.rows][-3:] == ["query", "keys", "values"]
    assert table.error < 1e-7
    assert gradcheck(make(), (query[0], keys), lengths=lengths).error < 1e-7


@KINDS
def test_weights_sum_to_one_and_make_the_context(make: Make, arrays: Any) -> None:
    layer, (query, keys, values) = make(), arrays
    shares = layer.weights(query, keys, LENGTHS)
    assert shares.shape == (B, S, T)
    np.testing.assert_allclose(shares.sum(axis=2), np.array([[1, 1, 0, 1]] * S).T, rtol=1e-14)
    context = np.einsum("bst,tbv->sbv", shares, values)
    np.testing.assert_allclose(context, layer(query, keys, values, LENGTHS), rtol=1e-13, atol=1e-15)


def test_widths_may_differ_and_float32_stays_float32(rng: np.random.Generator) -> None:
    layer = AdditiveAttention(3, 5, 4, seed=0)
    query, keys = rng.normal(size=(S, B, 3)).astype("float32"), rng.normal(size=(T, B, 5)).astype("float32")
    y, tape = layer.forward(query, keys)
    dquery, dkeys, none = layer.backward(y, tape)
    assert none is None
    assert (y.shape, dquery.shape, dkeys.shape) == ((S, B, 5), query.shape, keys.shape)
    assert y.dtype == dquery.dtype == dkeys.dtype == layer.grads.flat.dtype == "float32"


def test_scores_of_any_size() -> None:
    query, keys = np.full((1, 1, 1), 1e200), np.array([[[1e100]], [[-1e100]], [[1e99]]])
    np.testing.assert_array_equal(DotProductAttention().weights(query, keys), [[[1, 0, 0]]])


@pytest.mark.peers
def test_dot_products_are_those_of_pytorch(arrays: Any, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    lengths, dy = [3, 5, 2, 1], rng.normal(size=(B, S, V))
    given = [torch.from_numpy(one.transpose(1, 0, 2).copy()).requires_grad_() for one in arrays]
    mask = torch.from_numpy(np.arange(T) < np.array(lengths)[:, None])[:, None]
    theirs = torch.nn.functional.scaled_dot_product_attention(*given, attn_mask=mask)
    theirs.backward(torch.from_numpy(dy))
    layer = DotProductAttention(batch_first=True)
    y, tape = layer.forward(*(one.transpose(1, 0, 2) for one in arrays), lengths)
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-12, atol=1e-14)
    for one, other in zip(layer.backward(dy, tape), given, strict=True):
        np.testing.assert_allclose(one, other.grad.numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda q, k, v: dot()(q, k[0]), ValueError, r"keys must have shape \(T_k, B, K\), got \(4, 6\)"),
        (lambda q, k, v: dot()(q, k[:0]), ValueError, "keys must have at least one step and one feature"),
        (lambda q, k, v: dot()(q[..., :2], k), ValueError, r"query must have shape \(any, 4, 6\), got \(3, 4, 2\)"),
        (lambda q, k, v: dot()(q, k, v[:2]), ValueError, r"values must have shape \(5, 4, any\), got \(2, 4, 2\)"),
        (lambda q, k, v: dot()(q, k, v, [6, 1, 1, 1]), ValueError, r"lengths must be in 0\.\.5"),
        (lambda q, k, v: additive()(q, v), ValueError, r"keys must have shape \(T_k, B, 6\), got \(5, 4, 2\)"),
        (lambda q, k, v: additive()(q, k.astype("float32")), TypeError, "keys must be float64, got float32"),
        (lambda q, k, v: dot()(q.astype("float32"), k), TypeError, "query must be float64, got float32"),
        (lambda q, k, v: AdditiveAttention(2, 3, 0), ValueError, "units must be at least 1, got 0"),
        (lambda q, k, v: dot(batch_first=1), TypeError, "batch_first must be True or False, got 1"),
    ],
)
def test_what_is_refused(arrays: Any, act: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act(*arrays)
