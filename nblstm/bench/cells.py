"""Cells beside the LSTM, in this process: the GRU, and cells of one's own beside the same in PyTorch."""

from __future__ import annotations

import functools
import math
import subprocess
import time
from collections.abc import Sequence

from nblstm.bench.peers import Torch
from nblstm.bench.processes import ALL, run_code
from nblstm.bench.report import WORKS
from nblstm.bench.results import OURS, Measurement
from nblstm.bench.sides import Ours, Problem, Side, check_same
from nblstm.bench.table import TABLE, Case, Shape
from nblstm.bench.timing import Timing, medians
from nblstm.bench.torch_cells import TorchCompiled, TorchLoop
from nblstm.cells import CELLS, Cell
from nblstm.kernels.compilation import say
from nblstm.layers.recurrent import GRU, Recurrent

GRUS = TABLE[:6]
OWN_LSTMS = TABLE[0], TABLE[3], TABLE[5], TABLE[8]
OWN_CELLS = TABLE[0], TABLE[3], TABLE[4]
HEADS = {"coupled": 1, "slstm": 4}
"""Of the cells that PyTorch is given too."""

PATIENCE = 120  # seconds that `torch.compile` has for one shape, training and inference


def gru(threads: int, timing: Timing) -> list[Measurement]:
    """Training and inference of GRUs of some of the table's shapes, beside torch.nn.GRU."""
    found = []
    for shape in GRUS:
        problem = Problem(Case(shape, "float32", threads), GRU)
        peers = [Torch(problem)] if Torch.installed() else []
        found += _compare("GRU", problem, peers, timing)
    return found


class PackageLSTM(Ours):
    """`nblstm.LSTM`, beside the same declared as one's own."""

    name = "nblstm.LSTM"


def own(threads: int, timing: Timing) -> list[Measurement]:
    """Cells of one's own: the LSTM beside `nblstm.LSTM`; coupled gates, and the sLSTM with four heads, beside PyTorch.

    PyTorch has them as a loop in Python.
    """
    found = []
    for shape in OWN_LSTMS:
        problem = problem_of("lstm", shape, threads)
        found += _compare("lstm as one's own", problem, [PackageLSTM(Problem(problem.case))], timing)
    for name in HEADS:
        for shape in OWN_CELLS:
            problem = problem_of(name, shape, threads)
            peers = [TorchLoop(problem)] if Torch.installed() else []
            found += _compare(_label(name), problem, peers, timing)
    return found


def beside_compiled(threads: int, timing: Timing) -> list[Measurement]:
    """The same cells beside the loop by `torch.compile`, or why that was left out."""
    found = []
    for name in HEADS:
        for shape in OWN_CELLS:
            problem = problem_of(name, shape, threads)
            left_out = _why_left_out(name, shape) if Torch.installed() else "PyTorch is not installed"
            found += _compare(_label(name), problem, [] if left_out else [TorchCompiled(problem)], timing)
            if left_out:
                found += [
                    Measurement(
                        str(shape), "float32", threads, f"{_label(name)}, {work}", TorchCompiled.name, math.nan,
                        left_out=left_out,
                    )
                    for work in WORKS
                ]  # fmt: skip
    return found


def _label(name: str) -> str:
    heads = HEADS[name]
    return f"{name} as one's own" + f", {heads} heads" * (heads > 1)


def as_own(name: str) -> Cell:
    """A cell of the package, declared anew from its equations, of which layers and kernels know no more than of any."""
    cell = CELLS[name]
    forward, backward = cell.given
    return Cell(name, sums=cell.sums, states=cell.states, forward=forward, backward=backward, forget=cell.forget)


def problem_of(name: str, shape: Shape, threads: int) -> Problem:
    """A layer of such a cell, with its heads, and all else that the sides are given."""
    return Problem(
        Case(shape, "float32", threads), functools.partial(Recurrent, as_own(name), heads=HEADS.get(name, 1))
    )


@functools.cache
def _why_left_out(name: str, shape: Shape) -> str:
    """Nothing if `torch.compile` does its work in time, tried in a process that can be ended; else what came."""
    code = f"from nblstm.bench.cells import print_compiling; print_compiling({name!r}, {tuple(shape)})"
    try:
        took = float(run_code(code, {"TORCHINDUCTOR_COMPILE_THREADS": "1"}, PATIENCE))
    except subprocess.TimeoutExpired:
        return f"left out, it did not end within {PATIENCE} s"
    except subprocess.CalledProcessError as error:
        return f"left out, it failed with code {error.returncode}"
    say(f"torch.compile took {took:.0f} s for {name}, {shape}, in a process of its own")
    return ""


def print_compiling(name: str, shape: tuple[int, ...]) -> None:
    """In a process of its own: the seconds in which `torch.compile` is through with training and inference."""
    problem = problem_of(name, Shape(*shape), ALL)
    begun = time.perf_counter()
    TorchCompiled(problem).results()
    print(time.perf_counter() - begun)


def _compare(label: str, problem: Problem, peers: Sequence[Side], timing: Timing) -> list[Measurement]:
    """Training and inference of one problem by all sides, in turns, once their results are the same."""
    sides: list[Side] = [Ours(problem), *peers]
    ours = sides[0].results()
    for peer in peers:
        check_same(peer.name, ours, peer.results(), "float32")
    works = {(f"{label}, training", side.name): side.train for side in sides}
    works |= {(f"{label}, inference", side.name): side.infer for side in sides}
    seconds = dict(zip(works, medians(list(works.values()), timing), strict=True))
    return [
        Measurement(
            str(problem.case.shape), "float32", problem.case.threads, what, name, taken,
            ratio=None if name == OURS else taken / seconds[what, OURS],
        )
        for (what, name), taken in seconds.items()
    ]  # fmt: skip
