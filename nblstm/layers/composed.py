"""What everything made of layers has: the parts under names, and their parameters as one state dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from nblstm.arguments import check_kind
from nblstm.layers import parameters
from nblstm.layers.layer import Layer
from nblstm.layers.parameters import Block, Views
from nblstm.layers.recording import Recorder


class Composed(Recorder):
    """Layers under names, of one dtype; a subclass adds how the data flow through them.

    Its `forward` begins with `rewind`, calls the forward of each part, and ends with `record`; its `backward` begins
    with `replay` and calls the backward of each part. Optimisers, `clip_grad_norm` and `gradcheck` take it as they take
    a layer; docs/layers.md shows how to write one. A chain comes ready: `Sequential`.

    Parameters
    ----------
    parts : mapping of str to Layer or Composed
        The parts under the names that stand before those of their parameters.

    Attributes
    ----------
    parts : dict of str to Layer or Composed
        As given.
    layers : list of Layer
        All layers, those of composed parts as well.
    params, grads : dict of str to numpy.ndarray
        Under names such as ``"lstm.weight_ih_l0"``.

    Raises
    ------
    TypeError
        No mapping, or a part that is no layer.
    ValueError
        No part, a layer in two places, an empty name or one with a dot, or layers of different dtypes.

    Examples
    --------
    >>> import numpy as np
    >>> import nblstm
    >>> class Sum(nblstm.Composed):
    ...     def __init__(self):
    ...         super().__init__({"left": nblstm.Linear(3, 2, seed=0), "right": nblstm.Linear(4, 2, seed=1)})
    ...     def forward(self, x, z, tape=None):
    ...         left, right = self.rewind(tape, 2)
    ...         a, left = self.parts["left"].forward(x, left)
    ...         b, right = self.parts["right"].forward(z, right)
    ...         return self.record(tape, a + b, (left, right))
    ...     def backward(self, dy, tape):
    ...         dy, (left, right) = self.replay(tape, dy)
    ...         return self.parts["left"].backward(dy, left), self.parts["right"].backward(dy, right)
    >>> net = Sum()
    >>> y, tape = net.forward(np.ones((5, 3), "float32"), np.ones((5, 4), "float32"))
    >>> dx, dz = net.backward(y, tape)
    >>> list(net.state_dict()), dx.shape, dz.shape
    (['left.weight', 'left.bias', 'right.weight', 'right.bias'], (5, 3), (5, 4))
    """

    def __init__(self, parts: Mapping[str, Layer | Composed]) -> None:
        check_kind("parts", parts, Mapping)
        self.parts: dict[str, Any] = dict(parts)
        for name, part in self.parts.items():
            if not isinstance(part, (Layer, Composed)):
                raise TypeError(f"parts must be layers or composed of layers, got {type(part).__name__} at {name!r}")
            if not isinstance(name, str) or not name or "." in name:
                raise ValueError(f"parts must have names without a dot, got {name!r}")
        if not self.parts:
            raise ValueError("parts must hold at least one layer, got none")
        named = self.named_layers()
        self.layers: list[Any] = list(named.values())
        if len({id(layer) for layer in self.layers}) != len(self.layers):
            raise ValueError("layers must hold each layer once, got one of them twice")
        typed = [(name, layer.dtype) for name, layer in named.items() if layer.dtype is not None]
        for name, dtype in typed[1:]:
            if dtype != typed[0][1]:
                raise ValueError(
                    f"layers must have one dtype, got {typed[0][1]} in layer {typed[0][0]} and {dtype} in layer {name}"
                )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={part!r}' for name, part in self.parts.items())})"

    def named_layers(self) -> dict[str, Layer]:
        """All layers under their whole names, such as ``"encoder.lstm"`` for the layer of a part of a part."""
        found: dict[str, Layer] = {}
        for name, part in self.parts.items():
            inner = part.named_layers() if isinstance(part, Composed) else {}
            found |= {f"{name}.{below}": layer for below, layer in inner.items()} or {name: part}
        return found

    @property
    def dtype(self) -> np.dtype:
        """Of parameters, outputs and state; None where no layer has parameters."""
        return cast(np.dtype, next((layer.dtype for layer in self.layers if layer.dtype is not None), None))

    @property
    def version(self) -> float:
        """Goes up with every write to the parameters of a layer; NaN during one."""
        return sum(layer.version for layer in self.layers)

    @property
    def params(self) -> dict[str, np.ndarray]:
        """All parameters, named as by a PyTorch module with the same parts: the layers' own read-only views."""
        return self._views("params")

    @params.setter
    def params(self, value: Any) -> None:
        raise AttributeError(parameters.READ_ONLY)

    @property
    def grads(self) -> dict[str, np.ndarray]:
        """All gradients under the names of `params`: the layers' own views, to read or to write."""
        return self._views("grads")

    def _views(self, kind: str) -> Views:
        return Views(
            {
                f"{where}.{name}": tensor
                for where, layer in self.named_layers().items()
                for name, tensor in getattr(layer, kind).items()
            }
        )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all parameters."""
        return {name: tensor.shape for name, tensor in self.params.items()}

    @property
    def num_parameters(self) -> int:
        """Number of scalars in all parameters."""
        return parameters.count(self.shapes)

    def summary(self) -> str:
        """Name, shape and count of every tensor, and the total, as a table to print."""
        return parameters.summary(repr(self), self.shapes)

    def dropout_state(self) -> dict[str, dict]:
        """Where every layer that drops stands in its draws, by the layer's name: plain data that JSON can hold."""
        return {name: layer.dropout_state() for name, layer in self._dropping().items()}

    def set_dropout_state(self, state: Mapping[str, dict]) -> None:
        """Continue to draw from where `dropout_state` was taken: the next masks are those that came next there.

        Raises
        ------
        TypeError, ValueError
            What a net of other layers gave, or nothing that `dropout_state` gives; this one draws on as before.
        """
        check_kind("state", state, Mapping)
        layers = self._dropping()
        if state.keys() != layers.keys():
            own, given = (", ".join(map(str, names)) or "none" for names in (layers, state))
            raise ValueError(f"state must be that of the layers {own}, got that of {given}")
        before = self.dropout_state()
        try:
            for name, layer in layers.items():
                layer.set_dropout_state(state[name])
        except (KeyError, TypeError, ValueError):
            for name, layer in layers.items():
                layer.set_dropout_state(before[name])
            raise

    def _dropping(self) -> dict[str, Any]:
        """The layers that draw at random, among them such as are one's own."""
        return {name: layer for name, layer in self.named_layers().items() if hasattr(layer, "dropout_state")}

    def zero_grad(self) -> None:
        """Set the gradients of all layers to zero."""
        for layer in self.layers:
            layer.zero_grad()

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter, named as by a PyTorch module with the same parts."""
        return {name: tensor.copy() for name, tensor in self.params.items()}

    def load_state_dict(self, mapping: Mapping[str, np.ndarray]) -> None:
        """Copy every parameter from `mapping`, or, if anything does not fit, none.

        Raises
        ------
        ValueError
            Names missing or unexpected, or shapes that differ; all of them are listed at once.
        TypeError
            A tensor of another dtype.
        """
        expected = Block(self.shapes, np.empty(self.num_parameters, self.dtype))
        parameters.check_fits(type(self).__name__, expected, mapping)
        for layer in self.layers:
            layer.check_editable()
        for where, layer in self.named_layers().items():
            layer.load_state_dict({name: mapping[f"{where}.{name}"] for name in layer.params})
