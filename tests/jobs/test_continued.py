"""A text job that begins with the weights of a model of another text: its form, its vocabulary, and how it goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nblstm import CharLM, WordLM
from nblstm.datasets import split_words, word_vocabulary
from nblstm.jobs import TextJob, TextSettings
from nblstm.runs import Run
from nblstm.training import evaluate

OLD, NEW = "a rose is a rose is a rose, ", "is a lily a rose? A rose is no lily. "
CHARACTERS = CharLM("".join(sorted(set(OLD))), 4, 7, 1, seed=0)
DIVIDED = CharLM(CHARACTERS.vocabulary, 4, 6, 1, heads=2, seed=0)
NORMALISED = CharLM(CHARACTERS.vocabulary, 4, 7, 1, layer_norm=True, seed=0)
WORDS = WordLM(word_vocabulary(OLD), 5, 6, 1, seed=0)
LACKING = sorted(set(NEW) - set(OLD))


def settings(model: Any, folder: Path, text: str = NEW) -> TextSettings:
    (folder / "new.txt").write_text(text * 10)
    sizes: dict[str, Any] = {"batch_size": 2, "window": 10, "steps": 6, "evaluate_every": 3, "seed": 3}
    return TextSettings(text=str(folder / "new.txt"), **TextJob.form_of(model), **sizes)


@pytest.mark.parametrize("model", [CHARACTERS, WORDS])
def test_it_begins_with_the_weights_and_takes_in_what_is_new(model: Any, tmp_path: Path) -> None:
    job = TextJob(settings(model, tmp_path), (), model, extend_vocabulary=True)
    new = LACKING if model is CHARACTERS else [t for t in word_vocabulary(NEW * 9) if t not in model.vocabulary]
    assert list(job.model.vocabulary) == [*model.vocabulary, *new]
    assert job.settings.vocabulary == job.model.vocabulary
    expected = model.with_vocabulary(job.model.vocabulary, seed=3)
    assert all((tensor == expected.params[name]).all() for name, tensor in job.model.params.items())
    assert job.evaluate()["validation"] == evaluate(expected, job.validation)
    told = "the model knows 14 distinct ones" if model is CHARACTERS else "the 12 that the model knows are the voc"
    assert told in job.describe()


@pytest.mark.parametrize("model", [CHARACTERS, DIVIDED, NORMALISED, WORDS])
def test_without_new_tokens_nothing_is_added(model: Any, tmp_path: Path) -> None:
    job = TextJob(settings(model, tmp_path, OLD), (), model)
    assert job.model.vocabulary == model.vocabulary
    assert all((tensor == model.params[name]).all() for name, tensor in job.model.params.items())


def test_words_that_it_lacks_are_unknown_and_characters_are_refused(tmp_path: Path) -> None:
    job = TextJob(settings(WORDS, tmp_path), (), WORDS)
    assert job.model.vocabulary == WORDS.vocabulary
    lacking = sum(token not in WORDS.vocabulary for token in split_words(NEW * 10))
    assert job.facts["unknown"] == pytest.approx(lacking, abs=2)  # but for the two tokens that the cut makes
    named = ", ".join(map(repr, LACKING))
    message = rf"keep to the \d+ characters of the model .*, but has {named.replace('?', '.')}; extend_vocabulary adds"
    with pytest.raises(ValueError, match=message):
        TextJob(settings(CHARACTERS, tmp_path), (), CHARACTERS)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("model", [CHARACTERS, WORDS])
def test_the_run_is_resumed_without_the_model_that_it_began_with(model: Any, tmp_path: Path) -> None:
    form = settings(model, tmp_path)
    whole = Run.create(None, TextJob(form, (), model, extend_vocabulary=True))
    whole.train(progress=False)

    def stop(run: Run) -> None:
        if run.trainer.steps == 3:
            raise KeyError

    run = Run.create(tmp_path / "run", TextJob(form, (), model, extend_vocabulary=True))
    with pytest.raises(KeyError):
        run.train(progress=False, on_evaluation=stop)
    parts = Run.resume(tmp_path / "run", TextJob)
    assert parts.train(progress=False)
    assert parts.evaluations[-1]["validation"] == whole.evaluations[-1]["validation"]
    assert all((tensor == parts.model.params[name]).all() for name, tensor in whole.model.params.items())


@pytest.mark.parametrize(
    ("changes", "model", "extend", "message"),
    [
        ({"hidden_size": 9}, CHARACTERS, True, "that the run continues from: hidden_size=7, got 9"),
        ({"vocabulary": "abc"}, CHARACTERS, True, "that the run continues from: vocabulary=None, got abc"),
        ({}, CharLM(CHARACTERS.vocabulary, 4, 7, 1, dtype="float64"), True, "a model of float32, got one of float64"),
        ({}, None, True, "extend_vocabulary must be left out without continue_from"),
        ({}, "runs/old", True, "continue_from must be CharLM or WordLM, got str"),
        ({}, CHARACTERS, 1, "extend_vocabulary must be True or False, got 1"),
    ],
)
def test_what_does_not_fit_is_refused(
    changes: dict[str, Any], model: Any, extend: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        TextJob(replace(settings(CHARACTERS, tmp_path), **changes), (), model, extend)


def test_a_vocabulary_may_be_given(tmp_path: Path) -> None:
    form = replace(settings(CHARACTERS, tmp_path), vocabulary=sorted(set(OLD + NEW), reverse=True))
    job = TextJob(form)
    assert job.model.vocabulary == "".join(sorted(set(OLD + NEW), reverse=True)) == form.vocabulary
    assert np.isfinite(job.trainer.step())
    with pytest.raises(ValueError, match="text must keep to the model's 3 characters, but has ' '"):
        TextJob(replace(form, vocabulary="abc"))
    with pytest.raises(ValueError, match="vocabulary must have distinct characters, got 'aa'"):
        replace(form, vocabulary="aa")
