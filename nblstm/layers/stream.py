"""A stream: a layer that is given one time step after the other and keeps the state between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.arguments import check_array
from nblstm.layers.checks import State, join_state, state_members

if TYPE_CHECKING:
    from nblstm.layers.engine import Engine


class Stream:
    """What `stream` of a recurrent layer returns: call it with x (I,) for h (H,), one step after the other.

    Where several steps have come at once, as a sound card hands them over, `process` takes them in one call.

    It goes by the layer's parameters as they are at each step. Streams of one layer do not know of each other.
    """

    def __init__(self, layer: Engine, state: State = None) -> None:
        if not hasattr(layer, "inference_packs") or not hasattr(layer, "bidirectional"):
            raise TypeError(f"layer must be a recurrent layer, got {type(layer).__name__}")
        if layer.bidirectional:
            raise ValueError(f"{layer!r} cannot stream: its reverse direction begins at the end of the sequence")
        L, H, dtype = layer.num_layers, layer.hidden_size, layer.dtype
        self._layer, self._dtype, self._inputs, self._units = layer, dtype, (layer.input_size,), (H,)
        # The names of a cell's parameters have no suffix, and its state has no axis of layers.
        self._form = (L, H) if layer.tracks[0][0] else (H,)
        others = len(layer.cell.states) - 1
        self._h, self._c = np.zeros(L * H, dtype), np.zeros(others * L * H, dtype)
        members = state_members("state", state, layer.cell.states, dtype, self._form)
        for buffer, member in zip((self._h, *self._c.reshape(others, L * H)), members, strict=True):
            if member is not None:
                buffer[:] = member.reshape(-1)
        self._packs = layer.inference_packs(threads=1)

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
            # aligned, writable and without gaps, the form that the kernel is compiled for
            x = np.array(check_array("x", x, self._dtype, self._inputs))
        h = np.empty(self._units, self._dtype)
        self._newest_packs().run(1, 1, x, self._h, self._c, h)
        return h

    def process(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Several steps in one call: the last layer's h at each of them, the bits that one call a step gives.

        Parameters
        ----------
        x : numpy.ndarray, shape (T, I)
            Of the layer's dtype. T may differ from call to call and be 0. If x has its rows one after the other in
            memory and shares none of it with `out`, it is read where it lies; otherwise it is copied.
        out : numpy.ndarray, shape (T, H), optional
            Where h goes, for callers who allocate nothing while sound plays: of the layer's dtype, in C order. None is
            a fresh array.

        Returns
        -------
        numpy.ndarray, shape (T, H)
            `out`, if it was given; of a subclass a plain view.

        Raises
        ------
        TypeError, ValueError
            An x or an `out` of the wrong kind, dtype, shape or layout; the state is then as before.

        Examples
        --------
        >>> import nblstm
        >>> stream = nblstm.LSTM(1, 16, seed=0).stream()
        >>> block, out = np.zeros((64, 1), "float32"), np.empty((64, 16), "float32")
        >>> stream.process(block, out) is out
        True
        """
        x = check_array("x", x, self._dtype, (None, *self._inputs))
        shape = len(x), *self._units
        if out is None:
            y = np.empty(shape, self._dtype)
        else:
            y = check_array("out", out, self._dtype, shape)
            if not y.flags.carray:
                raise ValueError("out must be an array in C order that can be written to, got one that is not")
        if not x.flags.carray or np.may_share_memory(x, y):
            x = np.array(x, order="C")
        self._newest_packs().run(len(x), 1, x.reshape(-1), self._h, self._c, y.reshape(-1))
        return y

    def _newest_packs(self) -> Any:
        """The weights as they are now, packed."""
        packs = self._packs
        if packs.forward_version != self._layer.version:
            packs = self._packs = self._layer.inference_packs(threads=1)
        return packs

    @property
    def state(self) -> State:
        """A copy of the state after the newest step, in the form in which `stream` takes it."""
        members = [self._h, *self._c.reshape(len(self._layer.cell.states) - 1, self._h.size)]
        return join_state([member.reshape(self._form).copy() for member in members])

    def __reduce__(self) -> tuple[type[Stream], tuple[Engine, State]]:
        """Copied and pickled by layer and state: the addresses are this stream's own."""
        return Stream, (self._layer, self.state)
