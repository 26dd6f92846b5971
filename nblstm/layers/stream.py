"""A stream: a layer that is given one time step after the other and keeps the state between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from nblstm.arguments import check_array
from nblstm.kernels.streaming import BUFFERS, SIZES, step
from nblstm.kernels.sweeps import TILE_VECTORS
from nblstm.layers.checks import State, join_state, state_members
from nblstm.layers.memory import address, aligned_zeros
from nblstm.layers.packs import Packs

if TYPE_CHECKING:
    from nblstm.layers.engine import Recurrent


def weight_addresses(packs: Packs) -> np.ndarray:
    """Where the weights of all layers of one direction lie, as `kernels.streaming` takes it; keep the packs alive."""
    parts = [(track.input, track.hidden, track.bias, track.peephole) for track in packs.tracks]
    return np.array([[address(part) for part in track] for track in parts])


class Stream:
    """What `stream` of a recurrent layer returns: call it with x (I,) for h (H,), one step after the other.

    It goes by the layer's parameters as they are at each step. Streams of one layer do not know of each other.
    """

    def __init__(self, layer: Recurrent, state: State = None) -> None:
        if layer.bidirectional:
            raise ValueError(f"{layer!r} cannot stream: its reverse direction begins at the end of the sequence")
        L, H, P, dtype = layer.num_layers, layer.hidden_size, layer.padded_units, layer.dtype
        self._layer, self._dtype, self._inputs, self._units = layer, dtype, (layer.input_size,), (H,)
        # The names of a cell's parameters have no suffix, and its state has no axis of layers.
        self._form = (L, H) if layer.tracks[0][0] else (H,)
        self._h, self._c = aligned_zeros((L, 2, P), dtype), aligned_zeros((L, P), dtype)
        members = state_members("state", state, layer.has_cell, dtype, self._form)
        for buffer, member in zip((self._h[:, 0], self._c), members, strict=False):
            if member is not None:
                buffer[:, :H] = member
        self._sums, self._index = np.zeros(TILE_VECTORS * layer.lanes, dtype), np.zeros(1, np.int64)
        buffers = [address(buffer) for buffer in (self._h, self._c, self._sums, self._index)]
        self._descriptor = np.array([0, L, layer.input_size, H, P, layer.gate_columns, *buffers, *[0] * 4 * L])
        self._use(layer.inference_packs(threads=1))
        # The compiled code itself: Numba's own call looks at the type of each argument.
        examples = layer.cell, self._descriptor, np.zeros(self._inputs, dtype), np.zeros(self._units, dtype)
        self._step = step.compile(tuple(numba.typeof(example) for example in examples))

    def _use(self, packs: Packs) -> None:
        self._descriptor[SIZES + BUFFERS :] = weight_addresses(packs).reshape(-1)
        self._packs, self._version = packs, packs.forward_version  # kept, as the memory behind the addresses

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """One step: the last layer's new h (H,), as a fresh array.

        Parameters
        ----------
        x : numpy.ndarray, shape (I,)
            Of the layer's dtype, any strides.

        Raises
        ------
        TypeError, ValueError
            An x of the wrong kind, dtype or shape; the state is then as before.
        """
        if not (type(x) is np.ndarray and x.dtype == self._dtype and x.shape == self._inputs and x.flags.carray):
            check_array("x", x, self._dtype, self._inputs)
            x = np.array(x)  # aligned, writable and without gaps, the form that the kernel is compiled for
        if self._version != self._layer.version:
            self._use(self._layer.inference_packs(threads=1))
        h = np.empty(self._units, self._dtype)
        self._step(self._layer.cell, self._descriptor, x, h)
        return h

    @property
    def state(self) -> State:
        """A copy of the state after the newest step, in the form in which `stream` takes it."""
        H = self._layer.hidden_size
        members = [self._h[:, self._descriptor[0] % 2, :H], self._c[:, :H]][: 1 + self._layer.has_cell]
        return join_state([member.reshape(self._form).copy() for member in members])

    def __reduce__(self) -> tuple[type[Stream], tuple[Recurrent, State]]:
        """Copied and pickled by layer and state: the addresses are this stream's own."""
        return Stream, (self._layer, self.state)
