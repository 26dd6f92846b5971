"""The reference itself: against PyTorch's recorded values, centred differences, and the other formulation."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from support import record
from support.cases import Case, Problem, assert_agree, grid, run_naive


def random_params(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Parameters under the names of the split formulation, made without the package."""
    _, _, I, H = case.sizes
    rows = naive.KNOWN[case.cell][0] * H
    shapes = {}
    for layer in range(case.num_layers):
        for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: case.directions]:
            shapes |= {
                f"weight_ih{suffix}": (rows, H * case.directions if layer else I),
                f"weight_hh{suffix}": (rows, H),
            }
            shapes |= {f"bias_ih{suffix}": (rows,), f"bias_hh{suffix}": (rows,)} if case.bias else {}
            shapes |= {f"weight_peephole{suffix}": (3, H)} if case.cell == "peephole" else {}
    return {name: rng.uniform(-0.6, 0.6, shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("case", record.CASES, ids=str)
def test_matches_values_recorded_from_pytorch(case):
    params, problem, expected = record.load(case)
    assert_agree(run_naive(case, params, problem), expected, 1e-13)


@pytest.mark.parametrize(
    "case",
    grid(cell=naive.KNOWN, num_layers=[2], bidirectional=[False, True], lengths=[True], batch_first=[False, True]),
    ids=str,
)
def test_gradients_match_centred_differences(case, rng):
    """One random direction through all tensors at once, which sees every gradient."""
    params, problem = random_params(case, rng), Problem.draw(case, rng)
    analytic = run_naive(case, params, problem)
    inputs = {"x": problem.x, "h_0": problem.h_0} | ({"c_0": problem.c_0} if case.is_lstm else {})
    directions = {name: rng.standard_normal(array.shape) for name, array in (params | inputs).items()}
    upstream = {"y": problem.dy, "h_n": problem.dh_n} | ({"c_n": problem.dc_n} if case.is_lstm else {})

    def loss(step: float) -> float:
        moved = {name: array + step * directions[name] for name, array in (params | inputs).items()}
        state = (moved["h_0"], moved.get("c_0"))
        y, h_n, c_n, _ = naive.forward(case.naive(moved), moved["x"], *state, problem.lengths)
        return sum(
            np.vdot(upstream[name], output)
            for name, output in (("y", y), ("h_n", h_n), ("c_n", c_n))
            if name in upstream
        )

    numeric = (loss(1e-6) - loss(-1e-6)) / 2e-6
    names = {name: f"grad {name}" for name in params} | {name: f"d{name}" for name in inputs}
    projected = sum(np.vdot(directions[name], analytic[names[name]]) for name in directions)
    assert numeric == pytest.approx(projected, rel=1e-8)


@pytest.mark.parametrize("cell", [cell for cell in naive.CELLS if cell != "gru"])
def test_concatenated_weights_are_the_split_ones_side_by_side(cell, rng):
    case = Case(cell)
    params, problem = random_params(case, rng), Problem.draw(case, rng)
    joined = {
        "weight_l0": np.hstack([params["weight_hh_l0"], params["weight_ih_l0"]]),
        "bias_l0": params["bias_ih_l0"] + params["bias_hh_l0"],
    } | {name: tensor for name, tensor in params.items() if "peephole" in name}
    split, concat = run_naive(case, params, problem), run_naive(case, joined, problem)
    split["grad weight_l0"] = np.hstack([split.pop("grad weight_hh_l0"), split.pop("grad weight_ih_l0")])
    split["grad bias_l0"] = split.pop("grad bias_ih_l0")
    del split["grad bias_hh_l0"]
    assert_agree(concat, split, 1e-14)
