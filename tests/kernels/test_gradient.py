"""Gradients of weights and biases, bit for bit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from support.packed import THREADS, Dtype, Weights, address, alike, back_from_gate_order, lanes, layers, padded
from support.sums import DTYPES, UNTOUCHED, accumulated, between, is_fused, whole

from nblstm.kernels.gradient import (
    STEP_BLOCK,
    integers_size,
    scratch_size,
    sums_size,
    weight_gradients,
)
from nblstm.kernels.plan import PLAN, fill
from nblstm.kernels.products import parts_of


def check_gradient(rng, numbers, layer, lengths, pieces, threads, dtype, fused) -> None:
    """A sum over steps, sequences and features that lie anywhere, in so many pieces; what lies between stays."""
    gates, units, inputs, *_ = layer
    weights, G, P = Weights(*layer), gates * padded(units, dtype), padded(units, dtype)
    T, B, reverse = max(lengths), len(lengths), len(lengths) % 2
    x, h, b = (numbers(rng, (T, B, width), dtype) for width in (inputs, units, G))
    order, lengths = rng.permutation(B), np.array(lengths)
    active = (np.arange(T)[:, None] < lengths).sum(axis=1)
    x_memory = np.full((T + 1, B + 1, inputs, 2), UNTOUCHED, dtype)
    h_memory = np.full((T + 1, B, P), UNTOUCHED, dtype)
    for s, row in product(range(T), range(B)):
        if s < lengths[row]:
            time = lengths[row] - 1 - s if reverse else s
            x_memory[time, order[row], :, 0] = x[s, row]
    h_memory[:-1, :, :units] = h

    alive = [(s, row) for s in reversed(range(T)) for row in range(active[s])]
    taken = np.array([[*x[at], *h[at], 1] for at in alive], dtype).reshape(len(alive), -1)
    gradients = np.array([b[at] for at in alive], dtype).reshape(len(alive), G)
    found = numbers(rng, weights.size, dtype)
    expected = found.copy()
    zeros = np.zeros((inputs + units + 1, G), dtype)
    sums = (
        taken.T @ gradients if numbers is whole else accumulated(zeros, np.ascontiguousarray(taken.T), gradients, fused)
    )
    by_row = back_from_gate_order(sums, gates, units, dtype)
    expected[weights.of_x] += by_row[:, :inputs]
    expected[weights.of_h] += by_row[:, inputs:-1]
    for at in weights.of_biases:
        expected[at] += by_row[:, -1]

    L, offsets = lanes(dtype), np.array(weights.offsets)
    sums_ = np.full(sums_size(inputs + units, G, L), UNTOUCHED, dtype)
    each, blocks = scratch_size(T * B, inputs + units, L), alike(gates)
    scratch = np.full(threads * each, UNTOUCHED, dtype)
    integers, plan = np.zeros(threads * integers_size(B), np.int64), np.zeros(1, PLAN)
    fill(
        plan, T=T, B=B, I=inputs, H=units, P=P, G=G, hiddens=units, blocks=address(blocks), flat=address(found),
        gradient_sums=address(sums_), gradient_integers=address(integers), scratch=address(scratch), scratch_each=each,
        x=address(x_memory), x_time=2 * inputs * (B + 1), x_batch=2 * inputs, x_feature=2, h=address(h_memory),
        order=address(order), lengths=address(lengths), active=address(active), reverse=reverse,
        offsets=address(offsets), head=units, parts=parts_of(blocks),
    )  # fmt: skip
    bounds = [T * n // pieces for n in range(pieces + 1)]
    for first, last in zip(reversed(bounds[:-1]), reversed(bounds[1:]), strict=True):
        own = b[first:last].copy()
        fill(plan, first=first, last=last, gates=address(own))
        weight_gradients(np.dtype(dtype), threads, plan)
    assert found.tobytes() == expected.tobytes(), f"{layer=} {lengths=} {pieces=} {threads=}"


def check_linear(rng, numbers, outputs, inputs, rows, threads, dtype, fused) -> None:
    """A weight without a recurrent part: each row is a sequence of one step."""
    columns, L = padded(outputs, dtype), lanes(dtype)
    x, b = numbers(rng, (rows, inputs), dtype), numbers(rng, (rows, columns), dtype)
    order, ones, active = rng.permutation(rows), np.ones(rows, np.int64), np.array([rows])
    x_memory = np.full((rows + 1, inputs, 3), UNTOUCHED, dtype)
    x_memory[order, :, 0] = x
    found = numbers(rng, outputs * inputs + outputs, dtype)
    taken, zeros = np.hstack([x, np.ones((rows, 1), dtype)]), np.zeros((inputs + 1, columns), dtype)
    sums = taken.T @ b if numbers is whole else accumulated(zeros, np.ascontiguousarray(taken.T), b, fused)
    expected = found + np.concatenate([sums[:-1, :outputs].T.ravel(), sums[-1, :outputs]])
    plan, blocks, offsets = np.zeros(1, PLAN), alike(1), np.array([0, inputs, 0, 0, outputs * inputs, -1])
    sums_ = np.full(sums_size(inputs, columns, L), UNTOUCHED, dtype)
    each, integers = scratch_size(rows, inputs, L), np.zeros(threads * integers_size(rows), np.int64)
    scratch = np.full(threads * each, UNTOUCHED, dtype)
    fill(
        plan, T=1, B=rows, I=inputs, H=outputs, P=columns, G=columns, head=outputs, parts=parts_of(blocks), last=1,
        x=address(x_memory), x_batch=3 * inputs, x_feature=3, order=address(order), lengths=address(ones),
        active=address(active), gates=address(b), offsets=address(offsets), blocks=address(blocks), flat=address(found),
        gradient_sums=address(sums_), gradient_integers=address(integers), scratch=address(scratch), scratch_each=each,
    )  # fmt: skip
    weight_gradients(np.dtype(dtype), threads, plan)
    assert found.tobytes() == expected.tobytes(), f"{outputs=} {inputs=} {rows=} {threads=}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_weights(dtype: Dtype, rng: np.random.Generator) -> None:
    for layer, threads in product(layers(dtype), THREADS):
        check_gradient(rng, whole, layer, (4, 3), 1, threads, dtype, fused=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_weights_over_blocks_of_steps(dtype: Dtype, rng: np.random.Generator) -> None:
    """At once or in pieces, shorter and longer than a block, of sequences of unequal lengths."""
    layer = (4, lanes(dtype) + 1, 5, 2, False)
    for longest, pieces, threads in product((1, STEP_BLOCK, STEP_BLOCK + 1, STEP_BLOCK + 3), (1, 3), THREADS):
        if longest >= pieces:
            for lengths in ((longest,), (longest, longest - longest // 3, 1 if longest > 1 else 0)):
                check_gradient(rng, whole, layer, lengths, pieces, threads, dtype, fused=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_weights_are_summed_in_order(dtype: Dtype, rng: np.random.Generator) -> None:
    """Of float64 few, for the exact sums cost Python a while."""
    lengths = (STEP_BLOCK + 3, STEP_BLOCK) if dtype is np.float32 else (5, 4)
    for pieces in (1, 3):
        check_gradient(rng, between, (4, 3, 2, 1, True), lengths, pieces, 2, dtype, is_fused())


def test_no_steps_add_nothing(rng: np.random.Generator) -> None:
    for lengths in ((1, 0), (3, 0, 0)):
        check_gradient(rng, whole, (4, 3, 2, 2, False), lengths, 1, 2, np.float32, fused=True)
    check_linear(rng, whole, 3, 2, 0, 2, np.float32, fused=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_a_weight_alone(dtype: Dtype, rng: np.random.Generator) -> None:
    for rows, threads in product((1, 7, STEP_BLOCK + 1), THREADS):
        check_linear(rng, whole, lanes(dtype) + 1, 5, rows, threads, dtype, fused=True)
    check_linear(rng, between, 3, 2, STEP_BLOCK + 3 if dtype is np.float32 else 9, 2, dtype, is_fused())
