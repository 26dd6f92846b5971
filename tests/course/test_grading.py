"""``nblstm course --grade``: the model answer has all points, and each mistake costs its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import naive
import numpy as np
import pytest
from click.testing import CliRunner
from support.processes import wait_until

from nblstm.cli import main
from nblstm.course import grading, rubric
from nblstm.course.start import originals

ANSWER = originals() / "solutions" / "project"
ITEMS = [
    ("forward: y", 2), ("forward: h_n and c_n, inputs left alone", 1),
    ("backward: W, U and b", 3), ("backward: x", 1), ("backward: h_0 and c_0", 1),
    ("gradient check: right gradients", 1), ("gradient check: one wrong entry", 1),
    ("gradient check: arrays put back", 1),
    ("weights file: all six arrays", 1), ("weights file: logits", 2),
    ("text: probabilities", 1), ("text: better than the 5-gram", 2),
    ("report: the baseline", 1), ("report: seeds and spread", 1), ("report: the net handed in", 1),
]  # fmt: skip
BACKWARD = {item for item, _ in ITEMS if item.startswith("backward")}
CODE = {item for item, _ in ITEMS if not item.startswith("report")}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the model answer."""
    return Path(shutil.copytree(ANSWER, tmp_path / "mine"))


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def lost(rows: list[rubric.Graded]) -> dict[str, str]:
    """The items without all their points, and what was said."""
    assert [(row.item, row.of) for row in rows] == ITEMS
    assert all(row.points in (0, row.of) for row in rows)
    return {row.item: row.sentence for row in rows if not row.points}


Known = Callable[[str], None]


@pytest.fixture(scope="module")
def answers() -> dict[str, rubric.Results]:
    """What each part of the model answer returns: Python is started once for each, not once for each test."""
    found: dict[str, rubric.Results] = {}
    run = grading._run

    def keep(folder: Path, part: str, given: rubric.Results) -> rubric.Results:
        found[part] = run(folder, part, given)
        return found[part]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grading, "_run", keep)
        assert lost(grading.grade(ANSWER)) == {}
    return found


@pytest.fixture
def known(answers: dict[str, rubric.Results], monkeypatch: pytest.MonkeyPatch) -> Known:
    """Runs the learner's code for one part; the others return what the model answer does."""
    run = grading._run

    def only(named: str) -> None:
        monkeypatch.setattr(
            grading, "_run", lambda folder, part, given: run(folder, part, given) if part == named else answers[part]
        )

    return only


def test_the_model_answer_has_all_points() -> None:
    result = CliRunner().invoke(main, ["course", "--grade", str(ANSWER)])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line[:6] for line in lines[: len(ITEMS)]] == [f"{of} of {of}" for _, of in ITEMS]
    assert lines[len(ITEMS)] == "20 of 20 points"
    assert "A program cannot judge these" in result.output
    assert {path.name for path in ANSWER.iterdir()} >= {"lstm.py", "report.md"}


FORWARD, CHECK, FILE, TEXT, REPORT = ({item for item, _ in ITEMS if item.startswith(part)} for part in
                                      ("forward", "gradient", "weights", "text", "report"))  # fmt: skip
ENDS, PUT_BACK = "forward: h_n and c_n, inputs left alone", "gradient check: arrays put back"
BEATEN, HANDED_IN = "text: better than the 5-gram", "report: the net handed in"
START, LAST = "    gradients = {name: np.zeros_like", "    return vocabulary, softmax("

MISTAKES = [
    ("forward", "np.stack(y), h, c, kept", "np.stack(y), h_prev, c, kept", {ENDS}, "h_n is wrong"),
    ("forward", "    h, c, kept, y = h_0,", "    h_0 += 0.5\n    h, c, kept, y = h_0 - 0.5,", {ENDS},
     "left as they were"),
    ("backward", 'weights["U"], dc * f', 'weights["U"], dc', BACKWARD, "W is wrong"),
    ("backward", "dc, dx = dh_n, dc_n", "dc, dx = dh_n, 0 * dc_n", BACKWARD, "x is wrong"),
    ("backward", "np.stack(dx[::-1])", "np.stack(dx)", {"backward: x"}, "x is wrong"),
    ("backward", START, "    raise RuntimeError('not yet')\n" + START, BACKWARD,
     "RuntimeError: not yet, lstm.py, line "),
    ("backward", START, "    import os; os._exit(3)\n" + START, BACKWARD, "its process ended with exit code 3"),
    ("backward", START, "    import torch\n" + START, BACKWARD, "ModuleNotFoundError: import of torch halted"),
    ("backward", '{"x": np.stack', '{"dx": np.stack', {"backward: x"}, "nothing came by the name 'x'"),
    ("gradient_check", "(above - below) / (2 * eps)", "(above - loss()) / eps",
     {"gradient check: right gradients"}, "below 1e-6, got"),
    ("gradient_check", "in np.ndindex(array.shape):", "in list(np.ndindex(array.shape))[1:]:",
     {"gradient check: one wrong entry"}, "errors above 1e-3, got"),
    ("gradient_check", "            array[k] = centre\n", "", {PUT_BACK}, "put back exactly"),
    ("gradient_check", "def check_gradients", "def check", CHECK, "AttributeError: module 'lstm' has no"),
    ("weights_file", 'metadata["gates"].split(", ")', "ORDER", FILE, "W is wrong"),
    ("weights_file", 'tensors["input_bias"] + tensors["hidden_bias"]', 'tensors["input_bias"]', FILE, "b is wrong"),
    ("weights_file", 'y @ weights["V"].T + weights["a"]', 'y @ weights["V"].T', {"weights file: logits"}, "logits is"),
    ("probabilities", LAST, "    tokens = np.roll(tokens, -1)\n" + LAST, TEXT | {HANDED_IN}, "they know the future"),
    ("probabilities", LAST, "    return vocabulary, 2 * softmax(", TEXT | {HANDED_IN}, "got rows that do not"),
    ("probabilities", LAST + "logits(", LAST + "0.1 * logits(", {BEATEN, HANDED_IN},
     "expected less than the 5-gram's 0.27"),
    ("probabilities", "    return vocabulary, s", "    return vocabulary[1:], s", TEXT | {HANDED_IN},
     "every character of the text"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "old", "new", "items", "sentence"), MISTAKES)
def test_a_mistake_costs_its_own_points(
    part: str, old: str, new: str, items: set[str], sentence: str, project: Path, known: Known
) -> None:
    change(project / "lstm.py", old, new)
    known(part)
    found = lost(grading.grade(project))
    assert found.keys() == items
    assert any(sentence in said for said in found.values()), found


@pytest.mark.parametrize(
    ("old", "new", "items", "sentence"),
    [
        ("5-gram: 0.277", "5-gram: 0.311", {"report: the baseline"},
         "must be 0.277, as measured here; the report says 0.311"),
        ("5-gram:", "counting:", {"report: the baseline"}, "a line '5-gram:' with 1 numbers or more, got 0"),
        ("0.186 0.188 0.190\n", "0.186 0.190\n", {"report: seeds and spread", HANDED_IN}, "3 numbers or more, got 2"),
        ("± 0.002", "± 0.009", {"report: seeds and spread"}, "the spread, their standard deviation"),
        ("handed in: 0.186", "handed in: 0.170", {HANDED_IN}, "must be 0.186, as measured here; the report says 0.170"),
        ("handed in: 0.186", "handed in: 0.183", {HANDED_IN}, "which is none of them"),
    ],
)  # fmt: skip
def test_a_report_that_is_not_so(
    old: str, new: str, items: set[str], sentence: str, project: Path, known: Known
) -> None:
    """The fifth is a leak: what was measured on text that the net had read."""
    change(project / "report.md", old, new)
    known("nothing")
    found = lost(grading.grade(project))
    assert found.keys() == items
    assert any(sentence in said for said in found.values()), found


def test_files_that_are_missing_or_bad(project: Path, known: Known) -> None:
    known("nothing")
    (project / "report.md").unlink()
    assert lost(grading.grade(project)) == dict.fromkeys(REPORT, "expected report.md, and there is none")
    shutil.copy(ANSWER / "report.md", project)
    for raw, sentence in ((b"short", "20,000 characters or more, got 5"), (b"\xff" * 30_000, "must be UTF-8")):
        (project / "text.txt").write_bytes(raw)
        found = lost(grading.grade(project))
        assert found.keys() == TEXT | {"report: the baseline", HANDED_IN}
        assert all(sentence in found[item] for item in TEXT)
        assert "nothing could be measured" in found[HANDED_IN]


@pytest.mark.parametrize(
    ("line", "limit", "sentence"),
    [
        ("import nothing_of_this_name", None, "lstm.py cannot be imported: ModuleNotFoundError: No module named"),
        ("raise SystemExit", None, "lstm.py cannot be imported: SystemExit"),
        ("while True: pass", 0.5, "the import of lstm.py did not end within 0 s and was stopped"),
    ],
)
def test_what_cannot_be_imported_costs_the_code_and_is_tried_once(
    line: str, limit: float | None, sentence: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(project / "lstm.py", "import json\n", f"import json\n{line}\n")
    run, tried = grading._run, []
    monkeypatch.setattr(grading, "_run", lambda folder, part, given: tried.append(part) or run(folder, part, given))
    if limit:
        monkeypatch.setitem(grading.LIMITS, "forward", limit)
    found = lost(grading.grade(project))
    assert found.keys() == CODE | {HANDED_IN}
    assert all(sentence in found[item] for item in CODE), found
    assert tried == ["forward"]


def test_an_endless_loop_is_stopped(project: Path, known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is up as soon as lstm.py is imported, however slow this machine is."""
    started: list[subprocess.Popen] = []

    class UpSoon(subprocess.Popen):
        def wait(self, timeout: float | None = None) -> int:
            if timeout is None:
                return super().wait()
            started.append(self)
            wait_until(Path(self.args[-1]).with_suffix(".imported").exists, "lstm.py is imported")
            raise subprocess.TimeoutExpired(self.args, timeout)

    monkeypatch.setattr(grading.subprocess, "Popen", UpSoon)
    change(project / "lstm.py", START, "    while True: pass\n" + START)
    known("backward")
    assert lost(grading.grade(project)) == dict.fromkeys(BACKWARD, "it did not end within 120 s and was stopped")
    assert [process.returncode for process in started] == [-9 if os.name == "posix" else 1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "FOLDER must be the one of your project, there is no folder nowhere"),
        (["empty"], "empty has no lstm.py: project.md in the course says what belongs in the folder"),
        (["empty", "--progress"], "--progress and --grade take no other option"),
        (["empty", "--port", "9000"], "--progress and --grade take no other option"),
    ],
)
def test_what_cannot_be_graded(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    result = CliRunner().invoke(main, ["course", "--grade", *arguments])
    assert (result.exit_code, result.output) == (2, f"Error: {sentence}\n")


def test_fewer_points_end_with_1(project: Path, known: Known) -> None:
    known("nothing")
    (project / "report.md").unlink()
    result = CliRunner().invoke(main, ["course", "--grade", str(project)])
    assert result.exit_code == 1
    assert "17 of 20 points\n" in result.output


def test_the_recorded_numbers_are_those_of_the_plain_twin() -> None:
    """They were recorded from the kernels, which share no code with it."""
    with np.load(originals() / "project" / "recorded.npz") as file:
        r = dict(file)
    params = {"weight_ih_l0": r["W"], "weight_hh_l0": r["U"], "bias_ih_l0": r["b"], "bias_hh_l0": np.zeros_like(r["b"])}
    net = naive.Net("lstm", params)
    y, h_n, c_n, record = naive.forward(net, r["x"], r["h_0"][None], r["c_0"][None])
    dx, dh_0, dc_0, grads = naive.backward(net, record, r["dy"], r["dh_n"][None], r["dc_n"][None])
    pairs = {"y": y, "h_n": h_n[0], "c_n": c_n[0], "gradient_x": dx, "gradient_h_0": dh_0[0], "gradient_c_0": dc_0[0]}
    pairs |= {f"gradient_{name}": grads[f"{key}_l0"] for name, key in
              (("W", "weight_ih"), ("U", "weight_hh"), ("b", "bias_ih"))}  # fmt: skip
    for name, array in pairs.items():
        np.testing.assert_allclose(r[name], array, rtol=0, atol=1e-12, err_msg=name)

    w = {name: r[f"weights_{name}"] for name in "EWUbVa"}
    params = {"weight_ih_l0": w["W"], "weight_hh_l0": w["U"], "bias_ih_l0": w["b"], "bias_hh_l0": np.zeros_like(w["b"])}
    y, *_ = naive.forward(naive.Net("lstm", params), w["E"][r["tokens"]])
    np.testing.assert_allclose(r["logits"], y @ w["V"].T + w["a"], rtol=0, atol=1e-12)
