"""Programs that tests start: one way to run them, a limit for what hangs, and what they said last when they fail."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

LIMIT = 900.0
"""Seconds before a program counts as hanging: many times what any takes on a slow and busy machine."""

BAR = re.compile(r"\d+%\|.*\||\d+it \[|\[\d\d:\d\d<")


def python_path(*before: Path) -> dict[str, str]:
    """The environment of a Python that finds what this one does; tests may run where nothing is installed."""
    return {"PYTHONPATH": os.pathsep.join([*map(str, before), *filter(None, sys.path)])}


def last_lines(*streams: str | None, count: int = 10) -> str:
    """The last lines of what was said, without progress bars."""
    lines = (line.rstrip() for said in streams for line in re.split(r"[\r\n]+", said or ""))
    return "\n".join([line for line in lines if line and not BAR.search(line)][-count:])


def kill(process: subprocess.Popen[str]) -> None:
    """End a program and its children, which are a group of their own; on Windows, which has no such groups, itself."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


@contextlib.contextmanager
def started(
    *command: str | Path, env: dict[str, str] | None = None, limit: float = LIMIT, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """A program in a session of its own; it and its children are gone when the ``with`` ends, or after `limit`."""
    with subprocess.Popen(
        [str(word) for word in command], text=True, start_new_session=True,
        env=os.environ | python_path() | (env or {}), **options,
    ) as process:  # fmt: skip
        end = threading.Timer(limit + 10, kill, (process,))  # whoever waits for a line gets none
        end.start()
        try:
            yield process
        finally:
            end.cancel()
            if process.poll() is None:
                kill(process)


def ended(process: subprocess.Popen[str], limit: float = LIMIT) -> tuple[int, str, str]:
    """How a program ended, and its standard output and error; one that hangs fails the test."""
    try:
        out, error = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        kill(process)
        out, error = process.communicate()
        pytest.fail(f"expected an end within {limit:.0f} s, got none; it said last:\n{last_lines(out, error)}")
    return process.returncode, out or "", error or ""


def wait_until(reached: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Wait for a sign of the other side: a file, a line, a counter; without one the test fails."""
    end = time.monotonic() + limit
    while not reached():
        if time.monotonic() > end:
            pytest.fail(f"waited {limit:.0f} s in vain until {what}")
        time.sleep(0.002)


def run(
    *command: str | Path, code: int = 0, limit: float = LIMIT, env: dict[str, str] | None = None, **options: Any
) -> tuple[str, str]:
    """Run a program to its end; its standard output and error. Another exit code than `code` fails the test."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(*command, env=env, limit=limit, **pipes, **options) as process:
        found, out, error = ended(process, limit)
    if found != code:
        pytest.fail(f"expected exit code {code}, got {found}; it said last:\n{last_lines(out, error)}")
    return out, error


def run_python(*arguments: str | Path, **options: Any) -> tuple[str, str]:
    """`run` with Python, which takes warnings for errors."""
    return run(sys.executable, "-W", "error", *arguments, **options)


def own_mounts() -> list[str]:
    """What stands before a command that may mount file systems of its own; the test is skipped where none may."""
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        with contextlib.suppress(OSError):
            script = ["sh", "-c", "mount -t tmpfs -o size=64k tmpfs /tmp"]
            if not subprocess.run([*command, *script], capture_output=True, check=False).returncode:
                return command
    pytest.skip("this system does not let us mount a file system of our own")
