"""What a pass over one layer in one direction needs to know: a record of whole numbers that kernels read by name.

A pass is given an array of these *plans*, one for each layer and direction, in the order in which they are run forward.
Kernels take one as `p` and read `p.T`, `p.bias` ... Where nothing else is said a number is an address, of numbers of
the layer's dtype or of integers (int64); see `sweeps` for the shapes and for how rows are ordered.
"""

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from nblstm.kernels.inner import inner
from nblstm.kernels.simd import pointer_at

FIELDS = {
    # sizes
    "T": "steps", "B": "sequences", "I": "inputs", "H": "units", "P": "units, padded to whole vectors",
    "G": "columns of weighted sums, P for each that a unit has", "depth": "how many of them lead back to x and h",
    "hiddens": "features of h that weights belong to, H or none",
    "head": "units whose h a unit's sums read: all, H, or those of its head",
    # the cell
    "forward": "its machine code, see `units`", "backward": "the same for the way back",
    "read": "that of the first of two stages, which computes what some sums read in place of h; or 0",
    "read_back": "the same for the way back",
    "parts": "a number: what the products with x, h and what is read take, see `products.parts_of`",
    "others": "how many states there are beside h",
    "passes_h": "whether the cell's backward leaves a gradient of the h before",
    # weights, as they are and packed, see `products`
    "input_panels": "for x (G I,)", "hidden_panels": "for h (G H,)", "bias": "(G,)", "peephole": "(weights, P)",
    "input_back": "(I' G,), columns of I padded to whole vectors", "hidden_back": "(P G,)",
    "read_panels": "for what is read in place of h", "read_panels_back": "the same for the way back",
    "weights": "the weights themselves, the layer's flat array", "offsets": "integers (6,): where they lie in it",
    "blocks": "integers (G / P, 3): which rows of the weights a column belongs to, see `products.weight_row`",
    # the order of steps and rows
    "order": "integers (B,): which sequence a row is", "lengths": "integers (B,): of the rows",
    "active": "integers (T,): rows at each step", "reverse": "whether steps run from the end of time",
    "number": "which layer and direction this is, in arrays that have all of them",
    "bounds": "integers (threads + 1,): the rows from bounds[n] on are thread n's",
    # how the steps are run
    "first": "the steps from this one", "last": "to the one before this",
    "block": "steps whose product with x, or dx, is had at once", "hoist": "whether the product with x is taken so",
    # x (T, B, I), and where h is to be copied to, (T, B, H), or 0; strides in numbers
    "x": "", "x_time": "a stride", "x_batch": "a stride", "x_feature": "a stride",
    "y": "", "y_time": "a stride", "y_batch": "a stride",
    # what a step leaves
    "h": "(slots, B, P)", "slots": "T + 1 for h of all steps; 2, which serve in turn, if nothing is kept",
    "c": "(others, ..., B, P): the states beside h; then what is read in place of h, if a step has two stages",
    "between": "numbers from one of them to the next",
    "gates": "(..., B, G)", "keep": "whether c and gates are kept for every step, from `first` on",
    # the products of a step with x and with h where they are normalised, see `layer_norm`
    "norm_inputs": "machine code of `layer_norm`, 0 if they are not", "norm_step": "the same", "norm_back": "the same",
    "gains": "(2, G)", "units": "(P,): 1 for each, 0 for padding",
    "from_x": "(..., B, G), and on the way back its gradient; gates where nothing is normalised", "from_h": "the same",
    "inverse": "(..., B, 2)", "gain_sums": "(3, B, G)",
    # integers (others + 1,): for each state the address of an array (layers directions, B, H)
    "given": "the initial states, an address being 0 for zeros; or 0 if they are in place",
    "final": "the last ones, written; or 0",
    "integers": "scratch, `sweeps.integers_size` for each thread", "sums": "scratch, a tile for each thread",
    # the way back
    "dy": "as y, read", "dy_time": "a stride", "dy_batch": "a stride",
    "dx": "(T, B, dx_width)", "dx_width": "whole vectors; 0 leaves dx out", "dx_add": "whether it is added to",
    "dh": "(B, P)", "dc": "(others, B, P); of two stages then of what is read, and what the first's way back needs",
    "zeros": "(P or dx_width,), a tile's width at least",
    "dgiven": "as `given`, the gradients of the last states", "dinitial": "as `final`, those of the initial ones",
    # gradients of the weights
    "flat": "the gradients, in the layout of the layer's flat array",
    "gradient_sums": "`gradient.sums_size`", "gradient_integers": "`gradient.integers_size` for each thread",
    "scratch": "`scratch_each` for each thread", "scratch_each": "`gradient.scratch_size`",
}  # fmt: skip

PLAN = np.dtype([(name, np.int64) for name in FIELDS], align=True)
PLACES = {name: place for place, name in enumerate(FIELDS)}
"""Where a field is in a plan that is seen as a row of integers."""


RECORD = numba.from_dtype(PLAN)


@intrinsic
def plan_at(typing_context, plans, k):
    """The k-th of the plans at an address."""

    def codegen(context, builder, signature, args):
        start = builder.add(args[0], builder.mul(args[1], args[1].type(RECORD.size)))
        return builder.inttoptr(start, context.get_value_type(RECORD))

    return RECORD(types.int64, types.int64), codegen


def fill(plans: np.ndarray, **values: int | list[int] | np.ndarray) -> None:
    """Write fields of plans, each with one number for all or a number for each."""
    numbers = plans.view(np.int64).reshape(len(plans), len(FIELDS))
    for name, value in values.items():
        numbers[:, PLACES[name]] = value


@inner
def find_rows(p, low, high, time, batch, places):
    """Where the rows low .. high - 1 lie at step 0 in an array of these strides, places (B,).

    Returns how far on the next step is.
    """
    order, lengths = pointer_at(p.order, places), pointer_at(p.lengths, places)
    for row in range(low, high):
        places[row] = order[row] * batch + ((lengths[row] - 1) * time if p.reverse else 0)
    return -time if p.reverse else time


@inner
def rows_of_steps(low, high, first, last, B, active, places, step, at_places, at_rows):
    """Where the rows low .. high - 1 of the steps first .. last - 1 lie; returns how many there are.

    at_places has where they lie by `places` and `step`, see `find_rows`; at_rows the numbers (s - first) * B + row.
    """
    count = 0
    for s in range(first, last):
        for row in range(low, min(high, active[s])):
            at_places[count] = places[row] + s * step
            at_rows[count] = (s - first) * B + row
            count += 1
    return count
