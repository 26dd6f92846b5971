"""The command line: what it prints and writes, what it refuses, and Ctrl-C from outside."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support.commands import SMALL, call
from support.processes import ended, run, run_python, started

from nblstm import CharLM, SequenceClassifier, weights
from nblstm.cli import main
from nblstm.environment import version_of
from nblstm.training import Trainer


def test_the_version_installed_or_not() -> None:
    result = call("--version")
    assert (result.exit_code, result.output) == (0, f"nblstm {version_of('nblstm')}\n")


def test_train_sample_and_train_again(text: Path) -> None:
    trained = call("train", "roses.txt", *SMALL)
    assert trained.exit_code == 0, trained.output
    assert "validation and training: bits per character\nto beat: uniform " in trained.output
    assert "roses has model.safetensors, run.json and loss.png" in trained.output
    report = json.loads(Path("runs/roses/run.json").read_text())
    assert report["settings"]["text"] == str(text)
    assert report["settings"]["hidden_size"] == 9

    first, second = (call("sample", "runs/roses", "--prompt", "a rose", "--length", "40", "--seed", "7") for _ in "ab")
    assert first.exit_code == 0, first.output
    assert first.output == second.output
    assert first.output.startswith("a rose")
    assert len(first.output) == len("a rose") + 40 + 1
    by_file = call("sample", "runs/roses/model.safetensors", "--prompt", "a rose", "--length", "40", "--seed", "7")
    assert by_file.output == first.output

    again = call("train", "roses.txt", *SMALL)
    assert "parameters in runs/roses-2" in again.output
    assert call("train", "roses.txt", *SMALL, "--output", "runs/mine").exit_code == 0
    assert Path("runs/mine/model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere.txt"], "no such file"),
        (["train", "full"], "full is a folder without a file whose name ends in .txt or .txt.gz"),
        (["train", "roses.txt", "nowhere.txt", "empty.txt"], "nowhere.txt': no such file; "),
        (["train", "roses.txt", "./roses.txt"], "Error: TEXT must name each text once"),
        (["train", "bytes.txt"], "is not UTF-8: byte 0xff at position 0"),
        (["train", "empty.txt"], "is empty"),
        (["train", "short.txt"], "Error: the text must be at least 20 characters"),
        (["train", "short.txt", "--tokens", "words"], "Error: the text must be at least 20 characters"),
        (["train", "word.txt", "--tokens", "words"], "must have at least two words in its last tenth, which is for"),
        (
            ["train", "roses.txt", "--batch", "800"],
            "too short for --batch-size=800 with --window=1: their product must be",
        ),
        (
            ["train", "roses.txt", "--length", "800"],
            "too short for --batch-size=1 with --window=800: their product must be",
        ),
        (
            ["train", "roses.txt", "--length", "100", "--batch", "9"],
            "too short for --batch-size=9 with --window=100: their",
        ),
        (
            ["train", "roses.txt", *SMALL, "--output", "roses.txt/run"],
            "the run's folder must be one that can be written",
        ),
        (["train", "roses.txt", *SMALL, "--output", "full"], "the run's folder must be new or empty"),
        (
            ["train", "roses.txt", *SMALL, "--epochs", "2"],
            "at most one length must be given, got --steps=5, --epochs=2",
        ),
        (["train", "roses.txt", *SMALL, "--hidden-size", "0"], "'--hidden-size': 0 is not in the range x>=1"),
        (["train", "roses.txt", *SMALL, "--learning-rate", "-1"], "Error: --lr must be above 0"),
        (["train", "roses.txt", *SMALL, "--dropout", "1"], "Error: --dropout must be in [0, 1)"),
        (["train", "roses.txt", *SMALL, "--cell", "elman"], "'elman' is neither one of"),
        (
            ["train", "roses.txt", *SMALL, "--cell", "gru", "--formulation", "concat"],
            "Error: --formulation must be 'split' for cell 'gru', which keeps the parts of n from x and h apart, got",
        ),
        (
            ["train", "--resume", "nowhere"],
            "nowhere must be the folder of a run, but its checkpoint.safetensors cannot be read: No such",
        ),
        (["train", "--resume", "full", "--output", "other"], "does not go with --output"),
        (["sample", "nowhere"], "Error: nowhere must be the folder of a run, or a model file: there is neither"),
        (["train", "roses.txt", "--continue-from", "nowhere"], "Error: nowhere must be the folder of a run,"),
        (["predict", "nowhere", "roses.txt"], "Error: nowhere must be the folder of a run, or a model file"),
        (["export", "nowhere", "model.onnx"], "Error: nowhere must be the folder of a run, or a model file"),
        (["sample", "full"], "does not exist"),
        (["sample", "roses.txt"], "damaged or no safetensors file"),
        (["sample", "foreign.safetensors"], "must be a model saved by nblstm train"),
    ],
)
def test_bad_input_ends_with_code_2_and_one_sentence(text: Path, arguments: list[str], message: str) -> None:
    Path("bytes.txt").write_bytes(b"\xff\xfe")
    Path("empty.txt").touch()
    Path("short.txt").write_text("too short")
    Path("word.txt").write_text("supercalifragilisticexpialidocious")
    Path("full").mkdir()
    Path("full/notes.md").touch()
    weights.save("foreign.safetensors", {"weight": np.zeros(3)})
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    error = result.output.strip().splitlines()[-1]
    assert error.startswith("Error: ")
    assert message in error


def test_bad_samples_are_refused(text: Path) -> None:
    assert call("train", "roses.txt", *SMALL).exit_code == 0
    unknown = call("sample", "runs/roses", "--prompt", "a ROSE")
    assert (unknown.exit_code, unknown.output.count("\n")) == (2, 1)
    assert "'E', 'O', 'R', 'S'; --skip-unknown reads it without these" in unknown.output
    for temperature in ("-1", "nan"):
        refused = call("sample", "runs/roses", "--temperature", temperature)
        assert (refused.exit_code, refused.output.count("\n")) == (2, 1)
        assert "Error: --temperature must be 0 or more and finite" in refused.output
    assert call("sample", "runs/roses", "--length", "0").exit_code == 2


@pytest.mark.peers
@pytest.mark.parametrize(("cell", "states"), [("lstm", ("h_0", "c_0")), ("gru", ("h_0",))])
def test_export_writes_what_onnx_runtime_runs(text: Path, cell: str, states: tuple[str, ...]) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: the extra `peers`")
    assert call("train", "roses.txt", *SMALL, "--cell", cell).exit_code == 0
    result = call("export", "runs/roses", "roses.onnx")
    assert result.exit_code == 0, result.output
    assert "roses.onnx has" in result.output
    assert result.output.splitlines()[1] == (
        f"it takes {', '.join(('tokens', *states))} and returns {', '.join(s.replace('_0', '_n') for s in states)}, "
        "logits; its metadata has usage, vocabulary"
    )
    model = CharLM.load("runs/roses/model.safetensors")
    tokens, zeros = np.arange(6).reshape(3, 2), np.zeros((1, 2, 9), np.float32)
    session = runtime.InferenceSession("roses.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"tokens": tokens} | dict.fromkeys(states, zeros))
    np.testing.assert_allclose(logits, model(tokens)[0], rtol=0, atol=1e-6)
    for arguments, message in (
        (("nowhere", "a.onnx"), "there is neither"),
        (("roses.txt", "a.onnx"), "damaged or no safetensors file"),
        (("runs/roses", "no/such/folder.onnx"), "cannot be written"),
        (("runs/roses", "a.onnx", "--lengths"), "lengths must be left out for a CharLM, which takes none"),
    ):
        refused = call("export", *arguments)
        assert (refused.exit_code, message in refused.output) == (2, True), refused.output


@pytest.mark.peers
def test_export_writes_a_classifier_that_takes_lengths(tmp_path: Path, rng: np.random.Generator) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: the extra `peers`")
    model = SequenceClassifier(3, 4, 1, 2, seed=0)
    model.save(tmp_path / "model.safetensors")
    result = call("export", str(tmp_path), str(tmp_path / "a.onnx"), "--lengths")
    assert result.exit_code == 0, result.output
    session = runtime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    x, lengths = rng.normal(size=(5, 2, 3)).astype("float32"), np.array([2, 5], "int32")
    (z,) = session.run(None, {"x": x, "lengths": lengths})
    np.testing.assert_allclose(z, model(x, lengths), rtol=0, atol=1e-6)
    assert call("export", str(tmp_path), str(tmp_path / "a.onnx"), "--streaming").exit_code == 0
    session = runtime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    assert {entry.name for entry in session.get_inputs()} == {"x", "h_0", "c_0"}


def test_export_of_a_cell_that_onnx_has_not_says_what_can_be_done(text: Path) -> None:
    CharLM("abc", 3, 4, 1, cell="mgu", seed=0).save("mgu.safetensors")
    result = call("export", "mgu.safetensors", "mgu.onnx")
    assert result.exit_code == 2
    assert "mgu.safetensors has a model of the cell mgu, which ONNX does not have: to export one, " in result.output
    assert (
        "--cell lstm, peephole, gru, gru_original, rnn_tanh or rnn_relu; this one runs where nblstm is installed"
        in result.output
    )
    for form, option in (({"heads": 2}, "--heads"), ({"layer_norm": True}, "--layer-norm")):
        CharLM("abc", 3, 4, 1, seed=0, **form).save("other.safetensors")
        result = call("export", "other.safetensors", "mgu.onnx")
        assert f"Error: other.safetensors has a model that was trained with {option}, which ONNX does" in result.output
        assert result.exit_code == 2
    assert not Path("mgu.onnx").exists()


def test_export_without_onnx_says_what_to_install(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("train", "roses.txt", *SMALL).exit_code == 0
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = call("export", "runs/roses", "roses.onnx")
    assert (result.exit_code, "pip install onnx" in result.output) == (2, True)


def test_resume_wants_the_same_settings_and_something_left_to_do(text: Path) -> None:
    assert call("train", "roses.txt", *SMALL).exit_code == 0
    other = call("train", "--resume", "runs/roses", "--hidden-size", "10", "--batch", "3", "--epochs", "3")
    assert other.exit_code == 2
    assert "its own settings: --hidden-size=9, got 10; --batch-size=4, got 3\n" in other.output
    complete = call("train", "--resume", "runs/roses", "--hidden-size", "9")
    assert (complete.exit_code, "is finished with 5 steps" in complete.output) == (2, True)


def test_a_moved_text_is_named_and_the_run_goes_on(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer.step

    def pressing(self: Trainer, *args: Any) -> float:
        signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", pressing)
        assert call("train", "roses.txt", *SMALL, "--output", "run").exit_code == 130
    text.rename("moved.txt")
    lost = call("train", "--resume", "run")
    assert (lost.exit_code, "no such file; the run in run wants" in lost.output) == (2, True), lost.output
    Path("other.txt").write_text("another text altogether " * 40)
    other = call("train", "other.txt", "--resume", "run")
    assert (other.exit_code, "are no longer those" in other.output) == (2, True), other.output
    result = call("train", "moved.txt", "--resume", "run")
    assert (result.exit_code, "resuming" in result.output) == (0, True), result.output


def test_files_and_folders_are_one_text_wherever_they_are(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("more").mkdir()
    text.rename("more/b.txt")
    Path("a.txt").write_text("a prose of its own, ")
    step = Trainer.step

    def pressing(self: Trainer, *args: Any) -> float:
        signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", pressing)
        begun = call("train", "a.txt", "more", *SMALL, "--output", "run")
    assert begun.exit_code == 130, begun.output
    folder = text.parent
    assert begun.output.startswith(f"reading {folder / 'a.txt'} and {folder / 'more'}\n")
    assert f"{folder / 'a.txt'} and {folder / 'more'} (2 files): 826 characters, 19 of them distinct" in begun.output
    Path("all.txt").write_text(Path("a.txt").read_text() + Path("more/b.txt").read_text())
    Path("a.txt").unlink()
    lost = call("train", "--resume", "run")
    assert (lost.exit_code, "no such file; the run in run wants" in lost.output) == (2, True), lost.output
    result = call("train", "all.txt", "--resume", "run")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("reading the run in run and its data\n")


def test_words_are_trained_sampled_and_resumed(text: Path) -> None:
    words = ["--tokens", "words", "--vocabulary-size", "12"]
    result = call("train", "roses.txt", *SMALL[:-4], "--length", "5", "--steps", "5", *words)
    assert result.exit_code == 0, result.output
    assert (
        "806 characters in 221 tokens, words and marks; the 11 most frequent ones are the vocabulary" in result.output
    )
    assert "bits per token\nto beat: uniform 3.58" in result.output
    report = json.loads(Path("runs/roses/run.json").read_text())
    last = report["evaluations"][-1]
    assert last["perplexity"] == pytest.approx(2 ** last["validation"])
    assert f"; perplexity {last['perplexity']:.3g}; bits/character {last['bits_per_character']:.3f}\n" in result.output
    drawn = call("sample", "runs/roses", "--length", "5", "--prompt", "a tulip", "--seed", "1")
    assert (drawn.exit_code, drawn.output.startswith("a tulip")) == (0, True), drawn.output
    complete = call("train", "--resume", "runs/roses", *words)
    assert "is finished with 5 steps" in complete.output
    other = call("train", "--resume", "runs/roses", "--tokens", "characters")
    assert "--tokens=words, got characters" in other.output
    alone = call("train", "roses.txt", *SMALL, "--vocabulary-size", "12")
    assert "--vocabulary-size must be left out but for words" in alone.output


def test_a_model_is_trained_further_on_another_text(text: Path) -> None:
    assert call("train", "roses.txt", *SMALL).exit_code == 0
    Path("lilies.txt").write_text("a lily is no rose, is it? So said the fox\n" * 20)
    further = ["train", "lilies.txt", "--continue-from", "runs/roses", *SMALL[4:]]
    refused = call(*further)
    assert refused.exit_code == 2, refused.output
    assert "of the model that the run continues from, but has '?', 'S', 'y'; --extend-vocabulary adds them" in (
        refused.output
    )
    assert not Path("runs/lilies").exists()
    result = call(*further, "--extend-vocabulary")
    assert result.exit_code == 0, result.output
    assert "beginning with the weights in runs/roses/model.safetensors\n" in result.output
    assert "in place of" not in result.output
    old, new = (CharLM.load(f"runs/{name}/model.safetensors") for name in ("roses", "lilies"))
    assert (new.vocabulary, new.recurrent.hidden_size) == (old.vocabulary + "?Sy", 9)
    longer = call("train", "--resume", "runs/lilies", "--steps", "8")
    assert longer.exit_code == 0, longer.output
    for arguments, message in (
        ([*further, "--hidden-size", "8"], "continues from: --hidden-size=9, got 8"),
        (["train", "--resume", "runs/lilies", *further[2:4]], "--continue-from begins a new run, so it does not go"),
        (["train", "lilies.txt", "--extend-vocabulary"], "--extend-vocabulary must be left out without --continue-"),
        (["train", "lilies.txt", "--continue-from", "runs/none"], "runs/none must be the folder of a run, or a model"),
    ):
        wrong = call(*arguments)
        assert (wrong.exit_code, message in wrong.output) == (2, True), wrong.output


def test_the_best_weights_write_too(text: Path) -> None:
    assert call("train", "roses.txt", *SMALL, "--learning-rate", "100").exit_code == 0
    words = ["--prompt", "a", "--length", "40", "--seed", "1"]
    last, best = call("sample", "runs/roses", *words), call("sample", "runs/roses", *words, "--best")
    named = call("sample", "runs/roses/best.safetensors", *words)
    assert (best.exit_code, best.output == named.output, best.output != last.output) == (0, True, True), best.output
    refused = call("sample", "runs/roses/best.safetensors", "--best")
    assert (refused.exit_code, "--best chooses between" in refused.output) == (2, True)


def test_a_training_says_what_it_reads_and_what_has_no_effect(text: Path) -> None:
    result = call("train", "roses.txt", *SMALL, "--dropout", "0.5")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"reading {text}\n")
    assert result.stderr.startswith("Warning: dropout=0.5 has no effect with one layer: it acts between layers\n")
    for silent in ([], ["--dropout", "0"], ["--dropout", "0.5", "--layers", "2"]):
        assert "no effect" not in call("train", "roses.txt", *SMALL, *silent).output


def test_standard_input_and_encodings(text: Path) -> None:
    content = text.read_text(encoding="utf-8").replace("prince", "princé")
    piped = CliRunner().invoke(main, ["train", "-", *SMALL], input=content.encode())
    assert (piped.exit_code, Path("runs/standard-input").is_dir()) == (0, True), piped.output
    text.write_bytes(content.encode("cp1252"))
    assert "--encoding cp1252" in call("train", "roses.txt", *SMALL).output
    assert call("train", "roses.txt", *SMALL, "--encoding", "cp1252").exit_code == 0
    runs = [json.loads(Path(f"runs/{name}/run.json").read_text()) for name in ("standard-input", "roses")]
    assert runs[0]["digest"] == runs[1]["digest"]
    assert [run["settings"]["encoding"] for run in runs] == ["utf-8", "cp1252"]


def test_ctrl_c_in_classify_says_how_to_go_on(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist_files(Path("files"), "train", "t10k")
    step = Trainer.step

    def pressing(self: Trainer, *args: Any) -> float:
        signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", pressing)
        result = call("classify", "mnist", "--folder", "files", "--hidden-size", "9", "--batch", "10")
    assert result.exit_code == 130, result.output
    command = "nblstm classify --resume runs/mnist"
    assert f"stopped after 1 steps; continue with: {command}\n" in result.output
    assert call(*command.split()[1:]).exit_code == 0


SMALL_IMAGES = ["--hidden-size", "9", "--steps", "30", "--seed", "3"]


def mnist_files(folder: Path, *parts: str) -> None:
    """Tiny files in the form of MNIST: 40 images of 5 x 4 pixels, bright in the row that is their class."""
    folder.mkdir()
    labels = np.arange(40, dtype=np.uint8) % 5
    images = np.zeros((40, 5, 4), np.uint8)
    images[np.arange(40), labels] = 255
    for part in parts:
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(extent.to_bytes(4, "big") for extent in array.shape)
            (folder / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())


def test_classify_digits_and_go_on(text: Path) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: the extra `course`")
    result = call("classify", "digits", *SMALL_IMAGES, "--class-weight", "balanced")
    assert result.exit_code == 0, result.output
    report = json.loads(Path("runs/digits/run.json").read_text())
    assert report["settings"]["class_weight"] == "balanced"
    assert report["baselines"]["frequencies"] == pytest.approx(
        math.log(10)
    )  # what each digit weighs, not how often it is
    assert "digits: 8 rows of 8 pixels; 1,438 images to train on, 359 held out" in result.output
    assert "nats per image\nto beat: frequencies 2.3" in result.output
    assert f"; right {report['evaluations'][-1]['accuracy']:.1%}; F1 " in result.output
    assert "confusion.png" in {path.name for path in Path("runs/digits").iterdir()}
    complete = call("classify", "--resume", "runs/digits")
    assert (complete.exit_code, "is finished with 30 steps" in complete.output) == (2, True)
    other = call("train", "--resume", "runs/digits")
    assert (other.exit_code, "must be one of nblstm train, got one of nblstm classify" in other.output) == (2, True)


@pytest.mark.parametrize(("parts", "counts"), [(("train", "t10k"), (40, 40)), (("t10k",), (36, 4))])
def test_classify_mnist_from_a_folder(text: Path, parts: tuple[str, ...], counts: tuple[int, int]) -> None:
    mnist_files(Path("files"), *parts)
    options = ["--folder", "files", "--hidden-size", "16", "--batch", "10", "--epochs", "40"]
    result = call("classify", "mnist", *options)
    assert result.exit_code == 0, result.output
    assert f"{counts[0]} images to train on, {counts[1]} held out" in result.output
    report = json.loads(Path("runs/mnist/run.json").read_text())
    assert (report["settings"]["num_layers"], report["settings"]["hidden_size"]) == (2, 16)
    assert report["evaluations"][-1]["accuracy"] == 1
    assert "one of" not in call("classify", "mnist", "--resume", "runs/mnist", "--folder", "files").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify"], "mnist"),
        (["classify", "cats"], "'cats' is not one of 'digits', 'mnist'"),
        (["classify", "digits", "--folder", "files"], "--folder must be left out but for mnist"),
        (["classify", "mnist", "--folder", "nowhere"], "no such folder"),
        (["classify", "mnist", "--folder", "files"], "files"),
        (["classify", "mnist", "--folder", "files", "--batch", "1000"], "Error: --batch-size must be at most"),
    ],
)
def test_bad_input_of_classify_ends_with_code_2_and_one_sentence(
    text: Path, arguments: list[str], message: str
) -> None:
    mnist_files(Path("files"), "train")
    if "--batch" in arguments:
        mnist_files(Path("more"), "t10k")
        for path in Path("more").iterdir():
            path.rename(Path("files") / path.name)
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output.strip().splitlines()[-1]


def test_minutes_say_that_they_give_up_reproducibility(text: Path) -> None:
    result = call("train", "roses.txt", *SMALL[:-2], "--minutes", "0.005")
    assert result.exit_code == 0, result.output
    assert "cannot be reproduced" in result.output
    assert "gives up reproducibility" in " ".join(call("train", "--help").output.split())


def test_a_diverged_training_ends_with_code_1(text: Path) -> None:
    result = call("train", "roses.txt", *SMALL, "--cell", "rnn_relu", "--learning-rate", "1e4")
    assert result.exit_code == 1
    assert "Error: training diverged at step" in result.output


def test_info(text: Path) -> None:
    result = call("info")
    assert result.exit_code == 0, result.output
    for line in ("processor", "lanes float32", "threads", "threading layer", "python", "numpy", "numba", "cache"):
        assert f"\n{line} " in f"\n{result.output}"


def test_help_of_the_module_comes_without_heavy_imports() -> None:
    script = (
        "import sys\nfrom nblstm.cli import main\n"
        "for command in ([], ['train'], ['sample'], ['export'], ['classify'], ['course'], ['info']):\n"
        "    main([*command, '--help'], standalone_mode=False)\n"
        "    print(sys.modules.keys() & {'matplotlib', 'tqdm', 'pooch', 'safetensors', 'nblstm.runs'})"
    )
    lines = run_python("-c", script)[0].splitlines()
    assert sum(line.startswith("Usage: ") for line in lines) == lines.count("set()") == 7


WAITS_FOR_CTRL_C = """
import signal, sys, time
from nblstm.cli import main
from nblstm.training import Trainer

def step(self, *arguments, step=Trainer.step):
    if self.steps == 19:
        handler, arrived = signal.getsignal(signal.SIGINT), []
        signal.signal(signal.SIGINT, lambda *arguments: arrived.append(handler(*arguments)))
        print("now", flush=True)
        while not arrived:
            time.sleep(0.01)
    return step(self, *arguments)

Trainer.step = step
main(sys.argv[1:])
"""


def test_ctrl_c_saves_and_the_resumed_run_is_bit_identical(text: Path) -> None:
    options = [*SMALL[:-1], "60", "--dropout", "0.2", "--layers", "2", "--seed", "9"]
    train = ["train", "roses.txt", *options, "--output"]
    with started(sys.executable, "-c", WAITS_FOR_CTRL_C, *train, "the parts", stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert "now\n" in process.stdout
        process.send_signal(signal.SIGINT)
        code, rest, _ = ended(process)
    assert code == 130
    assert "continue with: nblstm train --resume 'the parts'" in rest
    report = json.loads(Path("the parts/run.json").read_text())
    assert not report["finished"]
    assert report["steps"] == 20

    run(sys.executable, "-m", "nblstm", "train", "--resume", "the parts")
    assert call(*train, "whole").exit_code == 0
    expected, found = (weights.load(f"{folder}/model.safetensors") for folder in ("whole", "the parts"))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert tensor.tobytes() == found[name].tobytes(), name


@pytest.mark.parametrize(("command", "argument"), [("train", "TEXT"), ("tag", "FILE")])
def test_ranks_do_not_read_standard_input(command: str, argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which mpirun gives to the first one alone: the others would wait for ever."""
    monkeypatch.setattr("nblstm.cli.runs.started", lambda: 2)
    refused = CliRunner().invoke(main, [command, "-"], input=b"")
    assert refused.exit_code == 2
    assert f"Error: {argument} must be a file, which every rank reads, got standard input" in refused.stderr
