"""Weights of a recurrent layer as the kernels read them: panels, packed anew only when the parameters were written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nblstm.kernels import products
from nblstm.kernels.products import parts_of
from nblstm.kernels.tag import ANY
from nblstm.layers.memory import address, aligned_zeros, padded
from nblstm.layers.steps import Steps

if TYPE_CHECKING:
    from nblstm.layers.engine import Engine


class PackedTrack:
    """The packed weights of one layer in one direction.

    With G gate columns (units padded to whole vectors), I and H features: `bias` (G,), `peephole` (weights, P), `input`
    (G I,) and `hidden` (G H,); for the way back `input_back` (I' G,) and `hidden_back` (P G,).
    """

    def __init__(self, layer: Engine, number: int) -> None:
        self.layer, self.places = layer, np.array(layer.places[number])
        self.suffix, self.inputs = layer.tracks[number]
        H, P, G, dtype = layer.hidden_size, layer.padded_units, layer.gate_columns, layer.dtype
        self.bias, self.peephole = aligned_zeros(G, dtype), aligned_zeros((len(layer.cell.peepholes), P), dtype)
        self.input, self.hidden = aligned_zeros(G * self.inputs, dtype), aligned_zeros(G * H, dtype)
        self.input_back, self.hidden_back = (
            aligned_zeros(G * padded(self.inputs, dtype), dtype),
            aligned_zeros(G * P, dtype),
        )

    def refresh_forward(self, threads: int) -> None:
        """Pack what the forward pass reads."""
        layer, H = self.layer, self.layer.hidden_size
        products.pack_forward(
            ANY, threads, layer._writable.flat, self.places, layer.cell.rows, parts_of(layer.cell.rows), H,
            self.inputs, H, layer.gate_columns, self.input, self.hidden, self.bias,
        )  # fmt: skip
        if layer.cell.peepholes:
            self.peephole[:, :H] = layer._writable["weight_peephole" + self.suffix]

    def refresh_backward(self, threads: int) -> None:
        """Pack what the backward pass reads."""
        layer, H = self.layer, self.layer.hidden_size
        products.pack_backward(
            ANY, threads, layer._writable.flat, self.places, layer.cell.rows, parts_of(layer.cell.rows), H,
            self.inputs, H, layer.gate_columns, self.input_back, self.hidden_back,
        )  # fmt: skip


class Packs:
    """`PackedTrack`s of a whole layer, and the version of the parameters that each half was packed from."""

    def __init__(self, layer: Engine) -> None:
        self._layer = layer
        self.tracks = [PackedTrack(layer, number) for number in range(len(layer.tracks))]
        self.forward_version: float = -1
        self.backward_version: float = -1
        self._steps: Steps | None = None

    @property
    def addresses(self) -> np.ndarray:
        """Where each track's panels for x and for h, bias and peepholes lie, (tracks, 4); valid as long as self."""
        parts = [(track.input, track.hidden, track.bias, track.peephole) for track in self.tracks]
        return np.array([[address(part) for part in track] for track in parts])

    @property
    def steps(self) -> Steps:
        """The layer with these weights as one compiled call; a layer of one direction only."""
        if self._steps is None:
            self._steps = Steps(self._layer, self.addresses)
        return self._steps

    def refresh_forward(self, threads: int) -> None:
        """Pack for the forward pass if the parameters were written since."""
        version = self._layer.version  # another thread may write while this one packs; then these are soon out of date
        if self.forward_version != version:
            for track in self.tracks:
                track.refresh_forward(threads)
            self.forward_version = version

    def refresh_backward(self, threads: int) -> None:
        """Pack for the backward pass if the parameters were written since."""
        version = self._layer.version
        if self.backward_version != version:
            for track in self.tracks:
                track.refresh_backward(threads)
            self.backward_version = version
