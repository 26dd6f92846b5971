"""Searches for tests: trials in this very process, jobs that die on purpose, and what two searches must agree in."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from nblstm import weights
from nblstm.jobs import RegressionJob
from nblstm.search import Search
from support.small_jobs import sequences

DATA = [sequences(RegressionJob, count, seed) for seed, count in enumerate((24, 15))]
SETTINGS = {"batch_size": 8, "epochs": 9, "evaluate_every": 3, "dropout": 0.3, "num_layers": 2, "seed": 2}


class Here:
    """In place of worker processes: each trial at once, in this one."""

    lost = idle = False
    threads = 1

    def __init__(self, *_: Any) -> None:
        self.left = 10**9

    def __str__(self) -> str:
        return "this process"

    def prepare(self, folder: Path, cells: Any) -> list[Future[Any]]:
        return []

    def share(self, data: Any) -> Any:
        return data

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        pass


class DyingJob(RegressionJob):
    """One of five units dies at its second evaluation: the first time its process is killed, the next it goes on."""

    def evaluate(self) -> dict[str, float]:
        mark = Path(os.environ["NBLSTM_TEST_MARK"])
        if self.settings.hidden_size == 5 and self.trainer.steps and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate()


class BrokenJob(RegressionJob):
    """One of five units fails each time, one of six the first time; `tries` has all that began."""

    tries: list[int] = []  # noqa: RUF012

    def evaluate(self) -> dict[str, float]:
        size = self.settings.hidden_size
        if self.trainer.steps == 3:
            self.tries.append(size)
            if size == 5 or (size == 6 and self.tries.count(size) == 1):
                raise RuntimeError(f"{size} units\nare broken")
        return super().evaluate()


def outcome(search: Search) -> list[Any]:
    """All that must not depend on who computed a search, in how many pieces: the table, and the bits of each model."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in search.results]
    tensors = [weights.load(path) for path in sorted(search.folder.glob("trials/*/*.safetensors"))]
    assert tensors
    return [rows, [{name: np.asarray(one).tobytes() for name, one in each.items()} for each in tensors]]
