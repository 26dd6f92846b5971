"""The package against values that PyTorch computed once; record.py wrote them."""

from __future__ import annotations

import pytest
from support import record
from support.cases import assert_agree, run_layer


@pytest.mark.parametrize("case", record.CASES, ids=str)
def test_matches_values_recorded_from_pytorch(case):
    params, problem, expected = record.load(case)
    layer = case.layer()
    layer.load_state_dict(params)
    assert_agree(run_layer(layer, problem), expected, 1e-11)


@pytest.mark.parametrize("case", record.CASES, ids=str)
def test_matches_them_in_float32_to_its_rounding(case):
    params, problem, expected = record.load(case)
    layer = case.layer("float32")
    layer.load_state_dict({name: tensor.astype("float32") for name, tensor in params.items()})
    assert_agree(run_layer(layer, problem.astype("float32")), expected, 1e-5)


@pytest.mark.parametrize("case", record.CASES, ids=str)
def test_calling_gives_what_forward_gives(case):
    params, problem, expected = record.load(case)
    layer = case.layer()
    layer.load_state_dict(params)
    y, state = layer(problem.x, problem.state, problem.lengths)
    found = {"y": y} | dict(zip(("h_n", "c_n"), state if case.is_lstm else (state,), strict=False))
    assert_agree(found, {name: expected[name] for name in found}, 1e-11)
