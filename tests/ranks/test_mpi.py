"""Ranks of MPI itself, started by mpirun: the same bits, a run handed on, deaths, and what all are told."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import mpi_ranks
from support.processes import ended, last_lines, started, wait_until

from nblstm.jobs import TextJob
from nblstm.runs import Run
from nblstm.runs.safeguards import alone

pytest.importorskip("mpi4py", reason="needs mpi4py and MPI: the extra `mpi`", exc_type=ImportError)
pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("undrawn")]

OPTIONS = ["--hidden-size", "9", "--batch", "4", "--length", "10", "--steps", "100", "--evaluate-every", "2"]
ENDED_AT_THREE = """
import os, signal, sys
from nblstm.cli import main
from nblstm.distributed import world
from nblstm.training import Trainer

def step(self, *arguments, step=Trainer.step):
    if self.steps == 3 and world().rank == 1:
        {end}
    return step(self, *arguments)

Trainer.step = step
main(sys.argv[1:])
"""


def mpirun(size: int, *arguments: str | Path) -> tuple[int, str, str]:
    """How so many ranks of Python end, and what they say; each has one thread."""
    launcher = Path(sys.prefix) / "bin" / "mpirun"
    found = launcher if launcher.exists() else shutil.which("mpirun")
    if found is None:
        pytest.skip("needs an mpirun: the extra `mpi`")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    python = [sys.executable, "-W", "error", *arguments]
    with started(found, "-n", str(size), *python, env={"NUMBA_NUM_THREADS": "1"}, **pipes) as process:
        return ended(process)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "text.txt").write_text(mpi_ranks.TEXT)
    (folder / "other.txt").write_text(mpi_ranks.TEXT + "!")
    (folder / "bad folder").write_text("a file")
    return folder


@pytest.fixture(scope="module")
def of_ranks(folder: Path) -> list[dict[str, Any]]:
    code, out, errors = mpirun(4, mpi_ranks.__file__, folder)
    assert code == 0, last_lines(out, errors)
    return [json.loads((folder / f"rank {rank}.json").read_text()) for rank in range(4)]


@pytest.fixture
def expected(folder: Path, tmp_path: Path) -> dict[str, Any]:
    """Of this process alone."""
    for name in ("text.txt", "other.txt"):
        shutil.copy(folder / name, tmp_path)
    return json.loads(json.dumps(mpi_ranks.trainings(tmp_path, "one")))


def test_two_three_and_four_ranks_have_the_bits_of_one(
    of_ranks: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    for size in (2, 3, 4):
        for rank in range(size):
            assert of_ranks[rank][f"{size} ranks"] == expected


def test_two_ranks_go_on_where_four_have_stopped(of_ranks: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    for rank in range(2):
        assert of_ranks[rank]["handed on"]["text"] == expected["text"]


def test_every_rank_is_told_what_is_wrong(of_ranks: list[dict[str, Any]]) -> None:
    said = of_ranks[0]["refusals"]
    assert "all ranks must have the same data, got SHA-256 " in said["data"]
    assert said["setting"] == "all ranks must have the same setting lr, got 0.002 on rank 0 and 0.5 on rank 3"
    assert said["equations"].startswith("all ranks must have the same equations of the cell, got own-")
    assert said["weights"].startswith("all ranks must have the same initial weights, got SHA-256 ")
    assert said["shards"] == "shards must be at least the 4 ranks that share them out, got 3"
    assert "all ranks must have the same version of nblstm, got " in said["source"]
    width = "all ranks must have the same width of vector registers, got 512 bits on rank 0 and 256 bits on rank 3"
    assert said["processor"] == width
    assert said["taken"].startswith("the run's folder must be new or empty, got ")
    assert said["bad folder"].startswith("the run's folder must be one that can be written, got ")
    for rank in (1, 2, 3):
        for name, sentence in of_ranks[rank]["refusals"].items():
            assert sentence.removeprefix("rank 0 of 4 refused: ") == said[name]


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "raise OSError('the disk is gone')"])
def test_a_rank_that_ends_ends_all_and_the_run_goes_on_without_it(folder: Path, tmp_path: Path, end: str) -> None:
    text, place = folder / "text.txt", tmp_path / "run"
    script = ENDED_AT_THREE.format(end=end)
    code, out, errors = mpirun(2, "-c", script, "train", text, *OPTIONS, "--output", place)
    assert code not in (0, 130)
    assert out.count("reading ") == 1  # one rank speaks
    assert f"any number up to 4 continues with: mpirun -n 2 nblstm train --resume {place}" in out
    if "raise" in end:
        assert code == 2
        assert "Error: rank 1 of 2: the disk is gone; when that is mended, continue with: mpirun -n 2" in errors
        assert "Traceback" not in errors
    run = Run.resume(place, TextJob, given={"steps": 4})
    assert run.trainer.steps == 2
    wait_until(lambda: free(place), "the ranks that mpirun has ended are gone")
    assert run.train(progress=False)


def free(folder: Path) -> bool:
    """Whether nobody trains the run there."""
    with contextlib.suppress(ValueError), alone(folder):
        return True
    return False


@pytest.mark.parametrize("missing", [["none.txt"], ["--continue-from", "none"]])
def test_the_command_refuses_once_for_all(missing: list[str], tmp_path: Path) -> None:
    *option, name = missing
    code, _, errors = mpirun(2, "-m", "nblstm", "train", *option, tmp_path / name, *OPTIONS)
    assert code == 2
    assert errors.count("Error") == 1
    assert "no such file" in errors or "there is neither" in errors


@pytest.mark.parametrize("rank", [0, 1])
def test_an_option_that_one_rank_alone_refuses(rank: int, folder: Path) -> None:
    script = f"""
import sys
from nblstm.cli import main
from nblstm.distributed import world
main([*sys.argv[1:], *(["--bogus"] if world().rank == {rank} else [])])
"""
    code, _, errors = mpirun(2, "-c", script, "train", folder / "text.txt", *OPTIONS, "--output", folder / "never")
    assert code == 2
    assert errors.count("Error") == 1
    assert "No such option '--bogus'" in errors
    assert not (folder / "never").exists()
