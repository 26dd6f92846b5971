"""Vectors: loads and stores, whole and in part, and every operation on them, lane by lane against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from support.sums import DTYPES, UNTOUCHED, is_fused, multiply_add

from nblstm.kernels import simd
from nblstm.kernels.simd import (
    absolute,
    at_least,
    at_most,
    copysign,
    full,
    lanes_of,
    largest,
    load,
    load_part,
    pointer,
    pointer_at,
    power_of_two,
    shift,
    store,
    store_part,
    total,
    where_positive,
)


@njit
def move(source, at, count, target, to, written):
    """`count` lanes read, or all if negative, and `written` lanes written, or all if negative."""
    p, q = pointer(source), pointer(target)
    value = load(p, at) if count < 0 else load_part(p, at, count)
    if written < 0:
        store(q, to, value)
    else:
        store_part(q, to, value, written)


@njit
def by_address(address, n, like):
    return shift(pointer_at(address, pointer(like)), n)[0]


@njit
def arithmetic(x_, y_, number, out):
    """Each operation's vector, one after the other."""
    x, y, o = load(pointer(x_), 0), load(pointer(y_), 0), pointer(out)
    lanes = lanes_of(o)
    store(o, 0, x + y)
    store(o, lanes, x - y)
    store(o, 2 * lanes, x * y)
    store(o, 3 * lanes, x / y)
    store(o, 4 * lanes, number - x)
    store(o, 5 * lanes, x / number)
    store(o, 6 * lanes, full(x, number))
    store(o, 7 * lanes, at_most(y, x))
    store(o, 8 * lanes, at_least(y, x))
    store(o, 9 * lanes, absolute(x))
    store(o, 10 * lanes, copysign(x, y))
    store(o, 11 * lanes, where_positive(x, y))
    store(o, 12 * lanes, full(x, total(x)))
    store(o, 13 * lanes, full(x, largest(x)))


@njit
def powers(rounded, out):
    store(pointer(out), 0, power_of_two(load(pointer(rounded), 0)))


def lanes(dtype: type[np.floating]) -> int:
    return simd.BYTES // np.dtype(dtype).itemsize


@pytest.mark.parametrize("dtype", DTYPES)
def test_loads_and_stores_touch_their_lanes_alone(dtype: type[np.floating]) -> None:
    """At the end of an array too; under guard mode what lies past it cannot even be read."""
    L = lanes(dtype)
    for count in range(-1, L + 1):
        read = L if count < 0 else count
        for at in (0, 1, 3):
            source = np.arange(1, 1 + at + read, dtype=dtype)
            loaded = np.zeros(L, dtype)
            loaded[:read] = source[at:]
            for written in range(-1, L + 1):
                length = L if written < 0 else written
                target = np.full(3 + at + length, UNTOUCHED, dtype)
                expected = target.copy()
                expected[3 : 3 + length] = loaded[:length]
                for there, asked in ((target, expected), (target[: 3 + length].copy(), expected[: 3 + length])):
                    move(source, at, count, there, 3, written)
                    assert np.array_equal(there, asked), f"{count=} {at=} {written=}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_more_lanes_than_there_are_is_all_of_them_and_fewer_than_none_is_none(dtype: type[np.floating]) -> None:
    L = lanes(dtype)
    source, target = np.arange(1, L + 2, dtype=dtype), np.full(L + 1, UNTOUCHED, dtype)
    move(source, 0, L + 5, target, 0, L + 5)
    assert np.array_equal(target, [*source[:L], UNTOUCHED])


@pytest.mark.parametrize("dtype", DTYPES)
def test_pointers_count_in_numbers(dtype: type[np.floating]) -> None:
    source = np.arange(9, dtype=dtype)
    address = source.__array_interface__["data"][0]
    assert [by_address(address, n, source) for n in range(9)] == list(range(9))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_operation_in_every_lane(dtype: type[np.floating], rng: np.random.Generator) -> None:
    L, number = lanes(dtype), dtype(1.7)
    for case in range(50):
        x, y = rng.standard_normal((2, L)).astype(dtype)
        tree = x
        while tree.size > 1:
            tree = tree[: tree.size // 2] + tree[tree.size // 2 :]
        expected = [
            x + y, x - y, x * y, x / y, number - x, x / number, np.full(L, number), np.minimum(x, y), np.maximum(x, y),
            np.abs(x), np.copysign(x, y), np.where(x > 0, y, 0), np.full(L, tree[0]), np.full(L, x.max()),
        ]  # fmt: skip
        out = np.empty((len(expected), L), dtype)
        arithmetic(x, y, number, out.reshape(-1))
        for n, (found, asked) in enumerate(zip(out, expected, strict=True)):
            assert found.tobytes() == asked.astype(dtype).tobytes(), f"operation {n} of case {case}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_in_one_lane_stays_there(dtype: type[np.floating]) -> None:
    L = lanes(dtype)
    for lane in range(L):
        x, y = np.ones(L, dtype), np.full(L, 2, dtype)
        x[lane] = np.nan
        out = np.empty((14, L), dtype)
        arithmetic(x, y, dtype(1), out.reshape(-1))
        where = np.isnan(out[[0, 1, 2, 3, 4, 5, 7, 8, 9, 10]])
        assert (where == (np.arange(L) == lane)).all(), lane
        assert out[11].tolist() == [2] * L  # whoever multiplies with it asks for y


@pytest.mark.parametrize("dtype", DTYPES)
def test_multiply_add(dtype: type[np.floating]) -> None:
    """(1 + e)(1 - e) - 1 is -e^2 if it is rounded once, and else 0."""
    e = np.finfo(dtype).eps
    x, y, z = (np.full(lanes(dtype), value, dtype) for value in (1 + e, 1 - e, -1))
    multiply_add(x, y, z)
    assert (z == (-e * e if is_fused() else 0)).all()
    assert is_fused() or "+fma" not in simd._FEATURES


@pytest.mark.parametrize(("dtype", "mantissa", "bias"), [(np.float32, 23, 127), (np.float64, 52, 1023)])
def test_powers_of_two(dtype: type[np.floating], mantissa: int, bias: int) -> None:
    """And 0 below them, infinity above."""
    L, n = lanes(dtype), np.arange(-bias, bias + 2)
    expected = np.concatenate([[0], 2.0 ** n[1:-1], [np.inf]])
    found = np.empty(n.size + -n.size % L, dtype)
    given = np.resize(n, found.size).astype(dtype) + dtype(1.5 * 2.0**mantissa)
    for at in range(0, found.size, L):
        powers(given[at : at + L], found[at : at + L])
    assert np.array_equal(found[: n.size], expected)
