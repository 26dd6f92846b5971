"""Sampling from a character model as one compiled loop: read a token, step every layer, draw the next."""

import numpy as np
from numba import njit

from nblstm.kernels.products import rows_times_panels
from nblstm.kernels.simd import pointer, shift
from nblstm.kernels.sweeps import forward_step, join


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


@njit(cache=True, error_model="numpy")
def sample(
    cell, split, prompt, uniforms, temperature, table, E, weights, starts, H, P, G, h, c, gates, joined, index,
    linear, linear_bias, V, V_padded, logits, drawn,
):  # fmt: skip
    """drawn (N,) tokens after the prompt, one for each number of `uniforms`.

    table (V, E), flat. weights: the packed weights of all layers, of which starts (L, 4) says where each layer's input
    panels, hidden panels, bias and peepholes begin. h (L, 2, P) and c (L, P) hold the state: step s reads h[:, s % 2]
    and writes the other. Scratch: gates (G,), joined (H + the widest input,), logits (V_padded,); index is [0].
    """
    count, layers = prompt.size + drawn.size - 1, starts.shape[0]
    w, gates_, rows = pointer(weights), pointer(gates), pointer(index)
    for s in range(count):
        token = prompt[s] if s < prompt.size else drawn[s - prompt.size]
        x, width = shift(pointer(table), token * E), E
        for layer in range(layers):
            input_panels, panels = shift(w, starts[layer, 0]), shift(w, starts[layer, 1])
            bias, peephole = shift(w, starts[layer, 2]), shift(w, starts[layer, 3])
            h_prev = shift(pointer(h), (2 * layer + s % 2) * P)
            h_new = shift(pointer(h), (2 * layer + (s + 1) % 2) * P)
            c_ = shift(pointer(c), layer * P)
            a, depth = h_prev, H
            if split:
                rows_times_panels(1, x, rows, 1, 1, input_panels, width, G, False, bias, gates_, rows, G)
            else:
                join(1, h_prev, P, H, x, rows, 1, width, pointer(joined))
                a, depth = pointer(joined), H + width
            forward_step(cell, 1, rows, a, depth, depth, panels, split, bias, gates_, G, peephole, c_, c_, h_new, P)
            x, width = h_new, H
        if s >= prompt.size - 1:
            rows_times_panels(
                1, x, rows, 1, 1, pointer(linear), H, V_padded, False, pointer(linear_bias), pointer(logits), rows,
                V_padded,
            )  # fmt: skip
            at = s - (prompt.size - 1)
            drawn[at] = draw(logits, V, temperature, uniforms[at])
