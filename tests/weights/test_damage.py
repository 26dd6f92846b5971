"""Damaged files: every prefix, flipped bits and changed bytes give a clear error, or exactly what was saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import own_cells

from nblstm import Cell, CharLM
from nblstm.jobs import ClassificationJob, Sequences, SequenceSettings
from nblstm.models import Network
from nblstm.runs import Run

FLIPS = 1000


def sequences() -> Sequences:
    rng = np.random.default_rng(0)
    return Sequences(rng.standard_normal((3, 9, 2), dtype="float32"), rng.integers(0, 2, 9))


def settings(cell: Cell | str = "gru") -> SequenceSettings:
    return SequenceSettings(cell=cell, hidden_size=3, batch_size=4, epochs=2)


def saved_model(folder: Path) -> tuple[Path, Callable[[], dict[str, np.ndarray]]]:
    CharLM("abc", 2, 3, 1, cell="slstm", seed=0).save(folder / "model.safetensors")
    return folder / "model.safetensors", lambda: Network.load(folder / "model.safetensors").state_dict()


def saved_model_of_an_own_cell(folder: Path) -> tuple[Path, Callable[[], dict[str, np.ndarray]]]:
    path, cell = folder / "own.safetensors", own_cells.MIXED
    CharLM("abc", 2, 3, 1, cell=cell, seed=0).save(path)
    return path, lambda: Network.load(path, cell).state_dict()


def saved_checkpoint(
    folder: Path, cell: Cell | str = "gru", given: dict[str, Cell] | None = None
) -> tuple[Path, Callable[[], dict[str, np.ndarray]]]:
    run = Run.create(folder / "run", ClassificationJob(settings(cell), sequences(), sequences()))
    run.trainer.step()
    run._save()

    def load() -> dict[str, np.ndarray]:
        resumed = Run.resume(folder / "run", ClassificationJob, sequences(), sequences(), given=given)
        return resumed.trainer.state_dict()[0] | {"steps": np.array(resumed.trainer.steps)}

    return folder / "run" / "checkpoint.safetensors", load


def saved_checkpoint_of_an_own_cell(folder: Path) -> tuple[Path, Callable[[], dict[str, np.ndarray]]]:
    return saved_checkpoint(folder, own_cells.MIXED, {"cell": own_cells.MIXED})


def damages(content: bytes) -> Iterator[bytes]:
    """Every beginning of it, a thousand copies with one bit flipped, and as many with a few bytes changed."""
    rng = np.random.default_rng(1)
    yield from (content[:length] for length in range(len(content)))
    for _ in range(FLIPS):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        yield bytes(damaged)
    for _ in range(FLIPS):
        start, count = int(rng.integers(len(content))), int(rng.integers(1, 9))
        yield content[:start] + rng.bytes(count) + content[start + int(rng.integers(0, 9)) :]


@pytest.mark.parametrize(
    ("saved", "every"),
    [(saved_model, 1), (saved_model_of_an_own_cell, 1), (saved_checkpoint, 1), (saved_checkpoint_of_an_own_cell, 5)],
)
def test_damage_is_named_or_harmless(tmp_path: Path, saved: Callable[[Path], Any], every: int) -> None:
    path, load = saved(tmp_path)
    content, expected = path.read_bytes(), load()
    refused = unnamed = 0
    for damaged in islice(damages(content), 0, None, every):
        path.write_bytes(damaged)
        try:
            found = load()
        except ValueError as error:
            refused += str(path) in str(error)
            unnamed += str(path) not in str(error)
        else:
            assert found.keys() == expected.keys()
            for name, tensor in expected.items():
                np.testing.assert_array_equal(found[name], tensor)
    assert unnamed == 0
    assert refused > len(content) // every
    path.write_bytes(content)
    assert load().keys() == expected.keys()


def test_no_damage_to_run_json_does_any(tmp_path: Path) -> None:
    """It is written for people: a run goes on, and its model opens, without a look at it. Every twentieth damage."""
    _, load_checkpoint = saved_checkpoint(tmp_path)

    def load() -> dict[str, np.ndarray]:
        return load_checkpoint() | Network.load(tmp_path / "run" / "model.safetensors").state_dict()

    path, expected = tmp_path / "run" / "run.json", load()
    for damaged in islice(damages(path.read_bytes()), 0, None, 20):
        path.write_bytes(damaged)
        found = load()
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            np.testing.assert_array_equal(found[name], tensor)
