"""Which row of which step is which place of the batch: lengths, directions and threads turned into index tables."""

from __future__ import annotations

import functools

import numpy as np


class Schedule:
    """Order of processing of a batch of B sequences over T steps.

    Rows are the sequences, longest first where `lengths` are given; row r of step s is processed while s < its length.
    Attributes: `order` (B,), the sequence that each row is; `lengths` (B,) of the rows; `active` (T,), rows alive at
    each step; `live` (N,), the numbers s * B + r of all rows alive, the last step first, as sums over them are taken.
    """

    def __init__(self, T: int, B: int, lengths: np.ndarray | None) -> None:
        self.T, self.B, self.ragged = T, B, lengths is not None
        given = np.full(B, T, np.int64) if lengths is None else lengths.astype(np.int64)
        self.order = np.argsort(-given, kind="stable")
        self.lengths = given[self.order]
        steps = np.arange(T)[:, None]
        alive = steps < self.lengths
        self.active = alive.sum(axis=1)
        steps_back, rows = np.nonzero(alive[::-1])
        self.live = (T - 1 - steps_back) * B + rows
        self._live_before = np.concatenate([[0], np.cumsum(self.active[::-1])])
        self.times = (np.where(alive, steps, 0), np.where(alive, self.lengths - 1 - steps, 0))
        self._offsets: dict[tuple[int, int, int], np.ndarray] = {}
        self._live_offsets: dict[tuple[int, int, int], np.ndarray] = {}
        self._bounds: dict[int, np.ndarray] = {}

    def offsets(self, direction: int, time_stride: int, batch_stride: int) -> np.ndarray:
        """Where the row of every step lies in an array (T, B, ...) of these strides, flat (T * B,)."""
        key = (direction, time_stride, batch_stride)
        found = self._offsets.get(key)
        if found is None:
            if len(self._offsets) > 16:  # a caller whose strides change every time
                self._offsets.clear()
            found = (self.times[direction] * time_stride + self.order * batch_stride).ravel()
            self._offsets[key] = found
        return found

    def live_offsets(self, direction: int, time_stride: int, batch_stride: int) -> np.ndarray:
        """The same for the rows alive only, in the order of `live`."""
        key = (direction, time_stride, batch_stride)
        found = self._live_offsets.get(key)
        if found is None:
            if len(self._live_offsets) > 16:
                self._live_offsets.clear()
            found = self._live_offsets[key] = self.offsets(*key)[self.live]
        return found

    def live_in(self, first: int, last: int) -> slice:
        """The part of `live`, and of live offsets, that belongs to the steps first .. last - 1."""
        return slice(self._live_before[self.T - last], self._live_before[self.T - first])

    def bounds(self, threads: int) -> np.ndarray:
        """Row at which each thread's share begins, and the end (threads + 1,): shares of about equal total length."""
        found = self._bounds.get(threads)
        if found is None:
            done = np.concatenate([[0], np.cumsum(self.lengths)])
            found = self._bounds[threads] = np.searchsorted(done, done[-1] * np.arange(threads + 1) // threads)
            found[-1] = self.B  # with the sequences without steps
        return found


@functools.lru_cache(maxsize=4)
def plain_schedule(T: int, B: int) -> Schedule:
    """The schedule of B sequences of T steps each, shared by all who ask for it."""
    return Schedule(T, B, None)
