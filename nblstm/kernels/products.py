"""Matrix products over packed panels, and the packing: everything that is a product but not a step in time.

A matrix with N columns is packed for a tile as panels of up to four vectors of columns: panel p holds the columns from
4 p lanes on, as (depth, width) with its own width, and starts at 4 p lanes depth. The columns of the forward panels
are the weighted sums in *gate order*: for each block of `lanes` units all gates, (units/lanes, gates, lanes); units
past the last are zeros.

Parameters and gradients are read and written where they lie, in a layer's flat array: `offsets` says where its weights
begin and how long their rows are, (input weight, its row, hidden weight, its row, first bias, second bias), a bias that
is not there being at -1. In the concatenated formulation both weights lie in the same rows.

What some sums read in place of h (part 2) has its weights among those of h, and panels of its own.

Where the units are divided in *heads*, the sums of each read the h of `head` units, its own, and rows of the hidden
weight are so long. A panel has as its depth all units that any of its columns reads.
"""

import numpy as np
from numba import carray, prange
from numba.extending import register_jitable

from nblstm.kernels.driver import Driver, PlanKernel
from nblstm.kernels.inner import inner
from nblstm.kernels.plan import plan_at
from nblstm.kernels.simd import lanes_of, pointer, pointer_at, shift
from nblstm.kernels.tile import ROWS, VECTORS, tile_rows

ROW_BLOCK = 48  # rows of a product that pass all panels together


@inner
def weight_row(column, part, blocks, units, lanes):
    """Row of the weights of x (part 0), h (1) or what is read in place of h (2) that a column in gate order has, or -1.

    blocks (gates, 3) says which block of rows each of a unit's weighted sums takes from each, -1 for none.
    """
    gates = len(blocks)
    unit, block = column // (gates * lanes) * lanes + column % lanes, blocks[column // lanes % gates, part]
    return block * units + unit if unit < units and block >= 0 else -1


def parts_of(blocks):
    """Which vectors of a panel the products with x, h and what is read take, as a number; see `vectors_of_part`.

    blocks as for `weight_row`. Where a unit has fewer than four sums, a panel holds several blocks of units, and a
    product takes all of it or, if no sum has its part, nothing.
    """
    found = 0
    for part in range(3):
        taken = np.flatnonzero(blocks[:, part] >= 0)
        if len(blocks) == VECTORS and len(taken):
            first, count = int(taken[0]), len(taken)
        else:
            first, count = 0, VECTORS * bool(len(taken))
        found += (first + 8 * count) << (8 * part)
    return found


@inner
def vectors_of_part(parts, part):
    """The first vector of a panel that the product of a part takes, and how many it takes."""
    own = parts >> (8 * part)
    return own % 8, own // 8 % 32


@inner
def units_read(first, last, head, units):
    """The units, from one to before the other, whose h the sums of the units first .. last - 1 read."""
    if head >= units:
        return 0, units
    return first // head * head, min(units, (last + head - 1) // head * head)


@inner
def units_of_row(row, part, features, units, head):
    """The first feature of a part that a row of its weights has, and how many it has; none if the row is -1."""
    if row < 0:
        return 0, 0
    return (row % units // head * head, head) if part > 0 and head < units else (0, features)


@inner
def panel_width(panel, columns, lanes):
    """Columns of a panel: four vectors, or what is left."""
    return min(VECTORS * lanes, columns - panel * VECTORS * lanes)


@register_jitable
def panel_count(columns, lanes):
    """Panels of a matrix with so many columns, a multiple of the lanes."""
    return (columns + VECTORS * lanes - 1) // (VECTORS * lanes)


@inner
def back_and_forth(n, first, last, turn):
    """The n-th of the panels first .. last - 1 in ascending order if `turn` is even, else in descending order.

    Who passes the same panels again and again turns each time, and begins with those that are still in the cache.
    """
    return n if turn % 2 == 0 else first + last - 1 - n


# ------------------------------------------------------------------------------------------------------------ packing


@inner
def features_of_part(p, part, of_x, of_h, of_read):
    """How many features a part has, whether its weights are those of x (0) or of h (1), and which of three is its."""
    if part == 0:
        return p.I, 0, of_x
    return p.hiddens, 1, of_h if part == 1 else of_read


@PlanKernel
def pack_forward(thread, threads, plans, count, note, like):
    """Weights of x and of h into panels over their rows in gate order, see `weight_row`, and the sum of the biases.

    A panel has the vectors of its part only, see `parts_of`, and of h the units that it reads.
    """
    lanes = lanes_of(like)
    for k in range(count):
        p = plan_at(plans, k)
        w, bias, offsets = pointer_at(p.weights, like), pointer_at(p.bias, like), pointer_at(p.offsets, note)
        blocks = carray(pointer_at(p.blocks, note), (p.G // p.P, 3))
        for panel in range(thread, panel_count(p.G, lanes), threads):
            width, start = panel_width(panel, p.G, lanes), panel * VECTORS * lanes
            for part in range(3):
                features, of, panels = features_of_part(p, part, p.input_panels, p.hidden_panels, p.read_panels)
                first, taken = vectors_of_part(p.parts, part)
                wide = width - (VECTORS - taken) * lanes
                o = shift(pointer_at(panels, like), panel * taken * lanes * features)
                low, high = 0, features
                if part > 0:
                    low, high = units_read(start // len(blocks), (start + width) // len(blocks), p.head, p.hiddens)
                for column in range(wide):
                    row = weight_row(start + first * lanes + column, part, blocks, p.H, lanes)
                    weights = shift(w, offsets[2 * of] + row * offsets[2 * of + 1])
                    begin, own = units_of_row(row, part, features, p.H, p.head)
                    begin = begin if own > 0 else low
                    for n in range(own):
                        o[(begin - low + n) * wide + column] = weights[n]
                    for n in range(begin - low):
                        o[n * wide + column] = 0.0
                    for n in range(begin - low + own, high - low):
                        o[n * wide + column] = 0.0
            for column in range(start, start + width):
                bias[column] = 0.0
                for part in range(3):
                    row, offset = weight_row(column, part, blocks, p.H, lanes), offsets[4 + min(part, 1)]
                    if row >= 0 and offset >= 0:
                        bias[column] += w[offset + row]


@PlanKernel
def pack_backward(thread, threads, plans, count, note, like):
    """The same weights into panels over their columns, padded to whole vectors, with the gates in gate order as depth.

    Where a part takes some vectors of four gates only, there are panels for each four, see `gates_times_panels`. A
    panel of h has the gates that read its units.
    """
    lanes = lanes_of(like)
    for k in range(count):
        p = plan_at(plans, k)
        w, offsets = pointer_at(p.weights, like), pointer_at(p.offsets, note)
        blocks = carray(pointer_at(p.blocks, note), (p.G // p.P, 3))
        for part in range(3):
            features, of, panels = features_of_part(p, part, p.input_back, p.hidden_back, p.read_panels_back)
            columns = (features + lanes - 1) // lanes * lanes
            for panel in range(thread, panel_count(columns, lanes), threads):
                width, start = panel_width(panel, columns, lanes), panel * VECTORS * lanes
                low, high = gates_reading(start, start + width, part, p.head, p.H, p.depth, lanes * len(blocks), lanes)
                gates, first, taken = gates_at_once(p.parts, part, high - low, lanes)
                for gate in range(low, high, gates):
                    own = shift(
                        pointer_at(panels, like), offset_of_panel(gate, start, part, p.parts, p.depth, columns, lanes)
                    )
                    for m in range(taken):
                        row = weight_row(gate + first + m, part, blocks, p.H, lanes)
                        begin, read = units_of_row(row, part, features, p.H, p.head)
                        weights = shift(w, offsets[2 * of] + row * offsets[2 * of + 1])
                        for column in range(width):
                            n = start + column - begin
                            own[m * width + column] = weights[n] if 0 <= n < read else 0.0


# ----------------------------------------------------------------------------------------------------------- products


@inner
def rows_times_panels(count, a, a_index, a_scale, a_k, panels, depth, columns, start, add, c, c_index, c_scale):
    """c rows = a rows @ panels + (start, or c itself if `add`), for `count` rows that lie anywhere; see `tile_rows`.

    start (columns,).
    """
    lanes = lanes_of(a)
    begin, scale = (c, c_scale) if add else (start, 0)
    for block in range(0, count, ROW_BLOCK):
        size = min(ROW_BLOCK, count - block)
        tiles = (size + ROWS - 1) // ROWS
        for panel in range(panel_count(columns, lanes)):
            column = panel * VECTORS * lanes
            b, vectors = shift(panels, column * depth), panel_width(panel, columns, lanes) // lanes
            for tile in range(tiles):
                low, high = block + size * tile // tiles, block + size * (tile + 1) // tiles
                index = shift(c_index, low)
                tile_rows(
                    high - low, vectors, a, shift(a_index, low), a_scale, a_k, b, depth, a, index, 0, b, 0,
                    shift(begin, column), index, scale, shift(c, column), index, c_scale,
                )  # fmt: skip


@inner
def gates_at_once(parts, part, depth, lanes):
    """How many gate columns one product takes, and of these the first one that its part has, and how many it has.

    All of them, or four vectors of which the part has some, see `parts_of`; or all, of which it has none.
    """
    first, count = vectors_of_part(parts, part)
    if count == VECTORS or count == 0:
        return depth, 0, depth * count // VECTORS
    return VECTORS * lanes, first * lanes, count * lanes


@inner
def gates_reading(first, last, part, head, units, G, once, lanes):
    """The gate columns, from one to before the other, whose sums read the features first .. last - 1 of a part.

    `once` is how many there are for a vector of units.
    """
    if part == 0 or head == units:
        return 0, G
    low, high = units_read(first, last, head, units)
    return low // lanes * once, (high + lanes - 1) // lanes * once


@inner
def offset_of_panel(gate, column, part, parts, G, columns, lanes):
    """Where the panel of these gates, on from `gate`, for the columns on from `column` begins; see `pack_backward`."""
    _, count = vectors_of_part(parts, part)
    if count == VECTORS or count == 0:
        return column * G
    return gate // VECTORS * count * columns + column * count * lanes


@inner
def gates_times_panels(
    count, gates, index, G, per_unit, parts, part, units, head, panels, at, columns, all_columns, start, add, c,
    c_index, c_scale,
):  # fmt: skip
    """`rows_times_panels` for rows of gates, of which the part has some columns; see `pack_backward`.

    Of the panels' columns, all_columns in number, those from `at` on, in whole panels: all at once, or, where they are
    read by their own head only, one after the other.
    """
    lanes = lanes_of(gates)
    wide = columns if part == 0 or head == units else VECTORS * lanes
    for own in range(0, columns, wide):
        width = min(wide, columns - own)
        low, high = gates_reading(at + own, at + own + width, part, head, units, G, per_unit * lanes, lanes)
        once, first, taken = gates_at_once(parts, part, high - low, lanes)
        if add and taken == 0:
            continue
        for gate in range(low, high, once):
            rows_times_panels(
                count, shift(gates, gate + first), index, G, 1,
                shift(panels, offset_of_panel(gate, at + own, part, parts, G, all_columns, lanes)), taken, width,
                shift(start, own), add or gate > low, shift(c, own), c_index, c_scale,
            )  # fmt: skip


@Driver
def product(tag, threads, count, a, a_index, a_scale, a_k, panels, depth, columns, start, c, c_index, c_scale):
    """`rows_times_panels` with the rows shared out among threads; `a` is an address, all else arrays."""
    for thread in prange(threads):
        low, high = count * thread // threads, count * (thread + 1) // threads
        rows_times_panels(
            high - low, pointer_at(a, pointer(c)), shift(pointer(a_index), low), a_scale, a_k, pointer(panels), depth,
            columns, pointer(start), False, pointer(c), shift(pointer(c_index), low), c_scale,
        )  # fmt: skip
