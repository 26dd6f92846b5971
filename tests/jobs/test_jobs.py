"""What jobs refuse: sequences, targets and settings that do not fit, before anything is learned."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import tracemalloc
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_jobs import QUICK, sequences

from nblstm import SGD, SequenceRegressor, class_weights, cross_entropy
from nblstm.baselines import baselines
from nblstm.datasets import encode, encode_words, split_words, word_vocabulary
from nblstm.jobs import (
    ClassificationJob,
    ImageSettings,
    Job,
    RegressionJob,
    Sequences,
    SequenceSettings,
    TextJob,
    TextSettings,
)
from nblstm.metrics import f1_scores
from nblstm.training import BatchTrainer, evaluate


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (RegressionJob, {"x": np.zeros((6, 20, 2))}, r"training\.x must be float32, got float64"),
        (
            RegressionJob,
            {"x": np.zeros((6, 20), "float32")},
            r"training\.x must be \(steps, .* \(6, 20\): .* "
            r"take training\.x\[\.\.\., None\]$",
        ),
        (ClassificationJob, {"x": np.zeros((20, 6), "float32")}, r"take training\.x\.T\[\.\.\., None\]$"),
        (RegressionJob, {"x": np.zeros(20, "float32")}, r"training\.x must have shape \(any, any, any\), got \(20,\)"),
        (RegressionJob, {"x": np.zeros((6, 0, 2), "float32")}, "at least one sequence"),
        (RegressionJob, {"x": np.zeros((0, 20, 2), "float32")}, r"training\.x must have at least one time step, got"),
        (RegressionJob, {"x": np.zeros((6, 20, 3), "float32")}, "validation must have the width 3"),
        (RegressionJob, {"targets": np.zeros((19, 1), "float32")}, "a target for each"),
        (RegressionJob, {"targets": np.zeros(20, "float32")}, r"\(N, outputs\), .* take training\.targets\[:, None\]$"),
        (ClassificationJob, {"targets": np.zeros((20, 1), int)}, r"got \(20, 1\); take training\.targets\[:, 0\]$"),
        (RegressionJob, {"targets": np.zeros((20, 1))}, r"training\.targets must be float32"),
        (ClassificationJob, {"targets": np.zeros(20)}, r"training\.targets must be integers"),
        (ClassificationJob, {"targets": ["up", "down"] * 10}, r"convert with np\.asarray\(training\.targets\)$"),
        (ClassificationJob, {"targets": np.full(20, -1)}, r"training\.targets must be 0 or more, got -1"),
        (ClassificationJob, {"lengths": np.full(20, 7)}, r"lengths must be in 0\.\.6, got training\.lengths\[0\] = 7"),
        (ClassificationJob, {"lengths": np.ones(19, int)}, r"training\.lengths must have shape"),
        (ClassificationJob, {"lengths": [6] * 20}, r"training\.lengths must be a NumPy array, got list"),
        (ClassificationJob, {"x": np.full((6, 20, 2), np.nan, "float32")}, r"training\.x must be finite, got nan at"),
        (RegressionJob, {"targets": np.full((20, 1), np.inf, "float32")}, r"training\.targets must be finite, got inf"),
        (
            RegressionJob,
            {"sample_weight": np.ones(19)},
            r"training\.sample_weight must have shape \(20,\), got",
        ),
        (RegressionJob, {"sample_weight": [1.0] * 20}, r"training\.sample_weight must be a NumPy array, got list"),
        (ClassificationJob, {"sample_weight": np.zeros(20)}, r"sample_weight must be above 0 and finite, got 0\.0 at"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(kind: type[Job], changes: dict[str, Any], message: str) -> None:
    good = sequences(kind, 20, seed=0)
    with pytest.raises((ValueError, TypeError), match=message):
        kind(QUICK, good._replace(**changes), good)


@pytest.mark.parametrize(
    ("shorten", "sizes"),
    [
        (["batch_size", "window"], (2, 77)),  # of the 154 predictions all have their place
        (["batch_size"], (1, 100)),
        (["window"], (32, 4)),
    ],
)
def test_a_short_text_gets_the_sizes_it_has_room_for(
    tmp_path: Path, shorten: list[str], sizes: tuple[int, int]
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abcdefghij" * 17 + "abc")
    settings = TextSettings(text=str(path), hidden_size=2, num_layers=1)
    job = TextJob(settings, shorten)
    assert (job.settings.batch_size, job.settings.window) == sizes
    assert job.settings == replace(settings, batch_size=sizes[0], window=sizes[1])
    assert job.trainer.streams[:, 0].tolist() == [n % 10 for n in range(154 // sizes[0] + 1)]
    assert job.trainer.window == sizes[1]
    job.trainer.step()
    small = replace(settings, batch_size=2, window=77)
    assert TextJob(small, shorten).settings == small  # for which there is room
    with pytest.raises(
        ValueError, match=r"155 characters, is too short for batch_size=32 with window=100: .* at most 154"
    ):
        TextJob(settings)


@pytest.mark.parametrize(
    ("changes", "shorten", "sizes"),
    [
        ({"batch_size": 155}, ["window"], "batch_size=155 with window=1"),
        ({"window": 155}, ["batch_size"], "batch_size=1 with window=155"),
    ],
)
def test_a_text_without_room_for_sizes_that_are_given_is_refused(
    tmp_path: Path, changes: dict[str, int], shorten: list[str], sizes: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abcdefghij" * 17 + "abc")
    settings = TextSettings(text=str(path), hidden_size=2, num_layers=1, **changes)
    with pytest.raises(
        ValueError, match=f"155 characters, is too short for {sizes}: their product must be at most 154"
    ):
        TextJob(settings, shorten)


def test_the_shortest_text_of_all_is_learned(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abcdefghij" * 2)
    job = TextJob(TextSettings(text=str(path), hidden_size=2, num_layers=1), ["batch_size", "window"])
    assert (job.settings.batch_size, job.settings.window) == (1, 17)
    job.trainer.step()
    assert math.isfinite(job.evaluate()["validation"])


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
        (ClassificationJob, {"targets": np.full(20, "up")}, "targets must be integers, .* of one kind in both parts"),
        (ClassificationJob, {"targets": np.full(20, -1)}, "targets must be 0 or more, got -1"),
        (ClassificationJob, {"targets": np.zeros(20)}, "targets must be integers"),
        (ClassificationJob, {"lengths": np.full(20, -1)}, r"lengths must be in 0\.\.6"),
        (RegressionJob, {"sample_weight": np.full(20, np.nan)}, r"sample_weight must be above 0 and finite, got nan"),
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


@pytest.mark.parametrize("given", [None, "balanced", {1: 3.0}, (0.5, 2.0)])
def test_a_job_weighs_classes_and_sequences_in_loss_and_baseline(given: Any) -> None:
    rng, good = np.random.default_rng(1), sequences(ClassificationJob, 20, seed=0)
    good = good._replace(sample_weight=rng.uniform(0.5, 2, 20))
    job = ClassificationJob(replace(QUICK, class_weight=given, batch_size=20), good, good)
    weights = good.sample_weight * (1 if given is None else class_weights(given, good.targets)[good.targets])
    logits = job.answers()
    expected, _ = cross_entropy(logits, good.targets, sample_weight=weights)
    shares = np.array([weights[good.targets == k].sum() for k in (0, 1)]) / weights.sum()
    right = logits.argmax(axis=1) == good.targets
    assert job.evaluate() == {
        "validation": expected,
        "accuracy": pytest.approx((right * good.sample_weight).sum() / good.sample_weight.sum()),
        "f1": f1_scores(good.targets, logits.argmax(axis=1), 2, good.sample_weight).mean(),
    }
    assert job.baselines["frequencies"] == pytest.approx(-(shares * np.log(shares)).sum())
    np.testing.assert_array_equal(job.trainer.sample_weight, weights)


def test_weights_of_classes_go_by_their_labels() -> None:
    plain = sequences(ClassificationJob, 20, seed=0)
    named = plain._replace(targets=np.where(plain.targets == 1, "up", "down"))
    by_number, by_label = (
        ClassificationJob(replace(QUICK, class_weight=given), data, data)
        for given, data in (({1: 3.0}, plain), ({"up": 3.0}, named))
    )
    assert by_label.baselines == by_number.baselines
    np.testing.assert_array_equal(by_label.trainer.sample_weight, by_number.trainer.sample_weight)


def test_with_balanced_classes_frequencies_know_nothing() -> None:
    good = sequences(ClassificationJob, 20, seed=0)
    assert len(set(np.bincount(good.targets))) == 2
    job = ClassificationJob(replace(QUICK, class_weight="balanced"), good, good)
    assert job.baselines["frequencies"] == pytest.approx(math.log(2))


def test_a_regression_weighs_its_sequences() -> None:
    good = sequences(RegressionJob, 20, seed=0)
    good = good._replace(sample_weight=np.random.default_rng(1).integers(1, 4, 20))
    job = RegressionJob(QUICK, good, good)
    repeated = np.repeat(good.targets, good.sample_weight)
    assert job.baselines["mean"] == pytest.approx(repeated.var(), rel=1e-5)
    difference = np.repeat(job.answers() - good.targets, good.sample_weight)
    assert job.evaluate()["validation"] == pytest.approx((difference**2).mean(), rel=1e-5)
    with pytest.raises(ValueError, match="class_weight must be None for numbers, got balanced"):
        RegressionJob(replace(QUICK, class_weight="balanced"), good, good)


def test_sequences_without_steps_are_learned_from_as_well() -> None:
    good = sequences(ClassificationJob, 20, seed=0)
    good.lengths[:3] = 0
    good.x[:, :3] = np.nan
    job = ClassificationJob(QUICK, good, good)
    assert all(math.isfinite(job.trainer.step()) for _ in range(job.batches))
    assert math.isfinite(job.evaluate()["validation"])
    answers = job.answers()
    assert (answers[:3] == job.model.linear.params["bias"]).all()
    assert (answers[3:] != answers[0]).all()


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
        ({"folder": "somewhere"}, "folder must be left out but for mnist"),
        ({"images": "mnist", "folder": Path("files")}, "folder must be a string, got"),
        ({"bidirectional": 1}, "bidirectional must be True or False, got 1"),
        ({"class_weight": "even"}, "class_weight must be 'balanced', a dict or an array, got 'even'"),
    ],
)
def test_bad_settings_of_images_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        replace(ImageSettings(), **changes)


def test_words_are_measured_per_character_as_characters_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the whole code: each token at its cost, and an unknown one spelled besides."""
    path = tmp_path / "text.txt"
    text = "one two three two one\n" * 45 + "one two four two one, five\n" * 5
    path.write_text(text)
    form = TextSettings(
        text=str(path), tokens="words", vocabulary_size=5, hidden_size=4, num_layers=1, batch_size=2, window=5
    )
    job = TextJob(form)
    held_out = text[len(text) * 9 // 10 :]
    assert job.model.vocabulary == word_vocabulary(text[: len(text) * 9 // 10], 5)
    tokens = list(split_words(held_out))
    bits, state = 0.0, None
    for before, token in itertools.pairwise(tokens):
        z, state = job.model(encode_words(before, job.model.vocabulary)[:1, None], state)
        places = encode_words(token, job.model.vocabulary)
        bits -= float(np.log2(np.exp(z[0, 0, places[0]]) / np.exp(z).sum()))
        bits += (len(token) + 1) * np.log2(len(set(text)) + 1) * (token not in job.model.vocabulary)
    monkeypatch.setattr("nblstm.jobs.text.evaluate", partial(evaluate, batch_size=1))
    found = job.evaluate()
    assert "validation" not in job.describe()
    assert found["bits_per_character"] == pytest.approx(bits / len("".join(tokens[1:])), rel=1e-5)
    assert found["perplexity"] == pytest.approx(2 ** found["validation"])


@pytest.mark.parametrize("tokens", ["characters", "words"])
def test_of_a_long_text_the_beginning_of_the_last_tenth_is_for_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: str
) -> None:
    """As if the text were over there, but for what is counted in all of it."""
    beginning, held_out, end = "one two three two one\n" * 90, "one two, two, one\n" * 6, "one three\n" * 12
    end = end[: len(beginning) // 9 - len(held_out)]
    form = TextSettings(text=str(tmp_path / "long.txt"), tokens=tokens, hidden_size=4, num_layers=1, batch_size=2)
    (tmp_path / "long.txt").write_text(beginning + held_out + end)
    monkeypatch.setattr("nblstm.jobs.text.VALIDATED", {"characters": len(held_out), "words": len(held_out)})
    job = TextJob(form)
    numbers = encode_words if tokens == "words" else encode
    training, validation = (numbers(part, job.model.vocabulary) for part in (beginning, held_out))
    assert job.evaluate()["validation"] == evaluate(job.model, validation)
    assert job.baselines == baselines(training, validation, len(job.model.vocabulary))
    assert job.describe().endswith("; validation is on the first 108 characters of the last tenth")
    assert f"{len(beginning + held_out + end):,} characters" in job.describe()
    assert len(numbers(end, job.model.vocabulary)) + len(training) + len(validation) == job.facts.get("tokens", 2200)


@pytest.mark.parametrize("labels", [None, ("down", "sideways", "up")])
def test_a_class_that_is_held_out_alone_is_a_class(labels: tuple[str, ...] | None) -> None:
    training, validation = sequences(ClassificationJob, 20, seed=0), sequences(ClassificationJob, 20, seed=1)
    training = training._replace(targets=2 * training.targets)  # 0 and 2
    validation = validation._replace(targets=np.arange(20) % 4 if labels is None else np.arange(20) % 3)
    if labels is not None:
        training, validation = (
            part._replace(targets=np.array(labels)[part.targets]) for part in (training, validation)
        )
    job = ClassificationJob(replace(QUICK, class_weight="balanced"), training, validation)
    assert job.model.linear.out_features == (4 if labels is None else 3)
    assert job.describe().endswith("; only what is held out has " + ("1, 3" if labels is None else "'sideways'"))
    assert all(map(math.isfinite, [*job.evaluate().values(), *job.baselines.values()]))
