"""The passes of a recurrent layer over its stack and its directions: forward, back, and forward keeping nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nblstm.kernels import sweeps
from nblstm.kernels.driver import PlanKernel, run_as_team, threads_for
from nblstm.kernels.dropout import dropout
from nblstm.kernels.gradient import weight_gradients
from nblstm.kernels.plan import fill
from nblstm.kernels.policy import POLICY
from nblstm.kernels.tag import ANY
from nblstm.layers import normalised
from nblstm.layers.memory import address, apart_from, strides
from nblstm.layers.parameters import Block
from nblstm.layers.plans import plan_backward, plan_forward, plans_of_reading
from nblstm.layers.steps import run_short
from nblstm.layers.tape import Tape

if TYPE_CHECKING:
    from nblstm.layers.engine import Engine


ALONE = 4
"""Up to so many times the work that is worth threads in training, inference is one compiled call on one thread."""

KEPT = 2**22
"""Numbers of output, of all steps, up to which inference keeps its tape for the next: to make one takes some hundred
microseconds, which nobody notices who waits for more."""


def infer(
    layer: Engine, x: np.ndarray, states: list[np.ndarray | None], lengths: np.ndarray | None, out: np.ndarray
) -> list[np.ndarray]:
    """All layers over x (T, B, I), keeping nothing: y to `out`, and the last states; see `forward`.

    Short work is one compiled call where that can do it; all other has a tape that waits with the packed weights.
    """
    work = x.shape[0] * x.shape[1] * layer.num_parameters
    if work < ALONE * POLICY.serial_below and lengths is None and layer.directions == 1:
        return run_short(layer, x, states, out)
    try:  # to take a tape is one operation: no other thread has it, too
        tape = layer.inference_packs(threads_for(work)).idle_tapes.pop()
    except IndexError:
        tape = Tape(layer, keep=False)
    forward(layer, x, states, lengths, tape, out)
    tape.inputs = []
    last = [member.copy() for member in tape.last]
    if out.size <= KEPT:
        tape.packs.idle_tapes.append(tape)
    return last


def _run(kernel: PlanKernel, tape: Tape, plans: np.ndarray) -> None:
    """A kernel of `sweeps` over plans, with as many threads as the tape has, as a team if it is to be one."""
    dtype = tape.layer.dtype
    if not run_as_team(kernel, dtype, tape.team, plans):
        kernel(dtype, tape.threads, plans)


# -------------------------------------------------------------------------------------------------------- forward


def forward(
    layer: Engine, x: np.ndarray, states: list[np.ndarray | None], lengths: np.ndarray | None, tape: Tape,
    out: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """All layers over x (T, B, I); the tape then holds the last states and, if it keeps, what backward needs.

    Returns the last layer's output: a buffer of the tape, or, where the tape keeps nothing, `out` if given, which
    is zero past the end of each sequence.
    """
    tape.version, tape.awaits_backward = layer.version, False  # until this forward has ended well
    tape.allocate(*x.shape[:2])
    tape.use_lengths(lengths)
    if tape.keep:
        x = apart_from(x, tape.given_out())  # both passes read it and write there
        tape.packs.refresh_forward(tape.threads)
        written = [tape.output(layer.num_layers - 1)]  # the last states are written after the initial ones are read
        states = [None if state is None else apart_from(state, written) for state in states]
    states = [None if state is None else np.ascontiguousarray(state) for state in states]
    tape.inputs = plan_forward(tape, x, states, out)
    if tape.keep and tape.schedule.ragged:
        for k in range(layer.num_layers):
            tape.output(k)[...] = 0
    if tape.dropped:
        tape.keys = layer._dropout_keys.integers(2**64, size=len(tape.dropped), dtype=np.uint64)
    if tape.dropped or tape.checkpoint:
        for k in range(layer.num_layers):
            _forward_layer(layer, tape, k)
    else:
        _run(sweeps.forward, tape, tape.plans)
    tape.awaits_backward = tape.keep
    return tape.output(layer.num_layers - 1) if out is None else out


def _forward_layer(layer: Engine, tape: Tape, k: int) -> None:
    """Layer k of a stack that is not run at once, then dropout on its way to the next."""
    for number in range(k * layer.directions, (k + 1) * layer.directions):
        plan = tape.plans[number : number + 1]
        if tape.checkpoint:
            _forward_in_segments(tape, plan, tape.tracks[number].c)
        else:
            _run(sweeps.forward, tape, plan)
    if k < len(tape.dropped):
        _drop(layer, tape, k, tape.output(k), tape.dropped[k])


def _forward_in_segments(tape: Tape, plan: np.ndarray, c: np.ndarray) -> None:
    """Keep the states beside h that each segment begins with: c[:, 0], the newest, goes to c[:, n + 1]."""
    part = plan.copy()
    fill(part, last=0, final=0)
    _run(sweeps.forward, tape, part)  # no steps: the initial states take their places
    fill(part, given=0)
    for n, (first, last) in enumerate(tape.segments):
        if tape.recomputes:
            c[:, n + 1] = c[:, 0]
        fill(part, first=first, last=last, final=address(tape.last_at) if last == tape.T else 0)
        _run(sweeps.forward, tape, part)


def _drop(layer: Engine, tape: Tape, k: int, source: np.ndarray, target: np.ndarray) -> None:
    """Dropout on the output of layer k, with the mask of the tape's key for it."""
    T, B, width = tape.T, tape.B, layer.directions * layer.hidden_size
    threshold = np.uint64(layer.dropout * 2.0**64)
    dropout(
        ANY, tape.threads, tape.keys[k], threshold, layer.dtype.type(1 / (1 - layer.dropout)), T * B, B, width,
        address(source), strides(source)[1], target.reshape(-1), strides(target)[1],
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- backward


def backward(
    layer: Engine, dy: np.ndarray | None, tape: Tape, dstates: list[np.ndarray | None], need_dx: bool, grads: Block
) -> np.ndarray | None:
    """Backpropagation through all layers; adds to grads, leaves the initial states' gradients, returns dx."""
    tape.allocate_back()
    written = tape.gradients.given_out()
    dy = None if dy is None else apart_from(dy, written)
    dstates = [None if each is None else np.ascontiguousarray(apart_from(each, written)) for each in dstates]
    tape.packs.refresh_backward(tape.threads)
    plans, D = plan_backward(tape, dy, dstates, need_dx, grads.flat), layer.directions
    tape.awaits_backward = False
    if tape.schedule.ragged:
        for dx in tape.gradients.dx:
            dx[...] = 0
    tape.gradients.peephole[...] = 0
    tape.gradients.gains[...] = 0
    if tape.dropped or tape.checkpoint:
        for n, k in enumerate(reversed(range(layer.num_layers))):
            for plan in np.split(plans[n * D : (n + 1) * D], D):
                _backward_in_segments(layer, tape, plan, grads)
            if k and tape.dropped:
                _drop(layer, tape, k - 1, tape.gradients.dx[k], tape.gradients.dx[k])
    else:
        _run(sweeps.backward, tape, plans)
        _add_weight_gradients(layer, tape, plans, grads)
    return tape.gradients.dx[0][:, :, : layer.input_size] if need_dx else None


def _backward_in_segments(layer: Engine, tape: Tape, plan: np.ndarray, grads: Block) -> None:
    """One layer in one direction back, segment by segment, of which each is run forward again if need be."""
    part, again = plan.copy(), tape.plans[plan["number"]]
    kept, c = tape.tracks[int(plan["number"][0])].c, tape.segment_c
    for n, (first, last) in reversed(list(enumerate(tape.segments))):
        if tape.recomputes:
            c[:, 0] = kept[:, n + 1]
            fill(part, c=address(c), between=strides(c)[0])
            fill(again, c=address(c), between=strides(c)[0], first=first, last=last, keep=1, given=0, final=0, y=0)
            _run(sweeps.forward, tape, again)
        fill(
            part, first=first, last=last, dgiven=int(plan["dgiven"][0]) if last == tape.T else 0,
            dinitial=int(plan["dinitial"][0]) if first == 0 else 0,
        )  # fmt: skip
        _run(sweeps.backward, tape, part)
        _add_weight_gradients(layer, tape, part, grads)


def _add_weight_gradients(layer: Engine, tape: Tape, plans: np.ndarray, grads: Block) -> None:
    """grads += (gradients of the weighted sums)^T (what they were multiplied with), summed over the plans' steps."""
    products = normalised.plans_of_products(tape, plans) if layer.layer_norm else plans
    for every in (products, plans_of_reading(tape, plans)) if layer.cell.reads else (products,):
        # A thread that is through with its share of one plan must not take the place where another still sums.
        for part in (every,) if tape.threads == 1 else np.split(every, len(every)):
            weight_gradients(layer.dtype, tape.threads, part)
    if layer.cell.peepholes:
        for plan in np.split(plans, len(plans)):
            _add_peephole_gradients(layer, tape, plan, grads)
    if layer.layer_norm:
        for number in plans["number"][plans["first"] == 0]:
            normalised.add_gradients(layer, layer.tracks[number][0], tape.gradients.gains[number], grads)


def _add_peephole_gradients(layer: Engine, tape: Tape, plan: np.ndarray, grads: Block) -> None:
    """Sum over the plan's steps; the sums go to grads with the first step, which comes last."""
    cell, sums = layer.cell, tape.gradients.peephole
    slots = {column.name: slot for column, slot in zip(cell.columns, cell.slot_of, strict=True)}
    for total, (name, state) in zip(sums, cell.peepholes.values(), strict=True):
        sweeps.peephole_gradient(
            ANY, tape.threads, plan, tape.integers, slots[name], cell.states.index(state.removesuffix("_prev")),
            not state.endswith("_prev"), total,
        )  # fmt: skip
    if plan["first"] == 0:
        grads["weight_peephole" + layer.tracks[int(plan["number"][0])][0]][...] += sums[:, : layer.hidden_size]
        sums[...] = 0
