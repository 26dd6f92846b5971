"""One case of the table: all sides made, compared, timed in turns, and held against what the machine can do."""

from __future__ import annotations

from nblstm.bench.limits import limit
from nblstm.bench.peers import PEERS
from nblstm.bench.results import OURS, Measurement
from nblstm.bench.sides import Ours, Problem, Side, check_same
from nblstm.bench.table import Case
from nblstm.bench.timing import Timing, medians


def measure(case: Case, timing: Timing) -> list[Measurement]:
    """Training and inference by nblstm and by the peers that are installed and have the case.

    Raises
    ------
    FloatingPointError
        The sides' results differ, so nothing is timed.
    """
    problem = Problem(case)
    sides: list[Side] = [Ours(problem)]
    sides += [peer(problem) for peer in PEERS if peer.installed() and peer.can(case)]
    ours = sides[0].results()
    for side in sides[1:]:
        check_same(side.name, ours, side.results(), case.dtype)
    works = [("training", side, side.train) for side in sides if side.trains]
    works += [("inference", side, side.infer) for side in sides]
    times = medians([work for _, _, work in works], timing)
    seconds = {(what, side.name): taken for (what, side, _), taken in zip(works, times, strict=True)}
    return [_measurement(case, what, name, taken, seconds[what, OURS]) for (what, name), taken in seconds.items()]


def _measurement(case: Case, what: str, side: str, seconds: float, ours: float) -> Measurement:
    flops = case.shape.training_flops if what == "training" else case.shape.forward_flops
    shortest, bound = limit(case, what)
    return Measurement(
        str(case.shape), case.dtype, case.threads, what, side, seconds, ratio=None if side == OURS else seconds / ours,
        gflops=flops / 1e9 / seconds, share=shortest / seconds, bound=bound,
    )  # fmt: skip
