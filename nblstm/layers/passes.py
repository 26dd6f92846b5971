"""The passes of a recurrent layer over its stack and its directions: forward, back, and forward keeping nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nblstm.kernels import sweeps, together
from nblstm.kernels.dropout import dropout
from nblstm.kernels.gradient import weight_gradient
from nblstm.kernels.policy import POLICY
from nblstm.kernels.tag import ANY
from nblstm.layers.memory import address, apart_from, strides
from nblstm.layers.steps import run_short
from nblstm.layers.tape import Tape
from nblstm.parameters import Block

if TYPE_CHECKING:
    from nblstm.layers.engine import Engine


# -------------------------------------------------------------------------------------------------------- forward


def infer(
    layer: Engine, x: np.ndarray, states: list[np.ndarray | None], lengths: np.ndarray | None, out: np.ndarray
) -> list[np.ndarray]:
    """All layers over x (T, B, I), keeping nothing: y to `out`, and the last states; see `forward`.

    Short work is one compiled call.
    """
    work = x.shape[0] * x.shape[1] * layer.num_parameters
    if lengths is None and layer.directions == 1 and work < POLICY.serial_below:
        return run_short(layer, x, states, out)
    tape = Tape(layer, keep=False)
    forward(layer, x, states, lengths, tape, out)
    return tape.last


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
    else:
        tape.packs = layer.inference_packs(tape.threads)
    _set_initial_states(layer, tape, states)
    dropping = bool(layer.dropout) and tape.keep
    if tape.dropped:
        tape.keys = layer._dropout_keys.integers(2**64, size=len(tape.dropped), dtype=np.uint64)
    tape.inputs = []
    for k in range(layer.num_layers):
        if tape.keep:
            tape.inputs.append(x)
        y = tape.output(k) if out is None or k < layer.num_layers - 1 else out
        for d in range(layer.directions):
            half = None if tape.h_is_output else y[:, :, d * layer.hidden_size : (d + 1) * layer.hidden_size]
            _forward_track(layer, tape, k * layer.directions + d, d, x, half)
        x = y
        if dropping and k < layer.num_layers - 1:
            x = _drop(layer, tape, k, x, tape.dropped[k])
    _take_last_states(layer, tape)
    tape.awaits_backward = tape.keep
    return x


def _set_initial_states(layer: Engine, tape: Tape, states: list[np.ndarray | None]) -> None:
    order, H = tape.schedule.order, layer.hidden_size
    for number, track in enumerate(tape.tracks):
        for buffer, state in zip(track.states, states, strict=True):
            buffer[0, :, :H] = 0 if state is None else state[number, order]
            buffer[0, :, H:] = 0


def _forward_track(layer: Engine, tape: Tape, number: int, direction: int, x: np.ndarray, y: np.ndarray | None) -> None:
    c = tape.tracks[number].c
    for n, (first, last) in enumerate(tape.segments):
        if tape.recomputes:
            c[:, n + 1] = c[:, 0]
        _sweep(layer, tape, number, direction, x, first, last, c, tape.whole, y)


def _sweep(
    layer: Engine, tape: Tape, number: int, direction: int, x: np.ndarray, first: int, last: int, c: np.ndarray,
    keep: bool, y: np.ndarray | None,
) -> None:  # fmt: skip
    """The steps first .. last - 1 forward: from c[:, 0] on, by step if `keep`, or else c[:, 0] is the newest.

    Where h is not the output itself, it is copied to y (T, B, H).
    """
    schedule, track, pack = tape.schedule, tape.tracks[number], tape.packs.tracks[number]
    h = track.h[first : last + 1]
    time_stride, batch_stride, feature_stride = strides(x)
    y_strides = (0, 0) if y is None else strides(y)[:2]
    steps = slice(first * tape.B, last * tape.B)
    arguments = (
        tape.code.forward, tape.parts, tape.hoist, tape.block, last - first, tape.B, x.shape[2],
        layer.hidden_size, layer.padded_units,
        layer.gate_columns, schedule.active[first:last], address(x),
        schedule.offsets(direction, time_stride, batch_stride)[steps], feature_stride, pack.input, pack.hidden,
        pack.bias, pack.peephole.reshape(-1), len(h), h.reshape(-1), c.reshape(-1),
        c.strides[0] // c.itemsize, track.gates.reshape(-1), int(keep), 0 if y is None else address(y),
        y is not None, schedule.offsets(direction, *y_strides)[steps], tape.index, *tape.places, tape.sums,
    )  # fmt: skip
    if not together.forward(ANY, tape.team, *arguments):
        sweeps.forward(ANY, tape.threads, schedule.bounds(tape.threads), *arguments)


def _take_last_states(layer: Engine, tape: Tape) -> None:
    schedule, H = tape.schedule, layer.hidden_size
    for number, track in enumerate(tape.tracks):
        for k, (buffer, last) in enumerate(zip(track.states, tape.last, strict=True)):
            if k > 0 and not tape.whole:
                last[number, schedule.order] = buffer[0, :, :H]
            elif schedule.ragged:
                last[number, schedule.order] = buffer[schedule.lengths % len(buffer), tape.index, :H]
            else:
                last[number] = buffer[tape.T % len(buffer), :, :H]


def _drop(layer: Engine, tape: Tape, k: int, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Dropout on the output of layer k, with the mask of the tape's key for it; returns the target."""
    T, B, width = tape.T, tape.B, layer.directions * layer.hidden_size
    threshold = np.uint64(layer.dropout * 2.0**64)
    dropout(
        ANY, tape.threads, tape.keys[k], threshold, layer.dtype.type(1 / (1 - layer.dropout)), T * B, B, width,
        address(source), strides(source)[1], target.reshape(-1), strides(target)[1],
    )  # fmt: skip
    return target


# ------------------------------------------------------------------------------------------------------- backward


def backward(
    layer: Engine, dy: np.ndarray | None, tape: Tape, dstates: list[np.ndarray | None], need_dx: bool, grads: Block
) -> np.ndarray | None:
    """Backpropagation through all layers; adds to grads, leaves the initial states' gradients, returns dx."""
    tape.allocate_back()
    written = tape.gradients.given_out()
    dy = None if dy is None else apart_from(dy, written)
    dstates = [None if dstate is None else apart_from(dstate, written) for dstate in dstates]
    tape.packs.refresh_backward(tape.threads)
    tape.awaits_backward = False
    for k in reversed(range(layer.num_layers)):
        for d in range(layer.directions):
            _backward_track(layer, tape, k, d, dy, dstates, need_dx or k > 0, grads)
        dx = tape.gradients.dx[k]
        if k and layer.dropout:
            _drop(layer, tape, k - 1, dx, dx)
        dy = dx[:, :, : tape.inputs[k].shape[2]]
    return dy if need_dx else None


def _backward_track(
    layer: Engine, tape: Tape, k: int, direction: int, dy: np.ndarray | None, dstates: list[np.ndarray | None],
    need_dx: bool, grads: Block,
) -> None:  # fmt: skip
    number = k * layer.directions + direction
    schedule, track, buffers, H = tape.schedule, tape.tracks[number], tape.gradients, layer.hidden_size
    for gradient, dstate in zip(buffers.dstates, dstates, strict=True):
        gradient[:, :H] = 0 if dstate is None else dstate[number, schedule.order]
        gradient[:, H:] = 0
    if schedule.ragged and direction == 0:
        buffers.dx[k][...] = 0
    buffers.peephole[...] = 0
    half = None if dy is None else dy[:, :, direction * H : (direction + 1) * H]
    for n, (first, last) in reversed(list(enumerate(tape.segments))):
        c = track.c
        if tape.recomputes:
            c = tape.segment_c
            c[:, 0] = track.c[:, n + 1]
            _sweep(layer, tape, number, direction, tape.inputs[k], first, last, c, keep=True, y=None)
        _sweep_back(layer, tape, k, direction, first, last, c, half, need_dx)
        _add_weight_gradients(layer, tape, k, direction, first, last, c, grads)
    for gradient, initial in zip(buffers.dstates, buffers.initial, strict=True):
        initial[number, schedule.order] = gradient[:, :H]
    if layer.cell.peepholes:
        grads["weight_peephole" + layer.tracks[number][0]][...] += buffers.peephole[:, :H]


def _sweep_back(
    layer: Engine, tape: Tape, k: int, direction: int, first: int, last: int, c: np.ndarray, dy: np.ndarray | None,
    need_dx: bool,
) -> None:  # fmt: skip
    """The steps first .. last - 1 back, the last one first; c is theirs, by step."""
    number = k * layer.directions + direction
    schedule, track, pack, buffers = tape.schedule, tape.tracks[number], tape.packs.tracks[number], tape.gradients
    B, dx, steps = tape.B, buffers.dx[k], slice(first * tape.B, last * tape.B)
    time_stride, batch_stride = (0, 0) if dy is None else strides(dy)[:2]
    arguments = (
        tape.code.backward, tape.parts, layer.cell.returns_h, tape.block, last - first, B, layer.hidden_size,
        layer.padded_units, layer.gate_columns,
        schedule.active[first:last], 0 if dy is None else address(dy), dy is not None,
        schedule.offsets(direction, time_stride, batch_stride)[steps], pack.hidden_back, pack.peephole.reshape(-1),
        track.h[first : last + 1].reshape(-1), c.reshape(-1), c.strides[0] // c.itemsize, track.gates.reshape(-1),
        buffers.dh.reshape(-1), buffers.dc.reshape(-1), buffers.dh.size, pack.input_back, address(dx),
        schedule.offsets(direction, B, 1)[steps],
        dx.shape[2] if need_dx else 0, direction == 1, buffers.zeros, tape.index, *tape.places,
    )  # fmt: skip
    if not together.backward(ANY, tape.team, *arguments):
        sweeps.backward(ANY, tape.threads, schedule.bounds(tape.threads), *arguments)


def _add_weight_gradients(
    layer: Engine, tape: Tape, k: int, direction: int, first: int, last: int, c: np.ndarray, grads: Block
) -> None:
    """grads += (gradients of the weighted sums)^T (what they were multiplied with), summed over steps and rows.

    The sums run over all steps, the last one first; they go to grads with the first segment, which comes last.
    """
    number, x = k * layer.directions + direction, tape.inputs[k]
    schedule, track, buffers = tape.schedule, tape.tracks[number], tape.gradients
    H, P, G, gates = layer.hidden_size, layer.padded_units, layer.gate_columns, track.gates.reshape(-1)
    part = schedule.live_in(first, last)
    rows = schedule.live[part] - first * tape.B  # in this segment
    time_stride, batch_stride, x_feature = strides(x)
    weight_gradient(
        ANY, tape.threads, len(rows), address(x),
        schedule.live_offsets(direction, time_stride, batch_stride)[part], x_feature, x.shape[2],
        address(track.h[first:]), rows, P, H, gates, rows, G, layer.cell.rows, H, last == tape.T, first == 0,
        buffers.scratch, buffers.sums, grads.flat, tape.packs.tracks[number].places,
    )  # fmt: skip
    if layer.cell.peepholes:
        _add_peephole_gradients(layer, tape, rows, gates, c)


def _add_peephole_gradients(layer: Engine, tape: Tape, rows: np.ndarray, gates: np.ndarray, c: np.ndarray) -> None:
    places = {column.name: place for column, place in zip(layer.cell.columns, layer.cell.places, strict=True)}
    states = layer.cell.states
    for weight, (name, state) in zip(tape.gradients.peephole, layer.cell.peepholes.values(), strict=True):
        sweeps.peephole_gradient(
            ANY, tape.threads, len(rows), rows, tape.B, layer.padded_units, layer.cell.slots, gates,
            places[name], c[states.index(state.removesuffix("_prev")) - 1].reshape(-1),
            not state.endswith("_prev"), weight,
        )  # fmt: skip
