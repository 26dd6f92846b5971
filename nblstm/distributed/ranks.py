"""The ranks of one training: who they are, what they hand each other over MPI, and how one's error becomes everyone's.

Everything but `world` works on plain numbers and flat arrays; what a training makes of them is in `sharded.py`.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

import numba
import numpy as np

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
"""Where launchers say how many processes they have started: MPICH and its relatives, Open MPI."""


class Alone:
    """A training of one process: it is all ranks there are, and what it hands out comes back to itself.

    Attributes
    ----------
    rank, size : int
        Which of how many.
    waited : float
        Seconds spent in exchanges so far: waiting for the others, and moving what they send.
    """

    rank, size = 0, 1
    waited = 0.0

    def gather(self, own: Any) -> list[Any]:
        """What each rank gives here, in their order; of plain data."""
        return [own]

    def exchange(self, rows: np.ndarray, bounds: np.ndarray, count: int) -> np.ndarray:
        """From each rank's `share` of `count` rows (k, N) all rows, of the own columns alone: (count, n).

        Rank r owns the columns ``bounds[r]:bounds[r + 1]``.
        """
        return rows

    def complete(self, flat: np.ndarray, bounds: np.ndarray) -> None:
        """Fill in what the others own of a flat array of which every rank has its own part."""

    def add(self, flat: np.ndarray) -> None:
        """Add the others' arrays to a flat one, in whatever order MPI likes."""

    def first(self, own: Any) -> Any:
        """What rank 0 gives."""
        return self.gather(own)[0]

    def share(self, count: int, rank: int | None = None) -> range:
        """Which of `count` things are a rank's, by default this one's: neighbours, about as many for each."""
        rank = self.rank if rank is None else rank
        return range(count * rank // self.size, count * (rank + 1) // self.size)

    def same(self, facts: Mapping[str, Any]) -> None:
        """All ranks have these facts in common, or each of them refuses.

        Raises
        ------
        ValueError
            The first fact that differs, with both values.
        """
        with self.agreeing():
            everyone = self.gather(dict(facts))
        for rank, theirs in enumerate(everyone):
            for name, value in everyone[0].items():
                if theirs.get(name) != value:
                    error = ValueError(
                        f"all ranks must have the same {name}, got {value} on rank 0 and {theirs.get(name)} on rank "
                        f"{rank}"
                    )
                    raise on_all_ranks(error)

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """What one rank refuses within the block all refuse at its end; in the block ranks hand each other nothing.

        Raises
        ------
        ValueError
            Another rank's error, with its number, where this one has none itself.
        """
        error = None
        try:
            yield
        except Exception as own:
            error = own
        refused = self.gather(None if error is None else str(error) or type(error).__name__)
        if error is not None:
            raise on_all_ranks(error)
        for rank, sentence in enumerate(refused):
            if sentence is not None:
                raise on_all_ranks(ValueError(f"rank {rank} of {self.size} refused: {sentence}"))

    def abort(self, code: int) -> None:
        """End the other ranks too, who would wait for this one for ever."""


class Ranks(Alone):
    """The processes of an MPI communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    """

    def __init__(self, comm: Any) -> None:
        self.comm, self.rank, self.size = comm, comm.rank, comm.size

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.waited += time.perf_counter() - begun

    def gather(self, own: Any) -> list[Any]:
        """As `Alone.gather`."""
        with self._waiting():
            return self.comm.allgather(own)

    def exchange(self, rows: np.ndarray, bounds: np.ndarray, count: int) -> np.ndarray:
        """As `Alone.exchange`, between one pair of ranks after the other."""
        own = slice(*bounds[self.rank : self.rank + 2])
        received = np.empty((count, own.stop - own.start), rows.dtype)
        for to, source in self._pairs():
            part = np.ascontiguousarray(rows[:, bounds[to] : bounds[to + 1]])
            theirs = self.share(count, source)
            self._swap(part, to, received[theirs.start : theirs.stop], source)
        mine = self.share(count)
        received[mine.start : mine.stop] = rows[:, own]
        return received

    def complete(self, flat: np.ndarray, bounds: np.ndarray) -> None:
        """As `Alone.complete`, between one pair of ranks after the other."""
        own = flat[bounds[self.rank] : bounds[self.rank + 1]]
        for to, source in self._pairs():
            self._swap(own, to, flat[bounds[source] : bounds[source + 1]], source)

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Whom to send to and whom to receive from, turn by turn, so that in each turn every rank does both once."""
        for turn in range(1, self.size):
            yield (self.rank + turn) % self.size, (self.rank - turn) % self.size

    def _swap(self, sent: np.ndarray, to: int, received: np.ndarray, source: int) -> None:
        """Not Alltoallv and Allgatherv: for such few and long messages MPICH's take many times as long."""
        with self._waiting():
            self.comm.Sendrecv(sent, to, recvbuf=received, source=source)

    def add(self, flat: np.ndarray) -> None:
        """As `Alone.add`, by one Allreduce."""
        from mpi4py import MPI

        with self._waiting():
            self.comm.Allreduce(MPI.IN_PLACE, flat)

    def abort(self, code: int) -> None:
        """As `Alone.abort`."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
                _wait_for_reader(stream)
        self.comm.Abort(code)


def _wait_for_reader(stream: Any) -> None:
    """Wait until the launcher has read what a rank said, a second at most: MPICH's drops what it finds after an end."""
    with suppress(ImportError, OSError):  # Windows has no FIONREAD, and a stream in a test no file
        import fcntl
        import termios

        end = time.monotonic() + 1
        while any(fcntl.ioctl(stream.fileno(), termios.FIONREAD, bytes(4))) and time.monotonic() < end:
            time.sleep(0.001)


def on_all_ranks(error: BaseException) -> BaseException:
    """`error`, marked as one that every rank raises at the same place, so that nobody is waited for."""
    error.on_all_ranks = True  # type: ignore[attr-defined]
    return error


def is_on_all_ranks(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, is such a one."""
    while error is not None:
        if getattr(error, "on_all_ranks", False):
            return True
        error = error.__cause__
    return False


def started() -> int:
    """How many processes mpirun has started, this one among them, as the environment says; 0 without mpirun."""
    return next((int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdecimal()), 0)


def ranks_for(shards: int) -> Alone:
    """Those that share out so many shards of a batch: with one, ordinary training, every process is by itself.

    Raises
    ------
    ValueError
        More ranks than shards.
    """
    if shards == 1:
        return Alone()
    ranks = world()
    check_shards(shards, ranks.size)
    return ranks


def check_shards(shards: int, size: int) -> None:
    """There are enough for each rank to have one."""
    if shards < size:
        raise on_all_ranks(ValueError(f"shards must be at least the {size} ranks that share them out, got {shards}"))


@functools.cache
def world() -> Alone:
    """All processes that mpirun has started; without it this one alone, and mpi4py is not imported.

    Ranks on the same cores share these out: each then uses so many threads, unless ``NUMBA_NUM_THREADS`` says it. An
    error that ends one rank from here on ends the others.

    Raises
    ------
    ImportError
        mpi4py is not installed, or finds no MPI.
    ValueError
        mpirun is not of the MPI that mpi4py has loaded: each process would be by itself.
    """
    size = started()
    if size <= 1:
        return Alone()
    os.environ.setdefault("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")  # MPICH: who waits leaves the core to who computes
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise on_all_ranks(
            ImportError(
                f"training by {size} ranks needs the package mpi4py and an MPI: pip install mpi4py mpich ({error})"
            )
        ) from None
    ranks = Ranks(MPI.COMM_WORLD)
    if ranks.size != size:
        raise on_all_ranks(
            ValueError(
                f"mpirun must be of the MPI that mpi4py has loaded, {MPI.Get_library_version().split(chr(10))[0]}, got "
                f"another, which has started {size} processes: that MPI knows {ranks.size}"
            )
        )
    if "NUMBA_NUM_THREADS" not in os.environ:
        sharing = _sharing_cores(ranks.comm.Split_type(MPI.COMM_TYPE_SHARED))
        numba.set_num_threads(max(1, numba.get_num_threads() // sharing))
    _end_all_on_error(ranks)
    return ranks


def _sharing_cores(neighbours: Any) -> int:
    """How many of the ranks on this machine may run on this one's first core, itself among them."""
    if not hasattr(os, "sched_getaffinity"):
        return int(neighbours.size)
    own = os.sched_getaffinity(0)
    return sum(min(own) in other for other in neighbours.allgather(own))


def _end_all_on_error(ranks: Ranks) -> None:
    """From now on what ends this rank, and is no refusal of all, ends all; a refusal of all is shown by rank 0."""
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        everyone = is_on_all_ranks(error)
        if not everyone or ranks.rank == 0:
            before(kind, error, trace)
        if not everyone:
            ranks.abort(1)

    sys.excepthook = hook
