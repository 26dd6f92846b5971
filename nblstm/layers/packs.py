"""Weights of a recurrent layer as the kernels read them: panels, packed anew only when the parameters were written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nblstm.kernels import products
from nblstm.kernels.tag import ANY
from nblstm.layers.memory import padded

if TYPE_CHECKING:
    from nblstm.layers.engine import Recurrent


class PackedTrack:
    """The packed weights of one layer in one direction.

    With G gate columns (units padded to whole vectors), I and H features: `bias` (G,), `peephole` (3, P); split:
    `input` (G I,), `hidden` (G H,), and for the way back `input_back` (G I',), `hidden_back` (G P,); concatenated:
    `hidden` (G (H + I),) and `hidden_back` (G (P + I'),) for both parts of the joined row. Parts that a formulation
    lacks are empty.
    """

    def __init__(self, layer: Recurrent, suffix: str, inputs: int) -> None:
        self.layer, self.suffix, self.inputs = layer, suffix, inputs
        H, P, G, I_padded = layer.hidden_size, layer.padded_units, layer.gate_columns, padded(inputs, layer.dtype)
        dtype, split = layer.dtype, layer.formulation == "split"
        self.bias = np.zeros(G, dtype)
        self.peephole = np.zeros((3, P) if layer.peephole else (0,), dtype)
        self.input = np.zeros(G * inputs if split else 0, dtype)
        self.hidden = np.zeros(G * (H if split else H + inputs), dtype)
        self.input_back = np.zeros(G * I_padded if split else 0, dtype)
        self.hidden_back = np.zeros(G * (P if split else P + I_padded), dtype)

    def _weight(self, name: str) -> np.ndarray:
        return self.layer._writable[name + self.suffix].reshape(-1)

    def refresh_forward(self, threads: int) -> None:
        """Pack what the forward pass reads."""
        layer = self.layer
        H, G, gates, width = layer.hidden_size, layer.gate_columns, layer.gates, self.inputs
        if layer.formulation == "split":
            products.pack_by_gate(ANY, threads, self._weight("weight_ih"), gates, H, width, G, self.input)
            products.pack_by_gate(ANY, threads, self._weight("weight_hh"), gates, H, H, G, self.hidden)
        else:
            products.pack_by_gate(ANY, threads, self._weight("weight"), gates, H, H + width, G, self.hidden)
        if layer.bias:
            both = [self._weight(name) for name in layer.bias_names]
            products.pack_by_gate(
                ANY, threads, both[0] if len(both) == 1 else both[0] + both[1], gates, H, 1, G, self.bias
            )
        if layer.peephole:
            self.peephole[:, :H] = layer._writable["weight_peephole" + self.suffix]

    def refresh_backward(self, threads: int) -> None:
        """Pack what the backward pass reads."""
        layer = self.layer
        H, P, G, gates, width = layer.hidden_size, layer.padded_units, layer.gate_columns, layer.gates, self.inputs
        I_padded = padded(width, layer.dtype)
        if layer.formulation == "split":
            products.pack_by_feature(ANY, threads, self._weight("weight_hh"), gates, H, G, H, 0, P, P, self.hidden_back)
            products.pack_by_feature(
                ANY, threads, self._weight("weight_ih"), gates, H, G, width, 0, I_padded, I_padded, self.input_back
            )
        else:
            products.pack_by_feature(
                ANY, threads, self._weight("weight"), gates, H, G, H, width, P, P + I_padded, self.hidden_back
            )


class Packs:
    """`PackedTrack`s of a whole layer, and the version of the parameters that each half was packed from."""

    def __init__(self, layer: Recurrent) -> None:
        self._layer = layer
        self.tracks = [PackedTrack(layer, suffix, inputs) for suffix, inputs in layer.tracks]
        self.forward_version = self.backward_version = -1

    def refresh_forward(self, threads: int) -> None:
        """Pack for the forward pass if the parameters were written since."""
        if self.forward_version != self._layer.version:
            for track in self.tracks:
                track.refresh_forward(threads)
            self.forward_version = self._layer.version

    def refresh_backward(self, threads: int) -> None:
        """Pack for the backward pass if the parameters were written since."""
        if self.backward_version != self._layer.version:
            for track in self.tracks:
                track.refresh_backward(threads)
            self.backward_version = self._layer.version
