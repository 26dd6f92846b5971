"""Dropout as a function: whether a number is dropped depends on a key and on its step, sequence and unit alone."""

import numpy as np
from numba import prange

from nblstm.kernels.driver import Driver
from nblstm.kernels.inner import inner
from nblstm.kernels.simd import pointer, pointer_at, shift

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@inner
def scramble(z):
    """The output function of SplitMix64 (Steele, Lea & Flood 2014): 64 well-mixed bits from a counter."""
    z = (z ^ (z >> np.uint64(30))) * _MIX[0]
    z = (z ^ (z >> np.uint64(27))) * _MIX[1]
    return z ^ (z >> np.uint64(31))


@Driver
def dropout(tag, threads, key, threshold, scale, rows, B, width, source, source_row, target, target_row):
    """target = source * 0 where the scrambled counter is below `threshold`, else source * scale.

    A product, so that NaN and infinities are not dropped unseen. Row r starts at r * its stride and is step r // B of
    sequence r % B. key, threshold: uint64. `source` is an address, `target` a flat array; they may be the same memory.
    """
    zero = scale - scale  # of the same type
    for thread in prange(threads):
        for row in range(rows * thread // threads, rows * (thread + 1) // threads):
            to = shift(pointer(target), row * target_row)
            values = shift(pointer_at(source, to), row * source_row)
            step_key = scramble(key + np.uint64(row // B) * _STEP)
            row_key = scramble(step_key + np.uint64(row % B) * _STEP)
            for unit in range(width):
                bits = scramble(row_key + np.uint64(unit) * _STEP)
                to[unit] = values[unit] * (scale if bits >= threshold else zero)
