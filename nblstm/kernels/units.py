"""A cell applied to the buffers: load a vector of units, apply the equations, store.

Which equations, the type of the cell's tag decides, when a sweep is compiled.

Pointers: `sums` and `gates` point at one block of `lanes` units, (gates, lanes), gate order i, f, g, o; c, h, dc at a
row (H,), padded to whole vectors; peephole (3, H), order i, f, o, padded likewise.
"""

from numba.extending import overload, register_jitable

from nblstm.kernels import cells
from nblstm.kernels.simd import lanes_of, load, store

GATES = {"lstm": 4, "peephole": 4, "rnn_tanh": 1, "rnn_relu": 1}
"""Weighted sums per unit, for every cell there is."""


@register_jitable
def load_gates(gates):
    """i, f, g, o of one block of units."""
    lanes = lanes_of(gates)
    return load(gates, 0), load(gates, lanes), load(gates, 2 * lanes), load(gates, 3 * lanes)


@register_jitable
def store_gates(gates, i, f, g, o):
    """The reverse of `load_gates`."""
    lanes = lanes_of(gates)
    store(gates, 0, i)
    store(gates, lanes, f)
    store(gates, 2 * lanes, g)
    store(gates, 3 * lanes, o)


@register_jitable
def load_peephole(peephole, u, stride):
    """Peephole weights of i, f, o of the units u .. u + lanes - 1."""
    return load(peephole, u), load(peephole, stride + u), load(peephole, 2 * stride + u)


def _compiled_only(*arguments):
    raise TypeError("only inside compiled code")


def forward_units(cell, u, sums, keep, gates, peephole, stride, c_prev, c, h):
    """Step the units u .. u + lanes - 1 of one row: from their weighted sums to c and h.

    Where `keep`, the activated gates (of the RNN the sums) are written too.
    """
    _compiled_only()


def backward_units(cell, u, gates, peephole, stride, c_prev, c, h, dh, dc):
    """Step the same units back: gates become the gradients of the weighted sums, dc (a row) that of the c before.

    dh is a vector: the gradient of the units' h.
    """
    _compiled_only()


@overload(forward_units)
def _overload_forward_units(cell, u, sums, keep, gates, peephole, stride, c_prev, c, h):
    if cell.tag == "lstm":

        def implementation(cell, u, sums, keep, gates, peephole, stride, c_prev, c, h):
            i, f, g, o = load_gates(sums)
            i, f, g, o, c_new, h_new = cells.lstm_forward(i, f, g, o, load(c_prev, u))
            if keep:
                store_gates(gates, i, f, g, o)
            store(c, u, c_new)
            store(h, u, h_new)

    elif cell.tag == "peephole":

        def implementation(cell, u, sums, keep, gates, peephole, stride, c_prev, c, h):
            i, f, g, o = load_gates(sums)
            p_i, p_f, p_o = load_peephole(peephole, u, stride)
            i, f, g, o, c_new, h_new = cells.peephole_forward(i, f, g, o, load(c_prev, u), p_i, p_f, p_o)
            if keep:
                store_gates(gates, i, f, g, o)
            store(c, u, c_new)
            store(h, u, h_new)

    elif cell.tag == "rnn_tanh":

        def implementation(cell, u, sums, keep, gates, peephole, stride, c_prev, c, h):
            z = load(sums, 0)
            if keep:
                store(gates, 0, z)
            store(h, u, cells.rnn_tanh_forward(z))

    else:

        def implementation(cell, u, sums, keep, gates, peephole, stride, c_prev, c, h):
            z = load(sums, 0)
            if keep:
                store(gates, 0, z)
            store(h, u, cells.rnn_relu_forward(z))

    return implementation


@overload(backward_units)
def _overload_backward_units(cell, u, gates, peephole, stride, c_prev, c, h, dh, dc):
    if cell.tag == "lstm":

        def implementation(cell, u, gates, peephole, stride, c_prev, c, h, dh, dc):
            i, f, g, o = load_gates(gates)
            di, df, dg, do, dc_prev = cells.lstm_backward(i, f, g, o, load(c_prev, u), load(c, u), dh, load(dc, u))
            store_gates(gates, di, df, dg, do)
            store(dc, u, dc_prev)

    elif cell.tag == "peephole":

        def implementation(cell, u, gates, peephole, stride, c_prev, c, h, dh, dc):
            i, f, g, o = load_gates(gates)
            p_i, p_f, p_o = load_peephole(peephole, u, stride)
            c_, c_prev_, dc_ = load(c, u), load(c_prev, u), load(dc, u)
            di, df, dg, do, dc_prev = cells.peephole_backward(i, f, g, o, c_prev_, c_, dh, dc_, p_i, p_f, p_o)
            store_gates(gates, di, df, dg, do)
            store(dc, u, dc_prev)

    elif cell.tag == "rnn_tanh":

        def implementation(cell, u, gates, peephole, stride, c_prev, c, h, dh, dc):
            store(gates, 0, cells.rnn_tanh_backward(load(h, u), dh))

    else:

        def implementation(cell, u, gates, peephole, stride, c_prev, c, h, dh, dc):
            store(gates, 0, cells.rnn_relu_backward(load(h, u), dh))

    return implementation
