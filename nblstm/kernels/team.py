"""Threads that work in step: they meet once before they begin, and then at every barrier.

A barrier needs the whole team, but OpenMP may give a loop fewer threads than it asks for. So they first try to `meet`:
if one is missing for long, all of them go home, nothing has been done, and the work can be done in another way. A note
without patience is for threads that do not wait for each other.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nblstm.kernels.inner import inner
from nblstm.kernels.simd import I64, shift

APART = 8  # integers that fill a cache line, so that counting does not disturb the word
WORDS = 2 * APART  # size of the note that a team leaves: its counter and its patience, and what was agreed
PATIENCE = 1  # where the note says after how many looks the missing are given up
SPINS = 2_000  # looks before a thread offers its core to others

_yield = types.ExternalFunction("sched_yield", types.int32())


@intrinsic
def _add(typing_context, p, n):
    def codegen(context, builder, sig, args):
        return builder.atomic_rmw("add", args[0], args[1], "acq_rel")

    return types.int64(p, types.int64), codegen


@intrinsic
def _look(typing_context, p):
    return types.int64(p), lambda context, builder, sig, args: builder.load_atomic(args[0], "acquire", 8)


@intrinsic
def _agree(typing_context, p, n):
    """Write n where nothing is written yet."""

    def codegen(context, builder, sig, args):
        builder.cmpxchg(args[0], ir.Constant(I64, 0), args[1], "acq_rel", "acquire")
        return context.get_dummy_value()

    return types.void(p, types.int64), codegen


@inner
def is_team(note):
    """Whether the threads that share this note wait for each other."""
    return note[PATIENCE] > 0


@inner
def meet(note, threads):
    """Whether all `threads` have come; the same answer for each. note (WORDS,) has the patience, else zeros."""
    word, patience = shift(note, APART), note[PATIENCE]
    if _add(note, 1) + 1 == threads:
        _agree(word, 1)
    looks = 0
    while _look(word) == 0:
        looks += 1
        if looks % SPINS == 0:
            _yield()
        if looks == patience:
            _agree(word, 2)
    return _look(word) == 1


@inner
def wait_for_all(note, threads, times):
    """The barrier number `times` after they met: 1, 2, 3 ..."""
    _add(note, 1)
    looks = 0
    while _look(note) < threads * (times + 1):
        looks += 1
        if looks % SPINS == 0:
            _yield()


@inner
def meet_again(team, note, threads, meetings):
    """All of a team wait for each other; returns how many times they have."""
    if team:
        wait_for_all(note, threads, meetings + 1)
    return meetings + 1
