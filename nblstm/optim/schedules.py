"""Learning rates as plain functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from nblstm.arguments import as_number, as_size


def warmup_cosine(peak: float, warmup: int, total: int, final: float = 0.0) -> Callable[[int], float]:
    r"""A learning rate that climbs in a straight line to `peak` and falls along half a cosine to `final`.

    .. math::
        \eta(s) = \begin{cases} \text{peak} \cdot (s + 1) / \text{warmup} & s < \text{warmup} \\
        \text{final} + (\text{peak} - \text{final}) \, (1 + \cos \pi u) / 2, \quad
        u = (s - \text{warmup}) / (\text{total} - \text{warmup}) & \text{then} \end{cases}

    Parameters
    ----------
    peak : float
        Above 0.
    warmup : int
        Steps of the climb, 0 for none.
    total : int
        Steps in all, above `warmup`; later steps stay at `final`.
    final : float
        0 or more.

    Returns
    -------
    function of int to float
        The learning rate of step s, counted from 0, for ``optimizer.step(lr=schedule(s))``.

    Raises
    ------
    TypeError
        An argument of a wrong type.
    ValueError
        A number out of its range.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> schedule = warmup_cosine(1.0, warmup=2, total=6)
    >>> [round(schedule(s), 3) for s in range(8)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    peak, final = as_number("peak", peak, positive=True), as_number("final", final)
    warmup = as_size("warmup", warmup, least=0)
    total = as_size("total", total, least=warmup + 1)

    def schedule(step: int) -> float:
        if step < warmup:
            return peak * (step + 1) / warmup
        done = min(1.0, (step - warmup) / (total - warmup))
        return final + (peak - final) * (1 + math.cos(math.pi * done)) / 2

    return schedule
