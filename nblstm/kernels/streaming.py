"""Steps of all layers at once, for inputs that come one by one and for sequences so short that calls cost the most."""

import numpy as np
from numba import njit
from numba.extending import register_jitable

from nblstm.kernels.cache import keep
from nblstm.kernels.inner import inner
from nblstm.kernels.layer_norm import normalised_inputs, normalised_step
from nblstm.kernels.products import panel_count
from nblstm.kernels.simd import lanes_of, pointer, pointer_at, shift
from nblstm.kernels.sweeps import TILE_VECTORS, forward_step


@register_jitable
def sums_size(rows, G, read, norm, lanes):
    """Numbers of scratch that `step_layers` needs.

    A tile, for a step of two stages also the sums of all units; where products are normalised these and both products.
    """
    return rows * (3 * G + 2) if norm else TILE_VECTORS * lanes + (rows * G if read else 0)


@inner
def arrays_of(p):
    """How many arrays of a number for each unit a layer has beside h."""
    return p.others + (1 if p.read else 0)


@inner
def step_layers(plans, s, rows, x, h, c, sums, index):
    """Step all layers over `rows` rows x (rows, I) and return where the last one's new h (rows, P) is.

    All buffers are pointers. h (layers, 2, rows, P) and c (layers, other states, rows, P) hold the states: step s reads
    h[:, s % 2] and writes the other. sums is scratch, see `sums_size`; index (3, rows) is 0, 1, 2 ..., the same times
    I, and times P. c has room for what is read in place of h, after the other states.
    """
    gates, x_at = shift(sums, TILE_VECTORS * lanes_of(x)), shift(index, rows)
    for layer in range(len(plans)):
        p = plans[layer]
        block = rows * p.P
        h_, c_ = shift(h, 2 * layer * block), shift(c, layer * arrays_of(p) * block)
        h_prev, h_new = shift(h_, s % 2 * block), shift(h_, (s + 1) % 2 * block)
        panels = panel_count(p.G, lanes_of(x))
        if p.norm_inputs:
            wide = rows * p.G
            from_x, from_h, inverse = shift(sums, wide), shift(sums, 2 * wide), shift(sums, 3 * wide)
            normalised_inputs(p.norm_inputs, (
                p, rows, x, x_at, 1, 0, panels, from_x, inverse, sums, index, False, index, 0, 1, 0,
            ))  # fmt: skip
            normalised_step(p.norm_step, (
                p, s, rows, 0, panels, index, h_prev, from_h, inverse, sums, False, c_, c_, block, h_new, False, index,
                0, 1, 0,
            ))  # fmt: skip
        else:
            for stage in range(2 if p.read else 1):
                forward_step(
                    p, stage, s, rows, 0, panels, index, x, x_at, p.I, h_prev, pointer_at(p.bias, x), 0, sums, False,
                    gates, c_, c_, block, h_new,
                )  # fmt: skip
        x, x_at = h_new, shift(index, 2 * rows)
    return x


@inner
def copy_rows(count, width, source, source_stride, target, target_stride):
    """`count` rows of `width` numbers, from rows so far apart to rows so far apart."""
    for row in range(count):
        for u in range(width):
            target[row * target_stride + u] = source[row * source_stride + u]


@keep
@njit(error_model="numpy")
def run(tag, plans, T, B, x, h, c, y):
    """y (T, B, H) = the last layer's h at every step of x (T, B, I), by plans of which only what never changes is used.

    h (layers, B, H) and c (other states, layers, B, H) are the initial states and become the last. All arrays are flat.
    """
    layers, I, H, P, others = len(plans), plans[0].I, plans[0].H, plans[0].P, plans[0].others
    x_, y_, arrays = pointer(x), pointer(y), arrays_of(plans[0])
    padded_h, padded_c = np.zeros(2 * layers * B * P, x.dtype), np.zeros(layers * arrays * B * P, x.dtype)
    p = plans[0]
    sums = np.empty(sums_size(B, p.G, p.read != 0, p.norm_inputs != 0, lanes_of(x_)), x.dtype)
    index = np.empty(3 * B, np.int64)
    for row in range(B):
        index[row], index[B + row], index[2 * B + row] = row, row * I, row * P
    for layer in range(layers):
        copy_rows(B, H, shift(pointer(h), layer * B * H), H, shift(pointer(padded_h), 2 * layer * B * P), P)
        for k in range(others):
            given, own = (
                shift(pointer(c), (k * layers + layer) * B * H),
                shift(pointer(padded_c), (layer * arrays + k) * B * P),
            )
            copy_rows(B, H, given, H, own, P)
    for s in range(T):
        newest = step_layers(
            plans, s, B, shift(x_, s * B * I), pointer(padded_h), pointer(padded_c), pointer(sums), pointer(index)
        )
        copy_rows(B, H, newest, P, shift(y_, s * B * H), H)
    # An array is let go after the last use of its name, pointers or not; a loop that uses the name keeps it to its end.
    for layer in range(layers):
        copy_rows(B, H, shift(pointer(padded_h), (2 * layer + T % 2) * B * P), P, shift(pointer(h), layer * B * H), H)
        for k in range(others):
            given, own = (
                shift(pointer(c), (k * layers + layer) * B * H),
                shift(pointer(padded_c), (layer * arrays + k) * B * P),
            )
            copy_rows(B, H, own, P, given, H)
