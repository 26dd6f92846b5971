"""Faults of the cache of compiled kernels: two writers at once, damage, a full disk, stale files; right results."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile
from support.package_copy import PACKAGE, PROGRAM, all_are, expected, result, run, start
from support.processes import own_mounts

from nblstm.kernels.cache import Files

ONE, OTHER = ("lstm", "znver4"), ("rnn", "znver4")


def test_two_kernels_of_one_function_saved_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (Files(tmp_path, "run", 0) for _ in "ab")
    replace = os.replace

    def after_the_other(*paths: Any) -> None:
        monkeypatch.undo()
        second.save(OTHER, "kernel of rnn")
        replace(*paths)

    monkeypatch.setattr(os, "replace", after_the_other)
    first.save(ONE, "kernel of lstm")
    for files in (first, second, Files(tmp_path, "run", 0)):
        assert (files.load(ONE), files.load(OTHER)) == ("kernel of lstm", "kernel of rnn")
    assert len(os.listdir(tmp_path)) == 2


def test_why_numbas_own_files_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same there: who asks for the one kernel gets the other, and runs it. Once this fails, they can be used."""
    first, second = (IndexDataCacheFile(str(tmp_path), "run", 0) for _ in "ab")
    write = first._save_index
    monkeypatch.setattr(second, "_load_index", dict)  # read before the first wrote it

    def before_the_other(overloads: Any) -> None:
        write(overloads)
        second.save(OTHER, "kernel of rnn")

    monkeypatch.setattr(first, "_save_index", before_the_other)
    first.save(ONE, "kernel of lstm")
    assert IndexDataCacheFile(str(tmp_path), "run", 0).load(OTHER) == "kernel of lstm"


def test_a_damaged_file_is_as_good_as_none(tmp_path: Path) -> None:
    """Every beginning of it, flipped bits, changed bytes, and the file of another kernel under its name."""
    files, rng = Files(tmp_path, "run", 0), np.random.default_rng(0)
    data = {"machine code": rng.bytes(500)}
    files.save(ONE, data)
    files.save(OTHER, "another")
    path, other = files._path(ONE), files._path(OTHER)
    content = path.read_bytes()
    damaged = [content[:length] for length in range(0, len(content), 3)]
    for _ in range(300):
        flipped = bytearray(content)
        flipped[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        at = int(rng.integers(len(content)))
        damaged += [bytes(flipped), content[:at] + rng.bytes(int(rng.integers(1, 9))) + content[at:]]
    for found in (*damaged, other.read_bytes(), pickle.dumps(data)):
        path.write_bytes(found)
        assert files.load(ONE) is None
    path.write_bytes(content)
    assert files.load(ONE) == data
    for stranger in (Files(tmp_path, "run", 1), Files(tmp_path, "walk", 0)):
        assert stranger.load(ONE) is None
    path.unlink()
    assert files.load(ONE) is None


@pytest.mark.cold
def test_a_full_disk_costs_no_more_than_compiling_again(tmp_path: Path) -> None:
    before = own_mounts()
    script = f"mount -t tmpfs -o size=200k tmpfs {tmp_path} && exec \"$0\" -W error -c '{PROGRAM}'"
    process = start(
        "-c",
        f"import os, sys; os.execvp({before[0]!r}, {[*before, 'sh', '-c', script]!r} + [sys.executable])",
        at=PACKAGE.parent,
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    found, told = result(process)
    assert found["y"] == expected()
    assert told.count("cannot be kept in") == told.count("No space left on device") >= 1
    assert told.count("\n") <= 1 + 3  # that it compiles, and one for each folder of the package


@pytest.mark.cold
def test_damaged_files_and_an_edit_that_changes_neither_size_nor_time(tmp_path: Path) -> None:
    """As an installer leaves it that gives all files one date: two versions, one after the other, in one folder."""
    shutil.copytree(PACKAGE, tmp_path / "nblstm", ignore=shutil.ignore_patterns("*.pyc"))
    assert run(tmp_path)[0]["y"] == expected()
    rng, kept = np.random.default_rng(0), sorted(tmp_path.rglob("*.nbc"))
    for path in kept:
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1
        path.write_bytes(content)
    found, _ = run(tmp_path)
    assert (found["y"], all_are(0, 1, found["cache"])) == (expected(), True)
    found, told = run(tmp_path)
    assert (found["y"], all_are(1, 0, found["cache"]), told) == (expected(), True, "")
    assert sorted(tmp_path.rglob("*.nbc")) == kept
    cells = tmp_path / "nblstm" / "cells" / "rnn.py"
    source, before = cells.read_text(encoding="utf-8"), cells.stat()
    for old, new in (("(tanh(z),)", "((z) * 0,)"), ("dh * (1 - h * h)", "dh * (0 * h * 0)")):
        assert source.count(old) == 1
        source = source.replace(old, new)
    cells.write_text(source, encoding="utf-8")
    os.utime(cells, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (cells.stat().st_size, cells.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    for compiled in tmp_path.rglob("*.pyc"):
        compiled.unlink()  # as an installer does
    found, _ = run(tmp_path)
    assert not np.any(found["y"])
