"""A side of a comparison: one library's LSTM with given weights, and here nblstm's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numba
import numpy as np

from nblstm.bench.results import OURS
from nblstm.bench.table import Case
from nblstm.layers.recurrent import LSTM
from nblstm.layers.tape import Tape

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
"""Largest difference between two sides' results, relative to the largest entry of a tensor."""


class Problem:
    """The weights, input and upstream gradient that all sides of a case are given; `kind` makes the layer."""

    def __init__(self, case: Case, kind: Callable[..., Any] = LSTM, **options: Any) -> None:
        T, B, I, H, layers, directions = case.shape
        self.case = case
        self.layer = kind(I, H, layers, bidirectional=directions == 2, dtype=case.dtype, seed=0, **options)
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((T, B, I)).astype(case.dtype)
        self.dy = rng.standard_normal((T, B, H * directions)).astype(case.dtype)

    def suffixes(self, layer: int) -> list[str]:
        """Ends of the names of a layer's parameters, one for each direction."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: self.case.shape.directions]


class Side:
    """What is timed. `infer` and `train` return when the work is done, in whatever form the library likes."""

    name: ClassVar[str]
    trains: ClassVar[bool] = True

    def __init__(self, problem: Problem) -> None:
        raise NotImplementedError

    def infer(self) -> Any:
        """The forward pass, keeping nothing."""
        raise NotImplementedError

    def train(self) -> Any:
        """Forward and backward: the gradients of all weights and of x, from weights that have just changed."""
        raise NotImplementedError

    def results(self) -> dict[str, np.ndarray]:
        """y, and for a side that trains dx and each weight's gradient under its name in PyTorch."""
        raise NotImplementedError


class Ours(Side):
    """nblstm."""

    name = OURS

    def __init__(self, problem: Problem) -> None:
        numba.set_num_threads(problem.case.threads)
        self.layer, self.x, self.dy = problem.layer, problem.x, problem.dy
        self.tape: Tape | None = None  # used again from the second training pass on

    def infer(self) -> np.ndarray:
        """y."""
        return self.layer(self.x)[0]

    def train(self) -> np.ndarray | None:
        """dx."""
        with self.layer.editing():
            pass  # a new version of the parameters, as after an optimiser's step: they are packed again
        self.layer.zero_grad()
        self.tape = self.layer.forward(self.x, tape=self.tape)[2]
        return self.layer.backward(self.dy, self.tape)[0]

    def results(self) -> dict[str, np.ndarray]:
        """See `Side`."""
        dx = self.train()
        assert dx is not None
        return {"y": self.infer(), "dx": dx.copy(), **{name: g.copy() for name, g in self.layer.grads.items()}}


def check_same(side: str, ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], dtype: str) -> None:
    """Refuse to go on if the results differ.

    Raises
    ------
    FloatingPointError
        It names the tensor that differs most.
    """
    differences = {
        name: float(np.abs(ours[name] - tensor).max() / np.abs(tensor).max()) for name, tensor in theirs.items()
    }
    worst = max(differences, key=lambda name: np.nan_to_num(differences[name], nan=np.inf))
    if not differences[worst] <= TOLERANCE[dtype]:
        raise FloatingPointError(
            f"{side} and {OURS} differ in {worst} by {differences[worst]:.1e} of its largest entry, where "
            f"{TOLERANCE[dtype]:.0e} is allowed in {dtype}: there is nothing to time"
        )
