"""Steps of all layers at once, for inputs that come one by one and for sequences so short that calls cost the most."""

import numpy as np
from numba import njit

from nblstm.kernels.cache import keep
from nblstm.kernels.products import panel_count
from nblstm.kernels.simd import lanes_of, pointer, pointer_at, shift
from nblstm.kernels.sweeps import TILE_VECTORS, forward_step

SIZES = 8
"""Numbers of a descriptor before its addresses: layers, I, H, P, G, the cell's code, its parts, its states beside h.

Then come each layer's, see `step_layers`.
"""


@njit(error_model="numpy")
def step_layers(cell, parts, others, s, layers, rows, x, I, H, P, G, weights, h, c, sums, index):
    """Step all layers over `rows` rows x (rows, I) and return where the last one's new h (rows, P) is.

    All buffers are pointers. weights (layers, 4): the addresses of each layer's input panels, hidden panels, bias and
    peepholes. h (layers, 2, rows, P) and c (layers, other states, rows, P) hold the states: step s reads h[:, s % 2]
    and writes the other. sums is scratch for a tile; index (3, rows) is 0, 1, 2 ..., the same times I, and times P.
    """
    x_at, block = shift(index, rows), rows * P
    for layer in range(layers):
        own, h_, c_ = shift(weights, 4 * layer), shift(h, 2 * layer * block), shift(c, layer * others * block)
        h_prev, h_new = shift(h_, s % 2 * block), shift(h_, (s + 1) % 2 * block)
        forward_step(
            cell, parts, s, rows, 0, panel_count(G, lanes_of(x)), index, x, x_at, 1, pointer_at(own[0], x), I, h_prev,
            pointer_at(own[1], x), H, pointer_at(own[2], x), 0, sums, False, sums, G, pointer_at(own[3], x), c_, c_,
            block, h_new, P,
        )  # fmt: skip
        x, I, x_at = h_new, H, shift(index, 2 * rows)
    return x


@njit
def copy_rows(count, width, source, source_stride, target, target_stride):
    """`count` rows of `width` numbers, from rows so far apart to rows so far apart."""
    for row in range(count):
        for u in range(width):
            target[row * target_stride + u] = source[row * source_stride + u]


@keep
@njit(error_model="numpy")
def run(tag, descriptor, T, B, x, h, c, y):
    """y (T, B, H) = the last layer's h at every step of x (T, B, I).

    h (layers, B, H) and c (other states, layers, B, H) are the initial states and become the last. All arrays are flat.
    All that stays the same from call to call comes in `descriptor`, since each argument costs some 0.05 microseconds.
    """
    d, x_, y_ = pointer(descriptor), pointer(x), pointer(y)
    layers, I, H, P, G, cell, parts, others = d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]
    padded_h, padded_c = np.zeros(2 * layers * B * P, x.dtype), np.zeros(layers * others * B * P, x.dtype)
    sums, index = np.empty(TILE_VECTORS * lanes_of(x_), x.dtype), np.empty(3 * B, np.int64)
    for row in range(B):
        index[row], index[B + row], index[2 * B + row] = row, row * I, row * P
    for layer in range(layers):
        copy_rows(B, H, shift(pointer(h), layer * B * H), H, shift(pointer(padded_h), 2 * layer * B * P), P)
        for k in range(others):
            given, own = (
                shift(pointer(c), (k * layers + layer) * B * H),
                shift(pointer(padded_c), (layer * others + k) * B * P),
            )
            copy_rows(B, H, given, H, own, P)
    for s in range(T):
        newest = step_layers(
            cell, parts, others, s, layers, B, shift(x_, s * B * I), I, H, P, G, shift(d, SIZES), pointer(padded_h),
            pointer(padded_c), pointer(sums), pointer(index),
        )  # fmt: skip
        copy_rows(B, H, newest, P, shift(y_, s * B * H), H)
    # An array is let go after the last use of its name, pointers or not; a loop that uses the name keeps it to its end.
    for layer in range(layers):
        copy_rows(B, H, shift(pointer(padded_h), (2 * layer + T % 2) * B * P), P, shift(pointer(h), layer * B * H), H)
        for k in range(others):
            given, own = (
                shift(pointer(c), (k * layers + layer) * B * H),
                shift(pointer(padded_c), (layer * others + k) * B * P),
            )
            copy_rows(B, H, own, P, given, H)
