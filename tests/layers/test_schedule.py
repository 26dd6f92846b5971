"""Index tables of a batch: what they hold, and that they do not grow for ever."""

from __future__ import annotations

import numpy as np
import pytest

from nblstm.layers.schedule import Schedule, plain_schedule


@pytest.mark.parametrize("lengths", [None, np.array([2, 5, 0, 3])], ids=["equal", "of all lengths"])
def test_every_row_of_every_step_lies_where_the_tables_say(lengths: np.ndarray | None) -> None:
    """In both directions, for a hundred strides, of which few tables are kept."""
    T, B = 5, 4
    schedule, given = Schedule(T, B, lengths), np.full(B, T) if lengths is None else lengths
    for stride in range(1, 101):
        for direction in range(2):
            offsets = schedule.offsets(direction, 7 * stride, stride).reshape(T, B)
            for s in range(T):
                for row, sequence in enumerate(schedule.order[: schedule.active[s]]):
                    time = given[sequence] - 1 - s if direction else s
                    assert offsets[s, row] == 7 * stride * time + stride * sequence
            live = schedule.live_offsets(direction, 7 * stride, stride)
            assert np.array_equal(live, np.concatenate([offsets[s, : schedule.active[s]] for s in reversed(range(T))]))
    assert max(len(schedule._offsets), len(schedule._live_offsets)) <= 17


def test_few_schedules_are_kept() -> None:
    for T in range(1, 100):
        assert plain_schedule(T, 2).T == T
    assert plain_schedule.cache_info().currsize <= 4
