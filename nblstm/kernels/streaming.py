"""One time step of all layers over a single sequence, for inputs that come one by one."""

from numba import njit

from nblstm.kernels.compilation import CACHE
from nblstm.kernels.products import panel_count
from nblstm.kernels.simd import lanes_of, pointer, pointer_at, shift
from nblstm.kernels.sweeps import forward_step

SIZES = 6
"""Numbers of a descriptor before its addresses: the step, layers, I, H, P, G."""

BUFFERS = 4
"""Addresses that follow: of h, c, sums and index. Then come each layer's, see `step_layers`."""


@njit(error_model="numpy")
def step_layers(cell, s, layers, x, I, H, P, G, weights, h, c, sums, index):
    """Step all layers over the row x (I,) and return where the last one's new h (H,) is; all buffers are pointers.

    weights (layers, 4): the addresses of each layer's input panels, hidden panels, bias and peepholes. h (layers, 2, P)
    and c (layers, P) hold the state: step s reads h[:, s % 2] and writes the other. sums is scratch for a tile, index
    is [0].
    """
    for layer in range(layers):
        own, h_ = shift(weights, 4 * layer), shift(h, 2 * layer * P)
        h_prev, h_new, c_ = shift(h_, s % 2 * P), shift(h_, (s + 1) % 2 * P), shift(c, layer * P)
        forward_step(
            cell, s, 1, 0, panel_count(G, lanes_of(x)), index, x, index, 1, pointer_at(own[0], x), I, h_prev,
            pointer_at(own[1], x), H, pointer_at(own[2], x), 0, sums, False, sums, G, pointer_at(own[3], x), c_, c_,
            h_new, P,
        )  # fmt: skip
        x, I = h_new, H
    return x


@njit(cache=CACHE, error_model="numpy")
def step(cell, descriptor, x, y):
    """y (H,) = the last layer's h after one more step, with the input x (I,).

    All that stays the same from step to step comes in one array, since each argument costs a tenth of a microsecond:
    descriptor holds `SIZES` and addresses of `BUFFERS`, and here the number of steps taken is counted.
    """
    d, x_ = pointer(descriptor), pointer(x)
    buffers, H = shift(d, SIZES), d[3]
    newest = step_layers(
        cell, d[0], d[1], x_, d[2], H, d[4], d[5], shift(buffers, BUFFERS), pointer_at(buffers[0], x_),
        pointer_at(buffers[1], x_), pointer_at(buffers[2], x_), pointer_at(buffers[3], d),
    )  # fmt: skip
    d[0] += 1
    for u in range(H):
        y[u] = newest[u]
