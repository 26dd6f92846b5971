"""The functions of cells, on vectors: how exact they are, and what they make of NaN, infinities and zeros."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from numba import njit
from support.cases import Case, Problem

from nblstm.check import accuracy
from nblstm.check.accuracy import LARGEST
from nblstm.kernels import functions
from nblstm.kernels.simd import BYTES

DTYPES = (np.float32, np.float64)
FLUSHED = {  # true results that come out as 0, as the docstrings say
    "exp": {np.float32: 2.0**-125.5, np.float64: 2.0**-1021.5},
    "tanh": {np.float32: 0.0, np.float64: 0.0},
    "sigmoid": {np.float32: 2.0**-128, np.float64: 2.0**-1024},
    "softplus": {np.float32: 2.0**-125.5, np.float64: 2.0**-1021.5},
}
FOUND = {name: function.found for name, function in accuracy.FUNCTIONS.items()} | {
    "relu": accuracy.of_vectors(functions.relu),
    "log_sigmoid": accuracy.of_vectors(functions.log_sigmoid),
}

INF, LOG2 = np.inf, np.log(2)
SPECIAL = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (1e4, INF), (-1e4, 0.0)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (1e4, 1.0), (-1e4, -1.0)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (1e4, 1.0), (-1e4, 0.0)],
    "softplus": [(0.0, LOG2), (-0.0, LOG2), (INF, INF), (-INF, 0.0), (1e4, 1e4), (-1e4, 0.0)],
    "log_sigmoid": [(0.0, -LOG2), (-0.0, -LOG2), (INF, -0.0), (-INF, -INF), (1e4, -0.0), (-1e4, -1e4)],
    "relu": [(0.0, 0.0), (INF, INF), (-INF, 0.0), (-1e4, 0.0)],
}
AT_DENORMALS = {
    "exp": lambda x: 1.0, "tanh": lambda x: x, "sigmoid": lambda x: 0.5, "relu": lambda x: max(x, 0.0),
    "softplus": lambda x: x.dtype.type(LOG2), "log_sigmoid": lambda x: -x.dtype.type(LOG2),
}  # fmt: skip


def check(name: str, dtype: type[np.floating], survey: accuracy.Survey) -> None:
    """What the docstrings say; between denormals an ulp is a fixed distance, and the result is the nearest or next."""
    assert survey.normal.value <= LARGEST[name], survey
    assert survey.denormal.value <= 1, survey
    assert survey.flushed.value <= FLUSHED[name][dtype], survey


@pytest.mark.parametrize("name", accuracy.FUNCTIONS)
def test_float32_at_a_million_patterns(name: str) -> None:
    check(name, np.float32, accuracy.survey32(accuracy.FUNCTIONS[name], step=4099))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", accuracy.FUNCTIONS)
def test_float32_at_every_pattern_there_is(name: str) -> None:
    check(name, np.float32, accuracy.survey32(accuracy.FUNCTIONS[name]))


@pytest.mark.parametrize("name", accuracy.FUNCTIONS)
def test_float64_at_a_sample(name: str) -> None:
    check(name, np.float64, accuracy.survey64(accuracy.FUNCTIONS[name], 1 << 13))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", accuracy.FUNCTIONS)
def test_float64_at_a_dense_sample(name: str) -> None:
    check(name, np.float64, accuracy.survey64(accuracy.FUNCTIONS[name], 1 << 20))


def in_each_lane(function, dtype: type[np.floating], x: float) -> np.ndarray:
    """Results for x in each of two vectors' lanes in turn, the other lanes being 0.5, whose own must stay the same."""
    lanes = BYTES // np.dtype(dtype).itemsize
    others = function(np.full(2 * lanes, 0.5, dtype))
    found = np.empty(2 * lanes, dtype)
    for lane in range(2 * lanes):
        one = np.full(2 * lanes, 0.5, dtype)
        one[lane] = x
        y = function(one)
        found[lane] = y[lane]
        assert np.array_equal(np.delete(y, lane), np.delete(others, lane))
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FOUND)
def test_each_is_the_same_in_numpy_and_of_a_plain_number(name: str, dtype: type[np.floating]) -> None:
    """Within what either is off by; a plain number in compiled code is one that stands outside a cell."""
    function, x = getattr(functions, name), np.linspace(-20, 20, 256, dtype=dtype)
    expected = function(x)
    assert expected.dtype == dtype
    tolerance = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(FOUND[name](x), expected, rtol=tolerance)
    of_number = njit(lambda number: function(number))
    for number in (-20.0, -0.5, 0.0, 3.0, 20.0):
        np.testing.assert_allclose([function(number), of_number(number)], function(np.full(2, number)), rtol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FOUND)
def test_special_numbers_in_every_lane(name: str, dtype: type[np.floating]) -> None:
    for x, expected in SPECIAL[name]:
        found = in_each_lane(FOUND[name], dtype, x)
        assert np.array_equal(found, np.full_like(found, expected)), x
        assert np.array_equal(np.signbit(found), np.full(found.size, np.signbit(expected))), x
    for nan in (np.nan, -np.nan):
        assert np.isnan(in_each_lane(FOUND[name], dtype, nan)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FOUND)
def test_denormals_are_numbers_like_others(name: str, dtype: type[np.floating]) -> None:
    info = np.finfo(dtype)
    for size in (info.smallest_subnormal, 3 * info.smallest_subnormal, np.nextafter(info.smallest_normal, dtype(0))):
        for x in (size, -size):
            assert (in_each_lane(FOUND[name], dtype, x) == AT_DENORMALS[name](x)).all(), x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("formulation", ["split", "concat"])
@pytest.mark.parametrize("cell", naive.CELLS)
def test_one_nan_in_the_input_reaches_every_unit(cell: str, formulation: str, dtype: str, rng) -> None:
    """In the same step, and in all later ones; neither other sequences nor earlier steps see it."""
    case = Case(cell, formulation, sizes=(4, 3, 5, 37))
    layer, problem = case.layer(dtype), Problem.draw(case, rng, dtype)
    clean = layer(problem.x)[0]
    for feature in range(5):
        x = problem.x.copy()
        x[2, 1, feature] = np.nan
        y = layer(x)[0]
        assert np.isnan(y[2:, 1]).all()
        assert np.array_equal(y[:2], clean[:2])
        assert np.array_equal(y[:, [0, 2]], clean[:, [0, 2]])
