"""Models whose recurrent matrices are blocks, one a head: in Python, files, settings and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import call

from nblstm import CharLM, SequenceClassifier, SequenceRegressor, SequenceTagger, WordLM, files
from nblstm.jobs import SequenceSettings, TextJob, TextSettings
from nblstm.models import Network

MODELS = {
    "characters": lambda **form: CharLM("abc", 3, 6, 2, seed=1, **form),
    "words": lambda **form: WordLM(["<unk>", "a", " b"], 3, 6, seed=1, **form),
    "classes": lambda **form: SequenceClassifier(2, 6, 1, 3, bidirectional=True, seed=1, **form),
    "tags": lambda **form: SequenceTagger(2, 6, 1, 3, seed=1, **form),
    "numbers": lambda **form: SequenceRegressor(2, 6, 1, 2, seed=1, **form),
}


@pytest.mark.parametrize("cell", ["lstm", "gru", "slstm"])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_model_with_heads_is_opened_as_it_was(make: Any, cell: str, tmp_path: Path) -> None:
    model, path = make(cell=cell, heads=3), tmp_path / "model.safetensors"
    assert model.recurrent.params["weight_hh_l0"].shape[1] == 2
    assert model.num_parameters < make(cell=cell).num_parameters
    assert "heads=3" in repr(model)
    model.save(path)
    same = Network.load(path)
    assert (type(same), same.config) == (type(model), model.config)
    assert all((tensor == same.params[name]).all() for name, tensor in model.params.items())


def test_a_file_without_heads_is_as_before(tmp_path: Path) -> None:
    model = MODELS["classes"]()
    assert "heads" not in model.config
    model.save(tmp_path / "model.safetensors")
    _, metadata = files.load_with_metadata(tmp_path / "model.safetensors")
    assert "heads" not in metadata["nblstm.SequenceClassifier"]


def test_it_writes_what_its_steps_make_likeliest() -> None:
    model = CharLM("abcdefgh", 5, 70, 2, heads=2, dtype="float64", seed=2)
    text = "ab"
    while len(text) < 12:
        logits = model(np.array([[model.vocabulary.index(each)] for each in text]))[0]
        text += model.vocabulary[logits[-1, 0].argmax()]
    assert model.sample("ab", 10, 0.0) == text


@pytest.mark.parametrize("make", [*MODELS.values(), lambda **_: SequenceSettings(hidden_size=6, heads=4)])
def test_what_does_not_divide_the_units_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"^heads must divide hidden_size, 6, got 4$"):
        make(heads=4)


def test_settings_and_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undrawn: None) -> None:
    monkeypatch.chdir(tmp_path)
    Path("roses.txt").write_text("a rose is a rose is a rose\n" * 20)
    sizes = ["--hidden-size", "6", "--layers", "1", "--batch", "2", "--window", "10", "--steps", "2"]
    result = call("train", "roses.txt", *sizes, "--heads", "2")
    assert result.exit_code == 0, result.output
    assert json.loads(Path("runs/roses/run.json").read_text())["settings"]["heads"] == 2
    model = CharLM.load("runs/roses/model.safetensors")
    assert (model.recurrent.heads, model.config["heads"]) == (2, 2)
    resumed = call("train", "--resume", "runs/roses", "--steps", "3")
    assert (resumed.exit_code, CharLM.load("runs/roses/model.safetensors").recurrent.heads) == (0, 2), resumed.output
    assert TextSettings(**TextJob.form_of(model)).heads == 2
    refused = call("train", "roses.txt", *sizes, "--heads", "4", "--output", "nowhere")
    assert "Error: --heads must divide --hidden-size, 6, got 4" in refused.output
    assert not Path("nowhere").exists()
