"""The concept test: its key, proved by computing every answer; its notebook, buttons and record."""

from __future__ import annotations

import io
import json
import re
import sys
import types
from collections.abc import Callable
from contextlib import redirect_stdout
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from support.notebooks import Notebook

import nblstm
from nblstm.cli import main
from nblstm.course import concepts, progress

COURSE = Path(__file__).resolve().parents[2] / "course"
NOTEBOOK = Notebook(COURSE / "concept_test.ipynb")
Judged = dict[str, bool]
"""Of a question, each answer in the words of the notebook, and whether it is right."""

QUESTIONS = [cell.source for cell in NOTEBOOK.cells if cell.source.startswith("### Question")]
CALLS = [cell.source for cell in NOTEBOOK.cells if cell.source.startswith("# your answer")]


def parameters(layer: nblstm.LSTM, biases: int = 2) -> int:
    """All of them; with one bias for each sum those of the second are not counted."""
    return sum(p.size for name, p in layer.params.items() if biases == 2 or not name.startswith("bias_hh"))


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def count() -> Judged:
    right = f"{parameters(nblstm.LSTM(28, 128), biases=1):,}"
    return {number: number == right for number in ("4,496", "17,984", "20,096", "80,384")}


def units() -> Judged:
    (_, _, right) = nblstm.LSTM(28, 128)(random(28, 1, 28).astype(np.float32))[0].shape
    answers = {"28, one for each step": 28, "128": 128, "17,984": 17_984, "80,384": 80_384}
    return {answer: number == right for answer, number in answers.items()}


def shapes() -> Judged:
    params = nblstm.LSTM(100, 20).params
    right = f"{params['weight_ih_l0'].shape} and {params['weight_hh_l0'].shape}"
    wrong = ["(400, 100) and (400, 20)", "(80, 100) and (80, 100)", "(80, 100) and (80, 20)", "(20, 100) and (20, 20)"]
    return {answer: answer == right for answer in wrong}


def matrices() -> Judged:
    """Blocks of as many rows as there are units."""
    of = [
        sum(len(p) // 20 for name, p in net.params.items() if name.startswith("weight"))
        for net in (nblstm.RNN(100, 20), nblstm.LSTM(100, 20))
    ]
    return {answer: answer == f"{of[0]} and {of[1]}" for answer in ("1 and 4", "2 and 8", "2 and 4", "1 and 8")}


def bias() -> Judged:
    right = str(nblstm.Linear(28, 10).params["bias"].shape)
    answers = {"(28, 10), as its weight's": "(28, 10)", "(28,)": "(28,)", "(1,)": "(1,)", "(10,)": "(10,)"}
    return {answer: shape == right for answer, shape in answers.items()}


def axes() -> Judged:
    """Each sequence must be found again in its column; every line gives the shape, and no two the same numbers."""
    x = random(32, 10, 5)
    lines = [
        "x.reshape(10, 32, 5)", "x.T.reshape(10, 32, 5)", "x.transpose(1, 0, 2)", "x.swapaxes(1, 2).reshape(10, 32, 5)"
    ]  # fmt: skip
    cuts = {f"`{line}`": eval(line, {"x": x}) for line in lines}
    assert all(cut.shape == (10, 32, 5) for cut in cuts.values())
    assert not any(np.array_equal(one, other) for one, other in combinations(cuts.values(), 2))
    return {line: all(np.array_equal(cut[:, k], x[k]) for k in range(32)) for line, cut in cuts.items()}


def steps_that_change(net: nblstm.LSTM, x: np.ndarray, part: slice) -> list[int]:
    """Steps whose input changes y[-1] in that part."""
    before = net(x)[0][-1, :, part]
    changed = []
    for t in range(len(x)):
        other = x.copy()
        other[t] += 1
        if not np.array_equal(net(other)[0][-1, :, part], before):
            changed.append(t)
    return changed


def last_of_both() -> Judged:
    net = nblstm.LSTM(3, 5, bidirectional=True, dtype=np.float64, seed=0)
    seen = steps_that_change(net, random(10, 1, 3), slice(5, None))
    answers = {"all 10": list(range(10)), "only the last": [9], "only the first": [0], "none": []}
    return {answer: seen == steps for answer, steps in answers.items()}


def two_directions() -> Judged:
    both, plain = parameters(nblstm.LSTM(30, 20, bidirectional=True)), parameters(nblstm.LSTM(30, 40))
    answers = {
        "8,320 and 11,520": (8_320, 11_520),
        "11,520 both, as `hidden_size` doubles": (11_520, 11_520),
        "8,320 both": (8_320, 8_320),
        "11,520 and 8,320": (11_520, 8_320),
    }
    return {answer: numbers == (both, plain) for answer, numbers in answers.items()}


def next_letter() -> Judged:
    """The backward half at t names the letter at t + 1: a linear readout, fitted on some, finds new ones."""
    net = nblstm.LSTM(26, 64, bidirectional=True, dtype=np.float64, seed=0)
    letters = np.random.default_rng(0).integers(26, size=(20, 120))
    y = net(np.eye(26)[letters])[0][:-1]
    target = np.eye(26)[letters[1:]]

    def bits(part: slice) -> float:
        """Of a letter in sequences that the readout was not fitted on."""
        known, new = np.split(y[..., part], 2, axis=1)
        known_target, new_target = np.split(target, 2, axis=1)
        readout = np.linalg.lstsq(known.reshape(-1, known.shape[2]), known_target.reshape(-1, 26), rcond=None)[0]
        p = nblstm.softmax(20 * (new @ readout))
        return float(-np.log2(p[new_target == 1]).mean())

    both, forward = bits(slice(None)), bits(slice(64))
    assert forward > 4.70  # what comes next is not in what was
    return {
        "4.70: of a random letter nothing can be known": both > 4.69,
        "a little less than 4.70: two directions know more than one": 1 < both < 4.69,
        "almost 0 on the letters that it was trained on, 4.70 on new ones": both > 4.69,
        "almost 0, on new letters as well": both < 0.1,
    }


def still(**rows: float) -> nblstm.LSTM:
    """An LSTM of one unit whose weights are 0: its gates stand where their first biases, i, f, g, o, put them."""
    net = nblstm.LSTM(1, 1, dtype=np.float64)
    zeros = {name: np.zeros_like(p) for name, p in net.params.items()}
    net.load_state_dict(zeros | {"bias_ih_l0": np.array([rows.get(gate, 0.0) for gate in "ifgo"])})
    return net


def belt() -> Judged:
    net = still(f=float(np.log(9)))  # sigmoid(ln 9) = 0.9
    *_, tape = net.forward(np.zeros((100, 1, 1)))
    _, (_, dc) = net.backward(None, tape, (np.zeros((1, 1, 1)), np.ones((1, 1, 1))))
    left = dc.item()
    answers = {"all of it: the cell state is a conveyor": 1, "0.00003": 0.00003, "0.9": 0.9, "0.37": 0.37}
    return {answer: bool(np.isclose(left, share, rtol=0.2)) for answer, share in answers.items()}


def explosion() -> Judged:
    """An input of zeros, so that all gates stand at a half; weights on h of deviation 1."""
    net = nblstm.LSTM(3, 20, dtype=np.float64)
    zeros = {name: np.zeros_like(p) for name, p in net.params.items()}
    net.load_state_dict(zeros | {"weight_hh_l0": random(80, 20)})
    *_, tape = net.forward(np.zeros((60, 1, 3)))
    above = bool((tape.saved("f") >= 1).any())
    _, (dh, _) = net.backward(None, tape, (np.ones((1, 1, 20)), np.zeros((1, 1, 20))))
    grown = bool(np.abs(dh).max() > 1000)
    return {
        "No: it is multiplied by forget gates only, and they are at most 1.": not grown,
        "No: the slopes of sigmoid and tanh are at most 1.": not grown,
        "Yes, on the paths through U, even while every forget gate is below 1.": grown and not above,
        "Only if a forget gate is above 1.": not grown or above,
    }


def two_biases() -> Judged:
    """c after one step from 1, with nothing written: the forget gate itself."""
    net = still(f=1)
    net.load_state_dict(dict(net.params) | {"bias_hh_l0": np.array([0.0, 1.0, 0.0, 0.0])})
    _, (_, c) = net(np.zeros((1, 1, 1)), (np.zeros((1, 1, 1)), np.ones((1, 1, 1))))
    return {answer: bool(np.isclose(c.item(), float(answer), atol=0.005)) for answer in ("0.88", "0.73", "1", "0.5")}


def shut() -> Judged:
    """One step from c = 1 with o = 0, and with o = 1; something is written, too."""
    start = np.zeros((1, 1, 1)), np.ones((1, 1, 1))
    h, c = (state.item() for state in still(g=1, o=-800)(np.zeros((1, 1, 1)), start)[1])
    with_open_gate = still(g=1, o=800)(np.zeros((1, 1, 1)), start)[1][1].item()
    return {
        "c is set to 0, and so is h.": c == h == 0,
        "c decays, and h is what is left of it.": abs(c) < abs(with_open_gate),
        "h is 0, and c is the same as with an open gate.": h == 0 and c == with_open_gate,
        "h is tanh(c), and c is set to 0.": h == np.tanh(c) and c == 0,
    }


def both_readers() -> Judged:
    """L = dh h + dc c_next of numbers, with its centred difference over c; c_next = f c + what is written."""
    o, f, c, dh, dc = 0.6, 0.9, 0.7, 1.3, -0.8

    def loss(c: float) -> float:
        return dh * o * np.tanh(c) + dc * (f * c + 0.2)

    right = (loss(c + 1e-6) - loss(c - 1e-6)) / 2e-6
    through_h = "dh * o * (1 - tanh(c)**2)"
    formulas = [through_h, "dc * f", f"{through_h} * dc * f", f"{through_h} + dc * f"]
    names = {"dh": dh, "dc": dc, "o": o, "f": f, "c": c, "tanh": np.tanh}
    return {f"`{formula}`": bool(np.isclose(eval(formula, names), right, atol=1e-6)) for formula in formulas}


def words() -> Judged:
    seen = steps_that_change(nblstm.LSTM(3, 8, forget_bias=3, dtype=np.float64, seed=0), random(50, 1, 3), slice(None))
    answers = {"3": 3, "1, the last one": 1, "50": 50, "8, one for each unit": 8}
    return {answer: len(seen) == number for answer, number in answers.items()}


PROOFS: list[Callable[[], Judged]] = [
    count, units, shapes, matrices, bias, axes, last_of_both, two_directions, next_letter, belt, explosion, two_biases,
    shut, both_readers, words,
]  # fmt: skip


def options(question: str) -> dict[str, str]:
    """The answers by their letters."""
    return dict(re.findall(r"^- \*\*([a-d])\*\*: (.*)$", question, flags=re.MULTILINE))


def right_letters() -> str:
    """By the digests, which `test_the_key` proves."""
    kept = [re.findall(r'digest="(\w+)"', call)[0] for call in CALLS]
    return "".join(next(one for one in "abcd" if concepts.digest(k, one) == kept[k - 1]) for k in range(1, 16))


def test_fifteen_questions_in_their_order() -> None:
    assert len(QUESTIONS) == len(CALLS) == len(PROOFS) == 15
    for number, (question, call) in enumerate(zip(QUESTIONS, CALLS, strict=True), 1):
        assert question.startswith(f"### Question {number}\n")
        assert f"\nask({number}, " in call


@pytest.mark.parametrize(("number", "proof"), [pytest.param(k, p, id=p.__name__) for k, p in enumerate(PROOFS, 1)])
def test_the_key(number: int, proof: Callable[[], Judged]) -> None:
    """Of the four answers, in the notebook's own words, one is right: the one whose digest the notebook has."""
    judged, answers = proof(), options(QUESTIONS[number - 1])
    assert "".join(answers) == "abcd"
    assert set(answers.values()) == judged.keys()
    (right,) = (letter for letter, answer in answers.items() if judged[answer])
    (kept,) = re.findall(r'digest="(\w+)"', CALLS[number - 1])
    assert [letter for letter in answers if concepts.digest(number, letter) == kept] == [right]


def test_each_question_says_what_to_read_and_keeps_its_key_folded() -> None:
    there = {int(path.name[:2]) for path in COURSE.glob("[0-9][0-9]_*.ipynb")}
    for call in CALLS:
        (read,) = re.findall(r'read="(.*)"', call)
        assert {int(number) for number in re.findall(r"lesson (\d+)", read)} <= there
        assert "lesson " in read
    folded = [cell.raw["metadata"].get("jupyter") for cell in NOTEBOOK.cells if cell.source in CALLS]
    assert folded == [{"source_hidden": True}] * 15


# ---- taken by a learner ----


def take(answers: str, when: str = "before") -> str:
    """What the notebook says, from top to bottom, when these answers are written into its last line of code."""
    names: dict[str, object] = {}
    with redirect_stdout(io.StringIO()) as said:
        for cell in NOTEBOOK.cells:
            if cell.kind == "code":
                source = cell.source.replace('answers = ""', f"answers = {answers!r}")
                exec(source.replace('score("before"', f"score({when!r}"), names)
    return said.getvalue()


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's folder, in which the concept test runs, without buttons."""
    progress.begin(tmp_path)
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "concept_test.ipynb"))
    monkeypatch.setattr(concepts, "_asked", {})
    monkeypatch.setattr(concepts, "find_spec", lambda name: None)
    return tmp_path


def test_before_and_after(mine: Path) -> None:
    key = right_letters()
    wrong = "".join("?" if k in (0, 6) else letter for k, letter in enumerate(key))
    assert take("") == (
        "not answered yet: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 (? stands for: I do not know)\n"
    )
    assert json.loads((mine / "progress.json").read_text()) == {"exercises": {}, "predictions": {}}
    first = take(wrong)
    assert first.startswith("before the course: 13 of 15 right\n  question 1: lesson ")
    assert "\n  question 7: lesson " in first
    assert first.count("\n") == 3
    assert take(key.upper()) == "before the course: 15 of 15 right\n(The first try counts: 13 of 15.)\n"
    gained = "concept test: 13 of 15 before, 15 of 15 after: gained 2\n"
    assert take(key, "after") == f"after the course: 15 of 15 right\n{gained}"
    assert json.loads((mine / "progress.json").read_text())["concept test"] == {
        "before": {"answers": wrong, "right": 13, "of": 15}, "after": {"answers": key, "right": 15, "of": 15},
    }  # fmt: skip
    shown = CliRunner().invoke(main, ["course", str(mine), "--progress"])
    assert shown.exit_code == 0
    assert shown.output.endswith(f"\n\n{gained}")


def test_nothing_is_recorded_elsewhere(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (mine / "progress.json").read_bytes()
    for place in ("", "notes.ipynb", "05_lesson.ipynb", "my_concept_test.ipynb"):
        monkeypatch.setenv("JPY_SESSION_NAME", str(mine / place) if place else "")
        assert take("?" * 15).startswith("before the course: 0 of 15 right\n")
    assert (mine / "progress.json").read_bytes() == before


@pytest.mark.parametrize(
    "test", [[], {"before": 3}, {"before": {"right": "3", "of": 15}}, {"then": {"right": 3, "of": 15}}]
)
def test_a_damaged_record_stops_nothing_and_stays(mine: Path, test: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_told", set())
    text = json.dumps({"exercises": {}, "predictions": {}, "concept test": test})
    (mine / "progress.json").write_text(text)
    said = take("?" * 15)
    assert "before the course: 0 of 15 right" in said
    assert "(Your progress was not recorded: " in said
    assert (mine / "progress.json").read_text() == text
    assert CliRunner().invoke(main, ["course", str(mine), "--progress"]).exit_code == 2


@pytest.mark.parametrize("answers", ["abc", "e" * 15, "a" * 16, "1" * 15])
def test_other_answers_are_refused(mine: Path, answers: str) -> None:
    with pytest.raises(ValueError, match=r"answers must be 15 letters, each one of a, b, c, d or \?, got "):
        take(answers)
    with pytest.raises(ValueError, match='when must be "before" or "after", got '):
        take("?" * 15, "now")


def test_buttons(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clicked answers count where none are written."""
    shown: list[types.SimpleNamespace] = []
    widgets = types.SimpleNamespace(ToggleButtons=lambda **options: types.SimpleNamespace(**options))
    monkeypatch.setattr(concepts, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "ipywidgets", widgets)
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=shown.append))
    key = right_letters()
    assert take("").startswith("not answered yet: 1, 2, ")
    assert shown[0].options == ["a", "b", "c", "d", "?"]
    for buttons, letter in zip(shown[-15:], key, strict=True):
        buttons.value = letter
    shown[-1].value = None
    score = NOTEBOOK.cells[-2].source
    with redirect_stdout(io.StringIO()) as said:
        exec(score, {"score": concepts.score})
        shown[-1].value = key[-1]
        exec(score, {"score": concepts.score})
    assert said.getvalue() == (
        "not answered yet: 15 (? stands for: I do not know)\nbefore the course: 15 of 15 right\n"
    )
