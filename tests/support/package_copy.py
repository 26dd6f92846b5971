"""Copies of the package from which nothing has been compiled yet, and a small program that runs in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import nblstm
from support.processes import ended, last_lines, python_path

PACKAGE = Path(nblstm.__file__).parent
PROGRAM = """
import json
import numpy as np
import nblstm
from nblstm.kernels import compilation
compilation.PATIENCE = 0.0  # so that a fast machine says it too
from support.all_kernels import cache_statistics

y, _ = nblstm.RNN(3, 5, seed=0)(np.ones((4, 2, 3), "float32"))
print(json.dumps({"y": y.ravel().tolist(), "file": nblstm.__file__, "cache": cache_statistics()}))
"""


def expected() -> list[float]:
    """The y that `PROGRAM` prints."""
    y, _ = nblstm.RNN(3, 5, seed=0)(np.ones((4, 2, 3), "float32"))
    return y.ravel().tolist()


def start(*arguments: str, at: Path, **environment: str) -> subprocess.Popen[str]:
    """A Python that finds the package in `at`, takes warnings for errors and knows of no cache but what is said."""
    inherited = {name: text for name, text in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    return subprocess.Popen(
        [sys.executable, "-W", "error", *arguments], cwd=at, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=inherited | python_path(at) | environment, start_new_session=True,
    )  # fmt: skip


def result(process: subprocess.Popen[str]) -> tuple[Any, str]:
    """What it printed as JSON, and its standard error."""
    code, out, error = ended(process)
    assert code == 0, f"expected exit code 0, got {code}; it said last:\n{last_lines(out, error)}"
    return json.loads(out), error


def run(at: Path, **environment: str) -> tuple[Any, str]:
    """`PROGRAM`, and that it ran the package there."""
    found, error = result(start("-c", PROGRAM, at=at, **environment))
    assert Path(found["file"]).is_relative_to(at)
    return found, error


def all_are(hits: int, misses: int, statistics: dict[str, list[int]]) -> bool:
    """Whether all kernels that were called had so many hits and misses, and some were called."""
    called = [counts for counts in statistics.values() if counts != [0, 0]]
    return bool(called) and all(counts == [hits, misses] for counts in called)
