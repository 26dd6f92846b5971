"""Gradients of weights and biases, bit for bit."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from support.packed import THREADS, Dtype, Weights, address, alike, back_from_gate_order, lanes, layers, padded
from support.sums import DTYPES, UNTOUCHED, accumulated, between, is_fused, whole

from nblstm.kernels.gradient import STEP_BLOCK, scratch_size, sums_size, weight_gradient
from nblstm.kernels.tag import ANY


def check_gradient(rng, numbers, layer, steps, pieces, threads, dtype, fused) -> None:
    """A sum over steps that lie anywhere, in so many pieces; what lies between weights stays as it is."""
    gates, units, inputs, *_ = layer
    weights, G, P = Weights(*layer), gates * padded(units, dtype), padded(units, dtype)
    x_feature, x_step = 2, 2 * inputs + 1
    x, h = numbers(rng, (steps, inputs), dtype), numbers(rng, (steps, units), dtype)
    b = numbers(rng, (steps, G), dtype)
    x_index, h_index, b_index = (rng.permutation(steps + 1)[:steps] for _ in range(3))
    x_memory = np.full((steps + 1) * x_step, UNTOUCHED, dtype)
    h_memory, b_memory = (np.full((steps + 1, width), UNTOUCHED, dtype) for width in (P, G))
    x_memory[x_index[:, None] * x_step + np.arange(inputs) * x_feature] = x
    h_memory[h_index, :units], b_memory[b_index] = h, b

    found = numbers(rng, weights.size, dtype)
    expected, taken = found.copy(), np.hstack([x, h, np.ones((steps, 1), dtype)])
    zeros = np.zeros((inputs + units + 1, G), dtype)
    sums = taken.T @ b if numbers is whole else accumulated(zeros, np.ascontiguousarray(taken.T), b, fused)
    by_row = back_from_gate_order(sums, gates, units, dtype)
    expected[weights.of_x] += by_row[:, :inputs]
    expected[weights.of_h] += by_row[:, inputs:-1]
    for at in weights.of_biases:
        expected[at] += by_row[:, -1]

    L = lanes(dtype)
    sums_ = np.full(sums_size(inputs + units, G, L), UNTOUCHED, dtype)
    scratch = np.full(threads * scratch_size(steps, inputs + units, L), UNTOUCHED, dtype)
    bounds = [steps * n // pieces for n in range(pieces + 1)]
    for first, last in pairwise(bounds):
        part = slice(first, last)
        weight_gradient(
            ANY, threads, last - first, address(x_memory), x_index[part] * x_step, x_feature, inputs, address(h_memory),
            h_index[part], P, units, b_memory.reshape(-1), b_index[part], G, alike(gates), units, first == 0,
            last == steps, scratch, sums_, found, np.array(weights.places),
        )  # fmt: skip
    assert found.tobytes() == expected.tobytes(), f"{layer=} {steps=} {pieces=} {threads=}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_weights(dtype: Dtype, rng: np.random.Generator) -> None:
    for layer, threads in product(layers(dtype), THREADS):
        check_gradient(rng, whole, layer, 7, 1, threads, dtype, fused=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_weights_over_blocks_of_steps(dtype: Dtype, rng: np.random.Generator) -> None:
    """In one call or in pieces, shorter and longer than a block."""
    layer = (4, lanes(dtype) + 1, 5, 2, False)
    for steps, pieces, threads in product((1, STEP_BLOCK, STEP_BLOCK + 1, 2 * STEP_BLOCK + 3), (1, 3), THREADS):
        if steps >= pieces:
            check_gradient(rng, whole, layer, steps, pieces, threads, dtype, fused=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_weights_are_summed_in_order(dtype: Dtype, rng: np.random.Generator) -> None:
    """Of float64 few, for the exact sums cost Python a while."""
    steps = 2 * STEP_BLOCK + 3 if dtype is np.float32 else 9
    for pieces in (1, 3):
        check_gradient(rng, between, (4, 3, 2, 1, True), steps, pieces, 2, dtype, is_fused())


def test_no_steps_add_nothing(rng: np.random.Generator) -> None:
    check_gradient(rng, whole, (4, 3, 2, 2, False), 0, 1, 2, np.float32, fused=True)
