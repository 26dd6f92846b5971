"""Successive halving: how far trials are trained, rung by rung, and which of them go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEPT = 3
"""Of so many trials the best one goes on."""
RUNGS = 4
"""At most: 1/27 of a run is about its first evaluation."""
ALIVE = ("stopped", "finished")
"""How the record of a trial ends that may go on."""

Results = Mapping[int, Sequence[Mapping[str, Any]]]
"""For trials, counted from 1, what came of them on each rung."""


def parts_of(trials: int, halving: bool) -> list[float]:
    """Up to which parts of their length trials are trained, one after the other.

    Examples
    --------
    >>> parts_of(8, halving=True)
    [0.3333333333333333, 1.0]
    >>> parts_of(8, halving=False)
    [1.0]
    """
    rungs = 1
    while halving and rungs < RUNGS and KEPT**rungs <= trials:
        rungs += 1
    return [1 / KEPT**below for below in reversed(range(rungs))]


def counts_of(trials: int, rungs: int) -> list[int]:
    """How many trials each rung has, if none fails.

    Examples
    --------
    >>> counts_of(20, 3)
    [20, 7, 3]
    """
    counts = [trials]
    while len(counts) < rungs:
        counts.append(-(-counts[-1] // KEPT))
    return counts


def due(trials: int, rungs: int, results: Results) -> list[int]:
    """The trials of the lowest rung that is not through, those not tried there yet; none where all is done.

    Who goes on depends on the losses alone, and where these are the same on the number: not on who was first.
    """
    candidates = list(range(1, trials + 1))
    for rung in range(rungs):
        left = [number for number in candidates if len(results.get(number, ())) <= rung]
        if left:
            return left
        records = {number: results[number][rung] for number in candidates}
        alive = [number for number in candidates if records[number]["status"] in ALIVE]
        alive.sort(key=lambda number: (records[number]["best"]["validation"], number))
        candidates = sorted(alive[: -(-len(candidates) // KEPT)])
    return []
