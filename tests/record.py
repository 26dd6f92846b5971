"""Writes golden/torch.npz: PyTorch's outputs and gradients in float64. Run by hand: python tests/record.py.

The file is committed, so that every test run holds the package against PyTorch's numbers, with or without PyTorch.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
from cases import Case, Problem, Results

GOLDEN = Path(__file__).parent / "golden" / "torch.npz"
CASES = [
    Case("rnn_tanh", num_layers=2, bidirectional=True, lengths=True),
    Case("rnn_relu", num_layers=2, bidirectional=True, lengths=True),
    Case("rnn_tanh", batch_first=True, bias=False),
    Case("lstm"),
    Case("lstm", bias=False, batch_first=True),
    Case("lstm", num_layers=2, lengths=True),
    Case("lstm", num_layers=2, bidirectional=True, lengths=True, batch_first=True),
]


def load(case: Case) -> tuple[dict[str, np.ndarray], Problem, Results]:
    """The recorded parameters, problem and PyTorch's results of one case."""
    parts: dict[str, dict[str, np.ndarray]] = {"params": {}, "problem": {}, "results": {}}
    with np.load(GOLDEN) as archive:
        for key in archive.files:
            name, part, tensor = key.split("/")
            if name == str(case):
                parts[part][tensor] = archive[key]
    problem = Problem(**{field.name: parts["problem"].get(field.name) for field in fields(Problem)})
    return parts["params"], problem, parts["results"]


def record() -> None:
    """Draw, run PyTorch, write."""
    from torch_peer import module, run_torch

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
    np.savez_compressed(GOLDEN, **arrays)
    print(f"{GOLDEN}: {len(CASES)} cases, {GOLDEN.stat().st_size:,} bytes")


if __name__ == "__main__":
    record()
