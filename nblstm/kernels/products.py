"""Matrix products over packed panels, and the packing: everything that is a product but not a step in time.

A matrix with N columns is packed for a tile as panels of up to four vectors of columns: panel p holds the columns from
4 p lanes on, as (depth, width) with its own width, and starts at 4 p lanes depth. The columns of the forward panels
are the weighted sums in *gate order*: for each block of `lanes` units all gates, (units/lanes, gates, lanes); units
past the last are zeros.

Parameters and gradients are read and written where they lie, in a layer's flat array: `places` says where its weights
begin and how long their rows are, (input weight, its row, hidden weight, its row, first bias, second bias), a bias that
is not there being at -1. In the concatenated formulation both weights lie in the same rows.
"""

import numpy as np
from numba import carray, njit, prange
from numba.extending import register_jitable

from nblstm.kernels.driver import Driver, PlanKernel
from nblstm.kernels.plan import plan_at
from nblstm.kernels.simd import lanes_of, pointer, pointer_at, shift
from nblstm.kernels.tile import ROWS, VECTORS, tile_rows

ROW_BLOCK = 48  # rows of a product that pass all panels together


@njit
def weight_row(column, part, blocks, units, lanes):
    """Row of the weights of x (part 0) or h (part 1) that belongs to a column in gate order, or -1 for none.

    blocks (gates, 2) says which block of rows each of a unit's weighted sums takes from either, -1 for none.
    """
    gates = len(blocks)
    unit, block = column // (gates * lanes) * lanes + column % lanes, blocks[column // lanes % gates, part]
    return block * units + unit if unit < units and block >= 0 else -1


def parts_of(blocks):
    """Which vectors of a panel the products with x and with h take, as a number; see `vectors_of_part`.

    blocks as for `weight_row`. Where a unit has fewer than four sums, a panel holds several blocks of units, and both
    products take all of it.
    """
    found = 0
    for part in range(2):
        taken = np.flatnonzero(blocks[:, part] >= 0)
        first, count = (taken[0], len(taken)) if len(blocks) == VECTORS and len(taken) else (0, VECTORS)
        found += (int(first) + 8 * int(count)) << (8 * part)
    return found


WHOLE = parts_of(np.zeros((1, 2), np.int64))
"""Both products take all of a panel, as only then one of them may be had for many steps at once."""


@njit
def vectors_of_part(parts, part):
    """The first vector of a panel that the product with x (part 0) or h (part 1) takes, and how many it takes."""
    own = parts >> (8 * part)
    return own % 8, own // 8 % 32


@njit
def panel_width(panel, columns, lanes):
    """Columns of a panel: four vectors, or what is left."""
    return min(VECTORS * lanes, columns - panel * VECTORS * lanes)


@register_jitable
def panel_count(columns, lanes):
    """Panels of a matrix with so many columns, a multiple of the lanes."""
    return (columns + VECTORS * lanes - 1) // (VECTORS * lanes)


@njit
def back_and_forth(n, first, last, turn):
    """The n-th of the panels first .. last - 1 in ascending order if `turn` is even, else in descending order.

    Who passes the same panels again and again turns each time, and begins with those that are still in the cache.
    """
    return n if turn % 2 == 0 else first + last - 1 - n


# ------------------------------------------------------------------------------------------------------------ packing


@PlanKernel
def pack_forward(thread, threads, plans, count, note, like):
    """Weights of x and of h into panels over their rows in gate order, see `weight_row`, and the sum of the biases.

    A panel has the vectors of its part only, see `parts_of`.
    """
    lanes = lanes_of(like)
    for k in range(count):
        p = plan_at(plans, k)
        w, bias, places = pointer_at(p.weights, like), pointer_at(p.bias, like), pointer_at(p.places, note)
        blocks = carray(pointer_at(p.blocks, note), (p.G // p.P, 2))
        for panel in range(thread, panel_count(p.G, lanes), threads):
            width, start = panel_width(panel, p.G, lanes), panel * VECTORS * lanes
            for part in range(2):
                features, panels = (p.I, p.input_panels) if part == 0 else (p.hiddens, p.hidden_panels)
                first, taken = vectors_of_part(p.parts, part)
                wide = width - (VECTORS - taken) * lanes
                o = shift(pointer_at(panels, like), panel * taken * lanes * features)
                for column in range(wide):
                    row = weight_row(start + first * lanes + column, part, blocks, p.H, lanes)
                    weights = shift(w, places[2 * part] + row * places[2 * part + 1])
                    for feature in range(features):
                        o[feature * wide + column] = weights[feature] if row >= 0 else 0.0
            for column in range(start, start + width):
                bias[column] = 0.0
                for part in range(2):
                    row, place = weight_row(column, part, blocks, p.H, lanes), places[4 + part]
                    if row >= 0 and place >= 0:
                        bias[column] += w[place + row]


@PlanKernel
def pack_backward(thread, threads, plans, count, note, like):
    """The same weights into panels over their columns, padded to whole vectors, with the gates in gate order as depth.

    Where a part takes some vectors of four gates only, there are panels for each four, see `gates_times_panels`.
    """
    lanes = lanes_of(like)
    for k in range(count):
        p = plan_at(plans, k)
        w, places = pointer_at(p.weights, like), pointer_at(p.places, note)
        blocks = carray(pointer_at(p.blocks, note), (p.G // p.P, 2))
        for part in range(2):
            features, panels = (p.I, p.input_back) if part == 0 else (p.hiddens, p.hidden_back)
            columns = (features + lanes - 1) // lanes * lanes
            gates, first, taken = gates_at_once(p.parts, part, p.depth, lanes)
            for panel in range(thread, panel_count(columns, lanes), threads):
                width, start = panel_width(panel, columns, lanes), panel * VECTORS * lanes
                for gate in range(0, p.depth, gates):
                    own = shift(pointer_at(panels, like), gate // gates * taken * columns + start * taken)
                    for m in range(taken):
                        row = weight_row(gate + first + m, part, blocks, p.H, lanes)
                        weights = shift(w, places[2 * part] + row * places[2 * part + 1] + start)
                        for column in range(width):
                            own[m * width + column] = weights[column] if row >= 0 and start + column < features else 0.0


# ----------------------------------------------------------------------------------------------------------- products


@njit(error_model="numpy")
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


@njit
def gates_at_once(parts, part, depth, lanes):
    """How many gate columns one product takes, and of these the first one that its part has, and how many it has.

    All of them, or four vectors of which the part has some, see `parts_of`.
    """
    first, count = vectors_of_part(parts, part)
    return (depth, 0, depth) if count == VECTORS else (VECTORS * lanes, first * lanes, count * lanes)


@njit(error_model="numpy")
def gates_times_panels(
    count, gates, index, G, parts, part, panels, at, columns, all_columns, start, add, c, c_index, c_scale
):  # fmt: skip
    """`rows_times_panels` for rows of gates, of which the part has some columns; see `pack_backward`.

    Of the panels' columns, all_columns in number, those from `at` on, in whole panels.
    """
    once, first, taken = gates_at_once(parts, part, G, lanes_of(gates))
    for gate in range(0, G, once):
        rows_times_panels(
            count, shift(gates, gate + first), index, G, 1,
            shift(panels, gate // once * taken * all_columns + at * taken), taken, columns, start, add or gate > 0, c,
            c_index, c_scale,
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
