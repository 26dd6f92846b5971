"""A layer of one direction as one compiled call, for streams and for sequences so short that calls cost the most."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from nblstm.kernels.streaming import run
from nblstm.kernels.tag import Tag

if TYPE_CHECKING:
    from nblstm.layers.engine import Recurrent


class Steps:
    """The steps of a layer with certain packed weights, whose `addresses` stay valid as long as the packs are kept."""

    def __init__(self, layer: Recurrent, addresses: np.ndarray) -> None:
        sizes = [layer.num_layers, layer.input_size, layer.hidden_size, layer.padded_units, layer.gate_columns]
        self._cell, self._descriptor = layer.cell, np.array([*sizes, *addresses.reshape(-1)])
        self._run = _machine_code(layer.cell, layer.dtype)

    def __call__(self, T: int, B: int, x: np.ndarray, h: np.ndarray, c: np.ndarray, y: np.ndarray) -> None:
        """See `kernels.streaming.run`; the arrays are of the layer's dtype, flat, aligned and writable."""
        self._run(self._cell, self._descriptor, T, B, x, h, c, y)


def run_short(layer: Recurrent, x: np.ndarray, states: list[np.ndarray | None], out: np.ndarray) -> list[np.ndarray]:
    """The layer over x (T, B, I) from states that are None for zeros: y to `out`, and fresh last states."""
    T, B, _ = x.shape
    if not x.flags.carray:
        x = np.array(x, order="C")
    form = (layer.num_layers, B, layer.hidden_size)
    members = [np.zeros(form, layer.dtype) if state is None else np.array(state, order="C") for state in states]
    y = out if out.flags.c_contiguous else np.empty(out.shape, layer.dtype)
    h, c = (member.reshape(-1) for member in [*members, np.empty(0, layer.dtype)][:2])  # an RNN has no c
    packs = layer.inference_packs(threads=1)  # kept by this name: another thread may publish others meanwhile
    packs.steps(T if B else 0, B, x.reshape(-1), h, c, y.reshape(-1))
    if y is not out:
        out[...] = y
    return members


@functools.cache
def _machine_code(cell: Tag, dtype: np.dtype) -> Any:
    """The compiled code itself: Numba's own call looks at the type of each argument."""
    flat = np.zeros(1, dtype)
    examples = cell, np.zeros(1, np.int64), 1, 1, flat, flat, flat, flat
    return run.compile(tuple(numba.typeof(example) for example in examples))
