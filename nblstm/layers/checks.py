"""Checks that the layers share: tapes, blocks of gradients, states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from nblstm.arguments import as_integers, check_array
from nblstm.layers.layer import Layer
from nblstm.layers.parameters import Block, fit_for_kernels
from nblstm.layers.recording import AnyTape, check_awaits, check_tape

__all__ = [
    "AnyTape", "Given", "GivenPair", "Pair", "Returned", "State", "check_backward", "check_grads", "check_lengths",
    "check_tape", "join_state", "read_only", "state_members",
]  # fmt: skip

State = Any
"""A tuple of arrays, for the LSTM a pair (h, c), any of which may be None; of a cell with h alone h, or None."""

TUPLES = {2: "pair", 3: "triple"}

Given = TypeVar("Given")
"""The state that a class of layers is given, where it is not None; for type checkers."""

Returned = TypeVar("Returned")
"""The state that it returns."""

GivenPair = tuple[np.ndarray | None, np.ndarray | None]
Pair = tuple[np.ndarray, np.ndarray]


def check_backward(layer: Layer, tape: AnyTape, grads: Block | None) -> Block:
    """A backward may run on `tape` now; returns the block to add to."""
    check_awaits(layer, tape)
    return check_grads(layer, grads)


def check_grads(layer: Layer, grads: Block | None) -> Block:
    """The block to add to: the layer's own, or one that its `new_grads` gave."""
    name, block = ("layer.grads", layer.grads) if grads is None else ("grads", grads)
    fits = isinstance(block, Block) and block.shapes == layer.params.shapes
    if not fits or not fit_for_kernels(block.flat, layer.num_parameters, layer.params.flat.dtype):
        raise ValueError(f"{name} must be a writable block that this layer's new_grads() returned")
    return block


def state_members(
    name: str, state: State, states: Sequence[str], dtype: np.dtype, shape: tuple[int, ...]
) -> list[np.ndarray | None]:
    """The arrays of a state as a list, one for each of `states`, each None or of the dtype and shape."""
    if len(states) == 1:
        members, labels = [state], [name]
    elif state is None:
        return [None] * len(states)
    elif isinstance(state, (tuple, list)) and len(state) == len(states):
        members, labels = list(state), [f"{name}[{k}]" for k in range(len(states))]
    else:
        got = f"{len(state)} members" if isinstance(state, (tuple, list)) else type(state).__name__
        raise TypeError(f"{name} must be a {TUPLES.get(len(states), 'tuple')} ({', '.join(states)}), got {got}")
    return [
        None if member is None else check_array(label, member, dtype, shape)
        for label, member in zip(labels, members, strict=True)
    ]


def join_state(members: Sequence[np.ndarray]) -> State:
    """The reverse of `state_members`: (h, c) for instance, or h alone."""
    return tuple(members) if len(members) > 1 else members[0]


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_lengths(lengths: Sequence[int] | np.ndarray, T: int, B: int, name: str = "lengths") -> np.ndarray:
    """Lengths as integers (B,) in 0..T."""
    found = as_integers(name, lengths)
    if found.shape != (B,):
        raise ValueError(f"{name} must have shape ({B},), got {found.shape}")
    if B and not (found.min() >= 0 and found.max() <= T):
        wrong = int(np.flatnonzero((found < 0) | (found > T))[0])
        raise ValueError(f"{name} must be in 0..{T}, got {name}[{wrong}] = {found[wrong]}")
    return found
