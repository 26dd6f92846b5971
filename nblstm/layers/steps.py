"""Inference over sequences so short that calls cost the most: one compiled call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nblstm.layers.engine import Engine


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
    packs.run(T if B else 0, B, x.reshape(-1), h, c, y.reshape(-1))
    if y is not out:
        out[...] = y
    return members if len(members) <= 2 else [members[0], *c.reshape(-1, *form)]
