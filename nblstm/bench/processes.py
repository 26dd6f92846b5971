"""Beyond layers, in processes of their own: start, memory, several processes at once, and PyTorch's allocator."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

import numba

from nblstm.bench.peers import Torch, load_before_threads
from nblstm.bench.results import OURS, Measurement
from nblstm.bench.sides import Ours, Problem
from nblstm.bench.table import TABLE, Case, Shape
from nblstm.bench.timing import Timing, medians

ALL = numba.config.NUMBA_NUM_THREADS
COLD, WARM = 2, 5  # starts
LONG = Shape(1000, 64, 128, 256, 2, 1)
SHARED = TABLE[0]
CHECKPOINT = 32
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}

FIRST_STEP = {
    OURS: """
import time
begun = time.perf_counter()
import numpy as np
import nblstm
imported = time.perf_counter()
lstm = nblstm.LSTM(28, 128, num_layers=2)
y, _, tape = lstm.forward(np.ones((28, 100, 28), "float32"))
loss, dy = nblstm.mse_loss(y, np.zeros_like(y))
lstm.backward(dy, tape)
nblstm.Adam([lstm], lr=1e-3).step()
print(imported - begun, time.perf_counter() - begun)
""",
    Torch.name: """
import time
begun = time.perf_counter()
import torch
imported = time.perf_counter()
lstm = torch.nn.LSTM(28, 128, num_layers=2)
y, _ = lstm(torch.ones(28, 100, 28, requires_grad=True))
torch.nn.functional.mse_loss(y, torch.zeros_like(y)).backward()
torch.optim.Adam(lstm.parameters(), lr=1e-3).step()
print(imported - begun, time.perf_counter() - begun)
""",
}


def _command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def _environment(**more: str) -> dict[str, str]:
    """That of the process here, and its path to the package."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | more


def run_code(code: str, environment: Mapping[str, str] = MappingProxyType({}), limit: float | None = None) -> str:
    """What a Python process prints, which is ended after so many seconds."""
    return subprocess.check_output(_command(code), env=_environment(**environment), text=True, timeout=limit)


def start(timing: Timing) -> list[Measurement]:
    """Import, and the first training step of a two-layer LSTM from an empty and from a warm cache."""

    def launch(side: str, cache: str) -> tuple[float, float]:
        imported, stepped = map(float, run_code(FIRST_STEP[side], {"NUMBA_CACHE_DIR": cache}).split())
        return imported, stepped

    cold, warm = [], {}
    for _ in range(COLD):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(launch(OURS, cache)[1])
            if len(cold) == COLD:
                sides = [OURS, *([Torch.name] if Torch.installed() else [])]
                warm = {side: [launch(side, cache) for _ in range(WARM)] for side in sides}
    found = {("import", side): [imported for imported, _ in times] for side, times in warm.items()}
    found |= {("first step, empty cache", OURS): cold}
    found |= {("first step, warm cache", side): [stepped for _, stepped in times] for side, times in warm.items()}
    median = {key: statistics.median(times) for key, times in found.items()}
    return [
        Measurement(
            "start", "float32", ALL, what, side, seconds, "s", None if side == OURS else seconds / median[what, OURS]
        )
        for (what, side), seconds in median.items()
    ]  # fmt: skip


def memory(timing: Timing) -> list[Measurement]:
    """Megabytes by which one training pass raises the peak of resident memory; input and weights are there before."""
    if not Path("/proc/self/clear_refs").exists():
        return []  # only Linux tells
    sides = {OURS: (OURS, None), Torch.name: (Torch.name, None), f"{OURS}, checkpoint={CHECKPOINT}": (OURS, CHECKPOINT)}
    if not Torch.installed():
        del sides[Torch.name]
    call = f"from nblstm.bench.processes import print_growth; print_growth({tuple(LONG)}, {{!r}}, {{}})"
    grown = {name: float(run_code(call.format(*arguments))) for name, arguments in sides.items()}
    return [
        Measurement(
            "memory", "float32", ALL, f"training {LONG}", name, size, "MB", None if name == OURS else size / grown[OURS]
        )
        for name, size in grown.items()
    ]  # fmt: skip


def print_growth(shape: tuple[int, ...], side: str, checkpoint: int | None) -> None:
    """In a process of its own: the growth of the peak of resident memory, in megabytes."""
    long = Shape(*shape)
    make = {OURS: Ours, Torch.name: Torch}[side]
    make(Problem(Case(long._replace(T=2), "float32", ALL), checkpoint=checkpoint)).train()  # loads code, starts threads
    whole = make(Problem(Case(long, "float32", ALL), checkpoint=checkpoint))
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is there
    before = _resident("VmRSS")
    whole.train()
    print(_resident("VmHWM") - before)


def _resident(name: str) -> float:
    """A line of the process's status, in megabytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024 / 1e6


def together(timing: Timing) -> list[Measurement]:
    """How much more work the machine does in as many processes as it has processors than in one.

    With one thread each: no more than this can be asked of as many threads. With as many threads each as there are
    processors, 1 is what they do that share the machine without holding each other up.
    """
    code = "from nblstm.bench.processes import train_on_demand; train_on_demand({}, {}, {})"
    found = []
    for threads, name in ((1, "one thread each"), (ALL, f"{ALL} threads each")):
        alone, all_at_once = [], []
        with ExitStack() as stack:
            children = [
                stack.enter_context(
                    subprocess.Popen(
                        _command(code.format(tuple(SHARED), threads, timing.seconds)),
                        env=_environment(NUMBA_NUM_THREADS=str(threads)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                        text=True, bufsize=1,
                    )
                )
                for _ in range(ALL)
            ]  # fmt: skip
            _answers(children)
            for _ in range(timing.rounds):
                alone += _ask(children[:1])
                all_at_once += _ask(children)
        gain = ALL * statistics.median(alone) / statistics.median(all_at_once)
        what = f"training {SHARED}: work done by {ALL} at once, {name}, against one alone"
        found.append(Measurement("independent processes", "float32", ALL, what, OURS, gain, "times"))
    return found


def _ask(children: Sequence[subprocess.Popen[str]]) -> list[float]:
    """Let these work at the same time; the seconds that each needed for a pass."""
    for child in children:
        assert child.stdin
        child.stdin.write("go\n")
    return [float(answer) for answer in _answers(children)]


def _answers(children: Sequence[subprocess.Popen[str]]) -> list[str]:
    """A line from each."""
    return [child.stdout.readline() for child in children if child.stdout]


def train_on_demand(shape: tuple[int, ...], threads: int, seconds: float) -> None:
    """In a process of its own: for every line that comes in, train for so long and print the median time of a pass."""
    ours = Ours(Problem(Case(Shape(*shape), "float32", threads)))
    ours.train()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(*medians([ours.train], Timing(1, seconds, 0.0, 0.0)), flush=True)


def allocator(timing: Timing) -> list[Measurement]:
    """Training once more, in a process that keeps the memory it frees.

    As it comes, the C library hands large blocks back to the system when PyTorch frees them, and PyTorch, which
    allocates anew in each pass, pays for every page of them again. Whoever knows can have that part for nothing.
    """
    if not Torch.installed():
        return []
    code = f"from nblstm.bench.processes import print_training; print_training({tuple(timing)})"
    times = json.loads(run_code(code, KEEP_MEMORY))
    return [
        Measurement(
            "freed memory kept", "float32", ALL, f"training {shape}", side, seconds, "s",
            None if side == OURS else seconds / pair[0], shape.training_flops / 1e9 / seconds,
        )
        for shape, pair in zip(TABLE, times, strict=True)
        for side, seconds in zip((OURS, Torch.name), pair, strict=True)
    ]  # fmt: skip


def print_training(timing: tuple[float, ...]) -> None:
    """In a process of its own: times of a training pass by nblstm and PyTorch, for every row of the table, as JSON."""
    load_before_threads()
    times = []
    for shape in TABLE:
        problem = Problem(Case(shape, "float32", ALL))
        times.append(medians([Ours(problem).train, Torch(problem).train], Timing(*timing)))  # type: ignore[arg-type]
    print(json.dumps(times))
