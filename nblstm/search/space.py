"""What a search tries: ranges that numbers are drawn from, and the settings of each trial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING, Any

from nblstm.arguments import as_flag, as_float, as_integer, as_size, as_text, check_kind, shown
from nblstm.cells import Cell
from nblstm.jobs.settings import LENGTHS, Settings

if TYPE_CHECKING:
    import numpy as np

DIGITS = 3
"""Significant ones of a number drawn: more would only be harder to read."""
TIRED = 100
"""So many draws for each trial that is wanted; where they give fewer that differ, there are hardly any more."""


@dataclass(frozen=True)
class Range:
    r"""Numbers from `low` to `high`, both included, to draw a setting from.

    Each is as likely as any other; with `log`, its logarithm is:

    .. math:: x = e^u, \quad u \sim \mathrm{U}(\log low, \log high)

    so that as many come between 0.001 and 0.01 as between 0.01 and 0.1. Two integers give integers, and others numbers
    of three significant digits.

    Parameters
    ----------
    low, high : int or float
    log : bool
        For what is compared by its ratio: a learning rate, a number of units.

    Raises
    ------
    ValueError, TypeError
        Numbers that are not finite or not in this order, or with `log` not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.search import Range
    >>> rng = np.random.RandomState(0)
    >>> [Range(32, 256, log=True).rvs(random_state=rng) for _ in range(4)]
    [100, 141, 112, 99]
    >>> Range(1e-3, 1e-1, log=True).rvs(random_state=rng)
    0.00704

    Notes
    -----
    `rvs` is what scikit-learn's ``ParameterSampler`` asks of a distribution; those of ``scipy.stats`` have it too.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if not math.isfinite(as_float(name, getattr(self, name))):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if as_flag("log", self.log) and self.low <= 0:
            raise ValueError(f"low must be above 0 for a range by logarithms, got {self.low}")

    def rvs(self, *, random_state: np.random.RandomState) -> float:
        """A number drawn."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        margin = 0.5 if whole else 0.0  # so that the ends are as likely as what is between
        low, high = self.low - margin, self.high + margin
        if self.log:
            drawn = math.exp(random_state.uniform(math.log(low), math.log(high)))
        else:
            drawn = random_state.uniform(low, high)
        return min(max(round(drawn) if whole else float(f"{drawn:.{DIGITS}g}"), self.low), self.high)


def trials_of(
    kind: type[Settings], space: Mapping[str, Any], settings: Mapping[str, Any], trials: int | None, random_state: int
) -> list[tuple[dict[str, Any], Settings]]:
    """What each trial has for itself, as plain data, and all of its settings."""
    _check_space(space, settings, kind)
    made = [(point, kind(**{**settings, **point})) for point in _points(space, trials, random_state)]
    own = next((each.cell for _, each in made if isinstance(each.cell, Cell)), None)
    if own is not None:
        raise ValueError(f"cell must be the name of one of nblstm's in a search, got {own!r}")
    return [({name: each.record()[name] for name in point}, each) for point, each in made]


def _points(space: Mapping[str, Any], trials: int | None, random_state: int) -> list[dict[str, Any]]:
    """The settings that each trial has for itself: all combinations, or as many as `trials`, drawn.

    Of lists alone no combination is drawn twice, and there may be fewer than were wanted; of ranges, too, those that
    come again are left out.
    """
    try:
        from sklearn.model_selection import ParameterGrid, ParameterSampler
    except ImportError as error:
        raise ImportError('a search needs scikit-learn: pip install "nblstm[sklearn]"') from error
    drawn = {name: values if hasattr(values, "rvs") else list(values) for name, values in space.items()}
    seed = as_integer("random_state", random_state, least=0)
    if seed >= 2**32:
        raise ValueError(f"random_state must be below 2^32, got {seed}")
    if trials is None:
        ranges = [name for name, values in drawn.items() if hasattr(values, "rvs")]
        if ranges:
            raise ValueError(f"trials must say how many to draw, as {', '.join(ranges)} has a range, got None")
        return list(ParameterGrid(drawn))
    trials = as_size("trials", trials)
    if any(hasattr(values, "rvs") for values in drawn.values()):
        return list(islice(_distinct(ParameterSampler(drawn, TIRED * trials, random_state=seed)), trials))
    return list(ParameterSampler(drawn, min(trials, len(ParameterGrid(drawn))), random_state=seed))


def _distinct(drawn: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Each point at its first time."""
    seen = set()
    for point in drawn:
        key = repr(sorted(point.items()))
        if key not in seen:
            seen.add(key)
            yield point


def _check_space(space: Mapping[str, Any], settings: Mapping[str, Any], kind: type[Settings]) -> None:
    """Names that are settings, each with one or more values or a range, and each said once."""
    check_kind("space", space, Mapping)
    check_kind("settings", settings, Mapping)
    known = [field.name for field in fields(kind)]
    for name in (*space, *settings):
        if as_text("the name of a setting", name) not in known:
            raise ValueError(f"{name} is no setting of {kind.__name__}, which has {', '.join(known)}")
    twice = sorted(space.keys() & settings.keys())
    if twice:
        raise ValueError(f"{twice[0]} must be either searched, in space, or set, in settings, got both")
    if not space:
        raise ValueError("space must have at least one setting with its values, got none")
    for name, values in space.items():
        if name in (*kind.LOCATION, *kind.COMMON, *LENGTHS):
            raise ValueError(f"{name} must be the same in all trials, whose losses would not compare otherwise")
        if not hasattr(values, "rvs") and (not isinstance(values, list | tuple) or not values):
            raise TypeError(f"space[{name!r}] must be a list of values or a range, got {shown(values)}")
    if settings.get("minutes") is not None:
        raise ValueError("minutes must be left out of a search, in which trials of one length compare: name the steps")
