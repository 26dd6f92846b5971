"""Weights of a recurrent layer as the kernels read them: panels, packed anew only when the parameters were written."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from nblstm.kernels import products, streaming
from nblstm.kernels.plan import PLAN, fill
from nblstm.kernels.products import parts_of
from nblstm.kernels.tag import ANY
from nblstm.kernels.units import compiled
from nblstm.layers.memory import address, aligned_zeros, padded
from nblstm.layers.normalised import NormalisedTrack

if TYPE_CHECKING:
    from nblstm.layers.engine import Engine
    from nblstm.layers.tape import Tape


class PackedTrack:
    """The packed weights of one layer in one direction, and in `plan` the record of what kernels know of it.

    With G gate columns (units padded to whole vectors), I and H features: `bias` (G,), `peephole` (weights, P), `input`
    (G I,) and `hidden` (G H,); for the way back `input_back` (I' G,) and `hidden_back` (P G,). Sums that read something
    in place of h have their weights for it in `read` and `read_back` instead. With layer norm there
    is more in `normalised`.
    """

    def __init__(self, layer: Engine, number: int, plan: np.ndarray) -> None:
        self.offsets = np.array(layer.offsets[number])
        self.suffix, self.inputs = layer.tracks[number]
        H, P, G, cell, dtype = layer.hidden_size, layer.padded_units, layer.gate_columns, layer.cell, layer.dtype
        self.bias, self.peephole = aligned_zeros(G, dtype), aligned_zeros((len(cell.peepholes), P), dtype)
        self.input, self.hidden = aligned_zeros(G * self.inputs, dtype), aligned_zeros(G * H, dtype)
        self.input_back, self.hidden_back = (
            aligned_zeros(G * padded(self.inputs, dtype), dtype),
            aligned_zeros(G * P, dtype),
        )
        columns_read = int((cell.rows[:, 2] >= 0).sum()) * P
        self.read = aligned_zeros(columns_read * H, dtype)
        self.read_back = aligned_zeros(columns_read * P, dtype)
        code = compiled(cell, dtype)
        fill(
            plan, number=number, reverse=number % layer.directions, I=self.inputs, H=H, P=P, G=G, depth=G, hiddens=H,
            head=layer.head, x_feature=1, weights=address(layer._writable.flat), blocks=address(cell.rows),
            forward=code.forward, backward=code.backward, read=code.read, read_back=code.read_back,
            parts=parts_of(cell.rows), others=len(cell.states) - 1, passes_h=cell.returns_h, bias=address(self.bias),
            peephole=address(self.peephole), input_panels=address(self.input), hidden_panels=address(self.hidden),
            read_panels=address(self.read), input_back=address(self.input_back), hidden_back=address(self.hidden_back),
            read_panels_back=address(self.read_back), offsets=address(self.offsets),
        )  # fmt: skip
        if layer.layer_norm:
            self.normalised = NormalisedTrack(layer, number)
            self.normalised.plan(plan)


class Packs:
    """`PackedTrack`s of a whole layer, and the version of the parameters that each half was packed from.

    `plans` has what a pass over the layer needs to know of each that is the same for every pass, see `kernels.plan`;
    `idle_tapes` are tapes with these weights that wait for the next inference, see `passes.infer`.
    """

    def __init__(self, layer: Engine) -> None:
        self._layer = layer
        self.plans = np.zeros(len(layer.tracks), PLAN)
        self.tracks = [PackedTrack(layer, number, self.plans[number : number + 1]) for number in range(len(self.plans))]
        self.idle_tapes: list[Tape] = []
        self.forward_version: float = -1
        self.backward_version: float = -1
        self._code: Any = None

    def run(self, T: int, B: int, x: np.ndarray, h: np.ndarray, c: np.ndarray, y: np.ndarray) -> None:
        """Steps of a layer of one direction as one compiled call, see `kernels.streaming.run`.

        The arrays are of the layer's dtype, flat, aligned and writable.
        """
        if self._code is None:
            self._code = _machine_code(self._layer.dtype)
        self._code(ANY, self.plans, T, B, x, h, c, y)

    def refresh_forward(self, threads: int) -> None:
        """Pack for the forward pass if the parameters were written since."""
        version = self._layer.version  # another thread may write while this one packs; then these are soon out of date
        if self.forward_version != version:
            products.pack_forward(self._layer.dtype, threads, self.plans)
            for track in self.tracks if self._layer.cell.peepholes else ():
                track.peephole[:, : self._layer.hidden_size] = self._layer._writable["weight_peephole" + track.suffix]
            for track in self.tracks if self._layer.layer_norm else ():
                track.normalised.pack()
            self.forward_version = version

    def refresh_backward(self, threads: int) -> None:
        """Pack for the backward pass if the parameters were written since."""
        version = self._layer.version
        if self.backward_version != version:
            products.pack_backward(self._layer.dtype, threads, self.plans)
            self.backward_version = version


@functools.cache
def _machine_code(dtype: np.dtype) -> Any:
    """The compiled code itself: Numba's own call looks at the type of each argument."""
    flat = np.zeros(1, dtype)
    examples = ANY, np.zeros(1, PLAN), 1, 1, flat, flat, flat, flat
    return streaming.run.compile(tuple(numba.typeof(example) for example in examples))
