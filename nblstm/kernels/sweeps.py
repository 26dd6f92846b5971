"""One layer, one direction, all time steps: forward and backward, in the split and in the concatenated formulation.

Buffers (flat arrays; a *step* is counted in the order of processing, so the reverse direction's step 0 is the end of
time): h, c (T + 1, B, P), slot 0 the initial state; gates (T, B, G). P is H padded to whole vectors, G = gates per
unit times P. Where sequences differ in length, the rows are sorted by it, longest first, and step s has only the first
`active[s]` rows. Rows never need each other, so threads share out the batch and there is no barrier in the time loop.
"""

from numba import njit, prange

from nblstm.kernels.driver import Driver
from nblstm.kernels.products import panel_count, panel_width, rows_times_panels
from nblstm.kernels.simd import lanes_of, load, load_part, pointer, pointer_at, prefetch, shift, store
from nblstm.kernels.tile import ROWS, VECTORS, tile_rows
from nblstm.kernels.units import backward_units, forward_units

# ------------------------------------------------------------------------------------------------------------ forward


@njit(error_model="numpy")
def forward_step(
    cell, rows, index, a, a_scale, depth, panels, from_gates, start, gates, G, peephole, c_prev, c, h, P
):  # fmt: skip
    """One step of `rows` rows: weighted sums = start + a @ panels, and the cell at once, panel by panel.

    All pointers are at the first row: a (rows, a_scale), gates (rows, G), c_prev, c, h (rows, P); index is 0, 1, 2 ...
    Where `from_gates` the sums start from what the gates hold, else every row from start (G,).
    """
    lanes = lanes_of(h)
    tiles = (rows + ROWS - 1) // ROWS
    for panel in range(panel_count(G, lanes)):
        column, width = panel * VECTORS * lanes, panel_width(panel, G, lanes)
        first_unit, last_unit = column * P // G, (column + width) * P // G
        for tile in range(tiles):
            low, high = rows * tile // tiles, rows * (tile + 1) // tiles
            for row in range(low, high):
                prefetch(c, row * P + first_unit)
                prefetch(h, row * P + first_unit)
            tile_rows(
                high - low, width // lanes, a, shift(index, low), a_scale, 1, shift(panels, column * depth), depth,
                from_gates, shift(start, column), shift(gates, column), shift(index, low), G,
            )  # fmt: skip
            for row in range(low, high):
                at = row * P
                for u in range(first_unit, last_unit, lanes):
                    forward_units(
                        cell, u, shift(gates, row * G), peephole, P, shift(c_prev, at), shift(c, at), shift(h, at)
                    )  # fmt: skip


@njit(error_model="numpy")
def input_product(low, high, first, last, B, active, x, x_at, x_feature, I, panels, bias, gates, G, at_x, at_gates):
    """gates = bias + x @ panels for the steps first .. last - 1 at once; gates points at step `first`.

    at_x, at_gates ((last - first) * (high - low),) are scratch for where the rows lie.
    """
    count = 0
    for s in range(first, last):
        for row in range(low, min(high, active[s])):
            at_x[count] = x_at[s * B + row]
            at_gates[count] = (s - first) * B + row
            count += 1
    rows_times_panels(count, x, at_x, 1, x_feature, panels, I, G, False, bias, gates, at_gates, G)


@njit(error_model="numpy")
def join(rows, h, P, H, x, x_at, x_feature, I, joined):
    """joined (rows, H + I) = [h, x]."""
    for row in range(rows):
        target = shift(joined, row * (H + I))
        for k in range(H):
            target[k] = h[row * P + k]
        for k in range(I):
            target[H + k] = x[x_at[row] + k * x_feature]


@Driver
def forward(
    cell, threads, split, bounds, block, T, B, I, H, P, G, active, x, x_at, x_feature, input_panels, panels, bias,
    peephole, h, c, gates, keep, index, scratch_index, joined,
):  # fmt: skip
    """h, c, gates of all steps. Thread n takes the rows bounds[n] .. bounds[n + 1] - 1 of the batch.

    x is an address, x_at (T, B) the offset of each step's row from it, x_feature the stride of a row's numbers.
    split: input_panels (depth I) take x, for `block` steps at once, and panels (depth H) take h in the time loop.
    Else concatenated: panels (depth H + I) take the joined row [h, x].
    keep = 1 for training; with keep = 0 c is (B, P) and gates (block, B, G), written over and over.
    index is 0, 1, 2 ...; scratch: scratch_index (2 * block * B,), joined (B, H + I).
    """
    for thread in prange(threads):
        low, high = bounds[thread], bounds[thread + 1]
        h_, c_, bias_ = pointer(h), pointer(c), pointer(bias)
        x_, x_at_ = pointer_at(x, h_), pointer(x_at)
        at_x = shift(pointer(scratch_index), block * low)
        at_gates = shift(pointer(scratch_index), block * (B + low))
        joined_ = shift(pointer(joined), low * (H + I))
        for first in range(0, T, block):
            last = min(T, first + block)
            block_gates = shift(pointer(gates), keep * first * B * G)
            if split:
                input_product(
                    low, high, first, last, B, active, x_, x_at_, x_feature, I, pointer(input_panels), bias_,
                    block_gates, G, at_x, at_gates,
                )  # fmt: skip
            for s in range(first, last):
                rows = min(high, active[s]) - low
                a, a_scale, depth = shift(h_, (s * B + low) * P), P, H
                if not split:
                    join(rows, a, P, H, x_, shift(x_at_, s * B + low), x_feature, I, joined_)
                    a, a_scale, depth = joined_, H + I, H + I
                forward_step(
                    cell, rows, pointer(index), a, a_scale, depth, pointer(panels), split, bias_,
                    shift(block_gates, ((s - first) * B + low) * G), G, pointer(peephole),
                    shift(c_, (keep * s * B + low) * P), shift(c_, (keep * (s + 1) * B + low) * P),
                    shift(h_, ((s + 1) * B + low) * P), P,
                )  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- backward


@Driver
def backward(
    cell, threads, split, bounds, T, B, I, H, P, G, active, dy, has_dy, dy_at, panels, zeros, peephole, h, c, gates,
    dh, J, dc, dx, dx_at, add_dx, index,
):  # fmt: skip
    """Backpropagation through time: gates become the weighted sums' gradients, dh and dc the initial state's.

    dh (B, J) and dc (B, P) come in as the gradients of the last states; a row of dh is [dh] where split (J = P), else
    [dh, dx] (J = P + I padded to whole vectors), whose second part goes to dx (rows of J - P at dx_at), added if
    add_dx. dy is an address, dy_at (T, B) the offset of each step's row from it. panels: depth G, columns J; zeros
    (J,).
    """
    for thread in prange(threads):
        low, high = bounds[thread], bounds[thread + 1]
        h_, c_, gates_ = pointer(h), pointer(c), pointer(gates)
        dh_, dc_ = shift(pointer(dh), low * J), shift(pointer(dc), low * P)
        for s in range(T - 1, -1, -1):
            rows = min(high, active[s]) - low
            step_gates = shift(gates_, (s * B + low) * G)
            for row in range(rows):
                before = (s * B + low + row) * P
                after = before + B * P
                dy_row = shift(pointer_at(dy, h_), dy_at[s * B + low + row])
                for u in range(0, P, lanes_of(h_)):
                    dh_u = load(dh_, row * J + u)
                    if has_dy:
                        dh_u = dh_u + load_part(dy_row, u, H - u)
                    backward_units(
                        cell, u, shift(step_gates, row * G), pointer(peephole), P,
                        shift(c_, before), shift(c_, after), shift(h_, after), dh_u, shift(dc_, row * P),
                    )  # fmt: skip
            rows_times_panels(
                rows, step_gates, pointer(index), G, 1, pointer(panels), G, J, False, pointer(zeros), dh_,
                pointer(index), J,
            )  # fmt: skip
            if not split:
                take_dx(rows, dh_, J, P, pointer(dx), shift(pointer(dx_at), s * B + low), add_dx)


@njit(error_model="numpy")
def take_dx(rows, joined, J, P, dx, dx_at, add):
    """Second part of each joined row (rows, J), from column P on, to the row of dx (J - P,) where it belongs."""
    for row in range(rows):
        for k in range(0, J - P, lanes_of(dx)):
            value = load(joined, row * J + P + k)
            if add:
                value = load(dx, dx_at[row] * (J - P) + k) + value
            store(dx, dx_at[row] * (J - P) + k, value)


@Driver
def peephole_gradient(tag, threads, steps, rows, B, P, gates, c, out):
    """out (3, P) += sums of di c', df c', do c over the rows s * B + b that `rows` lists, in that order."""
    for thread in prange(threads):
        g, c_, o = pointer(gates), pointer(c), pointer(out)
        lanes = lanes_of(g)
        vectors = P // lanes
        for u in range(vectors * thread // threads * lanes, vectors * (thread + 1) // threads * lanes, lanes):
            i, f, last = load(o, u), load(o, P + u), load(o, 2 * P + u)
            for k in range(steps):
                at = rows[k] * 4 * P + 4 * u
                c_prev, c_new = load(c_, rows[k] * P + u), load(c_, (rows[k] + B) * P + u)
                i = i + load(g, at) * c_prev
                f = f + load(g, at + lanes) * c_prev
                last = last + load(g, at + 3 * lanes) * c_new
            store(o, u, i)
            store(o, P + u, f)
            store(o, 2 * P + u, last)
