"""What a gradient check moves and asks: a layer or a net, with its inputs, as one function of named tensors."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nblstm.layers.checks import State, join_state
from nblstm.layers.composed import Composed
from nblstm.layers.dropout_keys import DropoutKeys
from nblstm.layers.layer import Layer
from nblstm.layers.sequence import SequenceLayer
from nblstm.layers.sequential import Sequential
from nblstm.layers.single_step import CellLayer


class Subject:
    """A layer or net with its inputs and initial state; moved during the check, and restored.

    `inputs` are the arrays that have a gradient besides the parameters: x, or by the names of forward's arguments, and
    the initial states. Dropout drops in every pass what it will drop next.
    """

    def __init__(self, layer: Any, x: Any, state: State, lengths: Any) -> None:
        self.layer, self.lengths = layer, lengths
        self.layers: dict[str, Layer] = layer.named_layers() if isinstance(layer, Composed) else {"": layer}
        self.stateful = isinstance(layer, (SequenceLayer, CellLayer, Sequential))
        if state is not None and not self.stateful:
            raise TypeError(f"state must be None for {type(layer).__name__}, which has none")
        if lengths is not None and not isinstance(layer, (SequenceLayer, Sequential)) and not layer.reads_lengths:
            raise TypeError(f"lengths must be None for {type(layer).__name__}, which reads no sequences")
        several = isinstance(x, tuple) and not self.stateful
        self.given = tuple(one.copy() if isinstance(one, np.ndarray) else one for one in (x if several else (x,)))
        names = list(inspect.signature(layer.forward).parameters) if several else ["x"]
        self.names = names[: len(self.given)]
        self.inputs = {
            name: one
            for name, one in zip(self.names, self.given, strict=False)
            if isinstance(one, np.ndarray) and one.dtype.kind == "f"
        }
        dtype = getattr(self.given[0], "dtype", type(self.given[0]).__name__) if layer.dtype is None else layer.dtype
        if dtype != np.float64:
            what, way = ("x", "") if layer.dtype is None else ("layer", "; build it with dtype='float64'")
            raise TypeError(f"{what} must be float64 for centred differences, got {dtype}{way}")
        self.saved = [(one.flat_params.copy(), one.flat_grads.copy()) for one in self.layers.values()]
        self.keys = {name: one.dropout_state() for name, one in self.layers.items() if isinstance(one, DropoutKeys)}
        self.initial: dict[str, np.ndarray] = {}
        if self.stateful:
            finals = self._by_name(self._pass(state)[-2])
            members = self._by_name(state)
            for name, final in finals.items():
                member = members.get(name)
                self.initial[name] = np.zeros_like(final) if member is None else member.copy()
            self.inputs |= self.initial

    @property
    def tensors(self) -> Mapping[str, np.ndarray]:
        """All that has a gradient."""
        return {**self.layer.params, **self.inputs}

    def put(self, name: str, values: np.ndarray) -> None:
        """Give one tensor new values."""
        if name in self.inputs:
            self.inputs[name][...] = values
        else:
            where, _, own = name.rpartition(".")
            with self.layers[where].editing() as p:
                p[own][...] = values

    def restore(self) -> None:
        """Parameters, gradients and keys as they were, to the last bit."""
        for layer, (params, grads) in zip(self.layers.values(), self.saved, strict=True):
            with layer.editing() as p:
                p.flat[:] = params
            layer.flat_grads[:] = grads
        self._set_keys()

    def forward(self) -> tuple[list[np.ndarray], Any]:
        """Every output as an array of its own, and the tape."""
        *outputs, tape = self._pass(self._joined(self.initial.values()))
        if self.stateful:
            return [*outputs[:-1], *self._by_name(outputs[-1]).values()], tape
        (y,) = outputs
        self.several = isinstance(y, tuple)
        return list(y) if self.several else [y], tape

    def backward(self, upstream: list[np.ndarray]) -> dict[str, np.ndarray]:
        """The analytic gradient of every tensor."""
        _, tape = self.forward()
        for layer in self.layers.values():
            layer.zero_grad()
        dstate: State = None
        if isinstance(self.layer, CellLayer):
            dx, dstate = self.layer.backward(self._joined(upstream), tape)
        elif self.stateful:
            dx, dstate = self.layer.backward(upstream[0], tape, self._joined(upstream[1:]))
        else:
            dx = self.layer.backward(tuple(upstream) if self.several else upstream[0], tape)
        found = {name: gradient.copy() for name, gradient in self.layer.grads.items()}
        every = dict(zip(self.names, dx if isinstance(dx, tuple) else (dx,), strict=False)) | self._by_name(dstate)
        for name, one in self.inputs.items():
            gradient: Any = every.get(name)
            if np.shape(gradient) != one.shape:
                raise ValueError(
                    f"backward must return the gradient of {name}, of shape {one.shape}, got "
                    f"{type(gradient).__name__} of shape {np.shape(gradient)}"
                )
            found[name] = np.asarray(gradient)
        return found

    def _pass(self, state: State) -> tuple[Any, ...]:
        self._set_keys()
        options = {} if self.lengths is None else {"lengths": self.lengths}
        found: tuple[Any, ...] = self.layer.forward(*self.given, *([state] if self.stateful else []), **options)
        return found

    def _set_keys(self) -> None:
        for name, keys in self.keys.items():
            layer: Any = self.layers[name]
            layer.set_dropout_state(keys)

    def _stateful_parts(self) -> dict[str, Any]:
        """Every part with a state, by what stands before the names of its states; None of a `Sequential` has none."""
        if isinstance(self.layer, Sequential):
            parts = self.layer.parts.items()
            return {f"{name}.": part if isinstance(part, SequenceLayer) else None for name, part in parts}
        return {"": self.layer}

    def _by_name(self, state: State) -> dict[str, Any]:
        """The arrays of a state, or of a list of states, by their names."""
        parts = self._stateful_parts() if self.stateful else {}
        found = {}
        for own, (where, part) in zip(self._list_of(state), parts.items(), strict=False):
            for k, name in enumerate(part.cell.states if part else ()):
                single = len(part.cell.states) == 1
                found[f"{where}{name}_0"] = own if single or own is None else own[k]
        return found

    def _list_of(self, state: State) -> list[Any]:
        """One state for each part."""
        if not isinstance(self.layer, Sequential):
            return [state]
        return [None] * len(self.layer.parts) if state is None else list(state)

    def _joined(self, members: Iterable[np.ndarray]) -> State:
        """The reverse of `_by_name`: a state, or a list of states, of these arrays."""
        if not self.stateful:
            return None
        left = iter(members)
        joined = [
            join_state([next(left) for _ in part.cell.states]) if part else None
            for part in self._stateful_parts().values()
        ]
        return joined if isinstance(self.layer, Sequential) else joined[0]
