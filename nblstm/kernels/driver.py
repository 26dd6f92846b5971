"""How kernels are called: with threads or, for small work, without; by a team of threads that meet; after a fork."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Lock, RLock
from types import FunctionType
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.types.misc import CPointer
from numba.extending import intrinsic

from nblstm.kernels import team
from nblstm.kernels.cache import cfunc, keep
from nblstm.kernels.compilation import refuse
from nblstm.kernels.policy import POLICY
from nblstm.kernels.simd import pointer
from nblstm.kernels.tag import ANY


def threads_for(operations: int) -> int:
    """Threads to use for so many multiplications, or operations as costly: one, or all."""
    return 1 if operations < POLICY.serial_below else all_threads()


def all_threads() -> int:
    """As many threads as `numba.set_num_threads` allows; one in a child that a fork has left without."""
    if _lost_threads:
        return 1
    _threading_layer()  # the first time it starts the threads, and keeps a fork off until then
    return numba.get_num_threads()


def _after_fork() -> None:
    """A child made by fork has none of its parent's threads, and those who start OpenMP's again are killed by it.

    Numba's question whether threads have started takes two locks. One may be held by a thread that the child has not.
    The other is the parent's too, who would wait for ever for a child that was killed with it in hand.
    """
    global _lost_threads
    try:
        _lost_threads = True  # if Numba's names have changed: slow, but alive
        parallel = numba.np.ufunc.parallel
        _lost_threads = parallel._is_initialized
        if _lost_threads:
            parallel._backend_init_thread_lock, parallel._backend_init_process_lock = RLock(), nullcontext()
    finally:  # Python only mentions an exception here, and the child goes on
        global_compiler_lock.release()


_lost_threads = False
if hasattr(os, "register_at_fork"):  # a fork waits for a thread that compiles: in the child its lock would stay locked
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=_after_fork,
    )


class Driver:
    """A kernel whose first arguments are a `Tag` and the number of threads, and which shares its work by `prange`.

    Called with one thread, or in a forked child, it runs, and only then compiles, a version without threads, which does
    the shares one after the other.
    """

    def __init__(self, function: Any) -> None:
        self.parallel = keep(numba.njit(parallel=True, error_model="numpy")(function))
        # The cache tells functions apart by their qualified name, not by their options.
        serial = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
        serial.__qualname__ = f"{function.__qualname__}_serial"
        serial.__module__ = function.__module__
        self.serial = keep(numba.njit(error_model="numpy")(serial))
        if numba.config.DISABLE_JIT:
            self.parallel = self.serial = refuse
        self.__doc__ = function.__doc__

    def __call__(self, tag: Any, threads: int, *arguments: Any) -> Any:
        """Run the version with threads, or the one without."""
        if threads == 1 or _lost_threads:
            return self.serial(tag, threads, *arguments)
        with _one_at_a_time if _threading_layer() == "workqueue" else nullcontext():
            return self.parallel(tag, threads, *arguments)


class PlanKernel:
    """A kernel over `plan.PLAN` records: what one of its threads does, compiled by itself and called by its address.

    The function takes the thread's number, how many there are, the address of the plans and their count, a note (see
    `team`), and a pointer to numbers of the dtype, which is null: it says of what type all others are. The loop over
    the threads would take longer to compile than the function; it is compiled once for all.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function, self.__doc__ = function, function.__doc__
        self.compiled: dict[np.dtype, CFunc] = {}

    def __call__(self, dtype: np.dtype, threads: int, plans: np.ndarray, note: np.ndarray | None = None) -> None:
        """Run it for plans of a layer of `dtype`, with threads or, for one, without; a note is for those who wait."""
        code = self.compiled.get(dtype) or self._compile(dtype)
        if threads == 1 or _lost_threads:
            take_shares(code.address, threads, plans, NO_TEAM)
            return
        with _one_at_a_time if _threading_layer() == "workqueue" else nullcontext():
            share_out(code.address, threads, plans, NO_TEAM if note is None else note)

    def _compile(self, dtype: np.dtype) -> CFunc:
        if numba.config.DISABLE_JIT:
            refuse()
        ANY._numba_type_  # noqa: B018  it makes the tiles known, without which this cannot be linked
        size, integers, numbers = types.int64, CPointer(types.int64), CPointer(numba.from_dtype(dtype))
        signature = types.void(size, size, size, size, integers, numbers)
        self.compiled[dtype] = found = cfunc(signature, error_model="numpy")(self.function)
        return found


@intrinsic
def call(typing_context, address, thread, threads, plans, count, note):
    """Call the machine code of a `PlanKernel`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        like = ir.IntType(8).as_pointer()
        function = ir.FunctionType(ir.VoidType(), [*(arg.type for arg in args[1:]), like])
        builder.call(builder.inttoptr(args[0], function.as_pointer()), [*args[1:], like(None)])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, note), codegen


@keep
@numba.njit(parallel=True)
def share_out(address, threads, plans, note):
    """Each thread its share of a `PlanKernel`."""
    for thread in numba.prange(threads):
        call(address, thread, threads, plans.ctypes.data, len(plans), pointer(note))


@keep
@numba.njit
def take_shares(address, threads, plans, note):
    """All shares, one after the other."""
    for thread in range(threads):
        call(address, thread, threads, plans.ctypes.data, len(plans), pointer(note))


def run_as_team(kernel: PlanKernel, dtype: np.dtype, threads: int, plans: np.ndarray) -> bool:
    """Run a kernel with threads that wait for each other, see `team`.

    False if nothing was done: where one thread is asked for, or a team cannot come together. One caller at a time has
    one, and only where OpenMP starts the threads, which starts all of a team at once. So many threads that have not
    come are not tried again for a while: it would cost as long a wait each time.
    """
    if threads == 1 or _lost_threads or threads > numba.get_num_threads() or not POLICY.team_patience:
        return False
    if MEETINGS.skips.get(threads):
        MEETINGS.skips[threads] -= 1
        return False
    if _threading_layer() != "omp" or os.name != "posix":
        return False
    held: list[bool] = []
    try:
        # Taken and noted in one operation: an interrupt between the two would leave the lock taken for ever.
        held.extend(map(_one_team.acquire, (False,)))
        if not held[0]:
            return False
        note = np.zeros(team.WORDS, np.int64)
        note[team.PATIENCE] = POLICY.team_patience
        kernel(dtype, threads, plans, note)
    finally:
        if True in held:
            _one_team.release()
    met = bool(note[team.APART] == 1)
    if not met:
        MEETINGS.missed += 1
        MEETINGS.skips[threads] = RETRY_AFTER
    return met


@dataclass
class Meetings:
    """How often a team did not come together in this process, and how many calls do without one now, by threads."""

    missed: int = 0
    skips: dict[int, int] = field(default_factory=dict)


MEETINGS = Meetings()
NO_TEAM = np.zeros(team.WORDS, np.int64)
"""The note for a kernel whose threads are not to wait for each other."""
OPENMP_SPINS = 5000
"""Looks for work, some ten microseconds: as fast as spinning alone, nearly as fair as sleeping at once."""
RETRY_AFTER = 1000
"""Calls without a team after one that did not come together, which had cost as much as some hundred calls."""
_one_team = Lock()
# Numba's own threads abort the process when two callers meet in them; OpenMP and TBB do not. A signal is handled while
# the lock is held, and its handler may call, too.
_one_at_a_time = RLock()


@functools.cache
def _threading_layer() -> str:
    with global_compiler_lock, _soon_asleep():  # no fork in between
        numba.get_num_threads()  # starts the threads, without which there is no layer to name
    return numba.threading_layer()


@contextmanager
def _soon_asleep() -> Iterator[None]:
    """Have GNU's OpenMP, which reads this when it is loaded, let threads without work sleep after some microseconds.

    By itself they look for work for milliseconds, and two programs with as many threads as cores hold each other up.
    """
    if os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:  # somebody knows better
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = str(OPENMP_SPINS)
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]
