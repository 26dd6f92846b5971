"""All time steps of layers, forward and backward: what a thread does of a pass over plans, see `plan`.

Buffers (a *step* is counted in the order of processing, so the reverse direction's step 0 is the end of time): h
(T + 1, B, P), slot 0 the initial state, and likewise each of the other states, c; gates (T, B, G). P is H padded to
whole vectors, G = gates per unit times P. Where sequences differ in length, the rows are sorted by it, longest first,
and step s has only the first `active[s]` rows. Where products are normalised, steps take another way: `layer_norm`.

A step has one stage, or two: then the first makes of some sums what others read in place of h. That is kept like one
more state, after the others, and between the two stages the gates hold the sums.

Rows never need each other, so threads share out the batch, each goes through all layers with its own rows, and nobody
waits. For few sequences they are a *team*: they share out the units, each keeps to its own columns of the weights, so
that they stay in its core's cache, and all meet at every step. The sums are the same either way, to the last bit.
"""

from numba import prange
from numba.extending import register_jitable

from nblstm.kernels.driver import Driver, PlanKernel
from nblstm.kernels.inner import inner
from nblstm.kernels.layer_norm import normalised_inputs, normalised_step, products_back
from nblstm.kernels.plan import find_rows, plan_at, rows_of_steps
from nblstm.kernels.products import (
    back_and_forth,
    gates_times_panels,
    panel_count,
    panel_width,
    rows_times_panels,
    units_read,
    vectors_of_part,
)
from nblstm.kernels.simd import (
    lanes_of,
    load,
    load_part,
    pointer,
    pointer_at,
    prefetch,
    shift,
    store,
    store_part,
)
from nblstm.kernels.team import is_team, meet, meet_again
from nblstm.kernels.tile import ROWS, VECTORS, tile_rows
from nblstm.kernels.units import backward_cell, forward_cell

TILE_VECTORS = ROWS * VECTORS  # of scratch for a tile's sums, which each thread needs


@register_jitable
def integers_size(block, B):
    """Integers of scratch that a thread needs, see `scratch_of`."""
    return (3 + 2 * block) * B


# -------------------------------------------------------------------------------------------------------------- shares


@inner
def share_of(thread, threads, team, bounds, B, columns, lanes):
    """The rows low .. high - 1 and the panels first .. last - 1 that are a thread's, of a matrix with so many columns.

    Of a team, all rows and some panels; else the rows from bounds[thread] on, and all panels.
    """
    panels = panel_count(columns, lanes)
    if team:
        return 0, B, panels * thread // threads, panels * (thread + 1) // threads
    return bounds[thread], bounds[thread + 1], 0, panels


@inner
def scratch_of(integers, B, block):
    """A thread's integers: 0, 1, 2 ..., two tables (B,), and two (block B,); see `integers_size`."""
    for row in range(B):
        integers[row] = row
    return (
        integers, shift(integers, B), shift(integers, 2 * B), shift(integers, 3 * B), shift(integers, (3 + block) * B)
    )  # fmt: skip


@inner
def take_states(p, given, order, low, high, unit, end, h, c, between):
    """h (B, P) and c, some rows and units, as `given` in the form of a plan; zeros where nothing is."""
    addresses = pointer_at(given, order)
    for k in range(p.others + 1):
        source, target = pointer_at(addresses[k], h), (h if k == 0 else shift(c, (k - 1) * between))
        for row in range(low, high):
            at = (p.number * p.B + order[row]) * p.H
            for u in range(unit, end, lanes_of(h)):
                store(target, row * p.P + u, load_part(source, at + u, p.H - u if addresses[k] else 0))


@inner
def give_state(p, address, sequence, unit, end, row):
    """The units unit .. end - 1 of one row (P,) of a state go to their sequence in the array at `address`."""
    out = shift(pointer_at(address, row), (p.number * p.B + sequence) * p.H)
    for u in range(unit, end, lanes_of(row)):
        store_part(out, u, load(row, u), p.H - u)


# ------------------------------------------------------------------------------------------------------------- forward


@inner
def forward_step(
    p, stage, s, rows, first_panel, last_panel, index, x, x_at, I, h_prev, start, start_scale, sums, keep, gates,
    before, after, between, h,
):  # fmt: skip
    """Step s of `rows` rows: weighted sums = start + x @ input_panels + h' @ panels, and the cell, panel by panel.

    Does the panels first_panel .. last_panel - 1. Where a step has two stages, this is one of them, 0 or 1; the second
    goes on from the first one's sums, which are in gates, with what that one left in place of h'.

    Pointers at the first row: h_prev, before, after, h (rows, P), gates (rows, G); the states beside h lie `between`
    numbers apart; x_at (rows,) says where rows of x (I,) lie. Row r starts from start[r * start_scale]: (G,) numbers.
    index is 0, 1, 2 ...; sums is scratch for a tile.
    """
    lanes, H, P, G = lanes_of(h), p.H, p.P, p.G
    input_panels, panels = pointer_at(p.input_panels, h), pointer_at(p.hidden_panels, h)
    peephole = pointer_at(p.peephole, h)
    per_unit = G // P
    (x_first, x_vectors), (h_first, h_vectors) = vectors_of_part(p.parts, 0), vectors_of_part(p.parts, 1)
    code, read = p.read if p.read and stage == 0 else p.forward, h_prev
    if stage == 1:
        x_vectors, (h_first, h_vectors) = 0, vectors_of_part(p.parts, 2)
        panels, read, start, start_scale = pointer_at(p.read_panels, h), shift(after, p.others * between), gates, G
    tiles = (rows + ROWS - 1) // ROWS
    for n in range(first_panel, last_panel):
        panel = back_and_forth(n, first_panel, last_panel, s)
        column, width = panel * VECTORS * lanes, panel_width(panel, G, lanes)
        first_unit, last_unit = column // per_unit, (column + width) // per_unit
        first_read, last_read = units_read(first_unit, last_unit, p.head, H)
        h_read, h_depth = shift(read, first_read), last_read - first_read
        for tile in range(tiles):
            low, high = rows * tile // tiles, rows * (tile + 1) // tiles
            for row in range(low, high):
                prefetch(after, row * P + first_unit)
                prefetch(h, row * P + first_unit)
                if keep:
                    for at in range(column, column + width, lanes):
                        prefetch(gates, row * G + at)
            here = shift(index, low)
            if x_vectors == VECTORS and h_vectors % VECTORS == 0:
                tile_rows(
                    high - low, width // lanes, x, shift(x_at, low), 1, p.x_feature, shift(input_panels, column * I), I,
                    h_read, here, P, shift(panels, column * H), h_depth if h_vectors else 0, shift(start, column), here,
                    start_scale, sums, index, width,
                )  # fmt: skip
            else:
                for row in range(high - low):  # each part adds to its own of them
                    for at in range(0, width, lanes):
                        store(sums, row * width + at, load(start, (low + row) * start_scale + column + at))
                for_x, for_h = shift(sums, x_first * lanes), shift(sums, h_first * lanes)
                if x_vectors > 0:
                    tile_rows(
                        high - low, x_vectors, x, shift(x_at, low), 1, p.x_feature,
                        shift(input_panels, panel * x_vectors * lanes * I), I, x, index, 0, x, 0, for_x, index, width,
                        for_x, index, width,
                    )  # fmt: skip
                if h_vectors > 0:
                    tile_rows(
                        high - low, h_vectors, h_read, here, P, 1, shift(panels, panel * h_vectors * lanes * H),
                        h_depth, x, index, 0, x, 0, for_h, index, width, for_h, index, width,
                    )  # fmt: skip
            forward_cell(code, (
                high - low, first_unit, last_unit, sums, width, keep, shift(gates, low * G), G, peephole, P,
                shift(h_prev, low * P), shift(h, low * P), shift(before, low * P), shift(after, low * P), between,
            ))  # fmt: skip


@inner
def copy_units(rows, first, last, h, H, P, y, y_at):
    """The units first .. last - 1 of `rows` rows of h to the rows of y that y_at (rows,) says; padding stays behind."""
    for row in range(rows):
        y_row = shift(y, y_at[row])
        for u in range(first, last, lanes_of(h)):
            store_part(y_row, u, load(h, row * P + u), H - u)


@PlanKernel
def forward(thread, threads, plans, count, note, like):
    """h, and what a plan says is to be kept, of all steps of all plans, one after the other.

    Each thread takes its rows of the batch; or, if the note (see `team`) has the patience to wait for others, its share
    of the units. Then nothing is done if not all come.
    """
    team, meetings, lanes = is_team(note), 0, lanes_of(like)
    if team and not meet(note, threads):
        return
    for k in range(count):
        p = plan_at(plans, k)
        bounds, integers, sums = (
            pointer_at(p.bounds, note), shift(pointer_at(p.integers, note), thread * integers_size(p.block, p.B)),
            shift(pointer_at(p.sums, like), thread * TILE_VECTORS * lanes),
        )  # fmt: skip
        B, H, P, G, keep, between = p.B, p.H, p.P, p.G, p.keep, p.between
        low, high, first_panel, last_panel = share_of(thread, threads, team, bounds, B, G, lanes)
        column, last_column = first_panel * VECTORS * lanes, min(G, last_panel * VECTORS * lanes)
        unit, end = column * P // G, last_column * P // G

        x, y, h, c, gates = (
            pointer_at(p.x, sums), pointer_at(p.y, sums), pointer_at(p.h, sums), pointer_at(p.c, sums),
            pointer_at(p.gates, sums),
        )  # fmt: skip
        from_x, from_h, inverse = pointer_at(p.from_x, sums), pointer_at(p.from_h, sums), pointer_at(p.inverse, sums)
        input_panels, bias = pointer_at(p.input_panels, sums), pointer_at(p.bias, sums)
        order, lengths, active = (
            pointer_at(p.order, integers), pointer_at(p.lengths, integers), pointer_at(p.active, integers),
        )  # fmt: skip
        index, x_rows, y_rows, at_x, at_gates = scratch_of(integers, B, p.block)
        x_step = find_rows(p, low, high, p.x_time, p.x_batch, x_rows)
        y_step = find_rows(p, low, high, p.y_time, p.y_batch, y_rows)
        if p.given:
            take_states(p, p.given, order, low, high, unit, end, h, c, between)
            meetings = meet_again(team, note, threads, meetings)

        for first in range(p.first, p.last, p.block):
            last = min(p.last, first + p.block)
            kept_from = p.first if keep else first  # the step that gates begin with
            if p.hoist:
                taken = rows_of_steps(low, high, first, last, B, active, x_rows, x_step, at_x, at_gates)
                kept = (first - kept_from) * B
                if p.norm_inputs:
                    meetings = normalised_inputs(p.norm_inputs, (
                        p, taken, x, at_x, p.x_feature, first_panel, last_panel, shift(from_x, kept * G),
                        shift(inverse, kept * 2), shift(gates, kept * G), at_gates, team, note, thread, threads,
                        meetings,
                    ))  # fmt: skip
                else:
                    rows_times_panels(
                        taken, x, at_x, 1, p.x_feature, shift(input_panels, column * p.I), p.I, last_column - column,
                        shift(bias, column), False, shift(gates, kept * G + column), at_gates, G,
                    )  # fmt: skip
            for s in range(first, last):
                rows, place = min(high, active[s]) - low, (s - kept_from) * B + low
                step_gates = shift(gates, place * G)
                before = shift(c, (keep * (s - p.first) * B + low) * P)
                h_prev, h_new = shift(h, (s % p.slots * B + low) * P), shift(h, ((s + 1) % p.slots * B + low) * P)
                if p.norm_inputs:
                    meetings = normalised_step(p.norm_step, (
                        p, s, rows, first_panel, last_panel, index, h_prev, shift(from_h, place * G),
                        shift(inverse, place * 2), step_gates, keep, before, shift(before, keep * B * P), between,
                        h_new, team, note, thread, threads, meetings,
                    ))  # fmt: skip
                else:
                    for stage in range(2 if p.read else 1):
                        if stage == 1:
                            meetings = meet_again(team, note, threads, meetings)
                        forward_step(
                            p, stage, s, rows, first_panel, last_panel, index, shift(x, s * x_step), shift(x_rows, low),
                            0 if p.hoist else p.I, h_prev, step_gates if p.hoist else bias, G if p.hoist else 0, sums,
                            keep, step_gates, before, shift(before, keep * B * P), between, h_new,
                        )  # fmt: skip
                if p.y:
                    copy_units(rows, unit, end, h_new, H, P, shift(y, s * y_step), shift(y_rows, low))
                meetings = meet_again(team, note, threads, meetings)

        if p.final:
            final = pointer_at(p.final, integers)
            for row in range(low, high):
                length = lengths[row]
                give_state(p, final[0], order[row], unit, end, shift(h, (length % p.slots * B + row) * P))
                for other in range(p.others):
                    newest = shift(c, other * between + (keep * (length - p.first) * B + row) * P)
                    give_state(p, final[1 + other], order[row], unit, end, newest)


# ------------------------------------------------------------------------------------------------------------ backward


@PlanKernel
def backward(thread, threads, plans, count, note, like):
    """Backpropagation through time, one plan after the other: gates become the gradients of the weighted sums.

    dh and dc become those of the initial states; after each `block` of steps their rows of dx are had. Threads share
    the work as in `forward`.
    """
    team, meetings, lanes = is_team(note), 0, lanes_of(like)
    if team and not meet(note, threads):
        return
    for k in range(count):
        p = plan_at(plans, k)
        bounds = pointer_at(p.bounds, note)
        integers = shift(pointer_at(p.integers, note), thread * integers_size(p.block, p.B))
        B, H, P, G, between = p.B, p.H, p.P, p.G, p.between
        low, high, first_panel, last_panel = share_of(thread, threads, team, bounds, B, P, lanes)
        unit, end = first_panel * VECTORS * lanes, min(P, last_panel * VECTORS * lanes)

        dy, dx, h, c, gates, dh, dc, zeros = (
            pointer_at(p.dy, like), pointer_at(p.dx, like), pointer_at(p.h, like), pointer_at(p.c, like),
            pointer_at(p.gates, like), pointer_at(p.dh, like), pointer_at(p.dc, like), pointer_at(p.zeros, like),
        )  # fmt: skip
        hidden_back, read_back, input_back, peephole = (
            pointer_at(p.hidden_back, like), pointer_at(p.read_panels_back, like), pointer_at(p.input_back, like),
            pointer_at(p.peephole, like),
        )  # fmt: skip
        from_x, from_h, inverse, gain_sums = (
            pointer_at(p.from_x, like), pointer_at(p.from_h, like), pointer_at(p.inverse, like),
            pointer_at(p.gain_sums, like),
        )  # fmt: skip
        active, order = pointer_at(p.active, integers), pointer_at(p.order, integers)
        index, dy_rows, dx_rows, at_dx, at_gates = scratch_of(integers, B, p.block)
        dy_step = find_rows(p, low, high, p.dy_time, p.dy_batch, dy_rows)
        dx_step = find_rows(p, low, high, B * p.dx_width, p.dx_width, dx_rows)
        if p.dgiven:
            take_states(p, p.dgiven, order, low, high, unit, end, dh, dc, B * P)

        for last in range(p.last, p.first, -p.block):
            first = max(p.first, last - p.block)
            for s in range(last - 1, first - 1, -1):
                rows, at = min(high, active[s]) - low, (s * B + low) * P
                before = shift(c, at - p.first * B * P)
                place = (s - p.first) * B + low
                step_gates, step_h = shift(gates, place * G), shift(from_h, place * G)
                backward_cell(p.backward, (
                    rows, unit, end, H, P, G, shift(dy, s * dy_step), p.dy != 0, shift(dy_rows, low),
                    peephole, shift(h, at), shift(h, at + B * P), before, shift(before, B * P), between, step_gates,
                    shift(dh, low * P), shift(dc, low * P), B * P,
                ))  # fmt: skip
                meetings = meet_again(team, note, threads, meetings)
                if p.read:  # the gradient of what is read, and the first stage back
                    d_read = shift(dc, (p.others * B + low) * P)
                    gates_times_panels(
                        rows, step_gates, index, G, G // P, p.parts, 2, H, p.head, read_back, unit, end - unit, P,
                        zeros, False, shift(d_read, unit), index, P,
                    )  # fmt: skip
                    backward_cell(p.read_back, (
                        rows, unit, end, H, P, G, dy, False, shift(dy_rows, low), peephole, shift(h, at),
                        shift(h, at + B * P), before, shift(before, B * P), between, step_gates, shift(dh, low * P),
                        shift(dc, low * P), B * P,
                    ))  # fmt: skip
                    meetings = meet_again(team, note, threads, meetings)
                if p.norm_inputs:
                    meetings = products_back(p.norm_back, (
                        p, rows, step_gates, shift(from_x, place * G), step_h, shift(inverse, place * 2),
                        shift(gain_sums, low * G), team, note, thread, threads, meetings,
                    ))  # fmt: skip
                gates_times_panels(
                    rows, step_h, index, G, G // P, p.parts, 1, H, p.head, hidden_back, unit, end - unit, P, zeros,
                    p.passes_h != 0, shift(dh, low * P + unit), index, P,
                )  # fmt: skip
            if p.dx_width:
                taken = rows_of_steps(low, high, first, last, B, active, dx_rows, dx_step, at_dx, at_gates)
                mine, beyond = (taken * thread // threads, taken * (thread + 1) // threads) if team else (0, taken)
                gates_times_panels(
                    beyond - mine, shift(from_x, (first - p.first) * B * G), shift(at_gates, mine), G, G // P, p.parts,
                    0, H, p.head, input_back, 0, p.dx_width, p.dx_width, zeros, p.dx_add != 0, dx, shift(at_dx, mine),
                    1,
                )  # fmt: skip

        if p.dinitial:
            initial = pointer_at(p.dinitial, integers)
            for row in range(low, high):
                give_state(p, initial[0], order[row], unit, end, shift(dh, row * P))
                for other in range(p.others):
                    give_state(p, initial[1 + other], order[row], unit, end, shift(dc, (other * B + row) * P))
        meetings = meet_again(team, note, threads, meetings)


@Driver
def peephole_gradient(tag, threads, plan, integers, slot, state, ahead, out):
    """out (P,) += sum over steps, the last one first, of the gradient in a slot of the gates times a state.

    `state` is 0 for h, `ahead` is 1 for the one after the step, 0 for the one before. plan (1,); any integers.
    """
    for thread in prange(threads):
        p, o = plan[0], pointer(out)
        B, P, slots, lanes = p.B, p.P, p.G // p.P, lanes_of(o)
        gates, active = pointer_at(p.gates, o), pointer_at(p.active, pointer(integers))
        seen = shift(pointer_at(p.c, o), (state - 1) * p.between)
        if state == 0:
            seen = shift(pointer_at(p.h, o), p.first * B * P)
        vectors = P // lanes
        for u in range(vectors * thread // threads * lanes, vectors * (thread + 1) // threads * lanes, lanes):
            total = load(o, u)
            for s in range(p.last - 1, p.first - 1, -1):
                for at in range((s - p.first) * B, (s - p.first) * B + active[s]):
                    gradient = load(gates, slots * (at * P + u) + slot * lanes)
                    total = total + gradient * load(seen, (at + ahead * B) * P + u)
            store(o, u, total)
