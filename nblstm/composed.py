"""What everything made of layers has: the layers under names, and their parameters as one state dict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nblstm import parameters
from nblstm.layer import Layer
from nblstm.parameters import Block


class Composed:
    """Layers under names, all of one dtype; a subclass adds how the data flow through them.

    Parameters
    ----------
    parts : mapping of str to Layer
        The layers under the names that stand before those of their parameters.

    Attributes
    ----------
    layers : list of Layer
        What an optimiser takes.
    """

    def __init__(self, parts: Mapping[str, Layer]) -> None:
        self._parts = dict(parts)
        self.layers = list(parts.values())

    @property
    def dtype(self) -> np.dtype:
        """Of parameters, outputs and state."""
        return self.layers[0].dtype

    @property
    def params(self) -> dict[str, np.ndarray]:
        """All parameters, named as by a PyTorch module with the same parts: the layers' own read-only views."""
        return {
            f"{part}.{name}": tensor for part, layer in self._parts.items() for name, tensor in layer.params.items()
        }

    @property
    def grads(self) -> dict[str, np.ndarray]:
        """All gradients under the names of `params`: the layers' own views, to read or to write."""
        return {f"{part}.{name}": tensor for part, layer in self._parts.items() for name, tensor in layer.grads.items()}

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
        for part, layer in self._parts.items():
            layer.load_state_dict({name: mapping[f"{part}.{name}"] for name in layer.params})
