"""Layer norm across the units of a step: each product of a step, W x and U h', gets mean 0 and variance 1 in every row.

With gains a and b, and hats for what is normalised over all of a row's numbers that belong to units, the weighted sums
are a * (W x)^ + b * (U h')^ + bias. A product needs all of its row before any of it can be used: so the cell comes
after all panels, not after each, and a team, whose threads have made some columns each, meets and shares out the rows.

Buffers beside those of `sweeps`: from_x and from_h (..., B, G), the products, then their normal forms and on the way
back their gradients; inverse (..., B, 2), 1 / sigma of both; gains (2, G); gain_sums (3, B, G), for every row the sums
over steps of the gradients of both gains and of the bias: a row belongs to one thread, so no bit depends on how many
there are. Padding is 0 in the normal forms and the gains.
"""

import functools

import numba
from numba import types
from numba.core.types.misc import CPointer

from nblstm.kernels.cache import cfunc
from nblstm.kernels.inner import called_by_address, inner
from nblstm.kernels.plan import RECORD
from nblstm.kernels.products import back_and_forth, panel_width, units_read, vectors_of_part
from nblstm.kernels.simd import fma, full, lanes_of, load, pointer_at, shift, square_root, store, store_part, total
from nblstm.kernels.team import meet_again
from nblstm.kernels.tile import ROWS, VECTORS, tile_rows
from nblstm.kernels.units import forward_cell

EPSILON = 1e-5  # in sigma^2, as elsewhere: it keeps equal numbers from a division by zero
OF_X, OF_H, OF_BIAS = 0, 1, 2


@inner
def rows_shared(team, thread, threads, count):
    """The rows of `count` from one to before the other that a thread normalises: all that are its own, or its share."""
    return (count * thread // threads, count * (thread + 1) // threads) if team else (0, count)


@inner
def slots_of_part(p, part):
    """The first of a unit's columns that a part has, and how many it has."""
    first, vectors = vectors_of_part(p.parts, part)
    return first, min(vectors, p.G // p.P)


# ------------------------------------------------------------------------------------------------------------- forward


@inner
def product_of_part(p, part, turn, count, a, a_index, a_scale, a_k, first_panel, last_panel, out, out_index):
    """Rows of x (part 0) or h (part 1), which lie as for `tile_rows`, times their panels: the part's columns of `out`.

    The panels first_panel .. last_panel - 1, of rows out[out_index[r] * G].
    """
    lanes, G, per_unit = lanes_of(out), p.G, p.G // p.P
    features, panels = (p.I, p.input_panels) if part == OF_X else (p.H, p.hidden_panels)
    first, vectors = vectors_of_part(p.parts, part)
    tiles = (count + ROWS - 1) // ROWS if vectors else 0
    for n in range(first_panel, last_panel):
        panel = back_and_forth(n, first_panel, last_panel, turn)
        column, width = panel * VECTORS * lanes, panel_width(panel, G, lanes)
        begin, end = 0, features
        if part == OF_H:
            begin, end = units_read(column // per_unit, (column + width) // per_unit, p.head, features)
        weights = shift(pointer_at(panels, out), panel * vectors * lanes * features)
        for tile in range(tiles):
            low, high = count * tile // tiles, count * (tile + 1) // tiles
            rows_of_a, rows_of_out = shift(a_index, low), shift(out_index, low)
            tile_rows(
                high - low, min(vectors, width // lanes), shift(a, begin * a_k), rows_of_a, a_scale, a_k, weights,
                end - begin, a, rows_of_a, 0, a, 0, pointer_at(p.zeros, out), rows_of_out, 0,
                shift(out, column + first * lanes), rows_of_out, G,
            )  # fmt: skip


@inner
def normalise(H, slots, first, count, units, product, gain, sums):
    """A row of a product becomes its normal form, (z - mu) / sigma; gain times it is added to the sums.

    Of the `slots` columns of each unit those `count` from `first` on; returns 1 / sigma.
    """
    lanes, share = lanes_of(product), 1 / (count * H)
    sum_of_all = full(load(product, 0), 0.0)
    squares = sum_of_all
    for u in range(0, H, lanes):
        for at in range(slots * u + first * lanes, slots * u + (first + count) * lanes, lanes):
            sum_of_all = sum_of_all + load(product, at)
    mean = full(squares, total(sum_of_all)) * share
    for u in range(0, H, lanes):
        is_unit = load(units, u)
        for at in range(slots * u + first * lanes, slots * u + (first + count) * lanes, lanes):
            deviation = (load(product, at) - mean) * is_unit
            squares = fma(deviation, deviation, squares)
            store(product, at, deviation)
    inverse = 1 / square_root(full(squares, total(squares)) * share + EPSILON)
    for u in range(0, H, lanes):
        for at in range(slots * u + first * lanes, slots * u + (first + count) * lanes, lanes):
            normal = load(product, at) * inverse
            store(product, at, normal)
            store(sums, at, fma(load(gain, at), normal, load(sums, at)))
    return inverse


@inner
def add_normalised(p, part, first_row, last_row, index, products, inverse, sums):
    """`normalise` rows of a part's products, those with the numbers index[first_row] .. index[last_row - 1].

    The part of x comes first, and the sums begin with the bias.
    """
    lanes, slots = lanes_of(sums), p.G // p.P
    gain, bias = shift(pointer_at(p.gains, sums), part * p.G), pointer_at(p.bias, sums)
    first, count = slots_of_part(p, part)
    for n in range(first_row, last_row):
        row = index[n]
        own = shift(sums, row * p.G)
        if part == OF_X:
            for at in range(0, p.G, lanes):
                store(own, at, load(bias, at))
        if count:
            own_inverse = normalise(
                p.H, slots, first, count, pointer_at(p.units, sums), shift(products, row * p.G), gain, own
            )  # fmt: skip
            store_part(inverse, 2 * row + part, own_inverse, 1)


def _normalised_inputs(
    p, count, x, x_at, x_feature, first_panel, last_panel, from_x, inverse, gates, at, team, note, thread, threads,
    meetings,
):  # fmt: skip
    """The sums of `count` rows but for what comes from h, in the rows `at` of gates: of rows of x as for `tile_rows`.

    Returns how many times a team has met; rows of others are complete when it has met again.
    """
    product_of_part(p, OF_X, 0, count, x, x_at, 1, x_feature, first_panel, last_panel, from_x, at)
    meetings = meet_again(team, note, threads, meetings)
    mine, beyond = rows_shared(team, thread, threads, count)
    add_normalised(p, OF_X, mine, beyond, at, from_x, inverse, gates)
    return meetings


def _normalised_step(
    p, s, rows, first_panel, last_panel, index, h_prev, from_h, inverse, gates, keep, before, after, between, h, team,
    note, thread, threads, meetings,
):  # fmt: skip
    """`sweeps.forward_step` for sums to which the product with h is added normalised; gates (rows, G) has the rest.

    Returns how many times a team has met.
    """
    slots = p.G // p.P
    unit, end = first_panel * VECTORS * lanes_of(h) // slots, min(p.P, last_panel * VECTORS * lanes_of(h) // slots)
    product_of_part(p, OF_H, s, rows, h_prev, index, p.P, 1, first_panel, last_panel, from_h, index)
    meetings = meet_again(team, note, threads, meetings)
    mine, beyond = rows_shared(team, thread, threads, rows)
    add_normalised(p, OF_H, mine, beyond, index, from_h, inverse, gates)
    meetings = meet_again(team, note, threads, meetings)
    forward_cell(p.forward, (
        rows, unit, end, shift(gates, slots * unit), p.G, keep, gates, p.G, pointer_at(p.peephole, h), p.P, h_prev, h,
        before, after, between,
    ))  # fmt: skip
    return meetings


# ------------------------------------------------------------------------------------------------------------ backward


@inner
def normalise_back(H, slots, first, count, inverse, gain, gradient, normal, gain_sum):
    """From the gradient of gain * normal to that of the product, which takes the place of the normal form.

    It is (g - mean of g - normal * mean of g normal) / sigma, with g = gain * gradient. That of the gain is added to
    gain_sum (G,). The rest as for `normalise`.
    """
    lanes, share = lanes_of(normal), 1 / (count * H)
    sum_of_g = full(load(normal, 0), 0.0)
    along = sum_of_g
    for u in range(0, H, lanes):
        for at in range(slots * u + first * lanes, slots * u + (first + count) * lanes, lanes):
            of_sum, own = load(gradient, at), load(normal, at)
            g = load(gain, at) * of_sum
            sum_of_g, along = sum_of_g + g, fma(g, own, along)
            store(gain_sum, at, fma(of_sum, own, load(gain_sum, at)))
    mean, mean_along = full(along, total(sum_of_g)) * share, full(along, total(along)) * share
    for u in range(0, H, lanes):
        for at in range(slots * u + first * lanes, slots * u + (first + count) * lanes, lanes):
            own = load(gain, at) * load(gradient, at) - mean - load(normal, at) * mean_along
            store(normal, at, own * inverse)


def _products_back(p, rows, gates, from_x, from_h, inverse, gain_sums, team, note, thread, threads, meetings):
    """Both products of `rows` rows of a step back, from the gates' gradients of the sums.

    Pointers are at the first row, gain_sums' at that of its first part. Returns how many times a team has met.
    """
    lanes, G, slots = lanes_of(gates), p.G, p.G // p.P
    gains = pointer_at(p.gains, gates)
    mine, beyond = rows_shared(team, thread, threads, rows)
    for row in range(mine, beyond):
        own, of_bias = shift(gates, row * G), shift(gain_sums, (OF_BIAS * p.B + row) * G)
        for at in range(0, G, lanes):
            store(of_bias, at, load(of_bias, at) + load(own, at))
        for part in range(2):
            first, count = slots_of_part(p, part)
            if count:
                normalise_back(
                    p.H, slots, first, count, inverse[2 * row + part], shift(gains, part * G), own,
                    shift(from_x if part == OF_X else from_h, row * G), shift(gain_sums, (part * p.B + row) * G),
                )  # fmt: skip
    return meet_again(team, note, threads, meetings)


# ------------------------------------------------------- compiled where a layer asks for it, called from every pass

SIZE, SIZES = types.int64, CPointer(types.int64)
MEETING = SIZE, SIZES, SIZE, SIZE, SIZE  # team, note, thread, threads, meetings


def _inputs_signature(dtype):
    n = CPointer(dtype)
    return SIZE(RECORD, SIZE, n, SIZES, SIZE, SIZE, SIZE, n, n, n, SIZES, *MEETING)


def _step_signature(dtype):
    n = CPointer(dtype)
    return SIZE(RECORD, *[SIZE] * 4, SIZES, n, n, n, n, SIZE, n, n, SIZE, n, *MEETING)


def _back_signature(dtype):
    n = CPointer(dtype)
    return SIZE(RECORD, SIZE, n, n, n, n, n, *MEETING)


normalised_inputs = called_by_address(_inputs_signature)
normalised_step = called_by_address(_step_signature)
products_back = called_by_address(_back_signature)


@functools.cache
def compiled(dtype):
    """The functions of these names without the underscore, in this order, for numbers of `dtype`, as C functions."""
    number = numba.from_dtype(dtype)
    return [
        cfunc(signature(number), error_model="numpy")(function)
        for signature, function in (
            (_inputs_signature, _normalised_inputs),
            (_step_signature, _normalised_step),
            (_back_signature, _products_back),
        )
    ]
