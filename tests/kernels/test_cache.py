"""Compiled kernels on disk: found by the next process, never stale, safe to share, and not needed."""

from __future__ import annotations

import os
import runpy
import shutil
import time
from pathlib import Path

import numba
import numpy as np
import pytest
from support.package_copy import PACKAGE, PROGRAM, all_are, expected, result, run, start

from nblstm.kernels.cache import KEPT, Files, _digest, keep

KERNELS = sorted(path.name for path in (PACKAGE / "kernels").glob("*.py"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a copy of the package, from which nothing has been compiled yet."""
    shutil.copytree(PACKAGE, tmp_path / "nblstm", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def forbid_writing(installation: Path) -> None:
    """Make every folder for compiled files one that cannot be made, not even by root, who may write anywhere."""
    for folder in (installation / "nblstm", *(installation / "nblstm").glob("*/")):
        (folder / "__pycache__").touch()


@pytest.mark.cold
def test_every_kernel_is_compiled_once_and_found_by_the_next_process(tmp_path: Path) -> None:
    """And the first process says what it is doing, the second has nothing to say."""
    runs = []
    for _ in range(2):
        process = start(
            "-m", "support.all_kernels", at=PACKAGE.parent, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_NUM_THREADS="2"
        )
        runs.append(result(process))
    (first, told), (second, nothing) = runs
    assert any(name.startswith("cfunc") for name in first), "the tiles are among them"
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


@pytest.mark.cold
def test_an_edit_to_another_file_than_the_kernels_own_is_never_missed(copy: Path) -> None:
    """Sweeps call the equations in cells/: to Numba's own cache they have not changed. The tiles are keyed alike."""
    found, _ = run(copy)
    assert found["y"] == expected()
    cells = copy / "nblstm/cells/rnn.py"
    source = cells.read_text()
    edited = source
    for old, new in (("return (z,), (tanh(z),)", "return (z,), (0 * z,)"), ("dh * (1 - h * h)", "dh * 0 * h")):
        assert edited.count(old) == 1
        edited = edited.replace(old, new)
    cells.write_text(edited)
    found, _ = run(copy)
    assert not np.any(found["y"])
    cells.write_text(source)
    found, told = run(copy)
    assert found["y"] == expected()
    assert all_are(1, 0, found["cache"])
    assert told == ""


CELL = """
from nblstm import Cell

def half(x):
    return 0.5 * x

def forward(z, h_prev):
    return (), (half(z) + h_prev,)

def backward(h, dh):
    return (half(dh),), (1 * dh,)

CELL = Cell("edited", sums=("z",), forward=forward, backward=backward)
"""
OWN = """
import importlib, json, sys
import numpy as np
import nblstm
from numba.core import event
from support.all_kernels import cache_statistics

def run(cell):
    layer = nblstm.Recurrent(cell, 3, 5, seed=0)
    y, _, tape = layer.forward(np.ones((4, 2, 3), "float32"))
    layer.backward(np.ones_like(y), tape)
    called = layer(np.ones((4, 2, 3), "float32"))[0]
    return [y.tolist(), called.tolist()]

sys.path.insert(0, sys.argv[1])
with event.install_recorder("numba:run_pass") as passes:
    found = [run(importlib.import_module(name).CELL) for name in sys.argv[2:]]
print(json.dumps({"found": found, "cache": cache_statistics(), "passes": len(passes.buffer)}))
"""


def test_a_cell_of_ones_own_is_found_by_the_next_process_and_never_stale(tmp_path: Path) -> None:
    """Neither after an edit of its functions nor after one of a function that they call, and back; in a process too."""
    texts = {
        "first": CELL,
        "halved": CELL.replace("0.5 * x", "0.25 * x"),
        "turned": CELL.replace("+ h_prev", "- h_prev").replace("1 * dh", "-1 * dh"),
        "again": CELL,
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    begun, _ = result(start("-c", OWN, str(tmp_path), "first", "halved", "turned", at=PACKAGE.parent))
    other, _ = result(start("-c", OWN, str(tmp_path), "turned", "again", "halved", at=PACKAGE.parent))
    found = np.array([*begun["found"], *other["found"]])
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    first, halved, turned = found[:3, 0]
    np.testing.assert_array_equal(first[0], 2 * halved[0])
    np.testing.assert_array_equal(first[0], turned[0])
    assert not (first[1] == turned[1]).any()
    np.testing.assert_array_equal(found[3:, 0], [turned, first, halved])
    units = {name: hits for name, (hits, misses) in other["cache"].items() if "units" in name and not misses}
    assert sum(units.values()) == 2 * len(other["found"])
    assert other["passes"] == 0, "nothing is compiled, not even to see whether it can be"


@pytest.mark.cold
def test_two_processes_at_once_where_the_installation_cannot_be_written(copy: Path) -> None:
    """Both compile, into the user's own folder, and leave there what a third one finds."""
    forbid_writing(copy)
    home = {"HOME": str(copy)}
    for found, _ in map(result, [start("-c", PROGRAM, at=copy, **home) for _ in range(2)]):
        assert found["y"] == expected()
    found, _ = run(copy, **home)
    assert found["y"] == expected()
    assert all_are(1, 0, found["cache"])


@pytest.mark.cold
def test_without_any_folder_to_write_to_the_kernels_run_all_the_same(copy: Path) -> None:
    forbid_writing(copy)
    found, told = run(copy, HOME=os.devnull)
    assert found["y"] == expected()
    assert not list(copy.rglob("*.nb[ci]"))
    assert told.startswith("nblstm: compiling kernels for this processor")
    assert (told.count("\n"), "no folder for them can be written" in told) == (1, True)


def used(path: Path, seconds_ago: float) -> Path:
    """A file that was last used so long ago."""
    path.touch()
    os.utime(path, times=(time.time() - seconds_ago,) * 2)
    return path


def test_what_was_not_used_for_long_goes_when_the_next_kernel_is_saved(tmp_path: Path) -> None:
    """Of other states of the source, of functions that are no more; not what is in use, nor what is not ours."""
    now, before, walk = Files(tmp_path, "run-71.py311", 1), Files(tmp_path, "run-68.py311", 0), Files(tmp_path, "w", 0)
    for files in (before, walk):
        for key in ("fresh", "old", "old and loaded"):
            files.save(key, key)
    for files in (before, walk):
        used(files._path("old"), KEPT + 60)
        used(files._path("old and loaded"), KEPT + 60)
        assert files.load("old and loaded") == "old and loaded"
    kept = {files._path(key) for files in (before, walk) for key in ("fresh", "old and loaded")}
    kept |= {used(tmp_path / name, 2 * KEPT) for name in ("run.py", "run-71.cpython-311.pyc", "run-71.py311.1.nbc")}
    broken_off = before._path("new").name
    kept.add(used(tmp_path / f".{broken_off}.{0:08x}.tmp", KEPT - 60))
    used(tmp_path / f".{broken_off}.{1:08x}.tmp", KEPT + 60)
    now.save("new", "new")
    assert set(tmp_path.iterdir()) == kept | {now._path("new")}


def test_what_another_process_removes_first_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, unlink, stat = Files(tmp_path, "run", 0), Path.unlink, Path.stat
    for key in "ab":
        files.save(key, key)
    for key in "ab":
        used(files._path(key), KEPT + 60)

    def gone(path: Path) -> None:
        unlink(path)
        unlink(path)

    def gone_before(path: Path, **options: bool) -> os.stat_result:
        if path == files._path("a"):
            unlink(path)
        return stat(path, **options)

    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: missing_ok or gone(path))
    monkeypatch.setattr(Path, "stat", gone_before)
    files.save("c", "c")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == [files._path("c")]


def test_a_kernel_is_read_where_its_date_cannot_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(tmp_path, "run", 0)
    files.save("key", "data")

    def refused(path: Path) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(os, "utime", refused)
    assert files.load("key") == "data"


@pytest.mark.parametrize("name", ["no_such_module", "broken"])
def test_a_kernel_of_a_module_that_cannot_be_imported_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A cell that has moved: what was compiled where it was before imports that."""
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    files, content = Files(tmp_path, "run", 0), f"c{name}\nthing\n.".encode()  # as pickle names what to import
    path = files._path("key")
    path.write_bytes(_digest(path, content) + content)
    assert files.load("key") is None


def test_recompiling_removes_the_files_of_that_function_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    double = keep(numba.njit(lambda x: x + x))
    triple = keep(numba.njit(lambda x: 3 * x))
    assert (double(2), double(0.5), triple(2)) == (4, 1.0, 6)
    files = set(tmp_path.rglob("*.nbc"))
    before = {used(path, 1000): path.stat().st_mtime for path in files}
    double.recompile()
    assert (double(2), double(0.5), triple(2)) == (4, 1.0, 6)
    assert set(tmp_path.rglob("*.nbc")) == files
    assert sum(path.stat().st_mtime > written for path, written in before.items()) == 2
    double._cache.flush()
    assert len(set(tmp_path.rglob("*.nbc"))) == 1
