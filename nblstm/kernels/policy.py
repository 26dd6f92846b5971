"""When threads share out a piece of work, and how: the thresholds in one place, and a way to set them for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from nblstm.arguments import as_size


@dataclass
class ThreadPolicy:
    """The thresholds in force; see `thread_policy`."""

    serial_below: int = 1_000_000  # ten microseconds' worth
    team_rows: int = 3
    team_above: int = 30_000
    team_patience: int = 20_000_000  # tens of milliseconds


POLICY = ThreadPolicy()
"""What every kernel asks, in all threads of this process."""
_in_force: list[dict[str, int]] = []
_lock = Lock()


def _settle() -> None:
    """Make the policy what the thresholds in force say, a later one over an earlier one."""
    vars(POLICY).update(vars(ThreadPolicy()))
    for changes in _in_force:
        vars(POLICY).update(changes)


@contextmanager
def thread_policy(
    *,
    serial_below: int | None = None,
    team_rows: int | None = None,
    team_above: int | None = None,
    team_patience: int | None = None,
) -> Iterator[ThreadPolicy]:
    """Other thresholds while a ``with`` lasts, for all threads of the process; no result depends on them by a bit.

    Parameters
    ----------
    serial_below : int, optional
        Multiplications of a pass below which the calling thread does all of it; 0 asks for threads always.
    team_rows : int, optional
        Sequences for each thread below which threads share out the units and not the batch ...
    team_above : int, optional
        ... if a step has so many multiplications that meeting after every one is worth it.
    team_patience : int, optional
        How often such a team looks for those who have not come before it does without, and the batch is shared out.

    Yields
    ------
    ThreadPolicy
        The thresholds in force.

    Raises
    ------
    TypeError, ValueError
        A threshold that is no integer, or negative.

    Examples
    --------
    >>> from nblstm import thread_policy
    >>> with thread_policy(serial_below=10**12) as policy:  # no call of this process starts threads
    ...     print(policy.serial_below)
    1000000000000
    """
    given = {
        "serial_below": serial_below, "team_rows": team_rows, "team_above": team_above, "team_patience": team_patience,
    }  # fmt: skip
    changes = {name: as_size(name, value, 0) for name, value in given.items() if value is not None}
    with _lock:
        _in_force.append(changes)
        _settle()
    try:
        yield POLICY
    finally:
        with _lock:  # other threads' may have come and stay
            del _in_force[next(n for n, other in enumerate(_in_force) if other is changes)]
            _settle()
