"""The jobs of a tagger: arrays and files, what they measure, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nblstm.datasets import read_tagged, read_tokens, token_vocabulary
from nblstm.jobs import Sequences, TaggedTextJob, TaggedTextSettings, TaggingJob, TaggingSettings
from nblstm.metrics import f1_scores
from nblstm.runs import Run

QUICK = TaggingSettings(hidden_size=7, batch_size=8, epochs=12, lr=0.03, dropout=0.3, num_layers=2, seed=2)


def steps(count: int, seed: int) -> Sequences:
    """Whether a step is above the one before, or 2 where it is negative; -100 past the ends."""
    rng = np.random.default_rng(seed)
    x, lengths = rng.normal(size=(9, count, 1)).astype("float32"), rng.integers(1, 10, count)
    targets = np.zeros((9, count), int)
    targets[1:] = x[1:, :, 0] > x[:-1, :, 0]
    targets[x[..., 0] < -0.5] = 2
    targets[np.arange(9)[:, None] >= lengths] = -100
    return Sequences(x, targets, lengths)


def text(path: Path, sentences: int = 120) -> Path:
    block = "a\tDET\nrose\tNOUN\nis\tVERB\na\tDET\nrose\tNOUN\n\nrun\tVERB\n\nthe\tDET\nrun\tNOUN\n\n"
    path.write_text(block * (sentences // 3), encoding="utf-8")
    return path


@pytest.mark.usefixtures("undrawn")
def test_a_tagger_learns_and_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, monkeypatch: Any) -> None:
    data = steps(120, 0), steps(40, 1)
    whole = Run.create(None, TaggingJob(QUICK, *data))
    assert whole.train(progress=False)
    last = whole.evaluations[-1]
    assert last["accuracy"] > 0.9
    assert last["validation"] < 0.5 * whole.job.baselines["frequencies"]

    def stopping(run: Run) -> None:
        if run.trainer.steps == 75:
            raise KeyError

    with pytest.raises(KeyError):
        Run.create(tmp_path / "run", TaggingJob(replace(QUICK, evaluate_every=25), *data)).train(
            progress=False, on_evaluation=stopping
        )
    parts = Run.resume(tmp_path / "run", TaggingJob, *data)
    assert parts.trainer.steps == 75
    assert parts.train(progress=False)
    assert all((tensor == parts.model.params[name]).all() for name, tensor in whole.model.params.items())


def test_what_is_measured_is_what_counts() -> None:
    data = steps(40, 0), steps(20, 1)
    job = TaggingJob(QUICK, *data)
    counts = data[1].targets != -100
    truth, found = data[1].targets[counts], job.answers().argmax(axis=2)[counts]
    measured = job.evaluate()
    assert measured["accuracy"] == (truth == found).mean()
    assert measured["f1"] == f1_scores(truth, found, 3).mean()
    assert list(job.f1_by_class().values()) == f1_scores(truth, found, 3).tolist()
    shares = np.bincount(data[0].targets[data[0].targets != -100]) / (data[0].targets != -100).sum()
    assert job.baselines == {"frequencies": pytest.approx(-np.log(shares[truth]).mean())}
    whole = [part._replace(targets=np.where(part.targets == -100, 99, part.targets)) for part in data]
    assert TaggingJob(replace(QUICK, ignore_index=99), *whole).evaluate() == measured
    named = [part._replace(targets=np.array(["x", "y", "z"])[np.maximum(part.targets, 0)]) for part in data]
    job = TaggingJob(QUICK, *named)
    assert (job.evaluate(), job.model.classes) == (measured, ("x", "y", "z"))


def test_classes_may_weigh() -> None:
    data = steps(40, 0), steps(20, 1)
    job = TaggingJob(replace(QUICK, class_weight={2: 3.0}), *data)
    z = job.answers()
    assert job.evaluate()["validation"] == job.model.loss(z, data[1].targets, weight=[1, 1, 3])[0]
    assert TaggingJob(replace(QUICK, class_weight="balanced"), *data).baselines["frequencies"] == pytest.approx(
        np.log(3)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": np.zeros((20, 9), int)}, r"targets must|must have at least one sequence and a target for each st"),
        ({"targets": np.full((9, 20), -7)}, r"training\.targets must be 0 or more, got -7"),
        ({"targets": np.zeros((9, 20))}, r"training\.targets must be integers"),
        ({"lengths": np.zeros(20, int)}, r"training\.targets must be 0 or more, got none"),
        ({"lengths": np.full(20, 10)}, r"lengths must be in 0\.\.9, got training\.lengths\[0\] = 10"),
        ({"x": np.zeros((9, 20, 1))}, r"training\.x must be float32, got float64"),
        ({"x": np.full((9, 20, 1), np.nan, "float32")}, r"training\.x must be finite"),
        ({"sample_weight": np.ones(20)}, r"training\.sample_weight must be None for tags"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    good = steps(20, 0)
    with pytest.raises((TypeError, ValueError), match=message):
        TaggingJob(QUICK, good._replace(**changes), good)


def test_of_the_validation_part_they_are_refused_too() -> None:
    good = steps(20, 0)
    for changes, message in (
        ({"targets": np.full((9, 20), "up")}, r"validation\.targets must be integers, .* of one kind"),
        ({"x": np.zeros((9, 20, 2), "float32")}, r"validation\.x must have shape \(any, any, 1\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            TaggingJob(QUICK, good, good._replace(**changes))  # type: ignore[arg-type]
    one_without = good.targets.copy()
    one_without[:, 3] = -100
    with pytest.raises(ValueError, match="must have a step that counts in each sequence, got none in sequence 3"):
        TaggingJob(QUICK, good._replace(targets=one_without), good)


def test_sentences_of_a_file_are_learned(tmp_path: Path) -> None:
    path = text(tmp_path / "tagged.txt")
    settings = TaggedTextSettings(file=str(path), hidden_size=8, batch_size=8, epochs=6, lr=0.03, seed=1)
    job = TaggedTextJob(settings)
    assert job.model.vocabulary == token_vocabulary(read_tagged(path)[0])
    assert job.model.classes == ("DET", "NOUN", "VERB")
    run = Run.create(None, job)
    assert run.train(progress=False)
    assert job.model.tag([["the", "run"], ["run"], ["a", "dragon"]]) == [["DET", "NOUN"], ["VERB"], ["DET", "NOUN"]]
    assert run.evaluations[-1]["validation"] < job.baselines["by token"] < job.baselines["frequencies"]
    for own, told in ((str(path), "120 held out"), (None, "12 held out")):
        assert told in TaggedTextJob(replace(settings, validation_file=own)).describe()
    other = tmp_path / "other.txt"
    other.write_text("rose ADJ\n", encoding="utf-8")
    more = TaggedTextJob(replace(settings, validation_file=str(other), class_weight="balanced"))
    assert more.model.classes == ("ADJ", "DET", "NOUN", "VERB")
    assert "1 held out; only what is held out has 'ADJ'; " in more.describe()
    assert np.isfinite(more.evaluate()["validation"])
    assert "only" not in job.describe()


def test_tokens_that_occur_once_are_unknown() -> None:
    assert token_vocabulary([["a", "b", "a"], ["c", "c", "c"]]) == ("<unk>", "c", "a")
    assert token_vocabulary([["a", "b", "a"], ["c", "c", "c"]], 2) == ("<unk>", "c")


def test_columns(tmp_path: Path) -> None:
    path = tmp_path / "tagged.txt"
    path.write_bytes(b"New York\tPLACE\r\nis\tVERB\r\n\r\n\r\nbig   ADJ")
    assert read_tagged(path) == ([["New York", "is"], ["big"]], [["PLACE", "VERB"], ["ADJ"]])
    path.write_text("big\n \nred ADJ x\n")
    assert read_tokens(path) == [["big"], ["red"]]
    with pytest.raises(
        ValueError, match=r"tagged\.txt must have a token and its tag on each line.* 1 columns on line 1"
    ):
        read_tagged(path)
    path.write_text("big ADJ\n\nred ADJ x\n")
    with pytest.raises(ValueError, match="got 3 columns on line 3: 'red ADJ x'"):
        read_tagged(path)
    path.write_text("\n \n")
    for read in (read_tagged, read_tokens):
        with pytest.raises(ValueError, match="must have at least one sentence, got none"):
            read(path)
    for read in (read_tagged, read_tokens):
        with pytest.raises(FileNotFoundError, match="tinyshakespeare does not exist; a file with a token on each line"):
            read("tinyshakespeare")
        with pytest.raises(IsADirectoryError, match="cannot be read: it is a folder"):
            read(tmp_path)
    path.write_text("one ADJ\n")
    with pytest.raises(ValueError, match="must have at least two sentences"):
        TaggedTextJob(TaggedTextSettings(file=str(path)))
