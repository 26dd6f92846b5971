"""Linear and Embedding against the formulas they stand for."""

from __future__ import annotations

import numpy as np
import pytest

import nblstm
from nblstm.kernels.gradient import STEP_BLOCK, integers_size

LEADING = [(1,), (4,), (5, 3), (2, 3, 4), (0, 3)]


def linear(bias: bool = True, dtype: str = "float64") -> nblstm.Linear:
    return nblstm.Linear(7, 5, bias, dtype=dtype, seed=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("leading", LEADING, ids=str)
def test_linear_is_w_x_plus_b(leading, bias, dtype, rng):
    layer = linear(bias, dtype)
    tolerance = {"rtol": 0, "atol": 1e-5 if dtype == "float32" else 1e-14}
    x, dy = rng.standard_normal((*leading, 7)).astype(dtype), rng.standard_normal((*leading, 5)).astype(dtype)
    W, b = layer.params["weight"], layer.params.get("bias", 0)
    y, tape = layer.forward(x)
    assert y.dtype == x.dtype
    np.testing.assert_allclose(y, x @ W.T + b, **tolerance)
    assert np.array_equal(layer(x), y)
    layer.flat_grads[:] = 1
    dx = layer.backward(dy, tape)
    rows = dy.reshape(-1, 5)
    np.testing.assert_allclose(dx, dy @ W, **tolerance)
    np.testing.assert_allclose(layer.grads["weight"], 1 + rows.T @ x.reshape(-1, 7), **tolerance)
    if bias:
        np.testing.assert_allclose(layer.grads["bias"], 1 + rows.sum(axis=0), **tolerance)


def test_linear_takes_any_strides(rng):
    layer, x = linear(), rng.standard_normal((7, 5, 6))
    strange = x.transpose(2, 1, 0)[::-1, ::2]
    assert np.array_equal(layer(strange), layer(strange.copy()))


def test_linear_leaves_out_dx_and_puts_gradients_elsewhere(rng):
    layer, x = linear(), rng.standard_normal((4, 7))
    y, tape = layer.forward(x)
    grads = layer.new_grads()
    assert layer.backward(np.ones_like(y), tape, need_dx=False, grads=grads) is None
    assert not layer.flat_grads.any()
    np.testing.assert_allclose(grads["bias"], 4)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_gradients(bias, rng):
    nblstm.gradcheck(linear(bias), rng.standard_normal((5, 3, 7)))


def test_a_tape_that_saw_fewer_rows_grows_all_its_buffers(rng):
    """Above a block of steps one scratch fits any number of rows, and the table of rows must grow all the same."""
    layer, tape = linear(), None
    for rows in (STEP_BLOCK + 1, STEP_BLOCK + 33):
        y, tape = layer.forward(rng.standard_normal((rows, 7)), tape)
        layer.backward(np.ones_like(y), tape)
        assert len(tape.integers) == tape.threads * integers_size(rows)  # the kernel writes to all of it


def test_linear_starts_like_pytorch():
    """Weight and bias uniform in (-1/sqrt(I), 1/sqrt(I))."""
    layer = nblstm.Linear(25, 4000, seed=0)
    for tensor in layer.params.values():
        assert 0.199 < np.abs(tensor).max() <= 0.2
        assert abs(tensor.mean()) < 0.01


@pytest.mark.parametrize("kind", ["int64", "int32", "uint8"])
@pytest.mark.parametrize("shape", [(6,), (5, 3), (0,)], ids=str)
def test_embedding_looks_up_rows(kind, shape, rng):
    layer = nblstm.Embedding(11, 4, dtype="float64", seed=1)
    indices, dy = rng.integers(0, 11, shape).astype(kind), rng.standard_normal((*shape, 4))
    y, tape = layer.forward(indices)
    assert np.array_equal(y, layer.params["weight"][indices])
    assert np.array_equal(layer(indices), y)
    layer.flat_grads[:] = 1
    assert layer.backward(dy, tape) is None
    expected = np.ones((11, 4))
    np.add.at(expected, indices, dy)
    np.testing.assert_allclose(layer.grads["weight"], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("order", ["C", "F"])
def test_indices_that_change_after_forward_change_nothing(order, rng):
    """Backward would write wherever they say."""
    layer = nblstm.Embedding(11, 4, dtype="float64", seed=1)
    indices, dy = np.array(rng.integers(0, 11, (5, 3)), order=order), rng.standard_normal((5, 3, 4))
    expected = np.zeros((11, 4))
    np.add.at(expected, indices, dy)
    _, tape = layer.forward(indices)
    indices[...] = 3
    layer.backward(dy, tape)
    np.testing.assert_allclose(layer.grads["weight"], expected, rtol=0, atol=1e-14)


def test_embedding_gradients(rng):
    nblstm.gradcheck(nblstm.Embedding(11, 4, dtype="float64", seed=1), rng.integers(0, 11, (5, 3)))


def test_embedding_starts_normal():
    weight = nblstm.Embedding(1000, 20, seed=0).params["weight"]
    assert abs(weight.mean()) < 0.03
    assert abs(weight.std() - 1) < 0.03


def test_threads_share_out_any_width_of_an_embedding():
    layer, indices = nblstm.Embedding(11, 5, dtype="float64", seed=0), np.arange(11)
    with nblstm.thread_policy(serial_below=0):
        layer.backward(np.ones((11, 5)), layer.forward(indices)[1])
    assert (layer.grads["weight"] == 1).all()
