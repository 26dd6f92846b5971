"""Arrays as callers have them: any strides, alignment and order, read-only, empty; never misread, never written."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
from support.array_forms import FORMS
from support.cases import BOTH, Case, Problem, assert_agree, grid, run_layer

import nblstm

CASES = grid(cell=("rnn_tanh", "peephole"), formulation=("split", "concat"), bidirectional=BOTH)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_layout_of_the_same_numbers_gives_the_same_bits(case, form, rng):
    layer, plain = case.layer(), Problem.draw(case, rng)
    arrays = {name: array for name, array in vars(plain).items() if isinstance(array, np.ndarray)}
    formed = replace(plain, **{name: form(array) for name, array in arrays.items()})
    before = {name: np.array(getattr(formed, name)) for name in arrays}
    assert_agree(run_layer(layer, formed), run_layer(layer, plain), tolerance=0)
    assert all(np.array_equal(getattr(formed, name), array) for name, array in before.items())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_number_broadcast_is_read_as_it_stands(case, rng):
    layer, plain = case.layer(), Problem.draw(case, rng)
    one = replace(plain, x=np.broadcast_to(0.5, plain.x.shape), dy=np.broadcast_to(0.5, plain.dy.shape))
    full = replace(plain, x=np.full(plain.x.shape, 0.5), dy=np.full(plain.dy.shape, 0.5))
    assert_agree(run_layer(layer, one), run_layer(layer, full), tolerance=0)


@pytest.mark.parametrize(
    "case",
    grid(cell=naive.CELLS, formulation=("split", "concat"), num_layers=(2,), bidirectional=BOTH, sizes=[(5, 0, 2, 7)]),
    ids=str,
)
def test_no_sequences_give_empty_results(case, rng):
    layer, problem = case.layer(), Problem.draw(case, rng)
    found = run_layer(layer, problem)
    assert found["y"].shape == (5, 0, 7 * case.directions)
    assert found["dx"].shape == (5, 0, 2)
    assert found["h_n"].shape == (2 * case.directions, 0, 7)
    assert not any(array.any() for name, array in found.items() if name.startswith("grad"))


@pytest.mark.parametrize("kind", [list, tuple, np.int8, np.uint64], ids=lambda kind: kind.__name__)
def test_lengths_are_any_integers(kind, rng):
    case = Case(lengths=True)
    layer, problem = case.layer(), Problem.draw(case, rng)
    given = kind(problem.lengths.tolist()) if isinstance(kind(), (list, tuple)) else problem.lengths.astype(kind)
    assert_agree(run_layer(layer, replace(problem, lengths=given)), run_layer(layer, problem), tolerance=0)


def test_lengths_all_full_are_no_lengths(rng):
    case = Case("peephole", num_layers=2, bidirectional=True)
    layer, problem = case.layer(), Problem.draw(case, rng)
    assert_agree(run_layer(layer, replace(problem, lengths=[5, 5, 5])), run_layer(layer, problem), 1e-14)


@pytest.mark.parametrize("cell", naive.CELLS)
def test_large_numbers_saturate_and_nan_shows(cell, rng):
    """Gates that are full up or shut stay finite both ways; one NaN spoils its own sequence alone."""
    case = Case(cell)
    layer, problem = case.layer(), Problem.draw(case, rng)
    found = run_layer(layer, replace(problem, x=1e4 * problem.x))
    assert all(np.isfinite(array).all() for array in found.values())
    spoilt = replace(problem, x=problem.x.copy())
    spoilt.x[2, 1] = np.nan
    y = run_layer(layer, spoilt)["y"]
    assert np.isnan(y[2:, 1]).all()
    assert np.array_equal(y[:, [0, 2]], run_layer(layer, problem)["y"][:, [0, 2]])


def test_gradients_that_lie_fractions_of_a_number_apart(rng):
    layer = nblstm.LSTM(5, 8, dtype="float64", seed=0)
    x = rng.standard_normal((4, 3, 5))
    records = np.zeros((4, 3), [("flag", "u1"), ("dy", "f8", (8,))])
    records["dy"] = rng.standard_normal((4, 3, 8))
    results = []
    for dy in (records["dy"], records["dy"].copy()):
        *_, tape = layer.forward(x)
        results.append(layer.backward(dy, tape, grads=layer.new_grads())[0])
    assert np.array_equal(*results)
