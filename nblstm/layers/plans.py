"""The plans of a pass, filled in: what kernels are told of a tape, and of the arrays that a call brings."""

from __future__ import annotations

import numpy as np

from nblstm.kernels.plan import FIELDS, PLACES, fill
from nblstm.layers.memory import address, strides
from nblstm.layers.normalised import products_of
from nblstm.layers.tape import Tape


def plan_forward(
    tape: Tape, x: np.ndarray, states: list[np.ndarray | None], out: np.ndarray | None
) -> list[np.ndarray]:
    """The tape's plans for a forward pass of x (T, B, I), whose output goes to `out` if given; returns all inputs.

    Only what this call brings is written, if the rest is there. The states, in C order, must live until it has run.
    """
    if not tape.has_plans:
        _plan_what_stays(tape)
        tape.has_plans, tape.has_plans_back = True, False
    _place(tape.place_of_x, x)
    if out is not None:
        _place(_places(tape.plans[-tape.layer.directions :], "y", 3), out, tape.layer.hidden_size)
    _give(tape.given_at, states)
    return [x, *tape.between_layers]


def _plan_what_stays(tape: Tape) -> None:
    layer, tracks, schedule = tape.layer, tape.tracks, tape.schedule
    D, last = layer.directions, layer.num_layers - 1
    plans = tape.plans = tape.packs.plans.copy()
    fill(
        plans, T=tape.T, B=tape.B, order=address(schedule.order), lengths=address(schedule.lengths),
        active=address(schedule.active), first=0, last=tape.T, block=tape.block, hoist=tape.hoist,
        h=[address(track.h) for track in tracks], slots=len(tracks[0].h), c=[address(track.c) for track in tracks],
        between=strides(tracks[0].c)[0], gates=[address(track.gates) for track in tracks], keep=tape.whole,
        given=address(tape.given_at), final=address(tape.last_at), bounds=address(schedule.bounds(tape.threads)),
        integers=address(tape.integers), sums=address(tape.sums),
        from_x=[address(track.from_x) for track in tracks], from_h=[address(track.from_h) for track in tracks],
        inverse=[address(track.inverse) for track in tracks],
    )  # fmt: skip
    if not tape.h_is_output:
        for k in range(last + tape.keep):  # inference is given memory for the last one's output
            _place(_places(plans[k * D : (k + 1) * D], "y", 3), tape.output(k), layer.hidden_size)
    tape.between_layers = tape.dropped or [tape.output(k) for k in range(last)]
    for k, x in enumerate(tape.between_layers, 1):
        _place(_places(plans[k * D : (k + 1) * D], "x", 4), x)
    tape.place_of_x = _places(plans[:D], "x", 4)


def plan_backward(
    tape: Tape, dy: np.ndarray | None, dstates: list[np.ndarray | None], need_dx: bool, grads: np.ndarray
) -> np.ndarray:
    """The tape's plans for the way back, in the order in which they are run; otherwise as `plan_forward`."""
    gradients, D, H = tape.gradients, tape.layer.directions, tape.layer.hidden_size
    if not tape.has_plans_back:
        last_layer_first = np.arange(len(tape.plans)).reshape(-1, D)[::-1].ravel()
        plans = gradients.plans = tape.plans[last_layer_first]
        fill(
            plans, dh=address(gradients.dh), dc=address(gradients.dc), zeros=address(gradients.zeros),
            dgiven=address(gradients.given_at), dinitial=address(gradients.initial_at),
            dx_add=[0, 1][:D] * (len(plans) // D), gradient_sums=address(gradients.sums),
            gradient_integers=address(gradients.integers), scratch=address(gradients.scratch),
            scratch_each=gradients.scratch.size // tape.threads,
            gain_sums=[address(gradients.gains[number]) for number in plans["number"]],
        )  # fmt: skip
        if tape.layer.layer_norm:
            gradients.products = products_of(tape)
        for n, dx in enumerate(reversed(gradients.dx)):
            fill(plans[n * D : (n + 1) * D], dx=address(dx), dx_width=dx.shape[2])
            _place(_places(plans[(n + 1) * D : (n + 2) * D], "dy", 3), dx, H)
        gradients.place_of_dy, gradients.place_of_x = _places(plans[:D], "dy", 3), _places(plans[-D:], "x", 4)
        tape.has_plans_back, gradients.flat = True, None
    if dy is None:
        gradients.place_of_dy[:] = 0
    else:
        _place(gradients.place_of_dy, dy, H)
    gradients.place_of_x[:] = tape.place_of_x
    gradients.plans["dx_width"][-D:] = gradients.dx[0].shape[2] if need_dx else 0
    if gradients.flat is not grads:
        fill(gradients.plans, flat=address(grads))
        gradients.flat = grads
    _give(gradients.given_at, dstates)
    return gradients.plans


def plans_of_reading(tape: Tape, plans: np.ndarray) -> np.ndarray:
    """The plans for the gradients of weights that have to do with what sums read in place of h: that is their h."""
    cell, found = tape.layer.cell, plans.view(np.int64).copy().view(plans.dtype)  # records are copied field by field
    step = tape.B * tape.layer.padded_units
    # The plans' h is that before step 0; their c begins before their own first step, and this is of the step itself.
    numbers = (len(cell.states) - 1) * plans["between"] + (1 - plans["first"]) * step
    fill(
        found, I=0, h=plans["c"] + numbers * tape.layer.dtype.itemsize, blocks=address(cell.rows_of_reading),
        parts=plans["parts"] >> 8, gradient_sums=address(tape.gradients.read_sums),
    )  # fmt: skip
    return found


def _places(plans: np.ndarray, first: str, count: int) -> np.ndarray:
    """Some fields of plans, as integers (plans, count) that can be written: the address of an array and its strides."""
    start = PLACES[first]
    return plans.view(np.int64).reshape(len(plans), len(FIELDS))[:, start : start + count]


def _give(given: np.ndarray, states: list[np.ndarray | None]) -> None:
    for k, state in enumerate(states):
        given[k] = 0 if state is None else address(state)


def _place(place: np.ndarray, array: np.ndarray, apart: int = 0) -> None:
    """Say where an array lies, for each further direction `apart` numbers further on."""
    place[:] = address(array), *strides(array)[: place.shape[1] - 1]
    if apart and len(place) > 1:
        place[1:, 0] += apart * array.itemsize
