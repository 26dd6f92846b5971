"""What layers share that read an array (..., F) and return one of the same shape; subclasses write two functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from nblstm.arguments import as_flag, check_array
from nblstm.layers.checks import check_grads
from nblstm.layers.composed import Composed
from nblstm.layers.layer import Layer
from nblstm.layers.parameters import Block
from nblstm.layers.recording import Record, check_tape


def in_dtype_of(layer: Layer | Composed, name: str, array: np.ndarray) -> np.ndarray:
    """`array`, which must be of the layer's dtype, or, where the layer has none, float32 or float64."""
    own = np.dtype("float64") if getattr(array, "dtype", None) == np.float64 else np.dtype("float32")
    return check_array(name, array, own if layer.dtype is None else layer.dtype)


def in_order(array: np.ndarray) -> np.ndarray:
    """`array` in C order and aligned, a copy if need be: NumPy's sums depend on the order in memory by a bit."""
    return np.require(array, requirements=["C", "A"])


class FeatureLayer(Layer, ABC):
    """Arrays (..., F) in, arrays of the same shape out.

    A subclass writes `_compute` and `_derive`, and sets `in_features` where F is not free.
    """

    in_features: int | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y (..., F) for x (..., F), float32 or float64: a fresh array; nothing is kept.

        Raises
        ------
        TypeError, ValueError
            x of another dtype or width.
        """
        return self._compute(self._checked(x))[0]

    def forward(self, x: np.ndarray, tape: Record | None = None) -> tuple[np.ndarray, Record]:
        """As the call, but y is read-only, and the tape keeps what `backward` needs.

        x may be kept by reference and must not change before backward.
        """
        if tape is not None:
            check_tape(self, tape)  # before a key is drawn
        return self.record(tape, *self._compute(self._checked(x)))

    def backward(
        self, dy: np.ndarray, tape: Record, need_dx: bool = True, grads: Block | None = None
    ) -> np.ndarray | None:
        """dx, in the shape of dy and y, or None without `need_dx`; adds the parameters' gradients, if there are any.

        Raises
        ------
        RuntimeError
            A second backward on one forward, or parameters written since.
        TypeError, ValueError
            dy of another dtype or shape; a tape of another layer.
        """
        block, need_dx = check_grads(self, grads), as_flag("need_dx", need_dx)
        dy, kept = self.replay(tape, dy)
        dx = self._derive(in_order(dy), kept, block)
        return dx if need_dx else None

    def _checked(self, x: np.ndarray) -> np.ndarray:
        x = in_dtype_of(self, "x", x)
        if x.ndim < 1 or self.in_features not in (None, x.shape[-1]):
            raise ValueError(f"x must have shape (..., {self.in_features or 'F'}), got {x.shape}")
        return in_order(x)

    @abstractmethod
    def _compute(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        """y as a fresh array, and what `_derive` needs."""

    @abstractmethod
    def _derive(self, dy: np.ndarray, kept: Any, grads: Block) -> np.ndarray:
        """dx as a fresh array; the parameters' gradients are added to `grads`."""
