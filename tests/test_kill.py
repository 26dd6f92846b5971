"""A run killed at any moment: what it left opens, goes on, and ends in the bits of a run that nobody killed."""

from __future__ import annotations

import os
import signal
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

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

KILLS = 50
NAMES = ("model.safetensors", "checkpoint.safetensors")


@pytest.fixture
def settings(tmp_path: Path) -> TextSettings:
    """Of a run that saves after every step, so that most kills come in the middle of a save."""
    path = tmp_path / "text.txt"
    path.write_text("a rose is a rose is a rose, said the little prince to the fox\n" * 13, encoding="utf-8")
    return TextSettings(
        text=str(path), hidden_size=9, batch_size=4, window=10, steps=900, dropout=0.3, seed=3, evaluate_every=1
    )


def train_in_a_child(folder: Path) -> int:
    """The process that goes on with the run; it starts with everything compiled and imported."""
    child = os.fork()
    if not child:
        code = 1
        tqdm.set_lock(threading.RLock())  # its own is shared with the children, and stays locked when one is killed
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            Run.resume(folder, TextJob).train()
            code = 0
        finally:
            os._exit(code)
    return child


def test_fifty_kills_change_nothing(tmp_path: Path, settings: TextSettings) -> None:
    assert Run.create(tmp_path / "whole", TextJob(settings)).train()
    Run.create(tmp_path / "killed", TextJob(settings))
    rng, moments, leftovers = np.random.default_rng(0), [0], 0
    for _ in range(KILLS):
        child = train_in_a_child(tmp_path / "killed")
        time.sleep(rng.uniform(0.02, 0.12))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        leftovers += len(list((tmp_path / "killed").glob(".*.tmp")))
        run = Run.resume(tmp_path / "killed", TextJob)
        moments.append(run.trainer.steps)
        assert os.WIFSIGNALED(status)
        assert not list((tmp_path / "killed").glob(".*.tmp"))
    assert moments == sorted(moments)
    assert len(set(moments)) > KILLS / 2  # it got on in between
    assert leftovers > 0  # and was killed in the middle of a save
    _, status = os.waitpid(train_in_a_child(tmp_path / "killed"), 0)
    assert status == 0
    for name in NAMES:
        expected, found = (weights.load(tmp_path / folder / name)[0] for folder in ("whole", "killed"))
        assert {key: tensor.tobytes() for key, tensor in found.items()} == {
            key: tensor.tobytes() for key, tensor in expected.items()
        }
