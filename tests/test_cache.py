"""Compiled kernels on disk: found by the next process, never stale, safe to share, and not needed."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nblstm
from nblstm.environment import describe

TESTS, PACKAGE = Path(__file__).parent, Path(nblstm.__file__).parent
KERNELS = sorted(path.name for path in (PACKAGE / "kernels").glob("*.py"))
PROGRAM = """
import json
import numpy as np
import nblstm
from all_kernels import cache_statistics

y, _ = nblstm.RNN(3, 5, seed=0)(np.ones((4, 2, 3), "float32"))
print(json.dumps({"y": y.ravel().tolist(), "file": nblstm.__file__, "cache": cache_statistics()}))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a copy of the package, from which nothing has been compiled yet."""
    shutil.copytree(PACKAGE, tmp_path / "nblstm", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def forbid_writing(installation: Path) -> None:
    """Make every folder for compiled files one that cannot be made, not even by root, who may write anywhere."""
    for folder in (installation / "nblstm", *(installation / "nblstm").glob("*/")):
        (folder / "__pycache__").touch()


def start(*arguments: str, at: Path, **environment: str) -> subprocess.Popen[str]:
    """A Python that finds the package in `at`, takes warnings for errors and knows of no cache but what is said."""
    inherited = {name: text for name, text in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    path = os.pathsep.join([str(at), str(TESTS), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-W", "error", *arguments], cwd=at, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=inherited | {"PYTHONPATH": path} | environment,
    )  # fmt: skip


def result(process: subprocess.Popen[str]) -> tuple[Any, str]:
    """What it printed as JSON, and its standard error."""
    out, error = process.communicate()
    assert process.returncode == 0, error
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


@pytest.fixture(scope="module")
def expected() -> list[float]:
    y, _ = nblstm.RNN(3, 5, seed=0)(np.ones((4, 2, 3), "float32"))
    return y.ravel().tolist()


@pytest.mark.cold
def test_every_kernel_is_compiled_once_and_found_by_the_next_process(tmp_path: Path) -> None:
    """And the first process says what it is doing, the second has nothing to say."""
    runs = []
    for _ in range(2):
        process = start(
            str(TESTS / "all_kernels.py"), at=PACKAGE.parent, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_NUM_THREADS="2"
        )
        runs.append(result(process))
    (first, told), (second, nothing) = runs
    if describe()["threading_layer"] != "omp":  # and teams, which need OpenMP, are never made
        first, second = ({name: run[name] for name in run if ".together." not in name} for run in (first, second))
    assert sum(name.startswith("cfunc") for name in first) == 4
    assert first.keys() == second.keys()
    assert {name: counts for name, counts in first.items() if counts != [0, 1]} == {}
    assert {name: counts for name, counts in second.items() if counts != [1, 0]} == {}
    assert told.startswith("nblstm: compiling kernels for this processor")
    assert (told.count("\n"), str(tmp_path) in told) == (1, True)
    assert nothing == ""


@pytest.mark.parametrize("file", KERNELS)
def test_the_fingerprint_sees_every_edit(file: str, copy: Path) -> None:
    def fingerprint() -> int:
        return runpy.run_path(str(copy / "nblstm/kernels/fingerprint.py"))["FINGERPRINT"]

    before = fingerprint()
    with open(copy / "nblstm/kernels" / file, "a") as source:
        source.write("# a remark\n")
    assert fingerprint() != before


def test_an_edit_to_another_file_than_the_kernels_own_is_never_missed(copy: Path, expected: list[float]) -> None:
    """Sweeps call the equations of cells.py: to Numba's own cache they have not changed. The tiles are keyed alike."""
    found, _ = run(copy)
    assert found["y"] == expected
    cells = copy / "nblstm/kernels/cells.py"
    source = cells.read_text()
    assert source.count("return tanh(z)") == 1
    cells.write_text(source.replace("return tanh(z)", "return 0 * tanh(z)"))
    found, _ = run(copy)
    assert not np.any(found["y"])
    assert all_are(0, 1, found["cache"])
    cells.write_text(source)
    found, told = run(copy)
    assert found["y"] == expected
    assert all_are(1, 0, found["cache"])
    assert told == ""


@pytest.mark.cold
def test_two_processes_at_once_where_the_installation_cannot_be_written(copy: Path, expected: list[float]) -> None:
    """Both compile, into the user's own folder, and leave there what a third one finds."""
    forbid_writing(copy)
    home = {"HOME": str(copy)}
    for found, _ in map(result, [start("-c", PROGRAM, at=copy, **home) for _ in range(2)]):
        assert found["y"] == expected
    found, _ = run(copy, **home)
    assert found["y"] == expected
    assert all_are(1, 0, found["cache"])


def test_without_any_folder_to_write_to_the_kernels_run_all_the_same(copy: Path, expected: list[float]) -> None:
    forbid_writing(copy)
    found, told = run(copy, HOME=os.devnull)
    assert found["y"] == expected
    assert not list(copy.rglob("*.nb[ci]"))
    assert told.startswith("nblstm: compiling kernels for this processor")
    assert (told.count("\n"), "no folder for them can be written" in told) == (1, True)
