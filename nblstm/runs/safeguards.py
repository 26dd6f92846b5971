"""What a training run asks of the system: to be alone in its folder, and to be told that it should stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(folder: Path, what: str = "run") -> Iterator[None]:
    """Refuse to train a run twice at once, where the system has locks: one would undo what the other has saved."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"the {what} in {folder} is being trained already: wait for its end, or stop it") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)


@contextmanager
def interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; from then on both do what they did before."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # which Ctrl-C does not reach
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(*_: object) -> None:
        asked.set()
        restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield asked
    finally:
        restore()
