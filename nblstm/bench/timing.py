"""Timing in turns: every function runs in every round, so that what the machine does meanwhile meets all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Timing(NamedTuple):
    """How long to measure.

    A library's threads go on spinning for up to 30 ms after its work is done and take processors from whoever comes
    next (measured: ONNX Runtime's took 135 microseconds right after OpenMP's, and 80 alone). So each turn
    begins with a pause in which they fall asleep, and then calls that wake the function's own.
    """

    rounds: int = 7
    seconds: float = 0.2  # of each function in each round; one call at least
    pause: float = 0.06
    warm_up: float = 0.02


def medians(
    functions: Sequence[Callable[[], Any]],
    timing: Timing,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> list[float]:
    """Median seconds of a call of each function, over all rounds."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(timing.rounds):
        for function, taken in zip(functions, times, strict=True):
            sleep(timing.pause)
            _calls(function, timing.warm_up, clock)
            taken += _calls(function, timing.seconds, clock)
    return [statistics.median(taken) for taken in times]


def _calls(function: Callable[[], Any], seconds: float, clock: Callable[[], float]) -> list[float]:
    """Time of each call, for so many seconds; one call at least."""
    taken: list[float] = []
    begun = clock()
    while not taken or clock() - begun < seconds:
        start = clock()
        function()
        taken.append(clock() - start)
    return taken
