"""Gradients of weights and biases: sums over steps of outer products.

The *features* of a step are its row of x and its row of h. For a block of steps these and the gradients of the weighted
sums, the *gates*, are packed: in place each step would have the tile read a few numbers of a row that lies pages from
the next. Then a tile's rows are gates and its vectors features, so that sums lie as the parameters do; or the other way
round where that leaves less padding to multiply.
"""

import numpy as np
from numba import carray
from numba.extending import register_jitable

from nblstm.kernels.driver import PlanKernel
from nblstm.kernels.inner import inner
from nblstm.kernels.plan import find_rows, plan_at
from nblstm.kernels.products import units_of_row, units_read, vectors_of_part, weight_row
from nblstm.kernels.simd import full, lanes_of, load, load_part, pointer, pointer_at, shift, store, store_part
from nblstm.kernels.tile import ROWS, VECTORS, tile_rows

STEP_BLOCK = 256  # steps whose operands are packed at once, so that a panel of each stays in the nearest caches
IN_TURN = np.arange(ROWS)


def sums_size(features, gates, lanes):
    """Numbers that all sums take, `gates` being whole vectors: one row for each gate, or for each feature, and bias."""
    return (whole_vectors(features, lanes) + 1) * gates


def scratch_size(steps, features, lanes):
    """Numbers of scratch that a thread needs: all features and a panel of gates for a block of steps, zeros, a tile."""
    columns, most = whole_vectors(features, lanes), VECTORS * lanes
    return (columns + most) * min(steps, STEP_BLOCK) + (ROWS + 2) * most


@register_jitable
def whole_vectors(count, lanes):
    """`count` rounded up to whole vectors."""
    return (count + lanes - 1) // lanes * lanes


@inner
def rows_of_vector(column, blocks, units, lanes):
    """The first rows of the weights of x and of h for the vector beginning at `column` in gate order, and how many.

    -1 is for none; see `products.weight_row`. Without either there are 0 of them.
    """
    of_x, of_h = weight_row(column, 0, blocks, units, lanes), weight_row(column, 1, blocks, units, lanes)
    unit = column // (len(blocks) * lanes) * lanes
    return of_x, of_h, min(lanes, units - unit) if of_x >= 0 or of_h >= 0 else 0


@inner
def is_wanted(first, count, of_x, of_h, rows, inputs, hiddens, units, head):
    """Whether the rows of a vector have a place for any of the features first .. first + count - 1."""
    if (of_x >= 0 and first < inputs) or of_h < 0:
        return of_x >= 0 and first < inputs
    low, high = (0, hiddens) if head >= hiddens else units_read(of_h % units, of_h % units + rows, head, hiddens)
    return first < inputs + high and first + count > inputs + low


@inner
def add_steps(
    thread, threads, size, x, x_index, x_feature, inputs, h, h_index, h_scale, hiddens, head, b, b_index, b_scale,
    blocks, units, begins, ends, block, scratch, sums, flat, offsets,
):  # fmt: skip
    """A thread's share of the sums over `size` steps, `block` at most: it has its own columns of gates.

    The step k has its rows at x[x_index[k]] with `inputs` numbers `x_feature` apart, h[h_index[k] * h_scale] with
    `hiddens` numbers and b[b_index[k] * b_scale] with b_scale columns. Sums begin from zero if these steps `begins`,
    and are added to flat if it `ends`. scratch (`scratch_size`,) is the thread's own. For the rest see
    `weight_gradients`.
    """
    lanes = lanes_of(b)
    columns, most, vectors = whole_vectors(inputs + hiddens, lanes), VECTORS * lanes, b_scale // lanes
    low, high = vectors * thread // threads * lanes, vectors * (thread + 1) // threads * lanes
    if low == high:
        return
    panel, zeros = shift(scratch, columns * block), shift(scratch, (columns + most) * block)
    for column in range(most):
        zeros[column] = 0.0
    # Sums that lie as the parameters do are added faster, unless a tenth more padding is multiplied for it.
    turned = 10 * columns * len(blocks) * units <= 11 * (inputs + hiddens) * b_scale
    pack_features(
        size, x, x_index, x_feature, inputs, h, h_index, h_scale, hiddens, columns, most if turned else lanes, scratch
    )
    for start in range(low, high, most):
        width = min(most, high - start)
        biases = shift(sums, columns * b_scale + start)
        pack_gates(size, shift(b, start), b_index, b_scale, width, lanes if turned else width, panel, begins, biases)
        if ends:
            add_to_bias(start, width, biases, blocks, units, flat, offsets)
        add_to_weights(
            size, scratch, inputs, hiddens, head, columns, panel, start, width, b_scale, turned, begins, ends, zeros,
            sums, blocks, units, flat, offsets,
        )  # fmt: skip


@register_jitable
def integers_size(B):
    """Integers of scratch that a thread needs for `weight_gradients`: a table of rows, two of a block of steps."""
    return B + 2 * STEP_BLOCK


@PlanKernel
def weight_gradients(thread, threads, plans, count, note, like):
    """Gradients of all weights and biases of all plans: sums over steps of (gates) x (row of x, row of h, 1).

    The gates hold the gradients of the weighted sums. Each sum belongs to one thread and takes the steps in order, the
    last one first. They start from zero with a plan for the last steps and are added to `flat` with one for the first,
    so a long sum may come in pieces. Where threads run at once, they take one plan at a time: its sums lie elsewhere.
    """
    for k in range(count):
        p = plan_at(plans, k)
        integers = shift(pointer_at(p.gradient_integers, note), thread * integers_size(p.B))
        scratch, sums, flat = (
            shift(pointer_at(p.scratch, like), thread * p.scratch_each), pointer_at(p.gradient_sums, like),
            pointer_at(p.flat, like),
        )  # fmt: skip
        blocks = carray(pointer_at(p.blocks, note), (p.G // p.P, 3))
        x, gates = pointer_at(p.x, like), pointer_at(p.gates, like)
        h = shift(pointer_at(p.h, like), p.first * p.B * p.P)
        active, offsets = pointer_at(p.active, integers), pointer_at(p.offsets, integers)
        x_rows, at_x, at_gates = integers, shift(integers, p.B), shift(integers, p.B + STEP_BLOCK)
        x_step = find_rows(p, 0, p.B, p.x_time, p.x_batch, x_rows)
        s, row, size, begins = p.last - 1, 0, 0, p.last == p.T
        block = min((p.last - p.first) * p.B, STEP_BLOCK)
        _, from_h = vectors_of_part(p.parts, 1)
        while s >= p.first:
            rows = min(STEP_BLOCK - size, active[s] - row)
            for n in range(rows):
                at_x[size + n] = x_rows[row + n] + s * x_step
                at_gates[size + n] = (s - p.first) * p.B + row + n
            size, row = size + rows, row + rows
            if row == active[s]:
                s, row = s - 1, 0
            over = s < p.first
            if size == STEP_BLOCK or over:
                add_steps(
                    thread, threads, size, x, at_x, p.x_feature, p.I, h, at_gates, p.P, p.hiddens if from_h else 0,
                    p.head, gates, at_gates, p.G, blocks, p.H, begins, over and p.first == 0, block, scratch, sums,
                    flat, offsets,
                )  # fmt: skip
                size, begins = 0, False


@inner
def pack_features(steps, x, x_index, x_feature, inputs, h, h_index, h_scale, hiddens, columns, most, panels):
    """(x, h) of `steps` steps, then zeros, into panels of up to `most` columns, all of them whole vectors."""
    lanes = lanes_of(h)
    for at in range(0, columns, lanes):
        panel = at // most * most
        target, width = shift(panels, panel * steps + at - panel), min(most, columns - panel)
        of_x = max(0, min(lanes, inputs - at))
        of_h = min(lanes - of_x, inputs + hiddens - at - of_x)
        x_at, h_at = shift(x, at * x_feature), shift(h, at + of_x - inputs)
        for k in range(steps):
            own, x_row, h_row = shift(target, k * width), shift(x_at, x_index[k]), shift(h_at, h_index[k] * h_scale)
            if of_h == lanes:
                store(own, 0, load(h_row, 0))
            elif of_x == lanes and x_feature == 1:
                store(own, 0, load(x_row, 0))
            else:
                if x_feature == 1:
                    store(own, 0, load_part(x_row, 0, of_x))
                else:
                    store(own, 0, load_part(x_row, 0, 0))
                    for lane in range(of_x):
                        own[lane] = x_row[lane * x_feature]
                if of_h > 0:
                    store_part(own, of_x, load_part(h_row, 0, of_h), of_h)


@inner
def pack_gates(steps, b, index, scale, width, most, panels, starting, sums):
    """`width` columns of the rows b[index[k] * scale] into panels (steps, most), both being whole vectors.

    The columns are summed on the way: sums (width,) are those from zero if `starting`, else they are added to.
    """
    for at in range(0, width, lanes_of(b)):
        panel = at // most * most
        target, source = shift(panels, panel * steps + at - panel), shift(b, at)
        total = load(sums, at)
        if starting:
            total = full(total, 0.0)
        for k in range(steps):
            row = load(source, index[k] * scale)
            store(target, k * most, row)
            total = total + row
        store(sums, at, total)


@inner
def add_to_bias(start, width, sums, blocks, units, flat, offsets):
    """The sums (width,) of the columns from number `start` on are added to the biases that there are."""
    lanes = lanes_of(sums)
    for at in range(0, width, lanes):
        of_x, of_h, count = rows_of_vector(start + at, blocks, units, lanes)
        for offset, row in ((offsets[4], of_x), (offsets[5], of_h)):
            if offset >= 0 and row >= 0:
                add_part(count, shift(sums, at), shift(flat, offset + row))


@inner
def add_part(count, source, target):
    """`count` numbers of `source`, which may be read to the end of its last vector, are added to `target`."""
    lanes = lanes_of(source)
    whole = count // lanes * lanes
    for at in range(0, whole, lanes):
        store(target, at, load(target, at) + load(source, at))
    if whole < count:
        rest = count - whole
        store_part(target, whole, load_part(target, whole, rest) + load(source, whole), rest)


@inner
def add_to_weights(
    steps, features, inputs, hiddens, head, columns, panel, start, width, all_gates, turned, starting, ending, zeros,
    sums, blocks, units, flat, offsets,
):  # fmt: skip
    """The sums of features x panel (steps, width), whose first column is number `start`; in the end added to `flat`.

    They begin as zeros if `starting`, else as the sums so far, and end there again unless `ending`. After zeros
    (VECTORS lanes,) there is room for a tile. sums: (all_gates, columns) if `turned`,
    else (features, all_gates).
    """
    lanes, index = lanes_of(panel), pointer(IN_TURN)
    tile, most = shift(zeros, VECTORS * lanes), VECTORS * lanes
    if turned:
        for column in range(0, columns, most):
            wide = min(most, columns - column)
            for at in range(0, width, lanes):
                of_x, of_h, count = rows_of_vector(start + at, blocks, units, lanes)
                if not is_wanted(column, wide, of_x, of_h, count, inputs, hiddens, units, head):
                    continue
                tiles = (count + ROWS - 1) // ROWS
                for n in range(tiles):
                    low, high = count * n // tiles, count * (n + 1) // tiles
                    own = shift(sums, (start + at + low) * columns + column)
                    begin, begin_scale = (zeros, 0) if starting else (own, columns)
                    end, end_scale = (tile, wide) if ending else (own, columns)
                    tile_rows(
                        high - low, wide // lanes, shift(panel, at * steps + low), index, 1, lanes,
                        shift(features, column * steps), steps, panel, index, 0, panel, 0, begin, index, begin_scale,
                        end, index, end_scale,
                    )  # fmt: skip
                    if ending:
                        for r in range(high - low):
                            add_features(
                                column, wide, shift(tile, r * wide), of_x, of_h, low + r, inputs, hiddens, units, head,
                                flat, offsets,
                            )  # fmt: skip
    else:
        for column in range(0, inputs + hiddens, lanes):
            count, wanted = min(lanes, inputs + hiddens - column), False
            for at in range(0, width, lanes):
                of_x, of_h, rows = rows_of_vector(start + at, blocks, units, lanes)
                wanted = wanted or is_wanted(column, count, of_x, of_h, rows, inputs, hiddens, units, head)
            tiles = (count + ROWS - 1) // ROWS if wanted else 0
            for n in range(tiles):
                low, high = count * n // tiles, count * (n + 1) // tiles
                own = shift(sums, (column + low) * all_gates + start)
                begin, begin_scale = (zeros, 0) if starting else (own, all_gates)
                end, end_scale = (tile, width) if ending else (own, all_gates)
                tile_rows(
                    high - low, width // lanes, shift(features, column * steps + low), index, 1, lanes, panel, steps,
                    panel, index, 0, panel, 0, begin, index, begin_scale, end, index, end_scale,
                )  # fmt: skip
                if ending:
                    for at in range(0, width, lanes):
                        of_x, of_h, rows = rows_of_vector(start + at, blocks, units, lanes)
                        for lane in range(rows):
                            for r in range(high - low):
                                add_feature(
                                    column + low + r, tile[r * width + at + lane], of_x, of_h, lane, inputs, units,
                                    head, flat, offsets,
                                )  # fmt: skip


@inner
def add_features(first, count, source, of_x, of_h, lane, inputs, hiddens, units, head, flat, offsets):
    """The features first .. first + count - 1 go to the rows of_x + lane and of_h + lane, where there are such."""
    x_count = min(count, inputs - first)
    if x_count > 0 and of_x >= 0:
        add_part(x_count, source, shift(flat, offsets[0] + (of_x + lane) * offsets[1] + first))
    begin, own = units_of_row(of_h + lane if of_h >= 0 else -1, 1, hiddens, units, head)
    at, last = max(first, inputs + begin), min(first + count, inputs + begin + own)
    if at < last:
        row = shift(flat, offsets[2] + (of_h + lane) * offsets[3] + at - inputs - begin)
        add_part(last - at, shift(source, at - first), row)


@inner
def add_feature(feature, value, of_x, of_h, lane, inputs, units, head, flat, offsets):
    """One feature is added to the row of_x + lane or of_h + lane, where there is such."""
    if feature < inputs:
        if of_x >= 0:
            flat[offsets[0] + (of_x + lane) * offsets[1] + feature] += value
    elif of_h >= 0:
        begin, own = units_of_row(of_h + lane, 1, feature - inputs + 1, units, head)
        if 0 <= feature - inputs - begin < own:
            flat[offsets[2] + (of_h + lane) * offsets[3] + feature - inputs - begin] += value
