"""The sweeps for one sequence or few: threads share out the units instead of the batch, and meet at every step.

Each thread keeps to its own columns of the weights, so that they stay in its core's cache. The sums are those of
`sweeps`, to the last bit.
"""

from numba import prange

from nblstm.kernels.driver import Team
from nblstm.kernels.products import gates_times_panels, panel_count, rows_times_panels
from nblstm.kernels.simd import lanes_of, pointer, pointer_at, shift
from nblstm.kernels.sweeps import TILE_VECTORS, copy_units, forward_step, rows_of_steps
from nblstm.kernels.team import meet, wait_for_all
from nblstm.kernels.tile import VECTORS
from nblstm.kernels.units import backward_cell


@Team
def forward(
    tag, threads, note, cell, parts, hoist, block, T, B, I, H, P, G, active, x, x_at, x_feature, input_panels, panels,
    bias, peephole, slots, h, c, between, gates, keep, y, has_y, y_at, index, at_x, at_gates, sums,
):  # fmt: skip
    """As `sweeps.forward`, thread n taking its share of the panels; at_x, at_gates (threads, block * B)."""
    for thread in prange(threads):
        if meet(pointer(note), threads):
            h_, c_, bias_, gates_, index_ = pointer(h), pointer(c), pointer(bias), pointer(gates), pointer(index)
            x_, x_at_, input_panels_ = pointer_at(x, h_), pointer(x_at), pointer(input_panels)
            at_x_, at_gates_ = shift(pointer(at_x), thread * block * B), shift(pointer(at_gates), thread * block * B)
            sums_, lanes = shift(pointer(sums), thread * TILE_VECTORS * lanes_of(h_)), lanes_of(h_)
            all_panels = panel_count(G, lanes)
            first_panel, last_panel = all_panels * thread // threads, all_panels * (thread + 1) // threads
            column, end = first_panel * VECTORS * lanes, min(G, last_panel * VECTORS * lanes)
            for first in range(0, T, block):
                last, before = min(T, first + block), (first if keep else 0)
                if hoist:
                    count = rows_of_steps(0, B, first, last, B, active, x_at_, at_x_, at_gates_)
                    rows_times_panels(
                        count, x_, at_x_, 1, x_feature, shift(input_panels_, column * I), I, end - column,
                        shift(bias_, column), False, shift(gates_, before * B * G + column), at_gates_, G,
                    )  # fmt: skip
                for s in range(first, last):
                    step_gates = shift(gates_, (before + s - first) * B * G)
                    h_new = shift(h_, (s + 1) % slots * B * P)
                    forward_step(
                        cell, parts, s, active[s], first_panel, last_panel, index_, x_, shift(x_at_, s * B), x_feature,
                        input_panels_, 0 if hoist else I, shift(h_, s % slots * B * P), pointer(panels), H,
                        step_gates if hoist else bias_, G if hoist else 0, sums_, keep, step_gates, G,
                        pointer(peephole), shift(c_, keep * s * B * P), shift(c_, keep * (s + 1) * B * P), between,
                        h_new, P,
                    )  # fmt: skip
                    if has_y:
                        copy_units(
                            active[s], column * P // G, end * P // G, h_new, H, P, pointer_at(y, h_),
                            shift(pointer(y_at), s * B),
                        )  # fmt: skip
                    wait_for_all(pointer(note), threads, s + 1)


@Team
def backward(
    tag, threads, note, cell, parts, passes_h, block, T, B, H, P, G, active, dy, has_dy, dy_at, panels, peephole, h, c,
    between, gates, dh, dc, dbetween, input_panels, dx, dx_at, dx_width, add_dx, zeros, index, at_dx, at_gates,
):  # fmt: skip
    """As `sweeps.backward`, thread n taking its share of the units and of dx's rows.

    at_dx, at_gates (threads, block * B).
    """
    for thread in prange(threads):
        if meet(pointer(note), threads):
            h_, c_, gates_, zeros_, index_ = pointer(h), pointer(c), pointer(gates), pointer(zeros), pointer(index)
            dh_, dc_, dx_, lanes = pointer(dh), pointer(dc), pointer_at(dx, h_), lanes_of(h_)
            all_panels = panel_count(P, lanes)
            unit = all_panels * thread // threads * VECTORS * lanes
            end = min(P, all_panels * (thread + 1) // threads * VECTORS * lanes)
            at_dx_, at_gates_ = shift(pointer(at_dx), thread * block * B), shift(pointer(at_gates), thread * block * B)
            for last in range(T, 0, -block):
                first = max(0, last - block)
                for s in range(last - 1, first - 1, -1):
                    rows, step_gates = active[s], shift(gates_, s * B * G)
                    backward_cell(
                        cell, rows, unit, end, H, P, G, pointer_at(dy, h_), has_dy, shift(pointer(dy_at), s * B),
                        pointer(peephole), shift(h_, s * B * P), shift(h_, (s + 1) * B * P), shift(c_, s * B * P),
                        shift(c_, (s + 1) * B * P), between, step_gates, dh_, dc_, dbetween,
                    )  # fmt: skip
                    wait_for_all(pointer(note), threads, T - s)
                    gates_times_panels(
                        rows, step_gates, index_, G, parts, 1, pointer(panels), unit, end - unit, P, zeros_, passes_h,
                        shift(dh_, unit), index_, P,
                    )  # fmt: skip
                if dx_width:
                    count = rows_of_steps(0, B, first, last, B, active, pointer(dx_at), at_dx_, at_gates_)
                    low, high = count * thread // threads, count * (thread + 1) // threads
                    gates_times_panels(
                        high - low, shift(gates_, first * B * G), shift(at_gates_, low), G, parts, 0,
                        pointer(input_panels), 0, dx_width, dx_width, zeros_, add_dx, dx_, shift(at_dx_, low), dx_width,
                    )  # fmt: skip
