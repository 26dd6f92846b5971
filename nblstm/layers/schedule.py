"""Which row is which sequence of a batch, and which rows are alive at each step."""

from __future__ import annotations

import functools

import numpy as np


class Schedule:
    """Order of processing of a batch of B sequences over T steps.

    Rows are the sequences, longest first where `lengths` are given; row r of step s is processed while s < its length.
    Attributes: `order` (B,), the sequence that each row is; `lengths` (B,) of the rows; `active` (T,), rows alive at
    each step.
    """

    def __init__(self, T: int, B: int, lengths: np.ndarray | None) -> None:
        self.B, self.ragged = B, lengths is not None
        given = np.full(B, T, np.int64) if lengths is None else lengths.astype(np.int64)
        self.order = np.argsort(-given, kind="stable")
        self.lengths = given[self.order]
        self.active = (np.arange(T)[:, None] < self.lengths).sum(axis=1)
        self._bounds: dict[int, np.ndarray] = {}

    def bounds(self, threads: int) -> np.ndarray:
        """Row at which each thread's share begins, and the end (threads + 1,): shares of about equal total length."""
        found = self._bounds.get(threads)
        if found is None:
            done = np.concatenate([[0], np.cumsum(self.lengths)])
            found = np.searchsorted(done, done[-1] * np.arange(threads + 1) // threads)
            found[-1] = self.B  # with the sequences without steps
            found = self._bounds.setdefault(threads, found)  # plans have its address: of two callers' one is kept
        return found


@functools.lru_cache(maxsize=4)
def plain_schedule(T: int, B: int) -> Schedule:
    """The schedule of B sequences of T steps each, shared by all who ask for it."""
    return Schedule(T, B, None)
