"""The tape: every buffer that a forward pass fills and the backward pass reads, allocated once and reused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nblstm.arguments import as_choice, as_size
from nblstm.kernels import gradient
from nblstm.kernels.driver import threads_for
from nblstm.kernels.policy import POLICY
from nblstm.kernels.products import panel_count
from nblstm.kernels.sweeps import TILE_VECTORS, integers_size
from nblstm.layers.checks import AnyTape
from nblstm.layers.memory import addresses, aligned_empty, aligned_zeros, padded
from nblstm.layers.packs import Packs
from nblstm.layers.schedule import Schedule, plain_schedule

if TYPE_CHECKING:
    from nblstm.layers.engine import Engine

INPUT_ROWS = 32  # rows of the input, over batch and time, that a thread multiplies at once before it steps through them


class TapedTrack:
    """Buffers of one layer in one direction, by step: h (T + 1, B, P); on a whole tape also c, gates (T, B, G).

    c (S, T + 1, B, P) are the S states beside h, and after them what sums of the step before read in place of h, if any
    do; an RNN has none. A tape that keeps nothing has two slots of h, which serve in turn. On any tape that is not
    whole c[:, 0] is the newest, c[:, n + 1] that from which segment n of the steps began, if the tape keeps them, and
    the gates are scratch for all tracks.

    For `from_x`, `from_h` and `inverse` see `kernels.layer_norm`; they lie as the gates do.
    """

    def __init__(self, layer: Engine, slots: int, B: int, cells: int, gates: np.ndarray) -> None:
        P, dtype = layer.padded_units, layer.dtype
        self.h = aligned_empty((slots, B, P), dtype)
        self.c = aligned_empty((layer.cell.arrays, cells, B, P), dtype)
        self.gates = self.from_x = self.from_h = self.inverse = gates
        if layer.layer_norm:
            self.from_x, self.from_h = aligned_zeros(gates.shape, dtype), aligned_zeros(gates.shape, dtype)
            self.inverse = np.empty((*gates.shape[:2], 2), dtype)


class Gradients:
    """Buffers of the backward pass: per layer dx (T, B, I'), and scratch for one track at a time.

    `plans` are the tape's, in the order in which they are run back.
    """

    plans: np.ndarray
    products: np.ndarray  # see `normalised`
    flat: np.ndarray | None
    place_of_dy: np.ndarray
    place_of_x: np.ndarray
    dx: list[np.ndarray]

    def __init__(self, layer: Engine, T: int, B: int, threads: int) -> None:
        L, D, H, P, G, dtype = (
            layer.num_layers, layer.directions, layer.hidden_size, layer.padded_units, layer.gate_columns, layer.dtype,
        )  # fmt: skip
        self._shapes = [(T, B, padded(layer.tracks[k * D][1], dtype)) for k in range(L)]
        self._own_dx: list[np.ndarray | None] = [None] * L
        self.dh = aligned_zeros((B, P), dtype)
        self.dc = aligned_zeros((layer.cell.gradient_arrays, B, P), dtype)
        self.initial = [aligned_zeros((L * D, B, H), dtype) for _ in layer.cell.states]
        self.given_at, self.initial_at = np.zeros(len(self.initial), np.int64), addresses(self.initial)
        features = max(inputs + H for _, inputs in layer.tracks)
        # Where products are normalised, those with x and with h have sums of their own.
        size = gradient.sums_size(features, G, layer.lanes)
        self.sums = aligned_empty((1 + layer.layer_norm, size), dtype)
        self.gains = aligned_zeros((len(layer.tracks), 3 * layer.layer_norm, B, G), dtype)
        self.read_sums = aligned_empty(gradient.sums_size(H, G, layer.lanes) if layer.cell.reads else 0, dtype)
        self.scratch = aligned_empty(threads * gradient.scratch_size(T * B, features, layer.lanes), dtype)
        self.integers = np.empty(threads * gradient.integers_size(B), np.int64)
        self.peephole = aligned_zeros((len(layer.cell.peepholes), P), dtype)
        self.zeros = aligned_zeros(max(P, *(width for _, _, width in self._shapes)), dtype)

    def given_out(self) -> list[np.ndarray]:
        """Every buffer that `backward` returns views of."""
        own = self._own_dx[0]
        return self.initial if own is None else [own, *self.initial]

    def own_dx(self, k: int) -> np.ndarray:
        """Memory for dx of layer k, made when it is first asked for."""
        buffer = self._own_dx[k]
        if buffer is None:
            buffer = self._own_dx[k] = aligned_zeros(self._shapes[k], self.zeros.dtype)
        return buffer


class Tape(AnyTape):
    """What `forward` leaves for `backward`.

    `forward` makes one; handed in again it is reused, and then a steady training loop allocates nothing. The arrays
    that `forward` and `backward` return are views into it, valid until its next forward, and may be handed to that one:
    what a pass would overwrite before it has read it, it copies. Threads need a tape each.

    `segments` are the runs of steps, (first, last + 1), that backward goes through one after the other. A tape is
    `whole` if it keeps c and the gates of every step; it then has a single segment.
    """

    packs: Packs
    gradients: Gradients
    schedule: Schedule
    plans: np.ndarray
    place_of_x: np.ndarray
    between_layers: list[np.ndarray]
    has_plans_back: bool

    def __init__(self, layer: Engine, keep: bool = True) -> None:
        self.layer, self.keep = layer, keep
        if keep:
            self.packs = Packs(layer)  # inference takes the layer's own
        self.T = self.B = self.threads = -1
        self.version: float = -1
        self.keys = np.zeros(0, np.uint64)  # of dropout, one for each layer but the last
        self.checkpoint = layer.checkpoint if keep else None
        self.whole = keep and self.checkpoint is None
        self.recomputes = self.checkpoint is not None and (layer.cell.reads_more_than_h or layer.layer_norm)
        self.unbatched = self.awaits_backward = False

    def allocate(self, T: int, B: int) -> None:
        """Make the buffers, unless those at hand fit, and settle on the number of threads."""
        threads = threads_for(T * B * self.layer.num_parameters)
        if self.T == T and self.B == B and self.threads == threads:
            return
        self.T = self.B = -1  # what follows may run out of memory
        layer, keep = self.layer, self.keep
        L, D, H, P, G, dtype = (
            layer.num_layers, layer.directions, layer.hidden_size, layer.padded_units, layer.gate_columns, layer.dtype,
        )  # fmt: skip
        self.threads, self.block = threads, min(T, max(1, INPUT_ROWS * threads // max(B, 1)))
        team = min(threads, panel_count(P, layer.lanes))  # more could not share the units of the backward sweep
        worth_meeting = B * layer.cell.slots * H * H >= POLICY.team_above
        self.team = team if POLICY.team_rows * team > B and worth_meeting else 1
        all_read_x = bool((layer.cell.rows[:, 0] >= 0).all())  # else x does not take whole panels
        self.hoist = layer.layer_norm or (layer.formulation == "split" and self.block > 1 and all_read_x)
        if not keep:
            self.packs = layer.inference_packs(threads)
        length = min(T, self.checkpoint or T)
        self.segments = [(first, min(T, first + length)) for first in range(0, T, length)]
        if self.whole:
            self.tracks = [TapedTrack(layer, T + 1, B, T + 1, aligned_empty((T, B, G), dtype)) for _ in layer.tracks]
        else:
            steps = length if keep else self.block if self.hoist or layer.cell.reads else 0
            scratch = aligned_empty((steps, B, G), dtype)
            slots = T + 1 if keep else 2
            self.tracks = [TapedTrack(layer, slots, B, 1 + keep * len(self.segments), scratch) for _ in layer.tracks]
        self.segment_c = aligned_empty((layer.cell.arrays if self.recomputes else 0, length + 1, B, P), dtype)
        self._outputs: dict[int, np.ndarray] = {}
        self.dropped = [aligned_zeros((T, B, D * H), dtype) for _ in range(L - 1 if keep and layer.dropout else 0)]
        self.last = [np.zeros((L * D, B, H), dtype) for _ in layer.cell.states]
        self.given_at, self.last_at = np.zeros(len(self.last), np.int64), addresses(self.last)  # of states
        self.integers = np.empty(threads * integers_size(self.block, B), np.int64)
        self.sums = aligned_empty(threads * TILE_VECTORS * layer.lanes, dtype)
        self.schedule = plain_schedule(T, B)
        self.T, self.B = T, B
        self.inputs: list[np.ndarray] = []  # x of every layer
        self.has_plans = self.has_gradients = False  # see `plans`

    def allocate_back(self) -> None:
        """Make the buffers of the backward pass, unless they are there; where c is dead after its sweep, dx takes it.

        A sweep writes dx of a step when it is through with the step and with the c that the step led to.
        """
        layer = self.layer
        if not self.has_gradients:
            self.gradients = Gradients(layer, self.T, self.B, self.threads)
            self.has_gradients = True
        # Where h lies as the output does, c lies as dx does.
        c_is_free = self.whole and self.h_is_output and len(layer.cell.states) > 1 and not layer.cell.peepholes
        self.gradients.dx = [
            self.tracks[k].c[0, 1:] if c_is_free and k > 0 else self.gradients.own_dx(k)
            for k in range(layer.num_layers)
        ]

    def use_lengths(self, lengths: np.ndarray | None) -> None:
        """Take the order of processing from the lengths of this forward's sequences."""
        if lengths is not None:
            self.schedule, self.has_plans = Schedule(self.T, self.B, lengths), False
        elif self.schedule.ragged:
            self.schedule, self.has_plans = plain_schedule(self.T, self.B), False

    def given_out(self) -> list[np.ndarray]:
        """Every buffer that `forward` and `backward` return views of, which their caller may hand in again."""
        found = [self.tracks[-1].h, *self.last]
        if self.layer.num_layers - 1 in self._outputs:
            found.append(self._outputs[self.layer.num_layers - 1])
        return found + self.gradients.given_out() if self.has_gradients else found

    def output(self, k: int) -> np.ndarray:
        """What layer k's output by time, (T, B, D H), is to be: for `h_is_output` the buffer h itself."""
        layer, H = self.layer, self.layer.hidden_size
        if self.h_is_output:
            return self.tracks[k].h[1:, :, :H]
        kept_at = k if self.keep else k % 2  # else what the next layer has read may go
        if kept_at not in self._outputs:
            self._outputs[kept_at] = aligned_empty((self.T, self.B, layer.directions * H), layer.dtype)
        return self._outputs[kept_at]

    @property
    def h_is_output(self) -> bool:
        """One direction without lengths: steps are in the order of time and rows in that of the batch."""
        return self.keep and self.layer.directions == 1 and not self.schedule.ragged

    def states(self, name: str, layer: int = 0, direction: int = 0) -> np.ndarray:
        """A state of the cell by step (T + 1, B, H), the initial one first; a copy, rows in the order of the batch.

        Those beside h are there until backward runs.

        Raises
        ------
        ValueError
            A name that is no state of the cell's.
        RuntimeError
            As for `gates`.
        """
        number = self.layer.cell.states.index(as_choice("name", name, self.layer.cell.states))
        track = self.tracks[self._number(layer, direction)]
        if number == 0:
            return self._by_batch(track.h)
        self._check_kept(f"states {name}")
        return self._by_batch(track.c[number - 1])

    def hidden(self, layer: int = 0, direction: int = 0) -> np.ndarray:
        """h by step (T + 1, B, H): ``states("h")``."""
        return self.states("h", layer, direction)

    def cells(self, layer: int = 0, direction: int = 0) -> np.ndarray:
        """c by step (T + 1, B, H), until backward runs: ``states("c")`` of an LSTM.

        Raises
        ------
        ValueError
            The layer is no LSTM.
        RuntimeError
            As for `gates`.
        """
        if "c" not in self.layer.cell.states:
            raise ValueError("cells are those of an LSTM: this layer has no cell state")
        return self.states("c", layer, direction)

    def gates(self, layer: int = 0, direction: int = 0) -> np.ndarray:
        """All that `saved` has together, as an LSTM's gates i, f, g, o (T, B, 4, H); until backward runs.

        A copy, rows in the order of the batch, zeros past the end of each sequence.

        Raises
        ------
        RuntimeError
            Backward has run: it uses their memory for gradients. Or the layer has a `checkpoint` and kept none.
        """
        return self._by_batch(self._gates("gates", layer, direction))

    def saved(self, name: str, layer: int = 0, direction: int = 0) -> np.ndarray:
        """What the cell's forward has left for backward, by the name it has there, by step (T, B, H).

        Of an LSTM the gates "i", "f", "g" and "o", activated; of an RNN the weighted sum, and of a cell whose
        backward is derived those of the sums that it takes. As `gates` a copy, until backward runs.

        Raises
        ------
        ValueError
            A name that is not in ``cell.saved``.
        RuntimeError
            As for `gates`.
        """
        names = self.layer.cell.saved
        if not names:
            raise ValueError(f"there is nothing saved of {self.layer.cell!r}, whose forward leaves backward nothing")
        number = names.index(as_choice("name", name, names))
        return self._by_batch(self._gates(f"saved {name}", layer, direction)[:, :, number])

    def _gates(self, what: str, layer: int, direction: int) -> np.ndarray:
        """What forward has left by step, (T, B, saved, P)."""
        self._check_kept(what)
        owner = self.layer
        buffer = self.tracks[self._number(layer, direction)].gates
        blocks = buffer.reshape(self.T, self.B, owner.padded_units // owner.lanes, owner.cell.slots, owner.lanes)
        by_gate = blocks.transpose(0, 1, 3, 2, 4).reshape(self.T, self.B, owner.cell.slots, owner.padded_units)
        return by_gate[:, :, : len(owner.cell.saved)]

    def _check_kept(self, what: str) -> None:
        if not self.whole:
            raise RuntimeError(f"{what} are not kept by a layer with checkpoint={self.checkpoint}: make one without it")
        if not self.awaits_backward:
            raise RuntimeError(f"{what} are there between forward and backward only: backward uses their memory")

    def _number(self, layer: int, direction: int) -> int:
        layer, direction = as_size("layer", layer, least=0), as_size("direction", direction, least=0)
        if not (layer < self.layer.num_layers and direction < self.layer.directions):
            raise ValueError(
                f"layer must be in 0..{self.layer.num_layers - 1} and direction in 0..{self.layer.directions - 1}, "
                f"got {layer} and {direction}"
            )
        return layer * self.layer.directions + direction

    def _by_batch(self, buffer: np.ndarray) -> np.ndarray:
        """A copy with rows in the order of the batch, zeros past the end of each sequence."""
        found = buffer[..., : self.layer.hidden_size].copy()
        ahead = len(buffer) - self.T  # of states there is one more than there are steps
        slots = np.arange(len(buffer))[:, None] - ahead
        found[slots >= self.schedule.lengths] = 0
        found[:, self.schedule.order] = found.copy()
        return found
