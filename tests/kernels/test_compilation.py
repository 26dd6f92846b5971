"""The line on standard error while kernels are compiled: when it is due, when it goes, whatever standard error is."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numba
import pytest
from numba.core.compiler_lock import global_compiler_lock
from numba.core.event import Event, EventStatus
from support.processes import run
from tqdm import tqdm

from nblstm.kernels import cache, compilation
from nblstm.kernels.compilation import Notice


class Compiler:
    """Stands for Numba: passes over functions of a module, each of which takes so many seconds of a clock it keeps."""

    def __init__(self, notice: Notice, monkeypatch: pytest.MonkeyPatch) -> None:
        self.notice, self.time = notice, 0.0
        monkeypatch.setattr(compilation, "perf_counter", lambda: self.time)

    def start(self, module: str = "nblstm.kernels.sweeps", function: str = "forward") -> None:
        self.notice.notify(Event("numba:run_pass", EventStatus.START, {"module": module, "qualname": function}))

    def end(self, module: str = "nblstm.kernels.sweeps") -> None:
        self.notice.notify(Event("numba:run_pass", EventStatus.END, {"module": module}))

    def unlock(self) -> None:
        """The end of a function and of all that was compiled for it."""
        self.notice.notify(Event("numba:compiler_lock", EventStatus.END))

    def compile(self, seconds: float, module: str = "nblstm.kernels.sweeps") -> None:
        self.start(module)
        self.time += seconds
        self.end(module)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    return Compiler(Notice(), monkeypatch)


def test_one_line_after_a_second_of_compiling(compiler: Compiler, capsys: pytest.CaptureFixture[str]) -> None:
    compiler.compile(0.6)
    compiler.time += 100  # of other work
    compiler.compile(0.6)
    assert capsys.readouterr() == ("", "")
    compiler.compile(0.1)
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert error.startswith("nblstm: compiling kernels for this processor")
    assert str(compilation.FOLDER) in error
    compiler.compile(100)
    compiler.compile(100)
    assert capsys.readouterr() == ("", "")


def test_the_line_comes_while_a_function_is_compiled_not_after(
    compiler: Compiler, capsys: pytest.CaptureFixture[str]
) -> None:
    compiler.start()
    compiler.compile(0.8)  # a function it calls
    compiler.compile(0.8)
    assert capsys.readouterr().err == ""
    compiler.start()
    assert capsys.readouterr().err.count("\n") == 1


def test_functions_of_others_do_not_count(compiler: Compiler, capsys: pytest.CaptureFixture[str]) -> None:
    compiler.compile(100, "__main__")
    compiler.compile(0.5)
    assert capsys.readouterr() == ("", "")


def terminal_for(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What stands for a terminal as standard error; pytest sets it anew between a fixture and the test."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(stream, "isatty", lambda: True)
    return stream


def last_line(terminal: io.StringIO) -> str:
    """What stands in the line where the cursor is: what comes after a carriage return is written over it."""
    shown = ""
    for part in terminal.getvalue().split("\n")[-1].split("\r"):
        shown = part + shown[len(part) :]
    return shown.strip()


def test_on_a_terminal_a_line_names_each_function_and_goes_away(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = terminal_for(monkeypatch)
    compiler.compile(2)
    compiler.unlock()
    assert terminal.getvalue() == ""
    for function in ("forward", "Outer.<locals>.backward"):
        compiler.start(function=function)
        assert f"compiling nblstm.kernels.sweeps.{function.split('.')[-1]}, kept" in last_line(terminal)
        with global_compiler_lock:  # of a caller, who goes on
            compiler.unlock()
        compiler.end()
        assert "compiling nblstm" in last_line(terminal), "its passes come one after the other"
        compiler.unlock()
        assert last_line(terminal) == ""
    assert "\n" not in terminal.getvalue()


def test_on_a_terminal_the_line_is_below_the_bars_that_are_there(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = terminal_for(monkeypatch)
    compiler.compile(2)
    with tqdm(total=2, file=terminal, desc="training") as bar:
        before = terminal.getvalue()
        compiler.start()
        said = terminal.getvalue().removeprefix(before)
        assert said.startswith("\n")
        assert said.endswith("\x1b[A"), "the cursor is back in the bar's line"
        compiler.unlock()
        said = terminal.getvalue().removeprefix(before + said)
        assert said.replace("\r", "").replace("\n", "").replace("\x1b[A", "").strip() == ""
        assert said.count("\n") == said.count("\x1b[A")
        bar.update()
    assert "training" in terminal.getvalue()


def test_without_a_folder_it_says_so(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compilation, "FOLDER", None)
    compiler.start()
    compiler.compile(2)
    compiler.start()
    assert "no folder for them can be written" in capsys.readouterr().err


def test_a_frozen_program_keeps_kernels_in_the_folder_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no sources on disk there; the code names them as PyInstaller's does."""
    module: dict[str, Any] = {"__name__": "nblstm.kernels.frozen"}
    exec(compile("def square(x): return x * x", "nblstm/kernels/frozen.py", "exec"), module)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "named"))
    first, square = (cache.keep(numba.njit(module["square"])) for _ in range(2))
    assert (first(3), square(3)) == (9, 9)  # the second loads what belongs to a module; there is none, but the first's
    assert sum(square.stats.cache_hits.values()) == 1
    assert list(tmp_path.glob("named/*/frozen.square*.nbc"))
    folder = square.stats.cache_path
    monkeypatch.chdir(tmp_path)
    assert compilation.CacheImpl(module["square"]).locator.get_cache_path() == folder
    (tmp_path / "file").touch()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file"))
    assert not compilation.CacheImpl(module["square"]).locator.get_cache_path().startswith(str(tmp_path / "file"))


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed()], ids=["none", "closed"])
@pytest.mark.parametrize("bars", [False, True])
def test_no_standard_error_is_no_error(
    stream: io.StringIO | None, bars: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not bars:
        monkeypatch.delitem(sys.modules, "tqdm")
    with monkeypatch.context() as context:
        context.setattr(sys, "stderr", stream)
        compilation.say("words")
    assert capsys.readouterr() == ("", "")


def test_a_progress_bar_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with tqdm(total=2, file=sys.stderr, desc="steps") as bar:
        compilation.say("words")
        bar.update()
    lines = sys.stderr.getvalue().replace("\r", "\n").split("\n")
    assert "words" in [line.strip() for line in lines]


def test_numba_tells_of_its_passes() -> None:
    """What `Notice` rests on: events for each pass, with the function, under the lock; none when nothing compiles."""
    heard = []

    class Ear(Notice):
        def on_start(self, event: Event) -> None:
            heard.append(
                (event.data["module"], event.data["qualname"].split(".")[-1], global_compiler_lock.is_locked())
            )

    @numba.njit
    def square(x):  # type: ignore[no-untyped-def]
        return x * x

    with numba.core.event.install_listener("numba:run_pass", Ear()):
        square(3)
        assert set(heard) == {(__name__, "square", True)}
        heard.clear()
        square(3)
        assert heard == []


def test_without_numbas_compiler_the_equations_run_as_python_and_a_layer_says_what_it_needs() -> None:
    script = """
import numpy as np, nblstm
from nblstm.cells.lstm import lstm_forward
print(lstm_forward(*np.zeros((4, 3)), np.ones(3))[1][1])
layer = nblstm.LSTM(3, 5)
for call in (lambda: layer(np.zeros((2, 1, 3), "float32")), lambda: layer.forward(np.zeros((2, 1, 3), "float32")),
             lambda: layer.stream(), lambda: nblstm.CharLM("ab", 2, 3, 1).sample("a"),
             lambda: nblstm.Adam([layer]).step()):
    try:
        call()
    except RuntimeError as error:
        print(error)
"""
    out, _ = run(sys.executable, "-c", script, env={"NUMBA_DISABLE_JIT": "1"})
    sentence = "nblstm's kernels need Numba's compiler, which NUMBA_DISABLE_JIT turns off: unset it"
    assert out.splitlines() == ["[0.5 0.5 0.5]", *[sentence] * 5]
