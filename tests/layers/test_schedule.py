"""The order in which a batch is processed, and how threads share it out."""

from __future__ import annotations

import numpy as np
import pytest

from nblstm.layers.schedule import Schedule, plain_schedule


@pytest.mark.parametrize("lengths", [None, np.array([2, 5, 0, 3])], ids=["equal", "of all lengths"])
def test_the_longest_come_first_and_every_row_is_somebodys(lengths: np.ndarray | None) -> None:
    T, B = 5, 4
    schedule, given = Schedule(T, B, lengths), np.full(B, T) if lengths is None else lengths
    assert np.array_equal(schedule.lengths, np.sort(given)[::-1])
    assert np.array_equal(given[schedule.order], schedule.lengths)
    assert np.array_equal(schedule.active, [(given > s).sum() for s in range(T)])
    for threads in range(1, 6):
        bounds = schedule.bounds(threads)
        assert (len(bounds), bounds[0], bounds[-1]) == (threads + 1, 0, B)
        assert np.all(np.diff(bounds) >= 0)


def test_threads_get_about_equal_shares_of_the_steps() -> None:
    assert list(Schedule(9, 4, np.array([9, 3, 3, 3])).bounds(2)) == [0, 1, 4]
    assert list(Schedule(5, 3, np.zeros(3, np.int64)).bounds(2)) == [0, 0, 3]


def test_few_schedules_are_kept() -> None:
    for T in range(1, 100):
        assert len(plain_schedule(T, 2).active) == T
    assert plain_schedule.cache_info().currsize <= 4


def test_two_callers_at_once_get_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans have its address: were it another's, that of the first would be freed while a kernel reads it."""
    schedule, search, others = Schedule(7, 3, None), np.searchsorted, []

    def interrupted(*arguments):
        monkeypatch.setattr(np, "searchsorted", search)
        others.append(schedule.bounds(2))
        return search(*arguments)

    monkeypatch.setattr(np, "searchsorted", interrupted)
    assert schedule.bounds(2) is others[0]
    assert schedule.bounds(2) is others[0]
