"""A training loop that reuses its tape allocates nothing: neither inside the kernels nor outside."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys
from support.cases import Case, Problem
from tqdm import tqdm

from nblstm.kernels import driver

STEPS = 200
SIZES = (3, 2, 2, 3)
LOOPS = [
    Case("rnn_tanh", sizes=SIZES),
    Case("peephole", "concat", sizes=SIZES),
    Case("lstm", num_layers=2, bidirectional=True, lengths=True, sizes=SIZES),
]


def loop(case: Case, rng: np.random.Generator) -> Callable[[int], None]:
    """So many steps of training: the state carried over, and the parameters written, as an optimiser does."""
    layer, problem = case.layer(), Problem.draw(case, rng)
    _, state, tape = layer.forward(problem.x, None, problem.lengths)

    def train(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            layer.zero_grad()
            _, state, _ = layer.forward(problem.x, state, problem.lengths, tape)
            layer.backward(problem.dy, tape)
            with layer.editing() as p:
                np.multiply(layer.flat_grads, 1e-3, out=layer.flat_grads)
                np.subtract(p.flat, layer.flat_grads, out=p.flat)

    train(3)
    return train


@pytest.mark.usefixtures("threads_and_serial")
@pytest.mark.parametrize("case", LOOPS, ids=str)
def test_kernels_allocate_nothing(case, rng, monkeypatch):
    """Numba's counters move by one for each array handed to a kernel (a note that it is in use), or by less."""
    train, handed_over = loop(case, rng), 0

    def count(owner: object, name: str) -> None:
        call = getattr(owner, name)

        def counting(*arguments: object) -> None:
            nonlocal handed_over
            handed_over += sum(isinstance(argument, np.ndarray) for argument in arguments)
            call(*arguments)

        monkeypatch.setattr(owner, name, counting)

    count(driver.Driver, "__call__")
    count(driver, "take_shares")
    count(driver, "share_out")
    _nrt_python.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats()
        train(STEPS // 4)
        after = rtsys.get_allocation_stats()
    finally:
        _nrt_python.memsys_disable_stats()
    assert handed_over > 0
    assert after.alloc - before.alloc <= handed_over
    assert after.free - before.free == after.alloc - before.alloc


def held() -> tuple[int, int]:
    """Bytes of array data, and bytes of everything, after Python's caches have let go of what they kept."""
    gc.collect()
    if hasattr(sys, "_clear_internal_caches"):  # from Python 3.13 on
        sys._clear_internal_caches()
    else:
        sys._clear_type_cache()
    arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    data = tracemalloc.take_snapshot().filter_traces([arrays])
    return sum(trace.size for trace in data.traces), tracemalloc.get_traced_memory()[0]


@pytest.fixture
def nobody_watches_bars():
    """tqdm has a thread that looks at its progress bars every ten seconds, and allocates whenever it does."""
    if tqdm.monitor is not None:
        tqdm.monitor.exit()
        tqdm.monitor = None


@pytest.mark.usefixtures("nobody_watches_bars")
@pytest.mark.parametrize("case", LOOPS, ids=str)
def test_hundreds_of_steps_end_with_what_they_began(case, rng):
    """Not a byte more. Python's table of interned strings grows once, somewhere: those steps do not count.

    Nor do the first ones: of integers up to 256, such as the first counts of writes, Python makes no objects.
    """
    train = loop(case, rng)
    tracemalloc.start()
    try:
        train(300)
        grown = []
        while len(grown) < 4 and (not grown or grown[-1] > 0):
            data, everything = held()
            train(STEPS)
            data_after, everything_after = held()
            assert data_after == data
            grown.append(everything_after - everything)
    finally:
        tracemalloc.stop()
    assert grown[-1] <= 0, f"bytes more after each {STEPS} steps: {grown}"
