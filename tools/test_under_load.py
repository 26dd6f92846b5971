"""Runs the tests where a test that depends on speed fails: beside busy processes, then on one core; see `make load`."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator


def spin(cores: set[int]) -> None:
    """Keep one of the cores busy."""
    os.sched_setaffinity(0, cores)
    while True:
        pass


@contextlib.contextmanager
def busy(count: int, cores: set[int]) -> Iterator[None]:
    """So many processes that compute on those cores while the ``with`` lasts."""
    processes = [multiprocessing.Process(target=spin, args=(cores,), daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()


def run(name: str, arguments: list[str], cores: set[int]) -> bool:
    """The tests once, held to those cores; whether all passed."""
    print(f"== {name}: pytest {' '.join(arguments)}", flush=True)
    began = time.monotonic()
    code = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], check=False, preexec_fn=lambda: os.sched_setaffinity(0, cores)
    ).returncode
    print(f"== {name}: exit code {code} after {time.monotonic() - began:.0f} s", flush=True)
    return code == 0


def main() -> None:
    """Three times beside four busy processes on two cores, once on a single core; options of pytest may follow."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--times", type=int, default=3, help="runs beside the busy processes (default: 3)")
    parser.add_argument("--busy", type=int, default=4, help="busy processes (default: 4)")
    options, arguments = parser.parse_known_args()
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("this system does not let a process choose its cores: Linux does")
    one, *others = sorted(os.sched_getaffinity(0))
    two = {one, *others[:1]}
    passed = []
    with busy(options.busy, two):
        for number in range(1, options.times + 1):
            passed.append(run(f"run {number} beside {options.busy} busy processes", arguments, two))
    passed.append(run("on one core", arguments, {one}))
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
