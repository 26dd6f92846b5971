"""A run killed at any moment: what it left opens, goes on, and ends in the bits of a run that nobody killed.

The killing is done by a process of its own, this file run as a script: its children start by fork, with everything
imported and compiled, and another test's libraries may have threads that do not go with that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support import own_cells
from support.processes import run_python, wait_until
from tqdm import tqdm

from nblstm import weights
from nblstm.jobs import TextJob, TextSettings
from nblstm.runs import Run

KILLS = 50
CHECKPOINT = "checkpoint.safetensors"
CELL = {"cell": own_cells.COUPLED}


def train_in_a_child(folder: Path, saves: int) -> int:
    """The process that goes on with the run; after so many saves it stands still in the middle of the next one."""
    child = os.fork()
    if not child:
        tqdm.set_lock(threading.RLock())  # its own is shared with the children, and stays locked when one is killed
        replace, places = os.replace, iter(range(saves))

        def replace_or_stand_still(new: str, old: str) -> None:
            if Path(old).name == CHECKPOINT and next(places, None) is None:
                (folder / "in a save").touch()
                signal.pause()
            replace(new, old)

        os.replace = replace_or_stand_still  # type: ignore[assignment]
        code = 1
        try:
            Run.resume(folder, TextJob, given=CELL).train()
            code = 0
        finally:
            os._exit(code)
    return child


def kill(folder: Path) -> None:
    """Fifty times, and compare."""
    path, killed = folder / "text.txt", folder / "killed"
    path.write_text("a rose is a rose is a rose, said the little prince to the fox\n" * 13, encoding="utf-8")
    settings = TextSettings(  # it saves after every step
        text=str(path),
        cell=own_cells.COUPLED,
        hidden_size=9,
        batch_size=4,
        window=10,
        steps=200,
        dropout=0.3,
        seed=3,
        evaluate_every=1,
    )
    assert Run.create(folder / "whole", TextJob(settings)).train()
    Run.create(killed, TextJob(settings))
    rng, moments, leftovers = np.random.default_rng(0), [0], 0
    for number in range(KILLS):
        before = (killed / CHECKPOINT).stat().st_mtime_ns
        child = train_in_a_child(killed, saves=int(rng.integers(1, 5)))
        if number % 2:
            wait_until((killed / "in a save").exists, "the run is in the middle of a save")
        else:
            wait_until(lambda: (killed / CHECKPOINT).stat().st_mtime_ns > before, "the run has got on")  # noqa: B023
            time.sleep(rng.uniform(0, 0.008))  # anywhere
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"expected a child that was killed, got one that ended with {status}"
        (killed / "in a save").unlink(missing_ok=True)
        leftovers += bool(list(killed.glob(".*.tmp")))
        moments.append(Run.resume(killed, TextJob, given=CELL).trainer.steps)
    assert moments == sorted(set(moments))
    assert leftovers >= KILLS // 2  # that many in the middle of a save
    _, status = os.waitpid(train_in_a_child(killed, saves=settings.steps + 1), 0)
    assert status == 0
    assert not list(killed.glob(".*.tmp"))
    for name in ("model.safetensors", CHECKPOINT):
        expected, found = (weights.load(folder / run / name) for run in ("whole", "killed"))
        assert expected.keys() == found.keys()
        assert all(tensor.tobytes() == found[key].tobytes() for key, tensor in expected.items())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_fifty_kills_change_nothing(tmp_path: Path) -> None:
    run_python(__file__, tmp_path)


if __name__ == "__main__":
    TextJob.pictures = lambda *_: {}  # type: ignore[method-assign]  # the children would draw to the end of it
    with contextlib.redirect_stdout(sys.stderr):
        kill(Path(sys.argv[1]))
