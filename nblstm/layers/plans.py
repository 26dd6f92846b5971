"""The plans of a pass, filled in: what kernels are told of a tape, and of the arrays that a call brings."""

from __future__ import annotations

import numpy as np

from nblstm.kernels.plan import FIELDS, PLACES, fill
from nblstm.layers.memory import address, addresses, strides
from nblstm.layers.tape import Tape


def plan_forward(
    tape: Tape, x: np.ndarray, states: list[np.ndarray | None], out: np.ndarray | None
) -> list[np.ndarray]:
    """The tape's plans for a forward pass of x (T, B, I), whose output goes to `out` if given; returns all inputs.

    Only what this call brings is written, if the rest is there. The states, in C order, must live until it has run.
    """
    D, H = tape.layer.directions, tape.layer.hidden_size
    if not tape.has_plans:
        _plan_what_stays(tape)
        tape.has_plans, tape.has_plans_back = True, False
    _plan_array(tape.plans[:D], "x", x)
    if out is not None:
        _plan_array(tape.plans[-D:], "y", out, H)
    tape.given[:] = addresses(states)
    return [x, *tape.between_layers]


def _plan_what_stays(tape: Tape) -> None:
    layer, tracks, schedule = tape.layer, tape.tracks, tape.schedule
    D, H, last = layer.directions, layer.hidden_size, layer.num_layers - 1
    tape.plans = tape.packs.plans.copy()
    fill(
        tape.plans, T=tape.T, B=tape.B, order=address(schedule.order), lengths=address(schedule.lengths),
        active=address(schedule.active), first=0, last=tape.T, block=tape.block, hoist=tape.hoist,
        h=[address(track.h) for track in tracks], slots=len(tracks[0].h), c=[address(track.c) for track in tracks],
        between=strides(tracks[0].c)[0], gates=[address(track.gates) for track in tracks],
        keep=tape.whole, given=address(tape.given), final=address(tape.found),
    )  # fmt: skip
    if not tape.h_is_output:
        for k in range(last + tape.keep):  # inference is given memory for the last one's output
            _plan_array(tape.plans[k * D : (k + 1) * D], "y", tape.output(k), H)
    tape.between_layers = tape.dropped or [tape.output(k) for k in range(last)]
    for k, x in enumerate(tape.between_layers, 1):
        _plan_array(tape.plans[k * D : (k + 1) * D], "x", x)


def plan_backward(tape: Tape, dy: np.ndarray | None, dstates: list[np.ndarray | None], need_dx: bool) -> np.ndarray:
    """The tape's plans for the way back, in the order in which they are run; otherwise as `plan_forward`."""
    gradients, D, H = tape.gradients, tape.layer.directions, tape.layer.hidden_size
    if not tape.has_plans_back:
        layers = np.arange(len(tape.plans)).reshape(-1, D)[::-1].ravel()  # the last layer first
        gradients.plans = tape.plans[layers]
        fill(
            gradients.plans, dh=address(gradients.dh), dc=address(gradients.dc), zeros=address(gradients.zeros),
            dgiven=address(gradients.given), dinitial=address(gradients.found), dx_add=[0, 1][:D] * (len(layers) // D),
        )  # fmt: skip
        for n, dx in enumerate(reversed(gradients.dx)):
            own = gradients.plans[n * D : (n + 1) * D]
            fill(own, dx=address(dx), dx_width=dx.shape[2])
            _plan_array(gradients.plans[(n + 1) * D : (n + 2) * D], "dy", dx, H)
        tape.has_plans_back = True
    if dy is None:
        fill(gradients.plans[:D], dy=0)
    else:
        _plan_array(gradients.plans[:D], "dy", dy, H)
    fill(gradients.plans[-D:], dx_width=gradients.dx[0].shape[2] if need_dx else 0)
    gradients.given[:] = addresses(dstates)
    return gradients.plans


def _plan_array(plans: np.ndarray, name: str, array: np.ndarray, apart: int = 0) -> None:
    """Where an array (T, B, ...) lies and its strides; for each further direction's plan `apart` numbers further on."""
    start, between, steps = address(array), array.itemsize * apart, strides(array)
    steps = steps if name == "x" else steps[:2]
    first = PLACES[name]
    for direction, numbers in enumerate(plans.view(np.int64).reshape(len(plans), len(FIELDS))):
        numbers[first : first + 1 + len(steps)] = start + direction * between, *steps
