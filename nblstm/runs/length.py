"""How long a run is, and after how many steps it is evaluated."""

from __future__ import annotations

import math

from nblstm.jobs import Job
from nblstm.jobs.settings import Settings


def total_steps(settings: Settings, job: Job) -> int | None:
    """How long a run is with these settings, if that is known beforehand."""
    return settings.steps or (settings.epochs and settings.epochs * job.batches)


def steps_between_evaluations(settings: Settings, job: Job) -> int | None:
    """As the settings say, or such that there are about ten to twenty in a run; None where minutes share it out."""
    name, length = settings.length
    if settings.evaluate_every is not None or name == "minutes":
        return settings.evaluate_every
    if name == "steps":
        return _round_tenth(int(length))
    if length >= 10:
        return job.batches * _round_tenth(int(length))
    return max(1, job.batches // math.ceil(10 / length))


def _round_tenth(whole: int) -> int:
    """The largest of 1, 2, 5, 10, 20, 50 and so on that is at least ten times in `whole`, or else 1."""
    power = 10 ** max(0, len(str(whole)) - 2)
    return next((times * power for times in (5, 2, 1) if 10 * times * power <= whole), 1)
