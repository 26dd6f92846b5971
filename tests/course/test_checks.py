"""What a learner is told: not attempted, wrong and where, right; and how a lesson begins."""

from __future__ import annotations

import re
import sys
import types
from collections import Counter
from collections.abc import Callable

import matplotlib
import numpy as np
import pytest
from support.processes import run_python

from nblstm.course import begin, checks, close, exercise, reveal
from nblstm.course.checks import WrongAnswer

NAN, INF = np.nan, np.inf


@pytest.fixture(autouse=True)
def _no_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_wrong_tries", Counter())


def stop_with(error: BaseException) -> Callable[[], None]:
    def stop() -> None:
        raise error

    return stop


# ---- close ----


@pytest.mark.parametrize(
    ("answer", "expected", "tolerance"),
    [
        (2, 2.0, 0),
        (True, 1, 0),
        (2.0 + 1e-13, 2.0, 1e-12),
        ([1.0, 2.0], np.array([1, 2]), 0),
        (np.float32(0.1), 0.1, 1e-8),
        ([NAN, INF, -INF, 1.0], [NAN, INF, -INF, 1.0], 0),
        (np.empty((0, 3)), np.empty((0, 3)), 0),
    ],
)
def test_what_is_close(answer: object, expected: object, tolerance: float) -> None:
    close(answer, expected, tolerance)


@pytest.mark.parametrize(
    ("answer", "expected", "message"),
    [
        (1.0, 2.0, "y is wrong: 1 is too small; tolerance 1e-06"),
        ([[2.0 + 2e-6]], [[2.0]], "y is wrong: 2.000002 is too large; tolerance 1e-06"),
        ([1.0, 2.0 + 2e-6], [1.0, 2.0], "at index (1,); off by 2e-06, tolerance 1e-06"),
        ([[1.0, 2.0], [3.0, 7.0]], [[1.0, 2.5], [3.0, 4.0]], "7 where 4 is right, at index (1, 1); off by 3"),
        (NAN, 2.0, "y is wrong: nan is no answer"),
        (2.0, NAN, "y is wrong: 2 is no answer"),
        ([1.0, NAN], [1.0, 0.0], "nan where 0 is right, at index (1,)"),
        ([INF, 0.0], [-INF, 0.0], "inf where -inf is right"),
        (INF, 1.0, "inf is too large"),
        (np.zeros((2, 3)), np.zeros((3, 2)), "y has the shape (2, 3), right is (3, 2)"),
        (0.0, np.zeros(3), "y has the shape (), right is (3,)"),
        (np.zeros((1, 3)), np.zeros(3), "y has the shape (1, 3), right is (3,)"),
        (np.empty((0, 3)), np.empty((0, 2)), "y has the shape (0, 3), right is (0, 2)"),
        ("two", 2.0, "y must be numbers, got str"),
        ({1: 2}, 2.0, "y must be numbers, got dict"),
        ([[1.0], [2.0, 3.0]], [1.0, 2.0], "y must be numbers, got list"),
        (lambda: 2.0, 2.0, "y must be numbers, got function"),
        (1j, 1.0, "y must be numbers, got complex"),
        ([None, 1.0], [0.0, 1.0], "nan where 0 is right, at index (0,)"),
    ],
)
def test_what_is_not_close(answer: object, expected: object, message: str) -> None:
    with pytest.raises(WrongAnswer, match=re.escape(message)):
        close(answer, expected, tolerance=1e-6, what="y")


@pytest.mark.parametrize("nothing", [None, ...])
def test_nothing_is_no_answer(nothing: object) -> None:
    with pytest.raises(NotImplementedError, match=f"y is {nothing}"):
        close(nothing, 1.0, what="y")


def test_the_answer_is_left_alone() -> None:
    answer = np.array([1, 2])
    answer.setflags(write=False)
    close(answer, [1.0, 2.0])
    assert answer.dtype == int


# ---- exercise ----


def test_not_attempted_and_right(capsys: pytest.CaptureFixture[str]) -> None:
    with exercise("1.2", hint="add"):
        stop_with(NotImplementedError("your code here"))()
    with exercise("1.2", hint="add"):
        close(None, 2.0, what="y")
    with exercise("1.2", hint="add"):
        close(..., 2.0)
    with exercise("1.2", hint="add"):
        close(2.0, 2.0)
    assert capsys.readouterr().out.splitlines() == [
        "Exercise 1.2: not attempted yet.",
        "Exercise 1.2: not attempted yet (y is None).",
        "Exercise 1.2: not attempted yet (the answer is Ellipsis).",
        "Exercise 1.2: right.",
    ]


def test_a_wrong_answer_gets_a_hint_and_the_tolerance(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WrongAnswer) as refusal, exercise("1.2", hint="add"):
        close(3.0, 2.0, tolerance=1e-9, what="y")
    assert str(refusal.value) == ("Exercise 1.2: y is wrong: 3 is too large; tolerance 1e-09\nHint: add")
    assert (refusal.value.__cause__, refusal.value.__suppress_context__) == (None, True)
    assert capsys.readouterr().out == ""


def test_hints_come_one_after_the_other_until_it_is_right() -> None:
    def told(name: str = "1.3") -> str:
        with pytest.raises(WrongAnswer) as refusal, exercise(name, hint=("look at x", "add", "x + x")):
            close(3.0, 2.0)
        return str(refusal.value).splitlines()[1]

    assert told() == "Hint 1 of 3: look at x"
    assert told("1.4") == "Hint 1 of 3: look at x", "each exercise counts for itself"
    assert [told() for _ in range(3)] == ["Hint 2 of 3: add", "Hint 3 of 3: x + x", "Hint 3 of 3: x + x"]
    with exercise("1.3", hint=("look at x", "add", "x + x")):
        close(2.0, 2.0)
    assert told() == "Hint 1 of 3: look at x"


def test_in_a_notebook_what_is_right_looks_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", types.SimpleNamespace())
    with exercise("1.2", hint="add"):
        close(2.0, 2.0)
    assert capsys.readouterr().out == "\x1b[32m\u2714\x1b[0m Exercise 1.2: right.\n"


def test_only_the_first_mistake_is_told() -> None:
    with pytest.raises(WrongAnswer, match="first is wrong"), exercise("1.2", hint="add"):
        [close(3.0, 2.0, what=what) for what in ("first", "second")]


@pytest.mark.parametrize(
    "error", [ValueError("shapes"), TypeError("None"), ZeroDivisionError("by zero"), KeyError("h")]
)
def test_an_error_of_the_learners_own(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """It passes as it is, so that a notebook shows it as it shows all errors."""
    with pytest.raises(type(error)) as passed, exercise("1.2", hint="add"):
        stop_with(error)()
    assert passed.value is error
    assert [entry.name for entry in passed.traceback][-1] == "stop"
    assert (error.__cause__, error.__context__) == (None, None)
    assert capsys.readouterr().out == "Exercise 1.2: your code stopped with the error below.\nHint: add\n"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interrupt_passes(stop: BaseException) -> None:
    with pytest.raises(type(stop)), exercise("1.2", hint="add"):
        raise stop


def test_what_a_notebook_shows() -> None:
    """The message without the lines of this package."""
    with pytest.raises(WrongAnswer) as refusal, exercise("1.2", hint="add"):
        close(3.0, 2.0)
    assert refusal.value._render_traceback_() == [
        "Wrong answer. Exercise 1.2: the answer is wrong: 3 is too large; tolerance 1e-12",
        "Hint: add",
    ]


# ---- reveal and begin ----


@pytest.mark.parametrize("prediction", [3, "more", [1, 2], 0, False])
def test_reveal(prediction: object, capsys: pytest.CaptureFixture[str]) -> None:
    reveal("parameters", prediction, 4)
    assert capsys.readouterr().out == f"parameters: 4 (you predicted {prediction})\n"


def test_the_reminder_to_predict_comes_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "_reminded", [])
    for truth in (4, 5):
        reveal("parameters", None, truth)
    assert capsys.readouterr().out.splitlines() == [
        "parameters: 4 (no prediction: write one next time, it is how surprises are noticed)",
        "parameters: 5 (no prediction)",
    ]


def test_begin(capsys: pytest.CaptureFixture[str]) -> None:
    with matplotlib.rc_context():
        first, second = begin(seed=5), begin(5)
        assert matplotlib.rcParams["figure.facecolor"] == "white"
    assert first is not second
    assert first.standard_normal(3).tobytes() == np.random.default_rng(5).standard_normal(3).tobytes()
    line = r"Python 3\.\d+\.\S+, numpy \S+, numba \S+, matplotlib \S+, seed 5\n"
    assert re.fullmatch(line * 2, capsys.readouterr().out)


def test_figures_in_a_notebook_are_vector_graphics(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, ...]] = []
    shell = types.SimpleNamespace(
        run_line_magic=lambda *words: said.append(words), run_cell_magic=lambda *words: said.append(words)
    )
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    with matplotlib.rc_context():
        begin(seed=0)
    assert said[0] == ("config", "InlineBackend.figure_formats = ['svg']")
    assert said[1][:2] == ("html", "")
    assert "max-width" in said[1][2]


def test_the_import_is_light() -> None:
    script = "import sys, nblstm.course; print(sys.modules.keys() & {'matplotlib', 'IPython', 'nblstm.course.start'})"
    out, _ = run_python("-c", script)
    assert out == "set()\n"
