"""Numba's threading layers, each of which needs a process of its own, with more threads than this machine may have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

LAYERS = ("tbb", "omp", "workqueue")


def environment(layer: str, threads: int) -> dict[str, str]:
    """For a process that imports what this one does; the wheel of TBB lies where the loader does not look by itself."""
    paths = [os.path.join(sys.prefix, "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "NUMBA_THREADING_LAYER": layer,
        "NUMBA_NUM_THREADS": str(threads),
        **({"LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths))} if layer == "tbb" else {}),
    }


def run(layer: str, *arguments: str, threads: int = 4, timeout: float = 120, **more: str) -> str:
    """What Python prints when run with these arguments; it must end well, unless Numba does not find the layer."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment(layer, threads) | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its children too
        pytest.fail(f"hangs: no end after {timeout} s; {process.communicate()}")
    if "No threading layer could be loaded" in errors:
        pytest.skip(f"Numba finds no {layer} here" + ": pip install tbb" * (layer == "tbb"))
    assert process.returncode == 0, f"ended with {process.returncode}\n{errors[-3000:]}"
    return printed
