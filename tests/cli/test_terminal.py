"""Where the command line runs: streams closed or full, other encodings, signals, clocks, folders that go away."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tqdm
from click.testing import CliRunner
from support.processes import run

from nblstm.cli import main
from nblstm.jobs import TextJob, TextSettings
from nblstm.runs import Run
from nblstm.training import Trainer


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TextSettings:
    """Of a run that takes a moment, on characters that only a part of all encodings has."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "text.txt"
    path.write_text("a rose is a rose is a rose, λ, ∂ and 中国\n" * 13, encoding="utf-8")
    return TextSettings(text=str(path), hidden_size=9, batch_size=4, window=10, steps=6, evaluate_every=2, seed=3)


def at_step(step: int, action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something during that step of the next training."""
    original = Trainer.step

    def doing(self: Trainer, *args: Any) -> float:
        if self.steps + 1 == step:
            monkeypatch.setattr(Trainer, "step", original)
            action()
        return original(self, *args)

    monkeypatch.setattr(Trainer, "step", doing)


def ends(arguments: list[str]) -> int:
    """The exit code of a command that runs with the streams of this process."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0)


# -------------------------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("streams", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_closed_streams_stop_no_training(
    settings: TextSettings, streams: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create("run", TextJob(settings))
    with monkeypatch.context() as patch:
        for name in streams:
            patch.setattr(sys, name, None)  # what Python makes of `>&-`
        assert run.train()
    assert (run.folder / "loss.png").exists()


def broken_pipe() -> io.TextIOBase:
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w")


def full_disk() -> io.TextIOBase:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full on this system")
    return open("/dev/full", "w")


@contextlib.contextmanager
def standard_output(stream: io.TextIOBase) -> Iterator[None]:
    with contextlib.redirect_stdout(stream):
        yield
    with contextlib.suppress(OSError):
        stream.close()


@pytest.mark.parametrize(("make", "reason"), [(broken_pipe, "Broken pipe"), (full_disk, "No space left on device")])
def test_an_output_that_is_lost_loses_no_training(
    settings: TextSettings, make: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Run.create("run", TextJob(settings))
    folder = Path("run").absolute()
    run = Run.resume(folder, TextJob)
    run._evaluate()
    stream = make()
    with standard_output(stream), pytest.raises(OSError, match=reason):
        run.train()
    assert Run.resume(folder, TextJob).trainer.steps == 2  # where the first line was due
    capsys.readouterr()
    stream = make()
    with standard_output(stream):
        code = ends(["train", "--resume", str(folder)])
    assert code in (1, 2)
    told = capsys.readouterr().err
    assert "Traceback" not in told
    if make is full_disk:
        assert told == f"Error: standard output: {reason}\n"


@pytest.mark.parametrize(
    "arguments", [["info"], ["--help"], ["train", "--help"], ["sample", "run"], ["export", "run", "a"]]
)
def test_a_full_disk_behind_the_output_is_one_sentence(
    settings: TextSettings, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] == "export":
        pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    Run.create("run", TextJob(settings))
    with standard_output(full_disk()):
        assert ends(arguments) == 2
    assert capsys.readouterr().err == "Error: standard output: No space left on device\n"


@pytest.mark.parametrize("columns", ["1", "wide"])
def test_a_narrow_terminal_and_one_that_knows_ascii_only(
    settings: TextSettings, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (
        ["train", settings.text, "--hidden-size", "9", "--batch", "4", "--length", "10", "--steps", "3"],
        ["sample", "runs/text", "--seed", "1"],
        ["info"],
        *[[*command, "--help"] for command in ([], *([name] for name in main.commands))],
    ):
        result = CliRunner(charset="ascii").invoke(main, arguments)
        assert result.exit_code == 0, result.output
    assert CliRunner(charset="ascii").invoke(main, ["sample", "runs/text", "--prompt", "é"]).exit_code == 2


def test_ascii_in_a_process_of_its_own(settings: TextSettings) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    train = ["train", settings.text, "--hidden-size", "9", "--batch", "4", "--length", "10", "--steps", "1"]
    _, told = run(sys.executable, "-m", "nblstm", *train, env=ascii_only)
    assert "Traceback" not in told


def test_without_numbas_compiler_every_command_has_one_sentence(settings: TextSettings) -> None:
    Run.create("run", TextJob(settings))
    script = """
import sys
from nblstm.cli import main
for arguments in (["--help"], ["info"], ["course", "lessons", "--copy-only"], ["check"], ["sample", "run"],
                  ["train", "text.txt", "--length", "10", "--batch", "4"]):
    try:
        main(arguments)
    except SystemExit as end:
        print("ends with", end.code, file=sys.stderr)
"""
    _, said = run(sys.executable, "-c", script, env={"NUMBA_DISABLE_JIT": "1"})
    told = [line for line in said.replace("\r", "\n").splitlines() if line.startswith(("Error", "ends", "Trace"))]
    sentence = "Error: nblstm's kernels need Numba's compiler, which NUMBA_DISABLE_JIT turns off: unset it"
    assert told == [*["ends with 0"] * 3, *[sentence, "ends with 1"] * 3]
    assert not Path("runs").exists()


# -------------------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_saves(
    settings: TextSettings, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, before = Run.create("run", TextJob(settings)), signal.getsignal(number)
    at_step(3, lambda: signal.raise_signal(number), monkeypatch)
    assert not run.train()
    assert signal.getsignal(number) is before
    resumed = Run.resume("run", TextJob)
    assert resumed.trainer.steps == 3
    assert resumed.train()


def test_a_signal_during_a_save_waits_for_its_end(settings: TextSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    run, replace = Run.create("run", TextJob(settings)), os.replace

    def pressing(new: str, old: Path) -> None:
        if old.name == "checkpoint.safetensors":
            monkeypatch.setattr(os, "replace", replace)
            signal.raise_signal(signal.SIGINT)
        replace(new, old)

    monkeypatch.setattr(os, "replace", pressing)
    assert not run.train()
    assert Run.resume("run", TextJob).trainer.steps == 2
    assert not list(run.folder.glob(".*"))


# ------------------------------------------------------------------------------------------------ the clock, the folder


def test_a_clock_that_goes_back_an_hour(settings: TextSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.time()
    times = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: began - 3600 * next(times))
    monkeypatch.setattr(tqdm.std, "time", time.time)
    run = Run.create("run", TextJob(settings))
    assert run.train()
    seconds = [record["seconds"] for record in run.evaluations]
    assert seconds == sorted(seconds)
    assert 0 <= seconds[0] <= seconds[-1] < 3600


def test_a_folder_that_goes_away_is_named(
    settings: TextSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Run.create("run", TextJob(settings))
    at_step(2, lambda: shutil.rmtree("run"), monkeypatch)
    assert ends(["train", "--resume", "run"]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("Error: run/best.safetensors cannot be written: No such file or directory in folder ")
    assert not Path("run").exists()


def test_a_run_is_trained_by_one_at_a_time(settings: TextSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another may look at it, and takes nothing away that a save under way needs."""
    pytest.importorskip("fcntl", reason="no locks of POSIX on this system")
    run, under_way = Run.create("run", TextJob(settings)), Path("run/.checkpoint.safetensors.0.tmp")

    def meddle() -> None:
        under_way.touch()
        other = Run.resume("run", TextJob)
        assert under_way.exists()
        with pytest.raises(ValueError, match="the run in run is being trained already"):
            other.train()
        assert under_way.exists()

    at_step(3, meddle, monkeypatch)
    assert run.train()
    assert under_way.exists()
    assert Run.resume("run", TextJob).train()  # the next one clears away what nobody works on
    assert not under_way.exists()


def test_a_run_that_went_on_elsewhere_is_not_taken_back(settings: TextSettings) -> None:
    Run.create("run", TextJob(settings))
    earlier = Run.resume("run", TextJob)
    assert Run.resume("run", TextJob).train()
    with pytest.raises(ValueError, match="the run in run has gone on since it was resumed here: resume it anew"):
        earlier.train()
    assert Run.resume("run", TextJob).trainer.steps == settings.steps


def test_pictures_that_could_not_be_drawn_are_drawn_when_the_run_is_resumed(settings: TextSettings) -> None:
    assert Run.create("run", TextJob(settings)).train()
    Path("run/loss.png").unlink()
    resume = ["train", "--resume", "run"]
    assert CliRunner().invoke(main, resume).exit_code == 0
    assert Path("run/loss.png").exists()
    assert "is finished with 6 steps" in CliRunner().invoke(main, resume).output
