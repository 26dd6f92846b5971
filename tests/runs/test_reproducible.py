"""``nblstm train`` gives the same bits in another process, with other threads and another threading layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.threading_layers import LAYERS, run

SIZES = ["--hidden-size", "128", "--batch", "16", "--length", "20"]  # work enough for threads
OPTIONS = [*SIZES, "--cell", "slstm", "--steps", "6", "--dropout", "0.2", "--seed", "7"]
STOPPED = """
import signal, sys
from nblstm.cli import main
from nblstm.training import Trainer

def step(self, *arguments, step=Trainer.step):
    if self.steps == 2:
        signal.raise_signal(signal.SIGINT)
    return step(self, *arguments)

Trainer.step = step
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert stop.code == 130
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("a rose is a rose is a rose, said the little prince to the fox\n" * 50, encoding="utf-8")
    return str(path)


def train(text: str, folder: Path, layer: str, threads: int) -> tuple[bytes, dict[str, Any]]:
    """The model file and the report of a run by the command."""
    command = ["-m", "nblstm", "train", text, *OPTIONS, "--output", str(folder)]
    run(layer, *command, threads=threads, PYTHONHASHSEED=str(threads))
    return result(folder, layer, threads)


def result(folder: Path, layer: str, threads: int) -> tuple[bytes, dict[str, Any]]:
    """The report without times and machine, which must say how many threads there were."""
    report = json.loads((folder / "run.json").read_text())
    machine = report.pop("machine")
    assert (machine["threading_layer"], machine["threads"]) == (layer, threads)
    for record in [report, *report["evaluations"]]:
        record.pop("seconds")
        record.pop("characters_per_second", None)
    return (folder / "model.safetensors").read_bytes(), report


@pytest.fixture(scope="module")
def expected(text: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Any]]:
    model, report = train(text, tmp_path_factory.mktemp("runs") / "first", "workqueue", 1)
    assert report["settings"]["seed"] == 7
    assert len(report["digest"]) == 64
    assert report["evaluations"][-1]["training"] > 0
    return model, report


def test_stopped_and_resumed_with_other_threads(text: str, tmp_path: Path, expected: tuple[bytes, dict]) -> None:
    folder = tmp_path / "run"
    run("workqueue", "-c", STOPPED, "train", text, *OPTIONS, "--output", str(folder), threads=3)
    assert json.loads((folder / "run.json").read_text())["steps"] == 3
    run("omp", "-m", "nblstm", "train", "--resume", str(folder), threads=4, PYTHONHASHSEED="99")
    model, report = result(folder, "omp", 4)
    assert model == expected[0]
    assert report["evaluations"] == expected[1]["evaluations"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("threads", [2, 3, 5, 8])
@pytest.mark.parametrize("layer", LAYERS)
def test_any_threads_give_the_same_model(
    text: str, tmp_path: Path, expected: tuple[bytes, dict], layer: str, threads: int
) -> None:
    assert train(text, tmp_path / "run", layer, threads) == expected
