"""What jobs refuse: sequences, targets and settings that do not fit, before anything is learned."""

from __future__ import annotations

import hashlib
import math
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_jobs import QUICK, sequences

from nblstm import SGD, SequenceRegressor
from nblstm.jobs import ClassificationJob, Job, RegressionJob, Sequences, TextJob
from nblstm.settings import ImageSettings, SequenceSettings
from nblstm.training import BatchTrainer


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (RegressionJob, {"x": np.zeros((6, 20, 2))}, r"training\.x must be float32, got float64"),
        (RegressionJob, {"x": np.zeros((6, 20), "float32")}, r"training\.x must have shape"),
        (RegressionJob, {"x": np.zeros((6, 0, 2), "float32")}, "at least one sequence"),
        (RegressionJob, {"x": np.zeros((6, 20, 3), "float32")}, "validation must have the width 3"),
        (RegressionJob, {"targets": np.zeros((19, 1), "float32")}, "a target for each"),
        (RegressionJob, {"targets": np.zeros(20, "float32")}, r"training\.targets must have shape"),
        (RegressionJob, {"targets": np.zeros((20, 1))}, r"training\.targets must be float32"),
        (ClassificationJob, {"targets": np.zeros(20)}, r"training\.targets must be integers"),
        (ClassificationJob, {"targets": np.full(20, -1)}, r"training\.targets must be 0 or more, got -1"),
        (ClassificationJob, {"lengths": np.full(20, 7)}, r"lengths must be in 0\.\.6, got training\.lengths\[0\] = 7"),
        (ClassificationJob, {"lengths": np.ones(19, int)}, r"training\.lengths must have shape"),
        (ClassificationJob, {"lengths": [6] * 20}, r"training\.lengths must be a NumPy array, got list"),
        (ClassificationJob, {"x": np.full((6, 20, 2), np.nan, "float32")}, r"training\.x must be finite, got nan at"),
        (RegressionJob, {"targets": np.full((20, 1), np.inf, "float32")}, r"training\.targets must be finite, got inf"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(kind: type[Job], changes: dict[str, Any], message: str) -> None:
    good = sequences(kind, 20, seed=0)
    with pytest.raises((ValueError, TypeError), match=message):
        kind(QUICK, good._replace(**changes), good)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (
            RegressionJob,
            {"targets": np.zeros((20, 3), "float32")},
            r"targets must have shape \(any, 1\), got \(20, 3\)",
        ),
        (
            RegressionJob,
            {"targets": np.full((20, 1), np.nan, "float32")},
            r"targets must be finite, got nan at \(0, 0\)",
        ),
        (ClassificationJob, {"targets": np.full(20, 2)}, r"targets must be classes 0\.\.1 of training, got 2"),
        (ClassificationJob, {"targets": np.full(20, -1)}, "targets must be 0 or more, got -1"),
        (ClassificationJob, {"targets": np.zeros(20)}, "targets must be integers"),
        (ClassificationJob, {"lengths": np.full(20, -1)}, r"lengths must be in 0\.\.6"),
        (ClassificationJob, {"x": np.full((6, 20, 2), np.nan, "float32")}, "x must be finite, got nan"),
    ],
)
def test_of_the_validation_part_they_are_refused_before_anything_is_learned(
    kind: type[Job], changes: dict[str, Any], message: str
) -> None:
    good = sequences(kind, 20, seed=0)
    with pytest.raises((ValueError, TypeError), match=rf"validation\.{message}"):
        kind(QUICK, good, good._replace(**changes))


def test_what_is_no_number_may_stand_past_the_end() -> None:
    good = sequences(ClassificationJob, 20, seed=0)
    good.x[np.arange(6)[:, None] >= good.lengths] = np.nan
    job = ClassificationJob(QUICK, good, good)
    assert math.isfinite(job.trainer.step())
    assert math.isfinite(job.evaluate()["validation"])


def test_a_job_takes_its_own_settings_and_sequences() -> None:
    good = sequences(ClassificationJob, 20, seed=0)
    with pytest.raises(TypeError, match="settings must be SequenceSettings, got ImageSettings"):
        ClassificationJob(ImageSettings(), good, good)
    with pytest.raises(TypeError, match="settings must be TextSettings, got SequenceSettings"):
        TextJob(SequenceSettings())
    with pytest.raises(TypeError, match="training must be Sequences, got tuple"):
        ClassificationJob(QUICK, tuple(good), good)


@pytest.mark.parametrize(("shape", "named"), [((20, 6, 2), True), ((20, 2, 6), True), ((6, 19, 2), False)])
def test_another_layout_is_named(shape: tuple[int, ...], named: bool) -> None:
    good = sequences(RegressionJob, 20, seed=0, unequal=False)
    way = r"training\.x\.transpose\(1, 0, 2\), .* training\.x\.transpose\(2, 0, 1\)"
    with pytest.raises(ValueError, match="a target for each") as caught:
        RegressionJob(QUICK, good._replace(x=np.zeros(shape, "float32")), good)
    assert bool(re.search(way, str(caught.value))) is named
    model = SequenceRegressor(shape[2], 3, 1, 1, seed=0)
    with pytest.raises(ValueError, match="one for each of the") as caught:
        BatchTrainer(model, SGD(model.layers, 0.1), np.zeros(shape, "float32"), good.targets)
    assert ("x.transpose(1, 0, 2)" in str(caught.value)) is named


def test_arrays_on_disk_are_not_copied(tmp_path: Path) -> None:
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "float32", (2000, 20, 50))
    good = sequences(ClassificationJob, 20, seed=0)
    training = Sequences(x, good.targets)
    held_out = Sequences(np.zeros((6, 20, 50), "float32"), good.targets)
    tracemalloc.start()
    try:
        job = ClassificationJob(QUICK, training, held_out)
        assert tracemalloc.get_traced_memory()[1] < x.nbytes
    finally:
        tracemalloc.stop()
    plain = hashlib.sha256()
    for array in (x, good.targets, held_out.x, good.targets):
        plain.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    assert job.digest == plain.hexdigest()


def test_more_in_a_batch_than_there_are_is_refused() -> None:
    few = sequences(RegressionJob, 5, seed=0)
    with pytest.raises(ValueError, match="batch_size must be at most the 5 sequences there are, got 8"):
        RegressionJob(QUICK, few, few)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": "cats"}, "images must be 'digits' or 'mnist', got 'cats'"),
        ({"folder": "somewhere"}, "folder must be None but for mnist"),
        ({"images": "mnist", "folder": Path("files")}, "folder must be a string, got"),
        ({"bidirectional": 1}, "bidirectional must be True or False, got 1"),
    ],
)
def test_bad_settings_of_images_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        replace(ImageSettings(), **changes)
