"""Cross-entropy fused with softmax: the loss of every row of logits, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from nblstm.kernels.driver import Driver
from nblstm.kernels.functions import exp
from nblstm.kernels.inner import inner
from nblstm.kernels.simd import (
    at_least,
    full,
    lanes_of,
    largest,
    load,
    load_part,
    pointer,
    pointer_at,
    store,
    store_part,
    total,
)  # fmt: skip
from nblstm.kernels.tag import Tag


@inner
def _row_maximum(x: Any, size: int) -> float:
    """The largest of `size` numbers from pointer `x` on; the last vector overlaps another, which does no harm."""
    lanes = lanes_of(x)
    if size < lanes:
        highest = x[0]
        for k in range(1, size):
            highest = max(highest, x[k])
        return highest
    highest = load(x, size - lanes)
    for k in range(0, size - lanes, lanes):
        highest = at_least(highest, load(x, k))
    return largest(highest)


@inner
def _row_loss(x: Any, target: int, size: int, scale: float, dx: Any) -> float:
    """-log softmax(x)[target] for `size` logits `x`; dx = scale * (softmax(x) - onehot(target)), which may be `x`."""
    lanes = lanes_of(x)
    whole = size // lanes * lanes
    rest = size - whole
    highest = _row_maximum(x, size)
    distance = np.float64(highest) - np.float64(x[target])
    sums = full(load_part(x, 0, 0), 0.0)
    for k in range(0, whole, lanes):
        e = exp(load(x, k) - highest)
        store(dx, k, e)
        sums = sums + e
    if rest:
        store_part(dx, whole, exp(load_part(x, whole, rest) - highest), rest)
        sums = sums + load_part(dx, whole, rest)  # read back with zeros behind the row's end
    denominator = np.float64(total(sums))
    share = dx[target] / denominator
    factor = scale / denominator
    for k in range(0, whole, lanes):
        store(dx, k, load(dx, k) * factor)
    if rest:
        store_part(dx, whole, load_part(dx, whole, rest) * factor, rest)
    dx[target] = (share - 1.0) * scale  # in this order, as it vanishes when the target has all the weight
    return distance + np.log(denominator)


@Driver
def rows_cross_entropy(
    tag: Tag, threads: int, like: np.ndarray, rows: np.ndarray, targets: np.ndarray, ignored: int, size: int, weights:
    np.ndarray | None, scale: float, d_rows: np.ndarray, losses: np.ndarray,
) -> float:  # fmt: skip
    """Every row's loss and gradient, times its weight; returns the sum of these losses.

    The sum is taken in one order whatever the number of threads. `rows` and `d_rows` (N,) are the addresses at which
    the rows of logits and gradient begin, `like` any array of their dtype, `targets` (N,) int64, `losses` (N,) float64,
    `weights` (N,) float64, or None, for which the kernel is compiled apart, as if there were no such thing.
    """
    for r in prange(rows.size):
        dx = pointer_at(d_rows[r], pointer(like))
        weight = 1.0 if weights is None else weights[r]
        if targets[r] == ignored or weight == 0.0:
            losses[r] = 0.0
            for k in range(size):
                dx[k] = 0.0
        else:
            loss = _row_loss(pointer_at(rows[r], pointer(like)), targets[r], size, weight * scale, dx)
            losses[r] = weight * loss
    loss = 0.0
    for r in range(losses.size):
        loss += losses[r]
    return loss
