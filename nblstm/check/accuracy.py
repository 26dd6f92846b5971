"""How far exp, tanh, sigmoid and softplus of vectors are from the truth.

``python -m nblstm.check.accuracy`` goes through every float32 there is, for minutes, and prints what docstrings state.

The unit is the ulp, the distance between the two numbers of the type around the true result. For float32 every number
there is can go in: the truth is NumPy's function in float64, itself off by less than 1e-8 of these ulp. For float64 a
sample goes in that is dense wherever something happens, and the truth is Python's `decimal` with 50 digits, whose exp
is correctly rounded by its specification.
"""

from __future__ import annotations

import decimal
import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numba import njit

from nblstm.kernels import functions
from nblstm.kernels.simd import lanes_of, load, pointer, store

LARGEST = {"exp": 1.1, "tanh": 2.6, "sigmoid": 2.5, "softplus": 2.8}
"""Errors in ulp, of both types, as the docstrings say."""

BLOCK = 1 << 15
BOUNDARIES = (-745.0, -708.4, -103.0, -87.3, 0.0, 20.0, 40.0, 88.4, 88.7, 103.0, 709.4, 709.8)


def of_vectors(function: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """A function of vectors as one of arrays of whole vectors."""

    @njit(nogil=True)
    def loop(x: np.ndarray, y: np.ndarray) -> None:
        for i in range(0, x.size, lanes_of(pointer(x))):
            store(pointer(y), i, function(load(pointer(x), i)))

    def of_array(x: np.ndarray) -> np.ndarray:
        y = np.empty_like(x)
        loop(x, y)
        return y

    return of_array


class Function(NamedTuple):
    """One of them: of arrays of whole vectors, and what it should be, in float64 and in decimal."""

    found: Callable[[np.ndarray], np.ndarray]
    wide: Callable[[np.ndarray], np.ndarray]
    exact: Callable[[Decimal], Decimal]


class Worst(NamedTuple):
    """The largest error, or the largest true result, of its kind, and the x where it is."""

    value: float = 0.0
    x: float = math.nan

    def __str__(self) -> str:
        return "none" if not self.value else f"{self.value:.4g} at x = {self.x!r}"


class Survey(NamedTuple):
    """Errors in ulp where the true result is normal, where it is denormal; and true results that came out as 0."""

    normal: Worst = Worst()
    denormal: Worst = Worst()
    flushed: Worst = Worst()

    def join(self, other: Survey) -> Survey:
        """The worst of both."""
        return Survey(*(max(pair, key=lambda worst: worst.value) for pair in zip(self, other, strict=True)))


@njit(nogil=True)
def largest(
    x: np.ndarray, found: np.ndarray, exact: np.ndarray, error: np.ndarray, smallest_normal: float
) -> np.ndarray:
    """The largest number of each kind of a `Survey`, and the x where it is: (2, 3)."""
    top = np.zeros((2, 3))
    for i in range(x.size):
        if found[i] == exact[i] or (np.isnan(found[i]) and np.isnan(exact[i])):
            continue
        kind, value = 0 if abs(exact[i]) >= smallest_normal else 1, error[i]
        if found[i] == 0:
            kind, value = 2, abs(exact[i])
        if not value <= top[0, kind]:
            top[0, kind] = np.inf if np.isnan(value) else value
            top[1, kind] = x[i]
    return top


def judge(x: np.ndarray, found: np.ndarray, exact: np.ndarray, error: np.ndarray) -> Survey:
    """`error` in ulp, sorted by what the true result is; a NaN or an infinity on one side alone is infinitely wrong."""
    top = largest(x, found, exact, error, float(np.finfo(x.dtype).smallest_normal))
    return Survey(*(Worst(float(value), float(at)) for value, at in top.T))


# ------------------------------------------------------------------------------------------------------------ float32


def judge32(function: Function, patterns: np.ndarray) -> Survey:
    """The function at the float32 of these bits."""
    x = patterns.astype(np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        y, exact = function.found(x), function.wide(x.astype(np.float64))
        exact[np.isinf(exact.astype(np.float32))] = np.inf  # exp alone can be too large, and it is positive
        power = (exact.view(np.int64) & (0x7FF << 52)).view(np.float64)  # 2^n <= |exact|
        return judge(x, y, exact, np.abs(y - exact) / np.maximum(power * 2.0**-23, 2.0**-149))


def survey32(function: Function, step: int = 1) -> Survey:
    """Every `step`-th pattern of 32 bits, on two threads."""
    starts = range(0, 1 << 32, BLOCK * step)
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(lambda start: judge32(function, np.arange(start, start + BLOCK * step, step)), starts)
        return functools.reduce(Survey.join, parts)


# ------------------------------------------------------------------------------------------------------------ float64


def exact_exp(x: Decimal) -> Decimal:
    """e^x."""
    return x.exp()


def exact_sigmoid(x: Decimal) -> Decimal:
    """1 / (1 + e^-x)."""
    return 1 / (1 + (-x).exp())


def exact_tanh(x: Decimal) -> Decimal:
    """(e^2x - 1) / (e^2x + 1); near zero, where that cancels, x - x^3/3 + 2x^5/15, which leaves out 17x^7/315."""
    if abs(x) < Decimal("1e-7"):
        return x - x**3 / 3 + 2 * x**5 / 15
    power = (2 * x).exp()
    return (power - 1) / (power + 1)


def exact_softplus(x: Decimal) -> Decimal:
    """log(1 + e^x); where that cancels, e^x - e^2x / 2, which leaves out e^3x / 3."""
    power = x.exp()
    return power - power**2 / 2 if power < Decimal("1e-15") else (1 + power).ln()


def sample64(count: int) -> np.ndarray:
    """Whole vectors of about so many numbers: some of every magnitude and sign, the others near where things change."""
    rng = np.random.default_rng(20240607)
    near = rng.choice(BOUNDARIES, count // 4) * rng.choice([-1, 1], count // 4) + rng.uniform(-1, 1, count // 4)
    magnitudes = 2.0 ** rng.uniform(-1074, 10, count // 4) * rng.choice([-1, 1], count // 4)
    return np.concatenate([near, magnitudes, rng.uniform(-750, 750, count // 4), rng.uniform(-2, 2, count // 4)])


def survey64(function: Function, count: int) -> Survey:
    """The function at `sample64`."""
    x = sample64(count)
    y, exact, error = function.found(x), np.empty(x.size), np.empty(x.size)
    with decimal.localcontext(prec=50, Emin=-9999, Emax=9999):
        for k in range(x.size):
            true = function.exact(Decimal(x[k]))
            exact[k] = float(true) if true < Decimal(2) ** 1024 else np.inf
            if math.isfinite(y[k]) and math.isfinite(exact[k]):
                error[k] = abs(Decimal(y[k]) - true) / Decimal(math.ulp(exact[k]))
            else:
                error[k] = np.nan
    return judge(x, y, exact, error)


FUNCTIONS = {
    "exp": Function(of_vectors(functions.exp), np.exp, exact_exp),
    "tanh": Function(of_vectors(functions.tanh), np.tanh, exact_tanh),
    "sigmoid": Function(of_vectors(functions.sigmoid), lambda x: 1 / (1 + np.exp(-x)), exact_sigmoid),
    "softplus": Function(of_vectors(functions.softplus), lambda x: np.logaddexp(x, 0), exact_softplus),
}

if __name__ == "__main__":
    for name, function in FUNCTIONS.items():
        for dtype, survey in (("float32", survey32(function)), ("float64", survey64(function, 1 << 20))):
            for kind, figure in survey._asdict().items():
                print(f"{name:8} {dtype} {kind:9} {figure}", flush=True)
