"""One layer, one direction, all time steps: forward and backward.

Buffers (flat arrays; a *step* is counted in the order of processing, so the reverse direction's step 0 is the end of
time): h (T + 1, B, P), slot 0 the initial state, and likewise each of the other states, c; gates (T, B, G). P is H
padded to whole vectors, G = gates per unit times P. Where sequences differ in length, the rows are sorted by it,
longest first, and step s has only the first `active[s]` rows. Rows never need each other, so threads share out the
batch and there is no barrier in the time loop.
"""

from numba import njit, prange

from nblstm.kernels.driver import Driver
from nblstm.kernels.products import (
    back_and_forth,
    gates_times_panels,
    panel_count,
    panel_width,
    rows_times_panels,
    vectors_of_part,
)
from nblstm.kernels.simd import lanes_of, load, pointer, pointer_at, prefetch, shift, store, store_part
from nblstm.kernels.tile import ROWS, VECTORS, tile_rows
from nblstm.kernels.units import backward_cell, forward_cell

TILE_VECTORS = ROWS * VECTORS  # of scratch for a tile's sums, which each thread needs


@njit
def rows_of_steps(low, high, first, last, B, active, places, at_places, at_rows):
    """Where the rows low .. high - 1 of the steps first .. last - 1 lie; returns how many there are.

    at_places has what places (T * B,) says of them, at_rows the numbers (s - first) * B + row.
    """
    count = 0
    for s in range(first, last):
        for row in range(low, min(high, active[s])):
            at_places[count] = places[s * B + row]
            at_rows[count] = (s - first) * B + row
            count += 1
    return count


# ------------------------------------------------------------------------------------------------------------ forward


@njit(error_model="numpy")
def forward_step(
    cell, parts, s, rows, first_panel, last_panel, index, x, x_at, x_feature, input_panels, I, h_prev, panels, H, start,
    start_scale, sums, keep, gates, G, peephole, before, after, between, h, P,
):  # fmt: skip
    """Step s of `rows` rows: weighted sums = start + x @ input_panels + h' @ panels, and the cell, panel by panel.

    Does the panels first_panel .. last_panel - 1.

    Pointers at the first row: h_prev, before, after, h (rows, P), gates (rows, G); the states beside h lie `between`
    numbers apart; x_at (rows,) says where rows of x lie. Row r starts from start[r * start_scale]: (G,) numbers. index
    is 0, 1, 2 ...; sums is scratch for a tile.
    """
    lanes, per_unit = lanes_of(h), G // P
    (x_first, x_vectors), (h_first, h_vectors) = vectors_of_part(parts, 0), vectors_of_part(parts, 1)
    tiles = (rows + ROWS - 1) // ROWS
    for n in range(first_panel, last_panel):
        panel = back_and_forth(n, first_panel, last_panel, s)
        column, width = panel * VECTORS * lanes, panel_width(panel, G, lanes)
        first_unit, last_unit = column // per_unit, (column + width) // per_unit
        for tile in range(tiles):
            low, high = rows * tile // tiles, rows * (tile + 1) // tiles
            for row in range(low, high):
                prefetch(after, row * P + first_unit)
                prefetch(h, row * P + first_unit)
                if keep:
                    for at in range(column, column + width, lanes):
                        prefetch(gates, row * G + at)
            here = shift(index, low)
            if x_vectors + h_vectors == 2 * VECTORS:
                tile_rows(
                    high - low, width // lanes, x, shift(x_at, low), 1, x_feature, shift(input_panels, column * I), I,
                    h_prev, here, P, shift(panels, column * H), H, shift(start, column), here, start_scale,
                    sums, index, width,
                )  # fmt: skip
            else:
                for row in range(high - low):  # each part adds to its own of them
                    for at in range(0, width, lanes):
                        store(sums, row * width + at, load(start, (low + row) * start_scale + column + at))
                for_x, for_h = shift(sums, x_first * lanes), shift(sums, h_first * lanes)
                tile_rows(
                    high - low, x_vectors, x, shift(x_at, low), 1, x_feature,
                    shift(input_panels, panel * x_vectors * lanes * I), I, x, index, 0, x, 0, for_x, index, width,
                    for_x, index, width,
                )  # fmt: skip
                tile_rows(
                    high - low, h_vectors, h_prev, here, P, 1, shift(panels, panel * h_vectors * lanes * H), H, x,
                    index, 0, x, 0, for_h, index, width, for_h, index, width,
                )  # fmt: skip
            forward_cell(
                cell, high - low, first_unit, last_unit, sums, width, keep, shift(gates, low * G), G, peephole, P,
                shift(h_prev, low * P), shift(h, low * P), shift(before, low * P), shift(after, low * P), between,
            )  # fmt: skip


@njit
def copy_units(rows, first, last, h, H, P, y, y_at):
    """The units first .. last - 1 of `rows` rows of h to the rows of y that y_at (rows,) says; padding stays behind."""
    for row in range(rows):
        y_row = shift(y, y_at[row])
        for u in range(first, last, lanes_of(h)):
            store_part(y_row, u, load(h, row * P + u), H - u)


@Driver
def forward(
    tag, threads, bounds, cell, parts, hoist, block, T, B, I, H, P, G, active, x, x_at, x_feature, input_panels, panels,
    bias, peephole, slots, h, c, between, gates, keep, y, has_y, y_at, index, at_x, at_gates, sums,
):  # fmt: skip
    """h, c, gates of all steps. Thread n takes the rows bounds[n] .. bounds[n + 1] - 1 of the batch.

    cell is the address of the cell's forward, see `units`; parts says what either product takes of a panel, see
    `products.parts_of`.

    x is an address, x_at (T, B) the offset of each step's row from it, x_feature the stride of a row's numbers;
    input_panels (depth I) take x, panels (depth H) take h. `hoist` takes the product with x out of the time loop: for
    `block` steps at once, into gates. Else one product runs over the joined row [x, h].
    h (slots, B, P): T + 1 slots to have it of all steps; 2 will do, which then serve in turn, step s going from slot
    s % 2 to the other. keep = 1 for training; with keep = 0 c is (B, P) and gates (block, B, G), written over and over.
    If has_y, each step's h is copied to the address y, where the rows lie as y_at (T, B) says.
    index is 0, 1, 2 ...; scratch: at_x, at_gates (block * B,), sums (threads, ROWS * VECTORS * lanes).
    """
    for thread in prange(threads):
        low, high = bounds[thread], bounds[thread + 1]
        h_, c_, bias_, gates_, index_ = pointer(h), pointer(c), pointer(bias), pointer(gates), pointer(index)
        x_, x_at_, input_panels_ = pointer_at(x, h_), pointer(x_at), pointer(input_panels)
        at_x_, at_gates_ = shift(pointer(at_x), block * low), shift(pointer(at_gates), block * low)
        lanes = lanes_of(h_)
        sums_ = shift(pointer(sums), thread * TILE_VECTORS * lanes)
        for first in range(0, T, block):
            last, before = min(T, first + block), (first if keep else 0)
            if hoist:
                count = rows_of_steps(low, high, first, last, B, active, x_at_, at_x_, at_gates_)
                rows_times_panels(
                    count, x_, at_x_, 1, x_feature, input_panels_, I, G, bias_, False, shift(gates_, before * B * G),
                    at_gates_, G,
                )  # fmt: skip
            for s in range(first, last):
                rows, at = min(high, active[s]) - low, s * B + low
                step_gates = shift(gates_, ((before + s - first) * B + low) * G)
                h_new = shift(h_, ((s + 1) % slots * B + low) * P)
                forward_step(
                    cell, parts, s, rows, 0, panel_count(G, lanes), index_, x_, shift(x_at_, at), x_feature,
                    input_panels_, 0 if hoist else I, shift(h_, (s % slots * B + low) * P), pointer(panels), H,
                    step_gates if hoist else bias_, G if hoist else 0, sums_, keep, step_gates, G, pointer(peephole),
                    shift(c_, (keep * s * B + low) * P), shift(c_, (keep * (s + 1) * B + low) * P),
                    between, h_new, P,
                )  # fmt: skip
                if has_y:
                    copy_units(rows, 0, P, h_new, H, P, pointer_at(y, h_), shift(pointer(y_at), at))


# ----------------------------------------------------------------------------------------------------------- backward


@Driver
def backward(
    tag, threads, bounds, cell, parts, passes_h, block, T, B, H, P, G, active, dy, has_dy, dy_at, panels, peephole, h,
    c, between, gates, dh, dc, dbetween, input_panels, dx, dx_at, dx_width, add_dx, zeros, index, at_dx, at_gates,
):  # fmt: skip
    """Backpropagation through time: gates become the weighted sums' gradients, dh and dc the initial state's.

    cell is the address of the cell's backward; passes_h says whether that leaves a gradient of the h before in dh.

    dh, dc (B, P) come in as the gradients of the last states. dy is an address, dy_at (T, B) the offset of each step's
    row from it. panels (depth G, columns P) lead back to h, input_panels (depth G, columns dx_width) to x: after each
    `block` of steps their rows of dx, the ones dx_at (T, B) of rows of dx_width, are written, or added to if add_dx;
    where dx_width is 0 they are left out. zeros (P or dx_width,); index is 0, 1, 2 ...; scratch: at_dx, at_gates
    (block * B,).
    """
    for thread in prange(threads):
        low, high = bounds[thread], bounds[thread + 1]
        h_, c_, gates_, zeros_, index_ = pointer(h), pointer(c), pointer(gates), pointer(zeros), pointer(index)
        dh_, dc_, dx_ = shift(pointer(dh), low * P), shift(pointer(dc), low * P), pointer_at(dx, h_)
        at_dx_, at_gates_ = shift(pointer(at_dx), block * low), shift(pointer(at_gates), block * low)
        for last in range(T, 0, -block):
            first = max(0, last - block)
            for s in range(last - 1, first - 1, -1):
                rows = min(high, active[s]) - low
                at = s * B + low
                before, after, step_gates = at * P, (at + B) * P, shift(gates_, at * G)
                backward_cell(
                    cell, rows, 0, P, H, P, G, pointer_at(dy, h_), has_dy, shift(pointer(dy_at), at), pointer(peephole),
                    shift(h_, before), shift(h_, after), shift(c_, before), shift(c_, after), between, step_gates, dh_,
                    dc_, dbetween,
                )  # fmt: skip
                gates_times_panels(
                    rows, step_gates, index_, G, parts, 1, pointer(panels), 0, P, P, zeros_, passes_h, dh_, index_, P
                )  # fmt: skip
            if dx_width:
                count = rows_of_steps(low, high, first, last, B, active, pointer(dx_at), at_dx_, at_gates_)
                gates_times_panels(
                    count, shift(gates_, first * B * G), at_gates_, G, parts, 0, pointer(input_panels), 0, dx_width,
                    dx_width, zeros_, add_dx, dx_, at_dx_, dx_width,
                )  # fmt: skip


@Driver
def peephole_gradient(tag, threads, steps, rows, B, P, per_unit, gates, slot, c, ahead, out):
    """out (P,) += sum of the gradient in a slot of the gates times c, over the rows s * B + b that `rows` lists.

    In that order. c (T + 1, B, P) is one state by step; `ahead` is 1 for the one after the step, 0 for the one before.
    """
    for thread in prange(threads):
        g, c_, o = pointer(gates), pointer(c), pointer(out)
        lanes = lanes_of(g)
        vectors = P // lanes
        for u in range(vectors * thread // threads * lanes, vectors * (thread + 1) // threads * lanes, lanes):
            total = load(o, u)
            for k in range(steps):
                gradient = load(g, rows[k] * per_unit * P + per_unit * u + slot * lanes)
                total = total + gradient * load(c_, (rows[k] + ahead * B) * P + u)
            store(o, u, total)
