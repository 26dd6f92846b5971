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
from numba import njit, prange
from numba.extending import register_jitable

from nblstm.kernels.driver import Driver
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


@Driver
def pack_forward(
    tag, threads, flat, places, blocks, parts, units, inputs, hiddens, columns, input_panels, hidden_panels, bias
):
    """Weights of `inputs` and of `hiddens` features into panels over their rows in gate order; see `weight_row`.

    input_panels (columns inputs,), hidden_panels (columns hiddens,), bias (columns,): the sum of those there are. A
    panel has the vectors of its part only, see `parts_of`.
    """
    for thread in prange(threads):
        w, lanes = pointer(flat), lanes_of(pointer(bias))
        for panel in range(thread, panel_count(columns, lanes), threads):
            width, start = panel_width(panel, columns, lanes), panel * VECTORS * lanes
            for part in range(2):
                features, panels = (inputs, pointer(input_panels)) if part == 0 else (hiddens, pointer(hidden_panels))
                first, count = vectors_of_part(parts, part)
                wide = width - (VECTORS - count) * lanes
                o = shift(panels, panel * count * lanes * features)
                for column in range(wide):
                    row = weight_row(start + first * lanes + column, part, blocks, units, lanes)
                    weights = shift(w, places[2 * part] + row * places[2 * part + 1])
                    for k in range(features):
                        o[k * wide + column] = weights[k] if row >= 0 else 0.0
            for column in range(start, start + width):
                bias[column] = 0.0
                for part in range(2):
                    row, place = weight_row(column, part, blocks, units, lanes), places[4 + part]
                    if row >= 0 and place >= 0:
                        bias[column] += w[place + row]


@Driver
def pack_backward(
    tag, threads, flat, places, blocks, parts, units, inputs, hiddens, depth, input_panels, hidden_panels
):
    """The same weights into panels over their columns, padded to whole vectors, with the gates in gate order as depth.

    input_panels (inputs padded, times depth), hidden_panels (hiddens padded, times depth). Where a part takes some
    vectors of four gates only, there are panels for each four, see `gates_times_panels`.
    """
    for thread in prange(threads):
        lanes = lanes_of(pointer(input_panels))
        for part in range(2):
            features, panels = (inputs, pointer(input_panels)) if part == 0 else (hiddens, pointer(hidden_panels))
            columns = (features + lanes - 1) // lanes * lanes
            gates, first, count = gates_at_once(parts, part, depth, lanes)
            for panel in range(thread, panel_count(columns, lanes), threads):
                width, start = panel_width(panel, columns, lanes), panel * VECTORS * lanes
                for gate in range(0, depth, gates):
                    own = shift(panels, gate // gates * count * columns + start * count)
                    for m in range(count):
                        row = weight_row(gate + first + m, part, blocks, units, lanes)
                        weights = shift(pointer(flat), places[2 * part] + row * places[2 * part + 1] + start)
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
