"""A run killed at any moment: what it left opens, goes on, and ends in the bits of a run that nobody killed.

The killing is done by a process of its own, this file run as a script: its children start by fork, with everything
imported and compiled, and another test's libraries may have threads that do not go with that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from nblstm import weights
from nblstm.jobs import TextJob
from nblstm.runs import Run
from nblstm.settings import TextSettings

KILLS = 50
NAMES = ("model.safetensors", "checkpoint.safetensors")


def train_in_a_child(folder: Path) -> int:
    """The process that goes on with the run."""
    child = os.fork()
    if not child:
        tqdm.set_lock(threading.RLock())  # its own is shared with the children, and stays locked when one is killed
        code = 1
        try:
            Run.resume(folder, TextJob).train()
            code = 0
        finally:
            os._exit(code)
    return child


def kill(folder: Path) -> None:
    """Fifty times, and compare."""
    path = folder / "text.txt"
    path.write_text("a rose is a rose is a rose, said the little prince to the fox\n" * 13, encoding="utf-8")
    settings = TextSettings(  # it saves after every step, so that most kills come in the middle of a save
        text=str(path), hidden_size=9, batch_size=4, window=10, steps=400, dropout=0.3, seed=3, evaluate_every=1
    )
    assert Run.create(folder / "whole", TextJob(settings)).train()
    Run.create(folder / "killed", TextJob(settings))
    rng, moments, leftovers = np.random.default_rng(0), [0], 0
    for _ in range(KILLS):
        child = train_in_a_child(folder / "killed")
        time.sleep(rng.uniform(0.02, 0.08))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        leftovers += len(list((folder / "killed").glob(".*.tmp")))
        moments.append(Run.resume(folder / "killed", TextJob).trainer.steps)
    assert moments == sorted(moments)
    assert len(set(moments)) > KILLS / 2  # it got on in between
    assert leftovers > 0  # and was killed in the middle of a save
    _, status = os.waitpid(train_in_a_child(folder / "killed"), 0)
    assert status == 0
    assert not list((folder / "killed").glob(".*.tmp"))
    for name in NAMES:
        expected, found = (weights.load(folder / run / name)[0] for run in ("whole", "killed"))
        assert expected.keys() == found.keys()
        assert all(tensor.tobytes() == found[key].tobytes() for key, tensor in expected.items())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_fifty_kills_change_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, __file__, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        kill(Path(sys.argv[1]))
