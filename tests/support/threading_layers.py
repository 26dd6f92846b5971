"""Numba's threading layers, each of which needs a process of its own, with more threads than this machine may have."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.processes import LIMIT, ended, last_lines, started

LAYERS = ("tbb", "omp", "workqueue")
PATIENT = 10**11
"""Looks, minutes, for `nblstm.thread_policy`: a team gives nobody up whom a busy machine lets wait."""


def environment(layer: str, threads: int) -> dict[str, str]:
    """The wheel of TBB lies where the loader does not look by itself."""
    paths = [os.path.join(sys.prefix, "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    return {
        "NUMBA_THREADING_LAYER": layer,
        "NUMBA_NUM_THREADS": str(threads),
        **({"LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths))} if layer == "tbb" else {}),
    }


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    layer: str, *arguments: str, threads: int = 4, limit: float = LIMIT, with_errors: bool = False, **more: str
) -> str:
    """What Python prints when run with these arguments; it must end well, unless Numba does not find the layer."""
    if layer == "tbb" and threads > 1 and cores() == 1:
        pytest.skip("held to one core, TBB with several threads waits for ever at the end of a process")
    with started(
        sys.executable,
        *arguments,
        env=environment(layer, threads) | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        limit=limit,
    ) as process:
        code, printed, errors = ended(process, limit)
    if "No threading layer could be loaded" in errors:
        pytest.skip(f"Numba finds no {layer} here" + ": pip install tbb" * (layer == "tbb"))
    assert code == 0, f"expected exit code 0, got {code}; it said last:\n{last_lines(printed, errors)}"
    return printed + errors * with_errors
