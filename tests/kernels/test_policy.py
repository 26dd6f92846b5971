"""The thresholds of threads: set for a while, one within another, and by threads whose whiles overlap."""

from __future__ import annotations

from dataclasses import asdict

import pytest

import nblstm
from nblstm.kernels.policy import POLICY, ThreadPolicy


def test_the_inner_one_wins_and_then_the_outer_one() -> None:
    with nblstm.thread_policy(serial_below=1, team_rows=2):
        with nblstm.thread_policy(serial_below=3) as policy:
            assert (policy.serial_below, policy.team_rows) == (3, 2)
        with pytest.raises(ZeroDivisionError), nblstm.thread_policy(serial_below=3):
            raise ZeroDivisionError
        assert (POLICY.serial_below, POLICY.team_rows) == (1, 2)
    assert asdict(POLICY) == asdict(ThreadPolicy())


def test_whiles_that_overlap() -> None:
    """As two threads' do: the first that was begun is the first that ends."""
    first, second = nblstm.thread_policy(serial_below=1), nblstm.thread_policy(serial_below=2, team_above=3)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert (POLICY.serial_below, POLICY.team_above) == (2, 3)
    second.__exit__(None, None, None)
    assert asdict(POLICY) == asdict(ThreadPolicy())


def test_a_threshold_that_is_none_changes_nothing() -> None:
    with pytest.raises(ValueError, match="team_rows must be at least 0, got -1"), nblstm.thread_policy(team_rows=-1):
        pass
    assert asdict(POLICY) == asdict(ThreadPolicy())
