"""One layer, one direction, all time steps: forward and backward.

Buffers (flat arrays; a *step* is counted in the order of processing, so the reverse direction's step 0 is the end of
time): h, c (T + 1, B, P), slot 0 the initial state; gates (T, B, G). P is H padded to whole vectors, G = gates per
unit times P. Where sequences differ in length, the rows are sorted by it, longest first, and step s has only the first
`active[s]` rows. Rows never need each other, so threads share out the batch and there is no barrier in the time loop.
"""

from numba import njit, prange

from nblstm.kernels.driver import Driver
from nblstm.kernels.products import back_and_forth, panel_count, panel_width, rows_times_panels
from nblstm.kernels.simd import lanes_of, load, load_part, pointer, pointer_at, prefetch, shift, store, store_part
from nblstm.kernels.tile import ROWS, VECTORS, tile_rows
from nblstm.kernels.units import backward_units, forward_units

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
    cell, s, rows, first_panel, last_panel, index, x, x_at, x_feature, input_panels, I, h_prev, panels, H, start,
    start_scale, sums, keep, gates, G, peephole, c_prev, c, h, P,
):  # fmt: skip
    """Step s of `rows` rows: weighted sums = start + x @ input_panels + h' @ panels, and the cell, panel by panel.

    Does the panels first_panel .. last_panel - 1.

    Pointers at the first row: h_prev, c_prev, c, h (rows, P), gates (rows, G); x_at (rows,) says where rows of x lie.
    Row r starts from start[r * start_scale]: (G,) numbers. index is 0, 1, 2 ...; sums is scratch for a tile.
    """
    lanes, per_unit = lanes_of(h), G // P
    tiles = (rows + ROWS - 1) // ROWS
    for n in range(first_panel, last_panel):
        panel = back_and_forth(n, first_panel, last_panel, s)
        column, width = panel * VECTORS * lanes, panel_width(panel, G, lanes)
        first_unit, last_unit = column // per_unit, (column + width) // per_unit
        for tile in range(tiles):
            low, high = rows * tile // tiles, rows * (tile + 1) // tiles
            for row in range(low, high):
                prefetch(c, row * P + first_unit)
                prefetch(h, row * P + first_unit)
                if keep:
                    for at in range(column, column + width, lanes):
                        prefetch(gates, row * G + at)
            here = shift(index, low)
            tile_rows(
                high - low, width // lanes, x, shift(x_at, low), 1, x_feature, shift(input_panels, column * I), I,
                h_prev, here, P, shift(panels, column * H), H, shift(start, column), here, start_scale,
                sums, index, width,
            )  # fmt: skip
            for row in range(low, high):
                at = row * P
                for u in range(first_unit, last_unit, lanes):
                    forward_units(
                        cell, u, shift(sums, (row - low) * width + per_unit * u - column), keep,
                        shift(gates, row * G + per_unit * u), peephole, P, shift(c_prev, at), shift(c, at),
                        shift(h, at),
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
    cell, threads, bounds, hoist, block, T, B, I, H, P, G, active, x, x_at, x_feature, input_panels, panels, bias,
    peephole, slots, h, c, gates, keep, y, has_y, y_at, index, at_x, at_gates, sums,
):  # fmt: skip
    """h, c, gates of all steps. Thread n takes the rows bounds[n] .. bounds[n + 1] - 1 of the batch.

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
                    cell, s, rows, 0, panel_count(G, lanes), index_, x_, shift(x_at_, at), x_feature, input_panels_,
                    0 if hoist else I, shift(h_, (s % slots * B + low) * P), pointer(panels), H,
                    step_gates if hoist else bias_, G if hoist else 0, sums_, keep, step_gates, G, pointer(peephole),
                    shift(c_, (keep * s * B + low) * P), shift(c_, (keep * (s + 1) * B + low) * P),
                    h_new, P,
                )  # fmt: skip
                if has_y:
                    copy_units(rows, 0, P, h_new, H, P, pointer_at(y, h_), shift(pointer(y_at), at))


# ----------------------------------------------------------------------------------------------------------- backward


@njit(error_model="numpy")
def backward_cell(
    cell, rows, first, last, H, P, G, dy, has_dy, dy_at, peephole, h, c_prev, c, gates, dh, dc
):  # fmt: skip
    """The cell of one step back, for the units first .. last - 1 of `rows` rows.

    Pointers at the first row: h, c_prev, c, dh, dc (rows, P), gates (rows, G); dy_at (rows,) says where rows of dy lie.
    """
    per_unit, lanes = G // P, lanes_of(h)
    for row in range(rows):
        at, dy_row = row * P, shift(dy, dy_at[row])
        for u in range(first, last, lanes):
            dh_u = load(dh, at + u)
            if has_dy:
                dh_u = dh_u + load_part(dy_row, u, H - u)
            backward_units(
                cell, u, shift(gates, row * G + per_unit * u), peephole, P, shift(c_prev, at), shift(c, at),
                shift(h, at), dh_u, shift(dc, at),
            )  # fmt: skip
            if u + lanes > H:  # an infinite x makes the padding NaN, 0 times infinity, and the products read it
                for at_gate in range(row * G + per_unit * u, row * G + per_unit * (u + lanes), lanes):
                    store(gates, at_gate, load_part(gates, at_gate, H - u))


@Driver
def backward(
    cell, threads, bounds, block, T, B, H, P, G, active, dy, has_dy, dy_at, panels, peephole, h, c, gates, dh, dc,
    input_panels, dx, dx_at, dx_width, add_dx, zeros, index, at_dx, at_gates,
):  # fmt: skip
    """Backpropagation through time: gates become the weighted sums' gradients, dh and dc the initial state's.

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
                    shift(h_, after), shift(c_, before), shift(c_, after), step_gates, dh_, dc_,
                )  # fmt: skip
                rows_times_panels(
                    rows, step_gates, index_, G, 1, pointer(panels), G, P, zeros_, False, dh_, index_, P
                )  # fmt: skip
            if dx_width:
                count = rows_of_steps(low, high, first, last, B, active, pointer(dx_at), at_dx_, at_gates_)
                rows_times_panels(
                    count, shift(gates_, first * B * G), at_gates_, G, 1, pointer(input_panels), G, dx_width, zeros_,
                    add_dx, dx_, at_dx_, dx_width,
                )  # fmt: skip


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
