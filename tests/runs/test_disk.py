"""A disk that is full, and a folder that cannot be written: one sentence, nothing lost, nothing left lying about.

Each fault is made by a process of its own, this file run as a script: a file system in memory, of a few kilobytes, that
nobody else sees, or a limit for the size of files where the system does not allow that.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.processes import own_mounts, run

from nblstm import CharLM, weights
from nblstm.cli import main
from nblstm.jobs import TextJob, TextSettings
from nblstm.runs import Run

NAMES = ("model.safetensors", "checkpoint.safetensors", "best.safetensors")
POINTS = 36


def run_script(fault: str, folder: Path, before: list[str]) -> None:
    run(*before, sys.executable, "-W", "error", __file__, fault, folder)


@pytest.mark.parametrize("fault", [pytest.param("full", marks=pytest.mark.slow), "read_only"])
def test_a_small_disk_and_one_that_cannot_be_written(tmp_path: Path, fault: str) -> None:
    run_script(fault, tmp_path, own_mounts())


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_files_that_may_not_grow() -> None:
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # where it is there, hundreds of saves cost less
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        run_script("limit", Path(folder), [])


# ----------------------------------------------------------------------------------------------------- the script


def job(folder: Path) -> TextJob:
    path = folder / "text.txt"
    path.write_text("a rose is a rose is a rose, said the little prince to the fox\n" * 13, encoding="utf-8")
    return TextJob(
        TextSettings(  # it saves after every step, and each evaluation makes the checkpoint longer
            text=str(path), hidden_size=9, batch_size=4, window=10, steps=12, dropout=0.3, seed=3, evaluate_every=1
        )
    )


def fails(action: Callable[[], object], reason: str) -> str | None:
    """What an OSError says, which names the file and the reason."""
    try:
        action()
    except OSError as error:
        said = str(error)
    else:
        return None
    assert any(f"{name} cannot be written: {reason} in folder " in said for name in (*NAMES, "run.json")), said
    return said


def is_clean(folder: Path) -> bool:
    return not list(folder.glob(".*"))


def stop_and_go_on(folder: Path, whole: Path, reason: str, mend: Callable[[], object]) -> int | None:
    """Begin a run in `folder` that fails, go on with it when that is mended, and compare.

    The step that it had reached, -1 if there was no room for the first checkpoint, None if there was for all.
    """
    if fails(lambda: Run.create(folder, job(whole.parent)).train(), reason) is None:
        return None
    assert is_clean(folder)
    if not (folder / "checkpoint.safetensors").exists():
        assert list(folder.iterdir()) == []
        return -1
    reached = Run.resume(folder, TextJob).trainer.steps
    if (folder / "model.safetensors").exists():
        CharLM.load(folder / "model.safetensors")
    mend()
    assert Run.resume(folder, TextJob).train()
    assert is_clean(folder)
    for name in NAMES:
        expected, found = (weights.load(run / name) for run in (whole, folder))
        assert expected.keys() == found.keys()
        assert all(tensor.tobytes() == found[key].tobytes() for key, tensor in expected.items())
    return reached


def shell(command: str) -> None:
    subprocess.run(shlex.split(command), check=True)


def refused(*arguments: str | Path) -> str:
    """What a command says that ends as it should: with one sentence."""
    result: Result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    sentence = result.output.replace("\r", "\n").strip().splitlines()[-1]
    assert sentence.startswith("Error: ")
    return sentence


def every_command(whole: Path, disk: Path, reason: str) -> None:
    """All that write refuse to write to `disk`, and leave no part of a file there."""
    before = set(disk.rglob("*.*"))
    text, small = whole.parent / "text.txt", ["--hidden-size", "9", "--batch", "4", "--steps", "3"]
    assert reason in refused("train", text, *small, "--length", "10", "--output", disk / "train")
    assert reason in refused("course", disk / "course", "--copy-only")
    with contextlib.suppress(ImportError):
        import onnx  # noqa: F401

        assert reason in refused("export", whole, disk / "model.onnx")
    with contextlib.suppress(ImportError):
        import sklearn  # noqa: F401

        assert reason in refused("classify", "digits", *small, "--output", disk / "classify")
    assert {path.parent.name for path in set(disk.rglob("*.*")) - before} <= {"course"}


def full(whole: Path, disk: Path) -> None:
    reason = "No space left on device"
    reached = []
    for kilobytes in range(8, 8 + 4 * POINTS, 4):
        shell(f"mount -t tmpfs -o size={kilobytes}k tmpfs {disk}")
        reached.append(stop_and_go_on(disk / "run", whole, reason, lambda: shell(f"mount -o remount,size=9m {disk}")))
        shell(f"umount {disk}")
    steps = [step for step in reached if step is not None]
    assert len(steps) >= 25
    assert {-1, 0} <= set(steps)
    print(f"full at {len(steps)} points, after the steps {sorted(set(steps))}")
    shell(f"mount -t tmpfs -o size=8k tmpfs {disk}")
    every_command(whole, disk, reason)


def limit(whole: Path, disk: Path) -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    smallest = replace(job(whole.parent).settings, steps=1)
    Run.create(whole.parent / "smallest", TextJob(smallest))
    least = (whole.parent / "smallest" / "checkpoint.safetensors").stat().st_size

    def mend() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    longest = (whole / "checkpoint.safetensors").stat().st_size - 300  # the times in it have more or fewer digits
    reached = []
    for k, size in enumerate(np.linspace(least - 100, longest, POINTS // 4)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), most))
        reached.append(stop_and_go_on(disk / str(k), whole, "File too large", mend))
        mend()
    assert reached[0] == -1
    assert None not in reached
    assert len(set(reached)) > POINTS // 8
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    every_command(whole, disk / "commands", "File too large")


def read_only(whole: Path, disk: Path) -> None:
    reason = "Read-only file system"
    shell(f"mount -t tmpfs tmpfs {disk}")
    run = Run.create(disk / "run", job(whole.parent))
    step, steps = run.trainer.step, []

    def until_read_only(lr: float | None = None) -> float:
        steps.append(step(lr))
        if len(steps) == 7:
            shell(f"mount -o remount,ro {disk}")
        return steps[-1]

    run.trainer.step = until_read_only  # type: ignore[method-assign]
    assert fails(run.train, reason)
    assert Run.resume(disk / "run", TextJob).trainer.steps == 6
    assert "continue with: nblstm train --resume" in refused("train", "--resume", disk / "run")
    assert reason in refused("course", disk / "course", "--copy-only")
    shell(f"mount -o remount,rw {disk}")
    assert Run.resume(disk / "run", TextJob).train()
    for name in NAMES:
        expected, found = (weights.load(path / name) for path in (whole, disk / "run"))
        assert {k: v.tobytes() for k, v in expected.items()} == {k: v.tobytes() for k, v in found.items()}


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = "Agg"
    with contextlib.redirect_stdout(sys.stderr):
        place = Path(sys.argv[2])
        (place / "disk").mkdir()
        uninterrupted = Run.create(place / "whole", job(place))
        assert uninterrupted.train()
        TextJob.pictures = lambda *_: {}  # type: ignore[method-assign]  # drawing fifty of them would take the time
        globals()[sys.argv[1]](place / "whole", place / "disk")
