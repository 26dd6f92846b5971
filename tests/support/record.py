"""Writes check/torch.npz: PyTorch's outputs and gradients in float64; by hand, in tests/: python -m support.record.

The file is part of the package: every test run, and `nblstm check` wherever it is installed, hold it against PyTorch's
numbers, with or without PyTorch.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import numpy as np

from nblstm.check.recorded import RECORDED, recorded
from support.cases import Case, Problem, Results

CASES = [
    Case("rnn_tanh", num_layers=2, bidirectional=True, lengths=True),
    Case("rnn_relu", num_layers=2, bidirectional=True, lengths=True),
    Case("rnn_tanh", batch_first=True, bias=False),
    Case("lstm"),
    Case("lstm", bias=False, batch_first=True),
    Case("lstm", num_layers=2, lengths=True),
    Case("lstm", num_layers=2, bidirectional=True, lengths=True, batch_first=True),
    Case("gru", batch_first=True, bias=False),
    Case("gru", num_layers=2, bidirectional=True, lengths=True),
]


def load(case: Case) -> tuple[dict[str, np.ndarray], Problem, Results]:
    """The recorded parameters, problem and PyTorch's results of one case."""
    found = recorded()[str(case)]
    problem = Problem(**{field.name: found.problem.get(field.name) for field in fields(Problem)})
    return found.params, problem, found.results


def form(case: Case) -> dict[str, Any]:
    """The arguments of the layer of a case, as plain data."""
    layer = case.layer()
    names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional"]
    return {"cell": case.cell} | {name: getattr(layer, name) for name in names}


def record() -> None:
    """Draw, run PyTorch, write."""
    from support.torch_peer import module, run_torch

    rng = np.random.default_rng(2)
    arrays = {}
    for case in CASES:
        shapes = {name: tuple(tensor.shape) for name, tensor in module(case).named_parameters()}
        params = {name: rng.uniform(-0.6, 0.6, shape) for name, shape in shapes.items()}
        problem = Problem.draw(case, rng)
        inputs = {field.name: getattr(problem, field.name) for field in fields(Problem)}
        parts = {"params": params, "problem": inputs, "results": run_torch(case, params, problem)}
        for part, tensors in parts.items():
            arrays |= {f"{case}/{part}/{name}": array for name, array in tensors.items() if array is not None}
        arrays[f"{case}/form"] = np.array(json.dumps(form(case)))
    np.savez_compressed(RECORDED, **arrays)
    print(f"{RECORDED}: {len(CASES)} cases, {RECORDED.stat().st_size:,} bytes")


if __name__ == "__main__":
    record()
