"""The command line's own words: its options in place of Python's arguments, and what it says of a run's end."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
from pathlib import Path
from typing import Any

import click
import pytest
from support.commands import SIZES, SMALL, call

from nblstm import CharLM
from nblstm.cells import CELLS
from nblstm.cli import main
from nblstm.cli.group import in_options
from nblstm.jobs import ImageSettings, TaggedTextSettings, TextJob, TextSettings
from nblstm.training import Trainer


def refused(*arguments: str) -> str:
    """The one sentence that the command ends with, of its lines the last."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    last = result.output.splitlines()[-1]
    assert last.startswith("Error: ")
    return last.removeprefix("Error: ")


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("batch_size must be at least 1, got 0", "--batch-size must be at least 1, got 0"),
        ("text must be a string, got 3", "TEXT must be a string, got 3"),
        ("clip must be above 0", "--clip must be above 0"),
        (
            "its own settings: window=10, got 20; num_layers=2, got 3",
            "its own settings: --window=10, got 20; --num-layers=2, got 3",
        ),
        ("a run of TextJob, got one of ImageJob", "a run of nblstm train, got one of nblstm classify"),
        ("name the encoding (encoding='cp1252' in Python), or convert", "name the encoding, or convert"),
        ("dropout: no, the clip must fit", "--dropout: no, the clip must fit"),
        (
            "must be a model saved by LanguageModel.save, got one of SequenceClassifier.save",
            "must be a model saved by nblstm train, got one of nblstm classify",
        ),
        (
            "must be a model saved by SequenceTagger.save, got one of CharLM.save",
            "must be a model saved by nblstm tag, got one of nblstm train",
        ),
        ("books/batch_size.txt is empty", "books/batch_size.txt is empty"),
        ("steps of a clip in the window", "steps of a clip in the window"),
    ],
)
def test_python_s_names_become_those_of_options(said: str, understood: str) -> None:
    assert in_options(said, main.commands["train"].params) == understood


def test_a_run_is_trained_further(text: Path) -> None:
    assert call("train", "roses.txt", *SMALL, "--evaluate-every", "100").exit_code == 0
    sentence = refused("train", "--resume", "runs/roses")
    assert sentence == (
        "the run in runs/roses is finished with 5 steps; to train it further, name a greater length: --steps 10, say"
    )
    assert "beyond the 5 steps that are done, got --steps=4" in refused(
        "train", "--resume", "runs/roses", "--steps", "4"
    )
    further = call("train", "--resume", "runs/roses", "--steps", "8")
    assert further.exit_code == 0, further.output
    assert "resuming, after 5 steps, " in further.output
    assert call("train", "--resume", "runs/roses", "--epochs", "1").exit_code == 0
    report = json.loads(Path("runs/roses/run.json").read_text())
    assert [record["step"] for record in report["evaluations"]] == [0, 5, 8, 18]
    assert (report["settings"]["steps"], report["settings"]["epochs"], report["finished"]) == (None, 1, True)
    text.unlink()
    assert refused("train", "--resume", "runs/roses").endswith(
        "is finished with 18 steps; " + sentence.split("; ")[1].replace("--steps 10", "--epochs 2")
    )
    assert "no such file; the run in runs/roses wants" in refused("train", "--resume", "runs/roses", "--epochs", "2")


def test_what_is_wrong_with_a_text_named_on_resume_is_said_and_nothing_else(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def pressing(self: Trainer, *args: Any) -> float:
        signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", pressing)
        assert call("train", "roses.txt", *SMALL).exit_code == 130
    resume = ["train", "--resume", "runs/roses"]
    assert refused(*resume, "--encoding", "no").startswith("--encoding must be one of text that Python knows")
    for other, told in (("utf-32", " is not UTF-32: "), ("utf-16", ", are no longer those that the run in ")):
        sentence = refused(*resume, "--encoding", other)
        assert told in sentence
        assert "moved" not in sentence
    assert "got '" + str(text.with_name("nowhere.txt")) in refused("train", "nowhere.txt", "--resume", "runs/roses")
    assert call(*resume, "--encoding", "ascii").exit_code == 0  # in which it says the same


def test_a_short_text_is_read_with_a_smaller_batch_and_a_shorter_length(text: Path) -> None:
    text.write_text("".join(f"{n} little princes and a rose\n" for n in range(5)), encoding="utf-8")
    for given, told in (
        ([], "--batch-size=2 in place of 32, --window=62 in place of 100"),
        (["--length", "20"], "--batch-size=6 in place of 32"),
        (["--batch", "5"], "--window=25 in place of 100"),
        (["--batch", "5", "--length", "20"], ""),
    ):
        result = call("train", "roses.txt", *SIZES, "--steps", "2", *given)
        assert result.exit_code == 0, result.output
        lines = [line for line in result.output.splitlines() if "the text is short" in line]
        assert lines == [f"the text is short, so it is read with {told}"] * bool(told)
    report = json.loads(Path("runs/roses/run.json").read_text())
    assert (report["settings"]["batch_size"], report["settings"]["window"]) == (2, 62)
    assert call("train", "--resume", "runs/roses", "--steps", "3").exit_code == 0


def test_a_training_that_ends_worse_than_it_was_says_so_last(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([5.0, 3.0, 4.0])
    monkeypatch.setattr(TextJob, "evaluate", lambda _: {"validation": next(losses)})
    well = call("train", "roses.txt", *SMALL, "--evaluate-every", "100")
    assert well.stdout.splitlines()[-1].endswith("more text: nblstm sample runs/roses")
    worse = call("train", "--resume", "runs/roses", "--steps", "7")
    *before, last = worse.stdout.splitlines()
    assert last == (
        "the last evaluation, 4.000 bits per character, is worse than the best, 3.000 at step 5, whose weights are in "
        "runs/roses/best.safetensors: nblstm sample runs/roses --best"
    )
    assert not any("is worse than" in line for line in before)


def test_a_sample_is_set_apart_and_greedy_where_that_is_asked_for(text: Path) -> None:
    trained = call("train", "roses.txt", *SMALL)
    begin, end = (n for n, line in enumerate(trained.output.splitlines()) if line.startswith("-----"))
    lines = trained.output.splitlines()
    assert lines[begin].strip("-") == " a sample, at temperature 0.7 "
    model = CharLM.load("runs/roses/model.safetensors")
    assert "\n".join(lines[begin + 1 : end]) == model.sample("", 500, 0.7, seed=1).replace("\r", "")
    greedy = [call("sample", "runs/roses", "--temperature", "0", "--length", "30").output for _ in "ab"]
    assert greedy == [model.sample("", 30, 0) + "\n"] * 2


@pytest.mark.parametrize("command", ["train", "classify"])
def test_the_help_of_cell_has_every_name_that_it_takes(command: str) -> None:
    (option,) = [option for option in main.commands[command].params if option.name == "cell"]
    help_text = option.get_help_record(click.Context(main.commands[command]))
    assert help_text is not None
    assert help_text[0] == "--cell NAME"
    assert [name for name in CELLS if not re.search(rf"\b{name}\b", help_text[1])] == []
    assert [option.type.convert(name, option, None) for name in CELLS] == [*CELLS]


@pytest.mark.parametrize("command", [[], *([name] for name in main.commands)])
def test_help_has_a_short_name_and_fits_a_terminal(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short, long = call(*command, "-h"), call(*command, "--help")
    assert (short.exit_code, short.output) == (0, long.output)
    assert "..." not in short.output.replace("[OPTIONS]", "").replace("]...", "").replace("[ARGS]...", "")
    assert max(map(len, short.output.splitlines())) <= 80


def test_options_have_the_names_of_settings(text: Path) -> None:
    for name, kind in (("train", TextSettings), ("classify", ImageSettings), ("tag", TaggedTextSettings)):
        options = {option.opts[0] for option in main.commands[name].params if option.opts[0].startswith("--")}
        fields = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(kind)}
        python_only = {"--text", "--vocabulary", "--images", "--file", "--target-scale", "--bidirectional"}
        assert fields - python_only - {"--ignore-index"} <= options, name
        of_a_run = {"--output", "--resume"} | ({"--continue-from", "--extend-vocabulary"} if name == "train" else set())
        assert options - fields - {"--bidirectional"} == of_a_run, name
    for lr in ("--lr", "--learning-rate"):
        assert call("train", "roses.txt", *SMALL, lr, "0.5", "--output", f"runs/{lr}").exit_code == 0
        assert json.loads(Path(f"runs/{lr}/run.json").read_text())["settings"]["lr"] == 0.5


def test_a_run_that_ended_early_is_given_more_patience(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 5.0, 4.0, 3.5])
    monkeypatch.setattr(TextJob, "evaluate", lambda _: {"validation": next(losses)})
    early = call("train", "roses.txt", *SMALL, "--evaluate-every", "2", "--patience", "1")
    assert "\nended early: one evaluation without a lower loss than that of step 0\nvalidation ends" in early.output
    sentence = refused("train", "--resume", "runs/roses")
    assert sentence.endswith("is finished with 2 steps; to train it further, give it more patience: --patience 2, say")
    assert refused("train", "--resume", "runs/roses", "--steps", "9").endswith("above 1, got --patience=1")
    assert call("train", "--resume", "runs/roses", "--patience", "9").exit_code == 0


def test_samples_are_drawn_as_is_asked_for(text: Path) -> None:
    assert call("train", "roses.txt", *SMALL).exit_code == 0
    model = CharLM.load("runs/roses/model.safetensors")
    options = ["--prompt", "a ROSE", "--skip-unknown", "--top-k", "3", "--top-p", "0.9", "--stop", "s", "--seed", "1"]
    drawn = call("sample", "runs/roses", *options)
    expected = model.sample("a ROSE", 500, 0.7, seed=1, top_k=3, top_p=0.9, stop="s", skip_unknown=True)
    assert (drawn.exit_code, drawn.output) == (0, expected + "\n")
