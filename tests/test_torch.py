"""PyTorch, live and in float64: outputs and every gradient of every net of the grid that it has, and both cells."""

from __future__ import annotations

import pytest
from cases import WHOLE_GRID, Problem, assert_agree, run_layer

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch", reason="PyTorch is not installed; the extra `peers` brings it")

GRID = [case for case in WHOLE_GRID if case.formulation == "split" and case.cell != "peephole"]


@pytest.mark.parametrize("case", GRID, ids=str)
def test_matches_pytorch(case, rng):
    from torch_peer import run_torch

    layer, problem = case.layer(), Problem.draw(case, rng)
    assert_agree(run_layer(layer, problem), run_torch(case, layer.params, problem), 1e-11)
