"""Searches in processes of their own, on this machine and on a Dask cluster, some of which are killed in the middle."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from support.commands import call
from support.processes import ended, run, started, wait_until
from support.searches import DATA, SETTINGS, DyingJob, Here, outcome

from nblstm.jobs import RegressionJob, TextJob
from nblstm.search import Search
from nblstm.search import search as module

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL on this system")

TEXT = "a rose is a rose is a rose, said the little prince to the fox\n" * 13
OPTIONS = [
    *("--hidden-size", "4", "5", "6", "--cell", "gru", "--num-layers", "1", "--batch-size", "4", "--window", "10"),
    *("--steps", "40", "--evaluate-every", "5", "--halving"),
]  # fmt: skip
STANDSTILL = """
import threading
from pathlib import Path
from nblstm.training import TextTrainer, Trainer

def step_or_stand_still(trainer, rate):
    if trainer.steps == 7:
        Path("in the middle").touch()
        threading.Event().wait()
    return Trainer.step(trainer, rate)

TextTrainer.step = step_or_stand_still
"""


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "roses.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def computed_here(monkeypatch: pytest.MonkeyPatch, search: Search) -> list[object]:
    with monkeypatch.context() as patch:
        patch.setattr(module, "Processes", Here)
        assert search.run(progress=False)
    return outcome(search)


def text_search(folder: Path, text: Path) -> Search:
    settings = {"cell": "gru", "num_layers": 1, "batch_size": 4, "window": 10, "steps": 40, "evaluate_every": 5}
    space = {"hidden_size": [4, 5, 6]}
    return Search.create(folder, TextJob, space, [], settings={"text": str(text)} | settings, halving=True)


def test_a_killed_process_takes_no_other_trial_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undrawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "killed"
    monkeypatch.setenv("NBLSTM_TEST_MARK", str(mark))
    space = {"hidden_size": [4, 5, 6]}
    search = Search.create(tmp_path / "search", DyingJob, space, *DATA, settings=SETTINGS)
    assert search.run(2)
    assert mark.exists()
    said = capsys.readouterr().out
    assert "2 worker processes of one thread each" in said
    assert said.count("the worker process was killed, or crashed; it is tried once more") == 1
    here = Search.create(tmp_path / "here", DyingJob, space, *DATA, settings=SETTINGS)
    assert outcome(search) == computed_here(monkeypatch, here)


def test_a_search_that_is_killed_goes_on(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch, undrawn: None
) -> None:
    command = [sys.executable, "-m", "nblstm", "search", text, *OPTIONS, "--workers", "1", "--output", "search"]
    with started(*command, cwd=tmp_path) as process:
        second = tmp_path / "search" / "trials" / "002" / "checkpoint.safetensors"
        wait_until(second.exists, "the second trial has begun")
        os.kill(process.pid, signal.SIGKILL)
        ended(process)
    search = Search.resume(tmp_path / "search", TextJob, [])
    assert not search.finished
    assert computed_here(monkeypatch, search) == computed_here(monkeypatch, text_search(tmp_path / "here", text))


@pytest.mark.peers
def test_a_dask_cluster_loses_a_worker(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch, undrawn: None
) -> None:
    """Of two workers, one stands still in the middle of its first trial, alone with the data, and is killed there."""
    pytest.importorskip("distributed", reason="needs Dask: the extra `peers`")
    scheduler_file, preload = tmp_path / "scheduler.json", tmp_path / "standstill.py"
    preload.write_text(STANDSTILL)
    python = [sys.executable, "-m"]
    common = ["--no-dashboard", "--scheduler-file", scheduler_file]
    worker = [*python, "distributed.cli.dask_worker", *common, "--nthreads", "1", "--no-nanny"]
    scheduler = [*python, "distributed.cli.dask_scheduler", *common, "--host", "127.0.0.1", "--port", "0", "--no-show"]
    with (
        started(*scheduler, cwd=tmp_path),
        started(*worker, "--preload", preload, cwd=tmp_path) as doomed,
    ):
        wait_until(lambda: scheduler_file.exists() and scheduler_file.read_text(), "the scheduler has its address")
        address = json.loads(scheduler_file.read_text())["address"]
        command = [*python, "nblstm", "search", text, *OPTIONS, "--scheduler", address, "--output", "search"]
        wait_for_workers(address, 1)
        with started(*command, cwd=tmp_path) as process:
            wait_until((tmp_path / "in the middle").exists, "a worker is in the middle of a trial")
            with started(*worker, cwd=tmp_path):
                wait_for_workers(address, 2)
                os.kill(doomed.pid, signal.SIGKILL)
                code, _, _ = ended(process)
    assert code == 0
    search = Search.resume(tmp_path / "search", TextJob, [])
    assert search.finished
    assert outcome(search) == computed_here(monkeypatch, text_search(tmp_path / "here", text))


def wait_for_workers(address: str, count: int) -> None:
    """In a process of its own: a client of Dask's leaves threads behind."""
    program = f"from distributed import Client; Client({address!r}).wait_for_workers({count})"
    run(sys.executable, "-c", program)


@pytest.mark.peers
def test_a_scheduler_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs Dask: the extra `peers`")
    monkeypatch.setattr("nblstm.search.workers.ANSWER", 0.1)
    search = Search.create(tmp_path / "search", RegressionJob, {"hidden_size": [4, 5]}, *DATA, settings=SETTINGS)
    with pytest.raises(OSError, match=r"no Dask scheduler answers at tcp://127.0.0.1:1 within 0 seconds"):
        search.run(scheduler="tcp://127.0.0.1:1", progress=False)
    with pytest.raises(OSError, match=r"no Dask scheduler answers at nowhere within 0 seconds"):
        search.run(scheduler="nowhere", progress=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "roses.txt").write_text(TEXT, encoding="utf-8")
    result = call("search", "roses.txt", *OPTIONS, "--scheduler", "tcp://127.0.0.1:1")
    assert "Error: no Dask scheduler answers at tcp://127.0.0.1:1 within 0 seconds" in result.output
    assert (result.exit_code, sorted(path.name for path in tmp_path.iterdir())) == (2, ["roses.txt", "search"])


@pytest.mark.skipif(importlib.util.find_spec("distributed") is not None, reason="Dask is installed")
def test_without_dask_a_scheduler_is_refused(tmp_path: Path) -> None:
    search = Search.create(tmp_path / "search", RegressionJob, {"hidden_size": [4, 5]}, *DATA, settings=SETTINGS)
    with pytest.raises(ImportError, match=r'a scheduler needs Dask: pip install "nblstm\[dask\]"'):
        search.run(scheduler="tcp://127.0.0.1:1", progress=False)
