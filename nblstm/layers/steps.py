"""A layer of one direction as one compiled call, for streams and for sequences so short that calls cost the most."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from nblstm.kernels.products import parts_of
from nblstm.kernels.streaming import run
from nblstm.kernels.tag import ANY
from nblstm.kernels.units import compiled

if TYPE_CHECKING:
    from nblstm.layers.engine import Engine


class Steps:
    """The steps of a layer with certain packed weights, whose `addresses` stay valid as long as the packs are kept."""

    def __init__(self, layer: Engine, addresses: np.ndarray) -> None:
        sizes = [layer.num_layers, layer.input_size, layer.hidden_size, layer.padded_units, layer.gate_columns]
        code = compiled(layer.cell, layer.dtype).forward
        cell = code, parts_of(layer.cell.rows), len(layer.cell.states) - 1
        self._descriptor = np.array([*sizes, *cell, *addresses.reshape(-1)])
        self._run = _machine_code(layer.dtype)

    def __call__(self, T: int, B: int, x: np.ndarray, h: np.ndarray, c: np.ndarray, y: np.ndarray) -> None:
        """See `kernels.streaming.run`; the arrays are of the layer's dtype, flat, aligned and writable."""
        self._run(ANY, self._descriptor, T, B, x, h, c, y)


def run_short(layer: Engine, x: np.ndarray, states: list[np.ndarray | None], out: np.ndarray) -> list[np.ndarray]:
    """The layer over x (T, B, I) from states that are None for zeros: y to `out`, and fresh last states."""
    T, B, _ = x.shape
    if not x.flags.carray:
        x = np.array(x, order="C")
    form = (layer.num_layers, B, layer.hidden_size)
    members = [np.zeros(form, layer.dtype) if state is None else np.array(state, order="C") for state in states]
    y = out if out.flags.c_contiguous else np.empty(out.shape, layer.dtype)
    h = members[0].reshape(-1)
    c = members[1].reshape(-1) if len(members) == 2 else np.array(members[1:], layer.dtype).reshape(-1)
    packs = layer.inference_packs(threads=1)  # kept by this name: another thread may publish others meanwhile
    packs.steps(T if B else 0, B, x.reshape(-1), h, c, y.reshape(-1))
    if y is not out:
        out[...] = y
    return members if len(members) <= 2 else [members[0], *c.reshape(-1, *form)]


@functools.cache
def _machine_code(dtype: np.dtype) -> Any:
    """The compiled code itself: Numba's own call looks at the type of each argument."""
    flat = np.zeros(1, dtype)
    examples = ANY, np.zeros(1, np.int64), 1, 1, flat, flat, flat, flat
    return run.compile(tuple(numba.typeof(example) for example in examples))
