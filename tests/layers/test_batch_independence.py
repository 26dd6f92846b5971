"""What a sequence gives does not depend on the others in its batch: not on how many, not on which, to the last bit."""

from __future__ import annotations

from dataclasses import fields, replace

import naive
import numpy as np
import pytest
from support.cases import BOTH, Problem, Results, assert_agree, grid, run_and_call

B = 100
CASES = grid(
    cell=naive.KNOWN,
    formulation=("split", "concat"),
    num_layers=(2,),
    bidirectional=(True,),
    lengths=BOTH,
    sizes=[(6, B, 3, 13), (3, B, 20, 130)],
)


def only(problem: Problem, rows: list[int]) -> Problem:
    """The problem of these sequences, in this order."""
    arrays = {field.name: getattr(problem, field.name) for field in fields(problem)}
    chosen = {
        name: array[rows] if name == "lengths" else np.ascontiguousarray(array[:, rows])
        for name, array in arrays.items()
        if array is not None
    }
    return replace(problem, **chosen)


def at(results: Results, position: int) -> Results:
    """What belongs to one sequence; the parameters' gradients are sums over all."""
    return {name: array[:, position] for name, array in results.items() if not name.startswith("grad")}


@pytest.mark.usefixtures("threads_and_serial")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_sequence_alone_and_among_others(case, dtype, rng):
    layer, problem = case.layer(dtype), Problem.draw(case, rng, dtype)
    among_all = run_and_call(layer, problem)
    for count in (1, 2, 3, 7, 13):
        rows = rng.choice(B, count, replace=False).tolist()
        found = run_and_call(layer, only(problem, rows))
        for position, row in enumerate(rows):
            assert_agree(at(found, position), at(among_all, row), tolerance=0)
