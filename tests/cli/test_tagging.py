"""``nblstm tag`` and ``nblstm predict``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.commands import call

from nblstm.cli import main

SENTENCE = "a DET\nrose NOUN\n\nrun VERB\n\n"
OPTIONS = ["--hidden-size", "8", "--batch-size", "4", "--lr", "0.05"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "roses.txt"
    path.write_text(SENTENCE * 20)
    return path


def test_a_tagger_is_trained_goes_on_and_tags(file: Path) -> None:
    result = call("tag", "roses.txt", *OPTIONS, "--epochs", "8")
    assert result.exit_code == 0, result.output
    assert "36 sequences with 54 tags of 3 classes to train on, 4 held out; 3 tokens are known" in result.output
    assert "nats per tag\nto beat: frequencies 1.1" in result.output
    lines = result.output.splitlines()
    assert lines[-5:-1] == ["F1 of each tag:", "  DET   1.000", "  NOUN  1.000", "  VERB  1.000"]
    assert lines[-1].endswith("to tag text: nblstm predict runs/roses FILE")
    report = json.loads(Path("runs/roses/run.json").read_text())
    assert (report["settings"]["file"], report["classes"]) == (str(file), ["DET", "NOUN", "VERB"])
    Path("new.txt").write_text("a\nrose\n\nrun\n")
    expected = "a\tDET\nrose\tNOUN\n\nrun\tVERB\n\n"
    assert call("predict", "runs/roses", "new.txt").output == expected
    assert call("predict", "runs/roses", "new.txt", "--best").output == expected
    piped = CliRunner().invoke(main, ["predict", "runs/roses/model.safetensors"], input="a\nrose\n\nrun\n")
    assert piped.output == expected
    finished = call("tag", "--resume", "runs/roses")
    assert (finished.exit_code, "--epochs 16, say" in finished.output) == (2, True), finished.output
    assert call("tag", "--resume", "runs/roses", "--epochs", "9").exit_code == 0
    pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    assert "parameters of SequenceTagger" in call("export", "runs/roses", "roses.onnx", "--lengths").output


def test_of_few_sentences_a_batch_is_smaller_and_a_tag_may_be_held_out_alone(file: Path) -> None:
    file.write_text(SENTENCE * 4 + "rose COLOUR\n")
    result = call("tag", "roses.txt", "--hidden-size", "4", "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert "the text is short, so it is read with --batch-size=8 in place of 32" in result.output
    assert "1 held out; only what is held out has 'COLOUR'; 3 tokens are known" in result.output
    assert "  COLOUR  0.000" in result.output


def test_what_is_refused(file: Path) -> None:
    Path("three.txt").write_text("a b c\n")
    assert call("train", "roses.txt", "--hidden-size", "3", "--layers", "1", "--steps", "1").exit_code == 0
    for arguments, message in (
        (["tag"], "Error: name the FILE to learn from"),
        (["tag", "nowhere.txt"], "nowhere.txt does not exist; a file with a token on each line was expected"),
        (["tag", "three.txt"], "got 3 columns on line 1"),
        (["tag", "roses.txt", "--batch-size", "99"], "Error: --batch-size must be at most the 36 sequences"),
        (["tag", "--resume", "runs/roses"], "must be one of nblstm tag, got one of nblstm train"),
        (["predict", "runs/roses", "roses.txt"], "must be a model saved by nblstm tag, got one of nblstm train"),
    ):
        result = call(*arguments)
        assert result.exit_code == 2, result.output
        assert message in result.output.splitlines()[-1]
