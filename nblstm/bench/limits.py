"""What the machine can do at most: fused multiply-adds in registers, and weights read from where they fit."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange

from nblstm.bench.table import Case
from nblstm.kernels.driver import Driver
from nblstm.kernels.simd import BYTES, fma, full, lanes_of, load, pointer, shift, store
from nblstm.kernels.tag import ANY, Tag

SUMS = 12  # more than any processor has additions under way, and no more than fit 16 registers beside two operands
STREAMS = 8  # vectors read side by side
ROUNDS = 2_000_000
READ = 500_000_000  # bytes to read for one time of a bandwidth
REPEATS = 9


@Driver
def _multiply_add(tag: Tag, threads: int, rounds: int, sums: np.ndarray) -> None:
    """Sums (threads, SUMS, lanes), flat, become a * sum + b, `rounds` times, without leaving their registers."""
    for thread in prange(threads):
        p = pointer(sums)
        lanes = lanes_of(p)
        p = shift(p, thread * SUMS * lanes)
        s0, s1, s2, s3 = load(p, 0), load(p, lanes), load(p, 2 * lanes), load(p, 3 * lanes)
        s4, s5, s6, s7 = load(p, 4 * lanes), load(p, 5 * lanes), load(p, 6 * lanes), load(p, 7 * lanes)
        s8, s9, s10, s11 = load(p, 8 * lanes), load(p, 9 * lanes), load(p, 10 * lanes), load(p, 11 * lanes)
        a, b = full(s0, 0.5), full(s0, 1.0)
        for _ in range(rounds):
            s0, s1, s2, s3 = fma(a, s0, b), fma(a, s1, b), fma(a, s2, b), fma(a, s3, b)
            s4, s5, s6, s7 = fma(a, s4, b), fma(a, s5, b), fma(a, s6, b), fma(a, s7, b)
            s8, s9, s10, s11 = fma(a, s8, b), fma(a, s9, b), fma(a, s10, b), fma(a, s11, b)
        s0, s1, s2 = s0 + s1 + s2 + s3, s4 + s5 + s6 + s7, s8 + s9 + s10 + s11
        store(p, 0, s0 + s1 + s2)


@Driver
def _read(tag: Tag, threads: int, repeats: int, data: np.ndarray, sums: np.ndarray) -> None:
    """Each thread reads its own part of `data`, `repeats` times; sums (threads, lanes), flat, so that it must."""
    for thread in prange(threads):
        p = pointer(data)
        lanes, part = lanes_of(p), data.size // threads
        p = shift(p, thread * part)
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = full(load(p, 0), 0.0)
        for _ in range(repeats):
            for k in range(0, part, STREAMS * lanes):
                s0, s1 = s0 + load(p, k), s1 + load(p, k + lanes)
                s2, s3 = s2 + load(p, k + 2 * lanes), s3 + load(p, k + 3 * lanes)
                s4, s5 = s4 + load(p, k + 4 * lanes), s5 + load(p, k + 5 * lanes)
                s6, s7 = s6 + load(p, k + 6 * lanes), s7 + load(p, k + 7 * lanes)
        store(pointer(sums), thread * lanes, s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7)


def _best(function: Callable[[], Any]) -> float:
    """Shortest time of several: what the machine can do, it has done once."""
    times = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times[1:])  # the first may compile


@functools.cache
def peak(dtype: str, threads: int) -> float:
    """Additions and multiplications per second, a fused one counted as two."""
    numba.set_num_threads(threads)
    lanes = BYTES // np.dtype(dtype).itemsize
    sums = np.linspace(0, 1, threads * SUMS * lanes).astype(dtype)
    return 2 * sums.size * ROUNDS / _best(lambda: _multiply_add(ANY, threads, ROUNDS, sums))


@functools.cache
def bandwidth(size: int, threads: int) -> float:
    """Bytes per second when the threads share an array of `size` bytes and each reads its part over and over."""
    numba.set_num_threads(threads)
    unit = threads * STREAMS * BYTES
    data = np.ones(-(-size // unit) * unit // 4, np.float32)
    repeats, sums = max(1, READ // data.nbytes), np.empty(threads * BYTES // 4, np.float32)
    return repeats * data.nbytes / _best(lambda: _read(ANY, threads, repeats, data, sums))


class Limit(NamedTuple):
    """The shortest time that a pass can take, and what sets it."""

    seconds: float
    bound: str


def limit(case: Case, what: str) -> Limit:
    """What the peak allows, or what the bandwidth does, whichever is longer.

    The recurrent weights are needed anew at each step, once forward and once more backward; the input's weights are
    not, as their products can be taken for all steps together.
    """
    shape, training = case.shape, what == "training"
    size = shape.recurrent_weights * np.dtype(case.dtype).itemsize
    read = size * shape.T * len(shape.tracks) * (2 if training else 1)
    flops = shape.training_flops if training else shape.forward_flops
    return max(
        Limit(flops / peak(case.dtype, case.threads), "peak"),
        Limit(read / bandwidth(size, case.threads), "bandwidth"),
    )
