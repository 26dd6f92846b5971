"""Sampling from a character model as one compiled loop: read a token, step every layer, draw the next."""

import numpy as np
from numba import njit

from nblstm.kernels.cache import keep
from nblstm.kernels.inner import inner
from nblstm.kernels.products import rows_times_panels
from nblstm.kernels.simd import pointer, shift
from nblstm.kernels.streaming import step_layers


@inner
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
    reached, last = 0.0, likeliest
    for v in range(V):
        weight = np.exp((np.float64(logits[v]) - highest) / temperature)
        reached += weight
        if reached > uniform * whole:
            return v
        if weight > 0:
            last = v  # should rounding leave nothing that exceeds
    return last


@inner
def restrict(logits, V, temperature, top_k, top_p):
    """Set to minus infinity all but the `top_k` likeliest, and of these all but the first that have `top_p` together.

    Of equals the first ones in the vocabulary stay.
    """
    order = np.argsort(-logits[:V], kind="mergesort")
    highest = np.float64(logits[order[0]])
    whole = 0.0
    for rank in range(min(top_k, V)):
        whole += np.exp((np.float64(logits[order[rank]]) - highest) / temperature)
    reached = 0.0
    for rank in range(V):
        v = order[rank]
        if rank >= top_k or reached >= top_p * whole:
            logits[v] = -np.inf
        else:
            reached += np.exp((np.float64(logits[v]) - highest) / temperature)


@keep
@njit(error_model="numpy")
def sample(
    tag, plans, prompt, uniforms, temperature, top_k, top_p, table, h, c, sums, index, linear, linear_bias, V, V_padded,
    logits, drawn,
):  # fmt: skip
    """drawn (N,) tokens after the prompt, one for each number of `uniforms`.

    top_k, top_p: see `restrict`; V and 1 for all tokens.
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
            if temperature > 0 and (top_k < V or top_p < 1):
                restrict(logits, V, temperature, top_k, top_p)
            at = s - (prompt.size - 1)
            drawn[at] = draw(logits, V, temperature, uniforms[at])
