"""Sampling from a character model as one compiled loop: read a token, step every layer, draw the next."""

import numpy as np
from numba import njit

from nblstm.kernels.compilation import CACHE
from nblstm.kernels.products import panel_count, rows_times_panels
from nblstm.kernels.simd import lanes_of, pointer, shift
from nblstm.kernels.sweeps import forward_step


@njit(error_model="numpy")
def draw(logits, V, temperature, uniform):
    """The first token whose cumulative weight exp(z / temperature) exceeds `uniform` times the whole."""
    highest = np.float64(logits[0])
    for v in range(1, V):
        highest = max(highest, np.float64(logits[v]))
    whole = 0.0
    for v in range(V):
        whole += np.exp((np.float64(logits[v]) - highest) / temperature)
    reached = 0.0
    for v in range(V - 1):
        reached += np.exp((np.float64(logits[v]) - highest) / temperature)
        if reached > uniform * whole:
            return v
    return V - 1


@njit(cache=CACHE, error_model="numpy")
def sample(
    cell, prompt, uniforms, temperature, table, E, weights, starts, H, P, G, h, c, sums, index,
    linear, linear_bias, V, V_padded, logits, drawn,
):  # fmt: skip
    """drawn (N,) tokens after the prompt, one for each number of `uniforms`.

    table (V, E), flat. weights: the packed weights of all layers, of which starts (L, 4) says where each layer's input
    panels, hidden panels, bias and peepholes begin. h (L, 2, P) and c (L, P) hold the state: step s reads h[:, s % 2]
    and writes the other. Scratch: sums for a tile, logits (V_padded,); index is [0].
    """
    count, layers = prompt.size + drawn.size - 1, starts.shape[0]
    w, rows, sums_ = pointer(weights), pointer(index), pointer(sums)
    for s in range(count):
        token = prompt[s] if s < prompt.size else drawn[s - prompt.size]
        x, width = shift(pointer(table), token * E), E
        for layer in range(layers):
            input_panels, panels = shift(w, starts[layer, 0]), shift(w, starts[layer, 1])
            bias, peephole = shift(w, starts[layer, 2]), shift(w, starts[layer, 3])
            h_prev = shift(pointer(h), (2 * layer + s % 2) * P)
            h_new = shift(pointer(h), (2 * layer + (s + 1) % 2) * P)
            c_ = shift(pointer(c), layer * P)
            forward_step(
                cell, 1, 0, panel_count(G, lanes_of(w)), rows, x, rows, 1, input_panels, width, h_prev, panels, H,
                bias, 0, sums_, False, sums_, G, peephole, c_, c_, h_new, P,
            )  # fmt: skip
            x, width = h_new, H
        if s >= prompt.size - 1:
            rows_times_panels(
                1, x, rows, 1, 1, pointer(linear), H, V_padded, pointer(linear_bias), False, pointer(logits), rows,
                V_padded,
            )  # fmt: skip
            at = s - (prompt.size - 1)
            drawn[at] = draw(logits, V, temperature, uniforms[at])
