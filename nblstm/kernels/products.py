"""Matrix products over packed panels, and the packing: everything that is a product but not a step in time.

A matrix with N columns is packed for a tile as panels of up to four vectors of columns: panel p holds the columns from
4 p lanes on, as (depth, width) with its own width, and starts at 4 p lanes depth. The columns of the forward panels
are the weighted sums in *gate order*: for each block of `lanes` units all gates, (H/lanes, gates, lanes); units past H
are zeros.
"""

from numba import njit, prange

from nblstm.kernels.driver import Driver
from nblstm.kernels.simd import lanes_of, pointer, pointer_at, shift
from nblstm.kernels.tile import ROWS, VECTORS, tile_outer, tile_rows

STEP_BLOCK = 192  # steps of an outer product that are taken together, so that both operands stay in the nearest caches
ROW_BLOCK = 48  # rows of a product that pass all panels together


@njit
def weight_row(column, gates, H, lanes):
    """Row of a (gates H, K) weight that belongs to a column in gate order, or -1 for padding."""
    unit = column // (gates * lanes) * lanes + column % lanes
    return column // lanes % gates * H + unit if unit < H else -1


@njit
def panel_width(panel, columns, lanes):
    """Columns of a panel: four vectors, or what is left."""
    return min(VECTORS * lanes, columns - panel * VECTORS * lanes)


@njit
def panel_count(columns, lanes):
    """Panels of a matrix with so many columns, a multiple of the lanes."""
    return (columns + VECTORS * lanes - 1) // (VECTORS * lanes)


@Driver
def pack_by_gate(tag, threads, weight, gates, H, K, columns, out):
    """weight (gates H, K), flat, into panels over its rows in gate order, with depth K; out (columns K,)."""
    for thread in prange(threads):
        w, lanes = pointer(weight), lanes_of(pointer(out))
        for panel in range(thread, panel_count(columns, lanes), threads):
            width, start = panel_width(panel, columns, lanes), panel * VECTORS * lanes
            o = shift(pointer(out), start * K)
            for column in range(width):
                row = weight_row(start + column, gates, H, lanes)
                for k in range(K):
                    o[k * width + column] = w[row * K + k] if row >= 0 else 0.0


@Driver
def add_by_gate(tag, threads, panels, gates, H, K, columns, grad):
    """The reverse of `pack_by_gate`: panels are added to grad (gates H, K), flat."""
    for thread in prange(threads):
        g, lanes = pointer(grad), lanes_of(pointer(panels))
        for panel in range(thread, panel_count(columns, lanes), threads):
            width, start = panel_width(panel, columns, lanes), panel * VECTORS * lanes
            p = shift(pointer(panels), start * K)
            for column in range(width):
                row = weight_row(start + column, gates, H, lanes)
                if row >= 0:
                    for k in range(K):
                        g[row * K + k] += p[k * width + column]


@Driver
def pack_by_feature(tag, threads, weight, gates, H, depth, first, second, first_padded, columns, out):
    """weight (gates H, first + second), flat, into panels over its columns, with the gates in gate order as depth.

    The second part of the features starts at column `first_padded`, a whole vector; between the parts and past them
    are zeros. out (columns depth,).
    """
    for thread in prange(threads):
        lanes = lanes_of(pointer(out))
        for panel in range(thread, panel_count(columns, lanes), threads):
            width, start = panel_width(panel, columns, lanes), panel * VECTORS * lanes
            for m in range(depth):
                o = shift(pointer(out), start * depth + m * width)
                for j in range(width):
                    o[j] = 0.0
                row = weight_row(m, gates, H, lanes)
                if row >= 0:
                    w = shift(pointer(weight), row * (first + second))
                    for column in range(start, min(start + width, first)):
                        o[column - start] = w[column]
                    for column in range(max(start, first_padded), min(start + width, first_padded + second)):
                        o[column - start] = w[column - first_padded + first]


@njit(error_model="numpy")
def rows_times_panels(count, a, a_index, a_scale, a_k, panels, depth, columns, from_c, start, c, c_index, c_scale):
    """c rows = start + a rows @ panels, for `count` rows that lie anywhere; see `tile_rows`. start (columns,)."""
    lanes = lanes_of(a)
    for block in range(0, count, ROW_BLOCK):
        size = min(ROW_BLOCK, count - block)
        tiles = (size + ROWS - 1) // ROWS
        for panel in range(panel_count(columns, lanes)):
            column = panel * VECTORS * lanes
            vectors = panel_width(panel, columns, lanes) // lanes
            for tile in range(tiles):
                low, high = block + size * tile // tiles, block + size * (tile + 1) // tiles
                tile_rows(
                    high - low, vectors, a, shift(a_index, low), a_scale, a_k, shift(panels, column * depth), depth,
                    from_c, shift(start, column), shift(c, column), shift(c_index, low), c_scale,
                )  # fmt: skip


@Driver
def product(tag, threads, count, a, a_index, a_scale, a_k, panels, depth, columns, from_c, start, c, c_index, c_scale):
    """`rows_times_panels` with the rows shared out among threads; `a` is an address, all else arrays."""
    for thread in prange(threads):
        low, high = count * thread // threads, count * (thread + 1) // threads
        rows_times_panels(
            high - low, pointer_at(a, pointer(c)), shift(pointer(a_index), low), a_scale, a_k, pointer(panels), depth,
            columns, from_c, pointer(start), pointer(c), shift(pointer(c_index), low), c_scale,
        )  # fmt: skip


@Driver
def outer_product(
    tag, threads, steps, a, a_index, a_scale, a_feature, features, b, b_index, b_scale, columns, out, depth, at
):
    """Sum over steps of (a row) x (b row), into panels: what a weight's gradient is.

        out[column, at + f] += sum_k a[a_index[k] * a_scale + f * a_feature] * b[b_index[k] * b_scale + column]

    `a` is an address. out: panels over `columns` with depth `depth`, of which the features take at .. at + features -
    1, and which are set to zero first. Each sum belongs to one thread and runs over the steps in order.
    """
    for thread in prange(threads):
        b_, out_ = pointer(b), pointer(out)
        a_ = pointer_at(a, b_)
        lanes = lanes_of(b_)
        tiles = (features + ROWS - 1) // ROWS
        work = panel_count(columns, lanes) * tiles
        for first_step in range(0, max(steps, 1), STEP_BLOCK):
            size = min(STEP_BLOCK, steps - first_step)
            for task in range(work * thread // threads, work * (thread + 1) // threads):
                panel, tile = task // tiles, task % tiles
                low, high = features * tile // tiles, features * (tile + 1) // tiles
                width, column = panel_width(panel, columns, lanes), panel * VECTORS * lanes
                target = shift(out_, column * depth + (at + low) * width)
                if first_step == 0:
                    for i in range((high - low) * width):
                        target[i] = 0.0
                tile_outer(
                    high - low, width // lanes, shift(a_, low * a_feature), shift(pointer(a_index), first_step),
                    a_scale, a_feature, shift(b_, column), shift(pointer(b_index), first_step), b_scale, size, target,
                )  # fmt: skip
