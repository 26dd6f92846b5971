"""Outputs and gradients that PyTorch computed once, in float64, and how far ours are from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nblstm.layers import Recurrent

RECORDED = Path(__file__).parent / "torch.npz"
Arrays = dict[str, np.ndarray]


class Recording(NamedTuple):
    """One net: the arguments of `Recurrent`, its parameters, what went in, and what PyTorch made of it.

    `problem` has x, h_0, c_0, lengths and the gradients dy, dh_n, dc_n, those that there are; `results` has y, h_n,
    c_n, dx, dh_0, dc_0 and the parameters' gradients as ``"grad NAME"``.
    """

    form: dict[str, Any]
    params: Arrays
    problem: Arrays
    results: Arrays


def recorded() -> dict[str, Recording]:
    """All recordings by the name of their case."""
    found: dict[str, Recording] = {}
    with np.load(RECORDED) as archive:
        for key in archive.files:
            if key.endswith("/form"):
                found[key.removesuffix("/form")] = Recording(json.loads(str(archive[key])), {}, {}, {})
        for key in archive.files:
            if not key.endswith("/form"):
                case, part, name = key.split("/")
                getattr(found[case], part)[name] = archive[key]
    return found


def largest_error(recording: Recording) -> float:
    """max |ours - PyTorch's| of a tensor over its max |PyTorch's|, the worst of all outputs and gradients."""
    form, params, problem, results = recording
    layer: Any = Recurrent(**form, dtype="float64", seed=0)
    layer.load_state_dict(params)
    states = [tuple(problem[name + end] for name in names if name + end in problem) for names, end in STATES]
    state, dstate = (members if len(layer.cell.states) > 1 else members[0] for members in states)
    y, last, tape = layer.forward(problem["x"], state, problem.get("lengths"))
    found = {"y": y.copy()} | _named(("h_n", "c_n"), last)
    dx, dfirst = layer.backward(problem["dy"], tape, dstate)
    found |= {"dx": dx} | _named(("dh_0", "dc_0"), dfirst)
    found |= {f"grad {name}": gradient for name, gradient in layer.grads.items()}
    errors = [np.abs(found[name] - array).max() / np.abs(array).max() for name, array in results.items()]
    return float(np.max(errors))  # NaN if any is


STATES = ((("h", "c"), "_0"), (("dh", "dc"), "_n"))


def _named(names: tuple[str, str], state: Any) -> Arrays:
    members = state if isinstance(state, tuple) else (state,)
    return {name: member.copy() for name, member in zip(names, members, strict=False)}
