"""Sampling from a character model as one compiled loop: read a token, step every layer, draw the next."""

import numpy as np
from numba import njit

from nblstm.kernels.cache import keep
from nblstm.kernels.products import rows_times_panels
from nblstm.kernels.simd import pointer, shift
from nblstm.kernels.streaming import step_layers


@njit(error_model="numpy")
def draw(logits, V, temperature, uniform):
    """The first token whose cumulative weight exp(z / temperature) exceeds `uniform` times the whole.

    At temperature 0 the first of the most probable ones.
    """
    likeliest = 0
    for v in range(1, V):
        if logits[v] > logits[likeliest]:
            likeliest = v
    if temperature == 0:
        return likeliest
    highest = np.float64(logits[likeliest])
    whole = 0.0
    for v in range(V):
        whole += np.exp((np.float64(logits[v]) - highest) / temperature)
    reached = 0.0
    for v in range(V - 1):
        reached += np.exp((np.float64(logits[v]) - highest) / temperature)
        if reached > uniform * whole:
            return v
    return V - 1


@keep
@njit(error_model="numpy")
def sample(
    tag, plans, prompt, uniforms, temperature, table, h, c, sums, index, linear, linear_bias, V, V_padded, logits,
    drawn,
):  # fmt: skip
    """drawn (N,) tokens after the prompt, one for each number of `uniforms`.

    table (V, inputs), flat. plans, h, c, sums, index: see `step_layers`, for one row, all flat.
    logits (V_padded,) is scratch.
    """
    rows, E, H = pointer(index), plans[0].I, plans[0].H
    for s in range(prompt.size + drawn.size - 1):
        token = prompt[s] if s < prompt.size else drawn[s - prompt.size]
        y = step_layers(plans, s, 1, shift(pointer(table), token * E), pointer(h), pointer(c), pointer(sums), rows)
        if s >= prompt.size - 1:
            rows_times_panels(
                1, y, rows, 1, 1, pointer(linear), H, V_padded, pointer(linear_bias), False, pointer(logits), rows,
                V_padded,
            )  # fmt: skip
            at = s - (prompt.size - 1)
            drawn[at] = draw(logits, V, temperature, uniforms[at])
