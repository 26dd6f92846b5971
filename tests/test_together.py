"""Few sequences: threads that share out the units, and what happens if they do not come together."""

from __future__ import annotations

import threading

import naive
import numba
import numpy as np
import pytest
from cases import Problem, assert_agree, grid, run_layer

from nblstm.kernels import driver, together
from nblstm.layers import tape

NETS = grid(
    cell=naive.CELLS,
    formulation=("split", "concat"),
    num_layers=(2,),
    bidirectional=(True, False),
    lengths=(True, False),
    sizes=[(7, 3, 5, 130)],
)


@pytest.fixture
def few(monkeypatch):
    """Every net counts as few sequences with much work; two threads."""
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("NUMBA_NUM_THREADS is 1: there is no team")
    numba.get_num_threads()
    if numba.threading_layer() != "omp":
        pytest.skip(f"the threading layer is {numba.threading_layer()}: there are no teams, which need OpenMP")
    monkeypatch.setattr(driver, "SERIAL_BELOW", 0)
    monkeypatch.setattr(tape, "TEAM_ABOVE", 0)
    monkeypatch.setattr(tape, "FEW_ROWS", 100)
    monkeypatch.setattr(driver, "_never_met", set())


@pytest.fixture
def outcomes(monkeypatch):
    """What each call of a team's kernel returned."""
    found = []
    for kernel in (together.forward, together.backward):

        def call(*arguments, kernel=kernel):
            found.append(kernel(*arguments))
            return found[-1]

        monkeypatch.setattr(together, kernel.parallel.__name__, call)
    return found


@pytest.mark.parametrize("case", NETS, ids=str)
def test_a_team_computes_the_same_bits(case, rng, few, outcomes, monkeypatch):
    problem = Problem.draw(case, rng)
    found = run_layer(case.layer(), problem)
    for _ in range(10):  # on a busy machine a thread may come too late
        driver._never_met.clear()
        if outcomes == [True] * (2 * 2 * case.directions):
            break
        outcomes.clear()
        found = run_layer(case.layer(), problem)
    else:
        pytest.fail(f"ten times the team did not come together: {outcomes}")
    monkeypatch.setattr(tape, "FEW_ROWS", 0)
    assert_agree(found, run_layer(case.layer(), problem), tolerance=0)


def test_without_one_of_them_nothing_is_lost(rng, few, outcomes, monkeypatch):
    """Three are expected where two can come: they give up, and the batch is shared out instead."""
    case = NETS[0]
    problem = Problem.draw(case, rng)
    expected = run_layer(case.layer(), problem)
    outcomes.clear()
    one_too_many = numba.config.NUMBA_NUM_THREADS + 1
    monkeypatch.setattr(tape, "threads_for", lambda operations: one_too_many)
    monkeypatch.setattr(numba, "get_num_threads", lambda: one_too_many)  # else it would not even be tried
    assert_agree(run_layer(case.layer(), problem), expected, tolerance=0)
    assert set(outcomes) == {False}
    assert driver._never_met == {one_too_many}


def test_one_caller_at_a_time_has_a_team(few, outcomes):
    """While a team is out, another caller's rows are shared out: it does not wait."""
    assert driver._one_team.acquire(blocking=False)
    try:
        layer = NETS[0].layer()
        worker = threading.Thread(target=layer, args=(np.zeros((7, 3, 5)),))
        worker.start()
        worker.join(timeout=60)
        assert not worker.is_alive()
    finally:
        driver._one_team.release()
    assert outcomes
    assert set(outcomes) == {False}
