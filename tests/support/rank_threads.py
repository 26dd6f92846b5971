"""Ranks that are threads of one process: what they hand each other lies on a board that all see. No MPI is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from nblstm.distributed import Alone
from support.processes import LIMIT


class ThreadRanks(Alone):
    def __init__(self, rank: int, size: int, board: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.size, self.board, self.barrier = rank, size, board, barrier

    def gather(self, own: Any) -> list[Any]:
        self.board[self.rank] = own
        self.barrier.wait()
        found = list(self.board)
        self.barrier.wait()
        return found

    def exchange(self, rows: np.ndarray, bounds: np.ndarray, count: int) -> np.ndarray:
        every = np.concatenate(self.gather(rows.copy()))
        assert len(every) == count
        return every[:, bounds[self.rank] : bounds[self.rank + 1]]

    def complete(self, flat: np.ndarray, bounds: np.ndarray) -> None:
        flat[:] = np.concatenate(self.gather(flat[bounds[self.rank] : bounds[self.rank + 1]].copy()))

    def add(self, flat: np.ndarray) -> None:
        flat[:] = sum(self.gather(flat.copy()))


def on_ranks(size: int, work: Callable[[Alone], Any]) -> list[Any]:
    """What `work` gives on each of so many ranks; the first error is raised, and stops the others."""
    board, barrier = [None] * size, threading.Barrier(size, timeout=LIMIT)

    def one(rank: int) -> Any:
        try:
            return work(ThreadRanks(rank, size, board, barrier))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        results = [pool.submit(one, rank) for rank in range(size)]
    errors = [error for result in results if (error := result.exception()) is not None]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):  # which only follows from another
            raise error
    return [result.result() for result in results]
