"""Every recurrent net of the grid against the NumPy reference: outputs, final states and all gradients."""

from __future__ import annotations

import naive
import pytest
from support.cases import BOTH, WHOLE_GRID, Problem, assert_agree, grid, run_layer, run_naive

TOLERANCE = {"float64": 1e-13, "float32": 1e-5}
SIZES = [(1, 1, 1, 1), (1, 4, 3, 8), (7, 1, 5, 20), (3, 17, 28, 33), (70, 2, 1, 16), (4, 6, 40, 3)]


@pytest.mark.parametrize("case", WHOLE_GRID, ids=str)
def test_matches_reference(case, rng):
    layer, problem = case.layer(), Problem.draw(case, rng)
    assert_agree(run_layer(layer, problem), run_naive(case, layer.params, problem), TOLERANCE["float64"])


@pytest.mark.parametrize(
    "case",
    grid(cell=naive.KNOWN, formulation=("split", "concat"), num_layers=(2,), bidirectional=(True,), lengths=BOTH),
    ids=str,
)
def test_matches_reference_in_float32(case, rng):
    layer, problem = case.layer("float32"), Problem.draw(case, rng, "float32")
    assert_agree(run_layer(layer, problem), run_naive(case, layer.params, problem), TOLERANCE["float32"])


@pytest.mark.parametrize(
    "case",
    grid(cell=naive.KNOWN, formulation=("split", "concat"), bidirectional=(True,), lengths=BOTH, sizes=SIZES),
    ids=str,
)
def test_matches_reference_for_any_sizes(case, rng):
    """One unit, fewer than lanes, whole vectors, one more; one step, one sequence; more rows than a tile has."""
    layer, problem = case.layer(), Problem.draw(case, rng)
    assert_agree(run_layer(layer, problem), run_naive(case, layer.params, problem), TOLERANCE["float64"])


@pytest.mark.parametrize(
    "case",
    grid(
        cell=[cell for cell in naive.CELLS if cell != "gru"], num_layers=(2,), bidirectional=BOTH, bias=BOTH,
        lengths=BOTH,
    ),
    ids=str,
)  # fmt: skip
def test_formulations_are_the_same_function(case, rng):
    """Split weights put side by side compute the same; and so do those taken apart again."""
    split, problem = case.layer(), Problem.draw(case, rng)
    concat = split.to_formulation("concat")
    again = concat.to_formulation("split")
    outputs = {"y", "h_n", "c_n", "dx", "dh_0", "dc_0"}
    expected = run_layer(split, problem)
    for other in (concat, again):
        found = run_layer(other, problem)
        assert_agree(
            {name: array for name, array in found.items() if name in outputs},
            {name: array for name, array in expected.items() if name in outputs},
            TOLERANCE["float64"],
        )
    assert_agree(run_layer(again, problem), expected, TOLERANCE["float64"])
