"""Where trials are computed: processes of this machine, or a Dask cluster, both as an executor of `concurrent.futures`.

A worker process of this machine is a pool of its own: when it is killed, it takes no other's trial with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from nblstm.cells import Cell
from nblstm.search.trial import compile_ahead, identity

ANSWER = 10.0
"""Seconds within which a scheduler answers, and has a worker."""


class Processes:
    """Processes of this machine, each with so many threads; they end when this one does, however it ends."""

    lost = idle = False

    def __init__(self, count: int | None, threads: int) -> None:
        from joblib import cpu_count

        self.count, self.threads = count or max(1, cpu_count() // threads), threads
        self._callers = ThreadPoolExecutor(self.count)  # each has a process of its own, and waits for it
        self._own = threading.local()
        self._busy: dict[Any, bool] = {}  # the pools of all of them

    def __str__(self) -> str:
        each = "one thread each" if self.threads == 1 else f"{self.threads} threads each"
        return f"{self.count} worker {'process' if self.count == 1 else 'processes'} of {each}"

    def prepare(self, folder: Path, cells: Sequence[str | Cell]) -> list[Future[None]]:
        """Have the kernels of these cells compiled, once, in the first process."""
        return [self.submit(compile_ahead, self.threads, cells)]

    def share(self, data: Sequence[Any]) -> Any:
        """`data` as `submit` takes them."""
        return data

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call `function` in one of the processes, as soon as one is free."""
        return self._callers.submit(self._call, function, arguments)

    def _call(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        from joblib.externals import loky

        if not hasattr(self._own, "pool"):
            environment = {"NUMBA_NUM_THREADS": str(self.threads)}
            self._own.pool = loky.ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),), env=environment)
        pool = self._own.pool
        self._busy[pool] = True
        try:
            result = pool.submit(function, *arguments).result()
            self._busy[pool] = False
            return result
        except BrokenExecutor as error:
            del self._own.pool, self._busy[pool]
            raise ChildProcessError("the worker process was killed, or crashed") from error

    def close(self) -> None:
        """End the processes, whatever they do."""
        self._callers.shutdown(wait=False, cancel_futures=True)
        for pool, busy in tuple(self._busy.items()):
            pool.shutdown(kill_workers=busy)
        self._callers.shutdown()


def _begin(parent: int) -> None:
    """In a new process: Ctrl-C is for the parent, with which this one ends."""
    from tqdm import tqdm

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (bars of several workers would write over one another)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a process that is killed leaves behind

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Cluster:
    """The workers of a Dask cluster, those included that come later.

    Raises
    ------
    OSError
        No scheduler answers there, or it has no workers.
    ImportError
        Dask is not installed.
    """

    def __init__(self, address: str, threads: int) -> None:
        try:
            from distributed import Client
            from distributed.core import connect
            from distributed.security import Security
        except ImportError as error:
            raise ImportError('a scheduler needs Dask: pip install "nblstm[dask]"') from error
        for name in ("distributed.client", "distributed.core"):  # what matters is said here
            logging.getLogger(name).setLevel(logging.CRITICAL)

        async def knock() -> None:  # a client in vain would be closed with a traceback
            await (await connect(address, ANSWER, **Security().get_connection_args("client"))).close()

        self.address, self.threads = address, threads
        try:
            asyncio.run(knock())
            self._client = Client(address, timeout=ANSWER, set_as_default=False)
        except (OSError, ValueError) as error:
            raise OSError(f"no Dask scheduler answers at {address} within {ANSWER:.0f} seconds: {error}") from error
        self._executor = self._client.get_executor(pure=False)
        try:
            self._client.wait_for_workers(1, timeout=ANSWER)
        except TimeoutError as error:
            self.close()
            raise OSError(f"the Dask scheduler at {address} has no workers") from error

    def __str__(self) -> str:
        count = len(self._client.nthreads())
        each = "one thread a trial" if self.threads == 1 else f"{self.threads} threads a trial"
        return f"{count} {'worker' if count == 1 else 'workers'} of the Dask cluster at {self.address}, {each}"

    @property
    def lost(self) -> bool:
        """Whether the scheduler is there no more."""
        return self._client.status != "running"

    @property
    def idle(self) -> bool:
        """Whether no worker is left, so that all waits for one."""
        return not self._client.nthreads()

    def prepare(self, folder: Path, cells: Sequence[str | Cell]) -> list[Future[None]]:
        """Compare what the workers are with what is here; have these cells' kernels compiled, once on each machine."""
        try:
            found = self._client.run(identity, folder)
        except Exception as error:
            raise ValueError(f"a worker cannot use nblstm: {type(error).__name__}: {error}") from error
        refuse_others(identity(folder), found, folder)
        hosts = {of["host"]: worker for worker, of in found.items()}
        return [
            self._executor.submit(compile_ahead, self.threads, cells, workers=[worker], allow_other_workers=True)
            for worker in hosts.values()
        ]

    def share(self, data: Sequence[Any]) -> Any:
        """`data`, as a task whose result the workers hand each other: the scheduler repeats it where that is lost."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")  # it would scatter, and what is lost be lost
            return self._client.submit(list, data, pure=False)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call `function` on one of the workers; one that dies over it leaves it to another."""
        found: Future[Any] = self._executor.submit(function, *arguments)
        return found

    def close(self) -> None:
        """Take back what has not begun; what has stops by itself, when its session has ended."""
        with suppress(Exception):  # a scheduler that is gone has nothing to take back
            self._executor.shutdown(wait=False)
        with suppress(Exception):
            self._client.close(timeout=ANSWER)


def refuse_others(own: Mapping[str, str], found: Mapping[str, Mapping[str, str]], folder: Path) -> None:
    """Refuse workers that would compute something else, or that do not see the folder of the search.

    Raises
    ------
    ValueError
        The first of them, and what is different.
    """
    for worker, other in found.items():
        if other["session"] != own["session"]:
            raise ValueError(
                f"the worker {worker} does not see the folder {folder}: a search on a cluster must be in one that all "
                "its workers share"
            )
        differing = [
            f"{name} {other.get(name)} in place of {version}"
            for name, version in own.items()
            if name != "host" and other.get(name) != version
        ]
        if differing:
            raise ValueError(f"the worker {worker} has another version than this process: {', '.join(differing)}")
