"""Few sequences: threads that share out the units, and what happens if they do not come together."""

from __future__ import annotations

import itertools
import sys
import threading

import naive
import numba
import numpy as np
import pytest
from support.cases import Problem, assert_agree, grid, run_layer
from support.processes import LIMIT
from support.threading_layers import PATIENT

import nblstm
from nblstm.environment import describe
from nblstm.kernels import driver
from nblstm.layers import passes, tape

NETS = grid(
    cell=naive.KNOWN,
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
    monkeypatch.setattr(driver.MEETINGS, "missed", 0)
    monkeypatch.setattr(driver.MEETINGS, "skips", {})
    with nblstm.thread_policy(serial_below=0, team_rows=100, team_above=0, team_patience=PATIENT):
        yield


@pytest.fixture
def outcomes(monkeypatch):
    """What each pass was told when it asked for a team."""
    found = []

    def ask(*arguments):
        found.append(driver.run_as_team(*arguments))
        return found[-1]

    monkeypatch.setattr(passes, "run_as_team", ask)
    return found


@pytest.mark.parametrize("case", NETS, ids=str)
def test_a_team_computes_the_same_bits(case, rng, few, outcomes):
    problem = Problem.draw(case, rng)
    found = run_layer(case.layer(), problem)
    assert outcomes == [True] * 2
    with nblstm.thread_policy(team_rows=0):
        assert_agree(found, run_layer(case.layer(), problem), tolerance=0)


def test_without_one_of_them_nothing_is_lost(rng, few, outcomes, monkeypatch):
    """Three are expected where two can come: they give up, the batch is shared out, and later they are tried again."""
    case = NETS[0]
    problem = Problem.draw(case, rng)
    expected = run_layer(case.layer(), problem)
    outcomes.clear()
    one_too_many = numba.config.NUMBA_NUM_THREADS + 1
    monkeypatch.setattr(tape, "threads_for", lambda operations: one_too_many)
    monkeypatch.setattr(numba, "get_num_threads", lambda: one_too_many)  # else it would not even be tried
    monkeypatch.setattr(driver, "RETRY_AFTER", 4)
    layer, asked = case.layer(), 2 * 3
    with nblstm.thread_policy(team_patience=100_000):
        for _ in range(3):
            assert_agree(run_layer(layer, problem), expected, tolerance=0)
    assert outcomes == [False] * asked
    assert driver.MEETINGS.missed == -(-asked // (1 + 4))
    assert describe()["missed_meetings"] == driver.MEETINGS.missed


def test_one_caller_at_a_time_has_a_team(few, outcomes):
    """While a team is out, another caller's rows are shared out: it does not wait."""
    assert driver._one_team.acquire(blocking=False)
    try:
        layer = NETS[0].layer()
        worker = threading.Thread(target=layer, args=(np.zeros((7, 3, 5)),))
        worker.start()
        worker.join(timeout=LIMIT)
        assert not worker.is_alive()
    finally:
        driver._one_team.release()
    assert outcomes
    assert set(outcomes) == {False}


def test_an_interrupt_leaves_teams_to_the_next_caller(monkeypatch):
    """After any of the calls that it makes, which is where Python lets one in."""
    monkeypatch.setattr(driver, "_threading_layer", lambda: "omp")
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)

    def kernel(dtype, threads, plans, note):
        note.fill(1)

    done = 0
    for nth in itertools.count():
        calls = itertools.count()

        def interrupt(frame, event, _, calls=calls, nth=nth):
            if event == "c_return" and frame.f_code is driver.run_as_team.__code__ and next(calls) == nth:
                raise KeyboardInterrupt

        sys.setprofile(interrupt)
        try:
            assert driver.run_as_team(kernel, None, 2, None)
            done += 1
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        assert not driver._one_team.locked()
        if done:
            break
    assert nth > 3
