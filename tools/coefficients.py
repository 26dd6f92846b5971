"""Derive the constants in nblstm/kernels/functions.py (needs mpmath; prints Python to paste).

`exp` and `tanh` rest on expm1 over one octave. With n = round(x / ln 2) and r = x - n ln 2, |r| <= ln(2) / 2,

    expm1(r) = r + r^2 q(r),        q(r) = (expm1(r) - r) / r^2,

and exp(x) = 2^n (1 + expm1(r)). For q we take the Chebyshev fit, which is within a few percent of the best polynomial
of its degree; the degree is the least whose error, relative to expm1, is below a quarter of the type's rounding. For
exp ln 2 is split in two: the high part has so few bits that n times it is exact even without a fused multiply-add.
(tanh is flat where n is large, so that one rounded ln 2 will do.)

`softplus` is max(0, x) + log(1 + u) with u = e^-|x|, from 0 to 1. With t = 2 u / (2 + u), at most 2/3, and a fit of the
same kind in t^2,

    log(1 + u) = 2 artanh(t / 2) = t + t^3 q(t^2).
"""

import mpmath as mp
import numpy as np

mp.mp.dps = 60


def q(r: mp.mpf) -> mp.mpf:
    """The function to fit, by its series near zero."""
    return (mp.expm1(r) - r) / r**2 if abs(r) > 1e-12 else mp.mpf(1) / 2 + r / 6


def derive(dtype: type[np.floating], degree: int, high_bits: int) -> None:
    """Print the rounded coefficients of q, highest power first, their error, and the two parts of ln 2."""
    half = mp.log(2) / 2 * mp.mpf("1.0001")
    coefficients = [dtype(mp.nstr(c, 25)) for c in mp.chebyfit(q, [-half, half], degree + 1)]
    exact = [mp.mpf(float(c)) for c in coefficients]
    grid = [half * i / 997 for i in range(-997, 998) if i]
    error = max(abs((r + r**2 * mp.polyval(exact, r)) / mp.expm1(r) - 1) for r in grid) / np.finfo(dtype).eps
    high = mp.floor(mp.log(2) * 2**high_bits) / 2**high_bits
    low = dtype(mp.nstr(mp.log(2) - high, 25))
    print(f"{dtype.__name__}, degree {degree}: error of expm1 {mp.nstr(error, 3)} eps")
    print("  q =", ", ".join(repr(float(c)) for c in coefficients))
    print(f"  ln2 = {float(high)!r}, {float(low)!r}")


def q_of_log(w: mp.mpf) -> mp.mpf:
    """The function of w = t^2 to fit for the logarithm, by its series near zero."""
    t = mp.sqrt(w)
    return (2 * mp.atanh(t / 2) / t - 1) / w if w > 1e-20 else mp.mpf(1) / 12 + w / 80


def derive_log(dtype: type[np.floating], degree: int) -> None:
    """Print the rounded coefficients of `q_of_log`, highest power first, and their error relative to the logarithm."""
    top = mp.mpf(4) / 9 * mp.mpf("1.0001")
    coefficients = [dtype(mp.nstr(c, 25)) for c in mp.chebyfit(q_of_log, [0, top], degree + 1)]
    exact = [mp.mpf(float(c)) for c in coefficients]
    grid = [mp.mpf(2) / 3 * i / 997 for i in range(1, 998)]
    error = max(abs((t + t**3 * mp.polyval(exact, t**2)) / (2 * mp.atanh(t / 2)) - 1) for t in grid)
    print(f"{dtype.__name__}, degree {degree}: error of log(1 + u) {mp.nstr(error / np.finfo(dtype).eps, 3)} eps")
    print("  q =", ", ".join(repr(float(c)) for c in coefficients))


if __name__ == "__main__":
    for degree in (4, 5):
        derive(np.float32, degree, high_bits=15)
    for degree in (9, 10):
        derive(np.float64, degree, high_bits=32)
    derive_log(np.float32, 3)
    derive_log(np.float64, 9)
