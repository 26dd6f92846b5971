"""The engine of every recurrent layer: parameters by name, and the passes over layers and directions."""

from __future__ import annotations

import copy
from typing import Self

import numpy as np

from nblstm.arguments import as_choice, as_flag, as_float, as_rate, as_seed, as_size
from nblstm.kernels import products, sweeps, together
from nblstm.kernels.dropout import dropout
from nblstm.kernels.policy import POLICY
from nblstm.kernels.simd import BYTES
from nblstm.kernels.tag import ANY, Tag
from nblstm.kernels.units import GATES
from nblstm.layer import Layer
from nblstm.layers.checks import State
from nblstm.layers.memory import address, apart_from, padded, strides
from nblstm.layers.packs import Packs
from nblstm.layers.steps import run_short
from nblstm.layers.stream import Stream
from nblstm.layers.tape import Tape
from nblstm.parameters import Block

CELLS = {name: Tag(name) for name in GATES}
FORMULATIONS = ("split", "concat")
MOST_LAYERS = 10_000  # which take a second to make; a slip of the hand should not take an hour


class Recurrent(Layer):
    """Stacked recurrent layers of any cell, in one or two directions, over (T, B, I); subclasses check arguments.

    `tracks` lists, for every layer and direction in PyTorch's order, the suffix of its parameters' names and its
    input's width.
    """

    batch_first = False  # layers over sequences may have it otherwise

    def __init__(
        self, cell: str, input_size: int, hidden_size: int, num_layers: int, *, bias: bool, dropout: float,
        bidirectional: bool, formulation: str, forget_bias: float, dtype: str, seed: int | None,
        checkpoint: int | None = None, suffixes: bool = True,
    ) -> None:  # fmt: skip
        self.formulation = as_choice("formulation", formulation, FORMULATIONS)
        self.bias, self.forget_bias = as_flag("bias", bias), as_float("forget_bias", forget_bias)
        if not np.isfinite(self.forget_bias):
            raise ValueError(f"forget_bias must be finite, got {forget_bias!r}")
        if self.forget_bias and not self.bias:
            raise ValueError(f"forget_bias={forget_bias} needs bias=True, got bias=False")
        self.input_size, self.hidden_size = as_size("input_size", input_size), as_size("hidden_size", hidden_size)
        self.num_layers, self.bidirectional = as_size("num_layers", num_layers), as_flag("bidirectional", bidirectional)
        if self.num_layers > MOST_LAYERS:
            raise ValueError(f"num_layers must be at most {MOST_LAYERS}, got {num_layers}")
        self.directions = 1 + self.bidirectional
        self.cell, self.gates = CELLS[cell], GATES[cell]
        self.has_cell, self.peephole = self.gates == 4, cell == "peephole"
        self.dropout = as_rate("dropout", dropout)
        self.checkpoint = None if checkpoint is None else as_size("checkpoint", checkpoint)
        self.bias_names: tuple[str, ...] = (
            () if not self.bias else ("bias_ih", "bias_hh") if self.formulation == "split" else ("bias",)
        )
        self.tracks = [
            (f"_l{k}{'_reverse' * d}" * suffixes, self.input_size if k == 0 else self.directions * self.hidden_size)
            for k in range(self.num_layers)
            for d in range(self.directions)
        ]
        super().__init__(self._shapes(), dtype)
        self.places = [self._places_of(suffix, inputs) for suffix, inputs in self.tracks]
        self.lanes = BYTES // self.dtype.itemsize
        self.padded_units = padded(self.hidden_size, self.dtype)
        self.gate_columns = self.gates * self.padded_units
        self._packs: Packs | None = None
        weights, masks = np.random.SeedSequence(as_seed(seed)).spawn(2)
        self._dropout_keys = np.random.default_rng(masks)
        self._initialise(np.random.default_rng(weights))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        H, rows = self.hidden_size, self.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        for suffix, inputs in self.tracks:
            if self.formulation == "split":
                shapes |= {"weight_ih" + suffix: (rows, inputs), "weight_hh" + suffix: (rows, H)}
            else:
                shapes["weight" + suffix] = (rows, H + inputs)
            shapes |= {name + suffix: (rows,) for name in self.bias_names}
            if self.peephole:
                shapes["weight_peephole" + suffix] = (3, H)
        return shapes

    def _places_of(self, suffix: str, inputs: int) -> list[int]:
        """Where the parameters of a track lie in the flat block, as `kernels.products` describes it."""
        starts, H = self._writable.starts, self.hidden_size
        if self.formulation == "split":
            weights = [starts["weight_ih" + suffix], inputs, starts["weight_hh" + suffix], H]
        else:
            start = starts["weight" + suffix]
            weights = [start + H, H + inputs, start, H + inputs]
        biases = [starts[name + suffix] for name in self.bias_names]
        return [*weights, *biases, -1, -1][:6]

    def _initialise(self, generator: np.random.Generator) -> None:
        H = self.hidden_size
        with self.editing() as p:
            p.flat[:] = generator.uniform(-1, 1, p.flat.size) / np.sqrt(H)
            for suffix, _ in self.tracks if self.forget_bias else ():
                p[self.bias_names[0] + suffix][H : 2 * H] += self.forget_bias

    def __repr__(self) -> str:
        settings = {
            "num_layers": (self.num_layers, 1), "nonlinearity": (self.cell.name.removeprefix("rnn_"), "tanh"),
            "bias": (self.bias, True), "batch_first": (self.batch_first, False), "dropout": (self.dropout, 0.0),
            "bidirectional": (self.bidirectional, False), "peephole": (self.peephole, False),
            "formulation": (self.formulation, "split"), "dtype": (self.dtype.name, "float32"),
            "checkpoint": (self.checkpoint, None),
        }  # fmt: skip
        if self.has_cell:
            del settings["nonlinearity"]
        unusual = [f"{name}={value!r}" for name, (value, usual) in settings.items() if value != usual]
        return f"{type(self).__name__}({', '.join([str(self.input_size), str(self.hidden_size), *unusual])})"

    def to_formulation(self, formulation: str) -> Self:
        """A new layer that computes the same function with the weights of the other formulation.

        From "split" to "concat" the two biases become their sum; back, the one becomes ``bias_ih`` and ``bias_hh`` is
        zero.

        Examples
        --------
        >>> from nblstm import LSTM
        >>> LSTM(3, 5, seed=0).to_formulation("concat").params["weight_l0"].shape
        (20, 8)
        """
        other = copy.copy(self)  # with all that a subclass knows besides
        Recurrent.__init__(
            other, self.cell.name, self.input_size, self.hidden_size, self.num_layers, bias=self.bias,
            dropout=self.dropout, bidirectional=self.bidirectional, formulation=formulation,
            forget_bias=self.forget_bias, dtype=self.dtype.name, seed=0, checkpoint=self.checkpoint,
            suffixes=bool(self.tracks[0][0]),
        )  # fmt: skip
        if formulation == self.formulation:
            other.load_state_dict(self.params)
        else:
            self._copy_weights_to(other)
        other.set_dropout_state(self.dropout_state())
        return other

    def _copy_weights_to(self, other: Recurrent) -> None:
        """Give `other`, the same layer in the other formulation, this one's function."""
        H = self.hidden_size
        with other.editing() as p:
            for suffix, _ in self.tracks:
                if self.formulation == "split":
                    p["weight" + suffix][...] = np.hstack(
                        [self.params["weight_hh" + suffix], self.params["weight_ih" + suffix]]
                    )
                else:
                    p["weight_hh" + suffix][...] = self.params["weight" + suffix][:, :H]
                    p["weight_ih" + suffix][...] = self.params["weight" + suffix][:, H:]
                for name in other.bias_names:
                    p[name + suffix][...] = 0
                if self.bias:
                    p[other.bias_names[0] + suffix][...] = sum(self.params[name + suffix] for name in self.bias_names)
                if self.peephole:
                    p["weight_peephole" + suffix][...] = self.params["weight_peephole" + suffix]

    def dropout_state(self) -> dict:
        """State of the generator that dropout draws its keys from, in numbers and strings that JSON can hold."""
        return dict(self._dropout_keys.bit_generator.state)

    def set_dropout_state(self, state: dict) -> None:
        """Continue to draw from where `dropout_state` was taken."""
        keys = np.random.default_rng(0)
        try:
            keys.bit_generator.state = state
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"state must be what dropout_state gave, got another ({error})") from error
        self._dropout_keys = keys

    def inference_packs(self, threads: int) -> Packs:
        """Packed weights for calls that keep nothing; published whole, so that several threads may read them."""
        packs = self._packs
        if packs is None or packs.forward_version != self.version:
            packs = Packs(self)
            packs.refresh_forward(threads)
            self._packs = packs
        return packs

    def stream(self, state: State = None) -> Stream:
        """For inputs that come one by one: a function of x (I,) that steps all layers and keeps the state between.

        The results are those of calling the layer with the whole sequence, bit for bit. It never drops, and there is no
        way back: ``h = stream(x)`` is the last layer's new h (H,), a fresh array, ``stream.state`` a copy of the state.

        Parameters
        ----------
        state : pair of arrays (LSTM, LSTMCell) or array (RNN, RNNCell), each (L, H), or (H,) for a cell, optional
            Initial state, copied; None, also for one of a pair, is zeros.

        Examples
        --------
        >>> import numpy as np
        >>> from nblstm import LSTM
        >>> lstm, x = LSTM(3, 5, num_layers=2, seed=0), np.ones((7, 3), "float32")
        >>> stream = lstm.stream()
        >>> bool(np.all([stream(row) for row in x] == lstm(x)[0]))
        True
        """
        return Stream(self, state)

    # -------------------------------------------------------------------------------------------------------- forward

    def infer(
        self, x: np.ndarray, states: list[np.ndarray | None], lengths: np.ndarray | None, out: np.ndarray
    ) -> list[np.ndarray]:
        """All layers over x (T, B, I), keeping nothing: y to `out`, and the last states; see `run`.

        Short work is one compiled call.
        """
        work = x.shape[0] * x.shape[1] * self.num_parameters
        if lengths is None and self.directions == 1 and work < POLICY.serial_below:
            return run_short(self, x, states, out)
        tape = Tape(self, keep=False)
        self.run(x, states, lengths, tape, out)
        return [tape.h_n, tape.c_n][: 1 + self.has_cell]

    def run(
        self, x: np.ndarray, states: list[np.ndarray | None], lengths: np.ndarray | None, tape: Tape,
        out: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """All layers over x (T, B, I); the tape then holds the last states and, if it keeps, what backward needs.

        Returns the last layer's output: a buffer of the tape, or, where the tape keeps nothing, `out` if given, which
        is zero past the end of each sequence.
        """
        tape.version, tape.awaits_backward = self.version, False  # until this forward has ended well
        tape.allocate(*x.shape[:2])
        tape.use_lengths(lengths)
        if tape.keep:
            x = apart_from(x, tape.given_out())  # both passes read it and write there
            tape.packs.refresh_forward(tape.threads)
        else:
            tape.packs = self.inference_packs(tape.threads)
        self._set_initial_states(tape, states)
        dropping = bool(self.dropout) and tape.keep
        if tape.dropped:
            tape.keys = self._dropout_keys.integers(2**64, size=len(tape.dropped), dtype=np.uint64)
        tape.inputs = []
        for k in range(self.num_layers):
            if tape.keep:
                tape.inputs.append(x)
            y = tape.output(k) if out is None or k < self.num_layers - 1 else out
            for d in range(self.directions):
                half = None if tape.h_is_output else y[:, :, d * self.hidden_size : (d + 1) * self.hidden_size]
                self._forward_track(tape, k * self.directions + d, d, x, half)
            x = y
            if dropping and k < self.num_layers - 1:
                x = self._drop(tape, k, x, tape.dropped[k])
        self._take_last_states(tape)
        tape.awaits_backward = tape.keep
        return x

    def _set_initial_states(self, tape: Tape, states: list[np.ndarray | None]) -> None:
        order, H = tape.schedule.order, self.hidden_size
        for number, track in enumerate(tape.tracks):
            for buffer, state in zip((track.h, track.c), states, strict=False):
                buffer[0, :, :H] = 0 if state is None else state[number, order]
                buffer[0, :, H:] = 0

    def _forward_track(self, tape: Tape, number: int, direction: int, x: np.ndarray, y: np.ndarray | None) -> None:
        c = tape.tracks[number].c
        for n, (first, last) in enumerate(tape.segments):
            if tape.recomputes:
                c[n + 1] = c[0]
            self._sweep(tape, number, direction, x, first, last, c, tape.whole, y)

    def _sweep(
        self, tape: Tape, number: int, direction: int, x: np.ndarray, first: int, last: int, c: np.ndarray, keep: bool,
        y: np.ndarray | None,
    ) -> None:  # fmt: skip
        """The steps first .. last - 1 forward: from c[0] on, by step if `keep`, or else c[0] is the newest.

        Where h is not the output itself, it is copied to y (T, B, H).
        """
        schedule, track, pack = tape.schedule, tape.tracks[number], tape.packs.tracks[number]
        h = track.h[first : last + 1]
        time_stride, batch_stride, feature_stride = strides(x)
        y_strides = (0, 0) if y is None else strides(y)[:2]
        steps = slice(first * tape.B, last * tape.B)
        arguments = (
            tape.hoist, tape.block, last - first, tape.B, x.shape[2], self.hidden_size, self.padded_units,
            self.gate_columns, schedule.active[first:last], address(x),
            schedule.offsets(direction, time_stride, batch_stride)[steps], feature_stride, pack.input, pack.hidden,
            pack.bias, pack.peephole.reshape(-1), len(h), h.reshape(-1), c.reshape(-1),
            track.gates.reshape(-1), int(keep), 0 if y is None else address(y), y is not None,
            schedule.offsets(direction, *y_strides)[steps], tape.index, *tape.places, tape.sums,
        )  # fmt: skip
        if not together.forward(self.cell, tape.team, *arguments):
            sweeps.forward(self.cell, tape.threads, schedule.bounds(tape.threads), *arguments)

    def _take_last_states(self, tape: Tape) -> None:
        schedule, H = tape.schedule, self.hidden_size
        for number, track in enumerate(tape.tracks):
            for buffer, last in ((track.h, tape.h_n), (track.c, tape.c_n))[: 1 + self.has_cell]:
                if buffer is track.c and not tape.whole:
                    last[number, schedule.order] = buffer[0, :, :H]
                elif schedule.ragged:
                    last[number, schedule.order] = buffer[schedule.lengths % len(buffer), tape.index, :H]
                else:
                    last[number] = buffer[tape.T % len(buffer), :, :H]

    def _drop(self, tape: Tape, k: int, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Dropout on the output of layer k, with the mask of the tape's key for it; returns the target."""
        T, B, width = tape.T, tape.B, self.directions * self.hidden_size
        threshold = np.uint64(self.dropout * 2.0**64)
        dropout(
            ANY, tape.threads, tape.keys[k], threshold, self.dtype.type(1 / (1 - self.dropout)), T * B, B, width,
            address(source), strides(source)[1], target.reshape(-1), strides(target)[1],
        )  # fmt: skip
        return target

    # ------------------------------------------------------------------------------------------------------- backward

    def run_back(
        self, dy: np.ndarray | None, tape: Tape, dstates: list[np.ndarray | None], need_dx: bool, grads: Block
    ) -> np.ndarray | None:
        """Backpropagation through all layers; adds to grads, leaves the initial states' gradients, returns dx."""
        tape.allocate_back()
        written = tape.gradients.given_out()
        dy = None if dy is None else apart_from(dy, written)
        dstates = [None if dstate is None else apart_from(dstate, written) for dstate in dstates]
        tape.packs.refresh_backward(tape.threads)
        tape.awaits_backward = False
        for k in reversed(range(self.num_layers)):
            for d in range(self.directions):
                self._backward_track(tape, k, d, dy, dstates, need_dx or k > 0, grads)
            dx = tape.gradients.dx[k]
            if k and self.dropout:
                self._drop(tape, k - 1, dx, dx)
            dy = dx[:, :, : tape.inputs[k].shape[2]]
        return dy if need_dx else None

    def _backward_track(
        self, tape: Tape, k: int, direction: int, dy: np.ndarray | None, dstates: list[np.ndarray | None],
        need_dx: bool, grads: Block,
    ) -> None:  # fmt: skip
        number = k * self.directions + direction
        schedule, track, buffers, H = tape.schedule, tape.tracks[number], tape.gradients, self.hidden_size
        for gradient, dstate in zip((buffers.dh, buffers.dc), dstates, strict=False):
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
                c[0] = track.c[n + 1]
                self._sweep(tape, number, direction, tape.inputs[k], first, last, c, keep=True, y=None)
            self._sweep_back(tape, k, direction, first, last, c, half, need_dx)
            self._add_weight_gradients(tape, k, direction, first, last, c, grads)
        for gradient, initial in zip(
            (buffers.dh, buffers.dc), (buffers.dh_0, buffers.dc_0)[: 1 + self.has_cell], strict=False
        ):
            initial[number, schedule.order] = gradient[:, :H]
        if self.peephole:
            grads["weight_peephole" + self.tracks[number][0]][...] += buffers.peephole[:, :H]

    def _sweep_back(
        self, tape: Tape, k: int, direction: int, first: int, last: int, c: np.ndarray, dy: np.ndarray | None,
        need_dx: bool,
    ) -> None:  # fmt: skip
        """The steps first .. last - 1 back, the last one first; c is theirs, by step."""
        number = k * self.directions + direction
        schedule, track, pack, buffers = tape.schedule, tape.tracks[number], tape.packs.tracks[number], tape.gradients
        B, dx, steps = tape.B, buffers.dx[k], slice(first * tape.B, last * tape.B)
        time_stride, batch_stride = (0, 0) if dy is None else strides(dy)[:2]
        arguments = (
            tape.block, last - first, B, self.hidden_size, self.padded_units, self.gate_columns,
            schedule.active[first:last], 0 if dy is None else address(dy), dy is not None,
            schedule.offsets(direction, time_stride, batch_stride)[steps], pack.hidden_back, pack.peephole.reshape(-1),
            track.h[first : last + 1].reshape(-1), c.reshape(-1), track.gates.reshape(-1), buffers.dh.reshape(-1),
            buffers.dc.reshape(-1), pack.input_back, address(dx), schedule.offsets(direction, B, 1)[steps],
            dx.shape[2] if need_dx else 0, direction == 1, buffers.zeros, tape.index, *tape.places,
        )  # fmt: skip
        if not together.backward(self.cell, tape.team, *arguments):
            sweeps.backward(self.cell, tape.threads, schedule.bounds(tape.threads), *arguments)

    def _add_weight_gradients(
        self, tape: Tape, k: int, direction: int, first: int, last: int, c: np.ndarray, grads: Block
    ) -> None:
        """grads += (gradients of the weighted sums)^T (what they were multiplied with), summed over steps and rows.

        The sums run over all steps, the last one first; they go to grads with the first segment, which comes last.
        """
        number, x = k * self.directions + direction, tape.inputs[k]
        schedule, track, buffers = tape.schedule, tape.tracks[number], tape.gradients
        H, P, G, gates = self.hidden_size, self.padded_units, self.gate_columns, track.gates.reshape(-1)
        part = schedule.live_in(first, last)
        rows = schedule.live[part] - first * tape.B  # in this segment
        time_stride, batch_stride, x_feature = strides(x)
        products.weight_gradient(
            ANY, tape.threads, len(rows), address(x),
            schedule.live_offsets(direction, time_stride, batch_stride)[part], x_feature, x.shape[2],
            address(track.h[first:]), rows, P, H, gates, rows, G, self.gates, H, buffers.one, last == tape.T,
            first == 0, buffers.sums, grads.flat, tape.packs.tracks[number].places,
        )  # fmt: skip
        if self.peephole:
            sweeps.peephole_gradient(
                self.cell, tape.threads, len(rows), rows, tape.B, P, gates, c.reshape(-1), buffers.peephole.reshape(-1)
            )
