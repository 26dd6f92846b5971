"""The grid of recurrent nets that the tests walk, random problems for them, and one way to run and compare them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import naive
import numpy as np

import nblstm
from nblstm.cells import CELLS
from support.own_cells import COUPLED, STAGED

Results = dict[str, np.ndarray]

WITHOUT_TWIN = {"slstm": CELLS["slstm"], "own": COUPLED, "staged": STAGED}
"""Cells that `naive` does not have: the one with the most states; as users write them one, and one of two stages."""


@dataclass(frozen=True)
class Case:
    """One net of the grid, and sizes (T, B, I, H), by default small, odd and unequal; every field is an axis."""

    cell: str = "lstm"
    formulation: str = "split"
    num_layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    lengths: bool = False
    batch_first: bool = False
    sizes: tuple[int, int, int, int] = (5, 3, 2, 7)
    layer_norm: bool = False

    @property
    def is_lstm(self) -> bool:
        return self.cell in ("lstm", "peephole")

    @property
    def states(self) -> tuple[str, ...]:
        """The names of what the cell carries from step to step."""
        return (WITHOUT_TWIN | CELLS)[self.cell].states

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def __str__(self) -> str:
        flags = [name for name in ("bidirectional", "lengths", "batch_first", "layer_norm") if getattr(self, name)]
        flags += [] if self.bias else ["nobias"]
        flags += [] if self.sizes == Case.sizes else ["x".join(map(str, self.sizes))]
        return "-".join([self.cell, self.formulation, f"{self.num_layers}layer", *flags])

    def layer(
        self, dtype: str = "float64", seed: int = 1, checkpoint: int | None = None, dropout: float = 0.0
    ) -> nblstm.LSTM | nblstm.GRU | nblstm.RNN:
        """The package's layer for this case."""
        _, _, I, H = self.sizes
        common = {
            "num_layers": self.num_layers,
            "bias": self.bias,
            "batch_first": self.batch_first,
            "bidirectional": self.bidirectional,
            "formulation": self.formulation,
            "dtype": dtype,
            "seed": seed,
            "checkpoint": checkpoint,
            "dropout": dropout,
            "layer_norm": self.layer_norm,
        }
        layer = self._made(I, H, common)
        with layer.editing() as p:
            for name in p:
                if name.startswith("gain"):  # else all are 1
                    p[name][...] = np.random.default_rng(seed).uniform(0.5, 1.5, p[name].shape)
        return layer

    def _made(self, I: int, H: int, common: dict[str, Any]) -> nblstm.LSTM | nblstm.GRU | nblstm.RNN:
        if self.cell in WITHOUT_TWIN:
            return nblstm.Recurrent(WITHOUT_TWIN[self.cell], I, H, **common)
        if self.is_lstm:
            return nblstm.LSTM(I, H, peephole=self.cell == "peephole", **common)
        if self.cell in ("gru", "gru_original"):
            del common["formulation"]
            return nblstm.GRU(I, H, reset_after=self.cell == "gru", **common)
        return nblstm.RNN(I, H, nonlinearity=self.cell.removeprefix("rnn_"), **common)

    def naive(self, params: Mapping[str, np.ndarray]) -> naive.Net:
        """The reference for this case, in float64 whatever the parameters are."""
        wide = {name: tensor.astype("float64") for name, tensor in params.items()}
        return naive.Net(self.cell, wide, self.num_layers, self.bidirectional, self.batch_first)


def grid(**axes: Iterable) -> list[Case]:
    """Every combination of the given axes, the others at their defaults; a GRU has no concatenated formulation."""
    cases = [Case(**dict(zip(axes, values, strict=True))) for values in product(*axes.values())]
    return [case for case in cases if not (case.cell.startswith("gru") and case.formulation == "concat")]


BOTH = (False, True)
WHOLE_GRID = grid(
    cell=naive.KNOWN,
    formulation=("split", "concat"),
    num_layers=(1, 2, 3),
    bidirectional=BOTH,
    bias=BOTH,
    lengths=BOTH,
    batch_first=BOTH,
)


@dataclass(frozen=True)
class Problem:
    """Input, initial state, lengths, and an upstream gradient for every output; None where the case has none."""

    x: np.ndarray
    h_0: np.ndarray | None
    c_0: np.ndarray | None
    lengths: np.ndarray | None
    dy: np.ndarray
    dh_n: np.ndarray
    dc_n: np.ndarray | None
    n_0: np.ndarray | None = None
    m_0: np.ndarray | None = None
    dn_n: np.ndarray | None = None
    dm_n: np.ndarray | None = None

    @classmethod
    def draw(cls, case: Case, rng: np.random.Generator, dtype: str = "float64") -> Problem:
        """Normal numbers everywhere, but for the sLSTM's n, by which it divides."""

        def normal(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape).astype(dtype)

        T, B, I, H = case.sizes
        rows = (B, T) if case.batch_first else (T, B)

        def state(name: str) -> np.ndarray | None:
            return normal(case.num_layers * case.directions, B, H) if name in case.states else None

        drawn = cls(
            x=normal(*rows, I),
            h_0=state("h"),
            c_0=state("c"),
            lengths=rng.integers(1, T + 1, B) if case.lengths else None,
            dy=normal(*rows, H * case.directions),
            dh_n=state("h"),
            dc_n=state("c"),
            n_0=state("n"),
            m_0=state("m"),
            dn_n=state("n"),
            dm_n=state("m"),
        )
        return drawn if drawn.n_0 is None else replace(drawn, n_0=1 + np.abs(drawn.n_0))

    @property
    def state(self):
        """The initial state as the layer takes it."""
        if self.dc_n is None:
            return self.h_0
        return (self.h_0, self.c_0) if self.dn_n is None else (self.h_0, self.c_0, self.n_0, self.m_0)

    @property
    def dstate(self):
        """The gradient of the final state as the layer takes it."""
        if self.dc_n is None:
            return self.dh_n
        return (self.dh_n, self.dc_n) if self.dn_n is None else (self.dh_n, self.dc_n, self.dn_n, self.dm_n)

    def astype(self, dtype: str) -> Problem:
        """The same numbers, rounded."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "lengths"}
        return replace(
            self, **{name: array if array is None else array.astype(dtype) for name, array in arrays.items()}
        )


def named(y, state, dx, dstate, grads: Mapping[str, np.ndarray]) -> Results:
    """Outputs and gradients under one set of names; an RNN's bare state counts as (h,)."""
    state, dstate = (value if isinstance(value, tuple) else (value,) for value in (state, dstate))
    return (
        {"y": y, "dx": dx}
        | dict(zip(("h_n", "c_n", "n_n", "m_n"), state, strict=False))
        | dict(zip(("dh_0", "dc_0", "dn_0", "dm_0"), dstate, strict=False))
        | {f"grad {name}": tensor for name, tensor in grads.items()}
    )


def run_layer(layer: nblstm.LSTM | nblstm.GRU | nblstm.RNN, problem: Problem, tape=None) -> Results:
    """The package: forward, then backward from every output; copies, for the tape's memory is used again."""
    grads = layer.new_grads()
    y, state, tape = layer.forward(problem.x, problem.state, problem.lengths, tape)
    y, state = y.copy(), copy.deepcopy(state)
    dx, dstate = layer.backward(problem.dy, tape, problem.dstate, grads=grads)
    return copy.deepcopy(named(y, state, dx, dstate, grads))


def run_and_call(layer: nblstm.LSTM | nblstm.GRU | nblstm.RNN, problem: Problem) -> Results:
    """`run_layer`, and what the layer gives when it is called, which keeps nothing and goes its own way."""
    y, state = layer(problem.x, problem.state, problem.lengths)
    members = state if isinstance(state, tuple) else (state,)
    called = {"called y": y} | {
        f"called {name}_n": member for name, member in zip(layer.cell.states, members, strict=True)
    }
    return run_layer(layer, problem) | called


def run_naive(case: Case, params: Mapping[str, np.ndarray], problem: Problem) -> Results:
    """The NumPy reference, in float64."""
    net, p = case.naive(params), problem.astype("float64")
    y, h_n, c_n, record = naive.forward(net, p.x, p.h_0, p.c_0, p.lengths)
    dx, dh_0, dc_0, grads = naive.backward(net, record, p.dy, p.dh_n, p.dc_n)
    if case.is_lstm:
        return named(y, (h_n, c_n), dx, (dh_0, dc_0), grads)
    return named(y, h_n, dx, dh_0, grads)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """max |found - expected| over max |expected|."""
    scale = np.abs(expected).max(initial=0)
    difference = np.abs(found - expected).max(initial=0)
    return float(difference / scale) if scale else float(difference)


def assert_agree(found: Results, expected: Results, tolerance: float) -> None:
    """The same names and shapes, and no tensor further off than `tolerance`; a failure lists all that are."""
    assert found.keys() == expected.keys()
    assert {name: array.shape for name, array in found.items()} == {
        name: array.shape for name, array in expected.items()
    }
    errors = {name: error(found[name], expected[name]) for name in expected}
    assert not {name: f"{e:.1e}" for name, e in errors.items() if not e <= tolerance}
