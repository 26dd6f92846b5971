"""The functions of cells, on vectors and plain numbers in compiled code, on NumPy arrays outside it.

Each takes vectors and numbers of float32 or float64 in compiled code, arrays of any shape outside it, and gives back
the same. exp, sigmoid and tanh rest on expm1 over one octave, softplus and log_sigmoid on log1p from 0 to 1 besides
(see ``tools/coefficients.py``, which derives the constants). No branches: a vector takes the same few dozen
instructions whatever it holds. NaN travels to the result; infinities, zeros and denormal x give what they give in
NumPy.
"""

import numpy as np
from numba.core import types
from numba.extending import overload

from nblstm.kernels.simd import (
    MANTISSA,
    Mask,
    Vector,
    absolute,
    at_least,
    at_most,
    choose,
    copysign,
    fma,
    full,
    larger,
    power_of_two,
    smaller,
    where_positive,
)  # fmt: skip

_Q32 = (0.0013926184037700295, 0.008363178931176662, 0.041666556149721146, 0.16666576266288757, 0.5)
_Q64 = (
    2.510038549551032e-08, 2.7620088445409746e-07, 2.7557268459997064e-06, 2.4801521295954376e-05,
    0.00019841269863053618, 0.0013888888917213717, 0.008333333333330062, 0.04166666666662413, 0.16666666666666669,
    0.5000000000000001,
)  # fmt: skip
_L32 = (0.0005244536441750824, 0.0022059802431613207, 0.012502363882958889, 0.08333329856395721)
_L64 = (
    7.708043179259938e-08, 1.6785273839700266e-07, 9.156154772077773e-07, 4.063151718408558e-06, 1.8781214102676078e-05,
    8.877826863928929e-05, 0.00043402778745706605, 0.002232142856805083, 0.012500000000004561, 0.08333333333333333,
)  # fmt: skip
_LOG2E, _LN2 = 1.4426950408889634, 0.6931471805599453
_LN2_PARTS = {
    types.float32: (0.693145751953125, 1.428606765330187e-06),
    types.float64: (0.6931471803691238, 1.9082149292705877e-10),
}
_LOWEST = {types.float32: -87.3, types.float64: -708.4}  # exp is 0 from here down: n - 1 reaches -bias
_HIGHEST = {types.float32: 88.8, types.float64: 710.0}  # and infinite from here up
_SATURATED = {types.float32: 20.0, types.float64: 40.0}  # 2x from which tanh(x) rounds to 1


def _rounder(dtype):
    """What to add to round to a whole number, which is then in the low bits."""
    return 1.5 * 2.0 ** MANTISSA[dtype]


def _expm1(r):
    """e^r - 1 for vectors in compiled code, |r| <= ln(2) / 2."""
    raise TypeError("only for vectors in compiled code")


@overload(_expm1)
def _overload_expm1(r):
    if r.dtype is types.float32:

        def implementation(r):
            q = fma(full(r, _Q32[0]), r, full(r, _Q32[1]))
            q = fma(q, r, full(r, _Q32[2]))
            q = fma(q, r, full(r, _Q32[3]))
            q = fma(q, r, full(r, _Q32[4]))
            return fma(r * r, q, r)

    else:

        def implementation(r):
            q = fma(full(r, _Q64[0]), r, full(r, _Q64[1]))
            q = fma(q, r, full(r, _Q64[2]))
            q = fma(q, r, full(r, _Q64[3]))
            q = fma(q, r, full(r, _Q64[4]))
            q = fma(q, r, full(r, _Q64[5]))
            q = fma(q, r, full(r, _Q64[6]))
            q = fma(q, r, full(r, _Q64[7]))
            q = fma(q, r, full(r, _Q64[8]))
            q = fma(q, r, full(r, _Q64[9]))
            return fma(r * r, q, r)

    return implementation


def _log1p(u):
    """log(1 + u) for vectors in compiled code, 0 <= u <= 1: t + t^3 q(t^2) = 2 artanh(t / 2) with t = 2 u / (2 + u)."""
    raise TypeError("only for vectors in compiled code")


@overload(_log1p)
def _overload_log1p(u):
    if u.dtype is types.float32:

        def implementation(u):
            t = (u + u) / (u + 2.0)
            w = t * t
            q = fma(full(u, _L32[0]), w, full(u, _L32[1]))
            q = fma(q, w, full(u, _L32[2]))
            q = fma(q, w, full(u, _L32[3]))
            return fma(t * w, q, t)

    else:

        def implementation(u):
            t = (u + u) / (u + 2.0)
            w = t * t
            q = fma(full(u, _L64[0]), w, full(u, _L64[1]))
            q = fma(q, w, full(u, _L64[2]))
            q = fma(q, w, full(u, _L64[3]))
            q = fma(q, w, full(u, _L64[4]))
            q = fma(q, w, full(u, _L64[5]))
            q = fma(q, w, full(u, _L64[6]))
            q = fma(q, w, full(u, _L64[7]))
            q = fma(q, w, full(u, _L64[8]))
            q = fma(q, w, full(u, _L64[9]))
            return fma(t * w, q, t)

    return implementation


def exp(x):
    """e^x, as a vector off by at most 1.1 ulp, but 0 where it is below 2^-125.5 (float32) or 2^-1021.5 (float64).

    Measured, like the others, by `nblstm.check.accuracy`: 1.095 ulp over every float32 there is, 1.036 over a
    million float64.

    Examples
    --------
    >>> from nblstm.cells import exp
    >>> exp(np.array([0.0, 1.0])).round(4)
    array([1.    , 2.7183])
    """
    return np.exp(x)


@overload(exp)
def _overload_exp(x):
    if not isinstance(x, Vector):
        return lambda x: np.exp(x)
    lowest, highest, (high, low) = _LOWEST[x.dtype], _HIGHEST[x.dtype], _LN2_PARTS[x.dtype]
    rounder = _rounder(x.dtype) - 1

    def implementation(x):
        x = at_most(full(x, highest), at_least(full(x, lowest), x))
        rounded = fma(x, full(x, _LOG2E), full(x, rounder))
        n = rounded - rounder
        e = 1.0 + _expm1(fma(n, full(x, -low), fma(n, full(x, -high), x)))
        return power_of_two(rounded) * (e + e)  # 2^(n-1) twice: 2^n is infinite before e^x is

    return implementation


def sigmoid(x):
    """1 / (1 + e^-x), as a vector off by at most 2.5 ulp, but 0 where e^-x is infinite, below -88.7 or -709.8.

    Measured: 2.481 ulp over every float32 there is, 1.992 over a million float64; denormal results 0.984.

    Examples
    --------
    >>> from nblstm.cells import sigmoid
    >>> sigmoid(np.array([-1.0, 0.0, 1.0])).round(4)
    array([0.2689, 0.5   , 0.7311])
    """
    return 1 / (1 + np.exp(-x))


@overload(sigmoid)
def _overload_sigmoid(x):
    return lambda x: 1.0 / (1.0 + exp(0.0 - x))


def tanh(x):
    """(e^2x - 1) / (e^2x + 1), by expm1 so that small x keep their digits; as a vector off by at most 2.6 ulp.

    Measured: 2.456 ulp over every float32 there is, 2.502 over a million float64. A zero keeps its sign, and a
    denormal x is its own tanh.

    Examples
    --------
    >>> from nblstm.cells import tanh
    >>> tanh(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.7616,  0.    ,  0.7616])
    """
    return np.tanh(x)


@overload(tanh)
def _overload_tanh(x):
    if not isinstance(x, Vector):
        return lambda x: np.tanh(x)
    saturated, rounder = _SATURATED[x.dtype], _rounder(x.dtype)

    def implementation(x):
        double = absolute(x)
        double = at_most(full(x, saturated), double + double)
        rounded = fma(double, full(x, _LOG2E), full(x, rounder))
        power, e = power_of_two(rounded), _expm1(fma(rounded - rounder, full(x, -_LN2), double))
        e = fma(power, e, power - 1.0)
        return copysign(e / (e + 2.0), x)

    return implementation


def softplus(x):
    """log(1 + e^x) = max(0, x) + log(1 + e^-|x|), as a vector off by at most 2.8 ulp, but 0 where `exp` is.

    Measured: 2.797 ulp over every float32 there is, 2.594 over a million float64.

    Examples
    --------
    >>> from nblstm.cells import softplus
    >>> softplus(np.array([-1000.0, 0.0])).round(4)
    array([0.    , 0.6931])
    """
    return np.logaddexp(x, 0)


@overload(softplus)
def _overload_softplus(x):
    if isinstance(x, Vector):
        return lambda x: at_least(full(x, 0.0), x) + _log1p(exp(-absolute(x)))
    return lambda x: np.logaddexp(x, 0.0)


def log_sigmoid(x):
    """log(sigmoid(x)) = -softplus(-x), as exact as `softplus`.

    Examples
    --------
    >>> from nblstm.cells import log_sigmoid
    >>> log_sigmoid(np.array([-1000.0, 0.0])).round(4).tolist()
    [-1000.0, -0.6931]
    """
    return -softplus(-x)


@overload(log_sigmoid)
def _overload_log_sigmoid(x):
    return lambda x: -softplus(-x)


def relu(x):
    """max(0, x).

    Examples
    --------
    >>> from nblstm.cells import relu
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return np.maximum(x, 0)


@overload(relu)
def _overload_relu(x):
    if isinstance(x, Vector):
        return lambda x: at_least(full(x, 0.0), x)
    return lambda x: max(x, 0.0)


def gate_positive(x, y):
    """0 where x <= 0, else y, also where x is NaN: the derivative of `relu` applied to y.

    Examples
    --------
    >>> from nblstm.cells import gate_positive
    >>> gate_positive(np.array([-1.0, 2.0]), np.array([5.0, 5.0]))
    array([0., 5.])
    """
    return np.where(x <= 0, 0, y)


@overload(gate_positive)
def _overload_gate_positive(x, y):
    if isinstance(x, Vector):
        return lambda x, y: where_positive(x, y)
    return lambda x, y: 0.0 if x <= 0 else y


def where(condition, x, y):
    """x where the condition holds, else y; either may be a plain number.

    Examples
    --------
    >>> from nblstm.cells import where
    >>> x = np.array([-1.0, 2.0])
    >>> where(x > 0, x, 0.1 * x)
    array([-0.1,  2. ])
    """
    return np.where(condition, x, y)


@overload(where)
def _overload_where(condition, x, y):
    if isinstance(condition, Mask):
        return lambda condition, x, y: choose(condition, x, y)
    return lambda condition, x, y: x if condition else y


def minimum(x, y):
    """The smaller of both, or NaN where either is; either may be a plain number.

    Examples
    --------
    >>> from nblstm.cells import minimum
    >>> minimum(np.array([-1.0, 9.0]), 6.0)
    array([-1.,  6.])
    """
    return np.minimum(x, y)


def maximum(x, y):
    """The larger of both, or NaN where either is; either may be a plain number.

    Examples
    --------
    >>> from nblstm.cells import maximum
    >>> maximum(np.array([-1.0, 9.0]), 0.0)
    array([0., 9.])
    """
    return np.maximum(x, y)


def _overload_of_two(python, lanewise):
    @overload(python)
    def implementation(x, y):
        if isinstance(x, Vector) and isinstance(y, Vector):
            return lambda x, y: lanewise(x, y)
        if isinstance(x, Vector):
            return lambda x, y: lanewise(x, full(x, y))
        if isinstance(y, Vector):
            return lambda x, y: lanewise(full(y, x), y)
        return None


_overload_of_two(minimum, smaller)
_overload_of_two(maximum, larger)
