"""Matrix products over packed panels, and the packing: everything that is a product but not a step in time.

A matrix with N columns is packed for a tile as panels of up to four vectors of columns: panel p holds the columns from
4 p lanes on, as (depth, width) with its own width, and starts at 4 p lanes depth. The columns of the forward panels
are the weighted sums in *gate order*: for each block of `lanes` units all gates, (units/lanes, gates, lanes); units
past the last are zeros.

Parameters and gradients are read and written where they lie, in a layer's flat array: `places` says where its weights
begin and how long their rows are, (input weight, its row, hidden weight, its row, first bias, second bias), a bias that
is not there being at -1. In the concatenated formulation both weights lie in the same rows.
"""

from numba import njit, prange

from nblstm.kernels.driver import Driver
from nblstm.kernels.simd import lanes_of, pointer, pointer_at, prefetch, shift
from nblstm.kernels.tile import ROWS, VECTORS, tile_outer, tile_rows

STEP_BLOCK = 256  # steps of an outer product that are taken together, so that both operands stay in the nearest caches
ROW_BLOCK = 48  # rows of a product that pass all panels together


@njit
def weight_row(column, gates, units, lanes):
    """Row of a (gates units, K) weight that belongs to a column in gate order, or -1 for padding."""
    unit = column // (gates * lanes) * lanes + column % lanes
    return column // lanes % gates * units + unit if unit < units else -1


@njit
def panel_width(panel, columns, lanes):
    """Columns of a panel: four vectors, or what is left."""
    return min(VECTORS * lanes, columns - panel * VECTORS * lanes)


@njit
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
def pack_forward(tag, threads, flat, places, gates, units, inputs, hiddens, columns, input_panels, hidden_panels, bias):
    """Weights (gates units, K) of `inputs` and of `hiddens` features into panels over their rows in gate order.

    input_panels (columns inputs,), hidden_panels (columns hiddens,), bias (columns,): the sum of those there are.
    """
    for thread in prange(threads):
        w, lanes = pointer(flat), lanes_of(pointer(bias))
        for panel in range(thread, panel_count(columns, lanes), threads):
            width, start = panel_width(panel, columns, lanes), panel * VECTORS * lanes
            for part in range(2):
                features, panels = (inputs, pointer(input_panels)) if part == 0 else (hiddens, pointer(hidden_panels))
                o = shift(panels, start * features)
                for column in range(width):
                    row = weight_row(start + column, gates, units, lanes)
                    weights = shift(w, places[2 * part] + row * places[2 * part + 1])
                    for k in range(features):
                        o[k * width + column] = weights[k] if row >= 0 else 0.0
            for column in range(start, start + width):
                row = weight_row(column, gates, units, lanes)
                bias[column] = 0.0
                for place in places[4:]:
                    if row >= 0 and place >= 0:
                        bias[column] += w[place + row]


@Driver
def pack_backward(tag, threads, flat, places, gates, units, inputs, hiddens, depth, input_panels, hidden_panels):
    """The same weights into panels over their columns, padded to whole vectors, with the gates in gate order as depth.

    input_panels (inputs padded, times depth), hidden_panels (hiddens padded, times depth).
    """
    for thread in prange(threads):
        lanes = lanes_of(pointer(input_panels))
        for part in range(2):
            features, panels = (inputs, pointer(input_panels)) if part == 0 else (hiddens, pointer(hidden_panels))
            columns = (features + lanes - 1) // lanes * lanes
            for panel in range(thread, panel_count(columns, lanes), threads):
                width, start = panel_width(panel, columns, lanes), panel * VECTORS * lanes
                for m in range(depth):
                    row = weight_row(m, gates, units, lanes)
                    o = shift(panels, start * depth + m * width)
                    weights = shift(pointer(flat), places[2 * part] + row * places[2 * part + 1] + start)
                    for column in range(width):
                        o[column] = weights[column] if row >= 0 and start + column < features else 0.0


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


@Driver
def product(tag, threads, count, a, a_index, a_scale, a_k, panels, depth, columns, start, c, c_index, c_scale):
    """`rows_times_panels` with the rows shared out among threads; `a` is an address, all else arrays."""
    for thread in prange(threads):
        low, high = count * thread // threads, count * (thread + 1) // threads
        rows_times_panels(
            high - low, pointer_at(a, pointer(c)), shift(pointer(a_index), low), a_scale, a_k, pointer(panels), depth,
            columns, pointer(start), False, pointer(c), shift(pointer(c_index), low), c_scale,
        )  # fmt: skip


@Driver
def weight_gradient(
    tag, threads, steps, x, x_index, x_feature, inputs, h, h_index, h_scale, hiddens, b, b_index, b_scale, gates, units,
    one, begins, ends, sums, flat, places,
):  # fmt: skip
    """Gradients of the weights and biases: sums over steps of (row of x, row of h, 1) x (row of b), b in gate order.

    The step k has its rows at x[x_index[k]] with `inputs` numbers `x_feature` apart, h[h_index[k] * h_scale] with
    `hiddens` numbers and b[b_index[k] * b_scale] with b_scale columns; x and h are addresses, one is [1]. sums: panels
    over the columns with depth inputs + hiddens + 1, and at least a tile for each thread. They start from zero if this
    call `begins` and are added to `flat` if it `ends`, so a long sum may come in pieces. Each belongs to one thread and
    takes the steps in order.
    """
    for thread in prange(threads):
        b_, sums_, flat_ = pointer(b), pointer(sums), pointer(flat)
        lanes, depth = lanes_of(b_), inputs + hiddens + 1
        input_tiles, hidden_tiles = (inputs + ROWS - 1) // ROWS, (hiddens + ROWS - 1) // ROWS
        tiles = input_tiles + hidden_tiles + (places[4] >= 0)
        work = panel_count(b_scale, lanes) * tiles
        at_once = begins and ends and steps <= STEP_BLOCK  # then a tile's sums are done before the next tile's begin
        for first in range(0, max(steps, 1), STEP_BLOCK):
            size = min(STEP_BLOCK, steps - first)
            for task in range(work * thread // threads, work * (thread + 1) // threads):
                panel, tile = task // tiles, task % tiles
                width, column = panel_width(panel, b_scale, lanes), panel * VECTORS * lanes
                a, a_index, a_scale, a_feature = pointer_at(x, b_), pointer(x_index), 1, x_feature
                low, high = inputs * tile // max(input_tiles, 1), inputs * (tile + 1) // max(input_tiles, 1)
                start, row, at = places[0], places[1], low
                if tile >= input_tiles:
                    tile -= input_tiles
                    a, a_index, a_scale, a_feature = pointer_at(h, b_), pointer(h_index), h_scale, 1
                    low, high = hiddens * tile // max(hidden_tiles, 1), hiddens * (tile + 1) // max(hidden_tiles, 1)
                    start, row, at = places[2], places[3], inputs + low
                    if tile >= hidden_tiles:
                        a, a_scale, low, high = pointer(one), 0, 0, 1
                        start, row, at = places[4], 1, inputs + hiddens
                total = shift(sums_, thread * ROWS * VECTORS * lanes if at_once else column * depth + at * width)
                if begins and first == 0:
                    for i in range((high - low) * width):
                        total[i] = 0.0
                ending = ends and first + size >= steps
                if ending:
                    prefetch_by_gate(width, column, gates, units, flat_, start + low, row)
                tile_outer(
                    high - low, width // lanes, shift(a, low * a_feature), shift(a_index, first), a_scale, a_feature,
                    shift(b_, column), shift(pointer(b_index), first), b_scale, size, total,
                )  # fmt: skip
                if ending:
                    add_by_gate(total, width, column, gates, units, high - low, flat_, start + low, row)
                    if at == inputs + hiddens and places[5] >= 0:
                        add_by_gate(total, width, column, gates, units, 1, flat_, places[5], 1)


@njit(error_model="numpy")
def add_by_gate(panel, width, start, gates, units, features, flat, place, row_length):
    """Columns of a panel, the first being number `start` in gate order, to rows of a weight, each `features` long."""
    lanes = lanes_of(panel)
    for first in range(0, width, lanes):
        row, count = rows_of_vector(start + first, gates, units, lanes)
        for lane in range(count):
            target = shift(flat, place + (row + lane) * row_length)
            for k in range(features):
                target[k] += panel[k * width + first + lane]


@njit(error_model="numpy")
def prefetch_by_gate(width, start, gates, units, flat, place, row_length):
    """Ask for the first number of each row that `add_by_gate` will write."""
    lanes = lanes_of(flat)
    for first in range(0, width, lanes):
        row, count = rows_of_vector(start + first, gates, units, lanes)
        for lane in range(count):
            prefetch(flat, place + (row + lane) * row_length)


@njit(error_model="numpy")
def rows_of_vector(column, gates, units, lanes):
    """The first row of the weight that belongs to the vector beginning at `column` in gate order, and how many."""
    unit = column // (gates * lanes) * lanes
    return column // lanes % gates * units + unit, min(lanes, units - unit)
