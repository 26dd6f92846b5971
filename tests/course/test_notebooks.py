"""The course: the form of its notebooks, each exercise tried three ways, and every notebook run from top to bottom."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib import pyplot
from support import claims, executed
from support.notebooks import Notebook, attempt, broken_links, faults_of_lesson, faults_of_solution, wrong_answer
from support.processes import LIMIT, ended, started

from nblstm.course.checks import WrongAnswer

COURSE = Path(__file__).resolve().parents[2] / "course"
LESSONS = sorted(COURSE.glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted(COURSE.glob("solutions/*.ipynb"))
EXERCISES = [(path, name) for path in LESSONS for name in Notebook(path).exercises()]
SOLUTION_BUDGET = 60
WIDEST = 735  # points, 10.2 inches: on a laptop of 1366 pixels it shrinks by 5 %

NOT_YET, RIGHT = "Exercise {}: not attempted yet", "Exercise {}: right.\n"


def by_name(value: object) -> str:
    return f"{value.parent.name}-{value.stem}" if isinstance(value, Path) else str(value)


def solution_of(lesson: Path) -> Notebook:
    return Notebook(lesson.parent / "solutions" / lesson.name)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Figures go nowhere, are closed afterwards, and their style ends with the test."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pyplot.switch_backend("Agg")
    with matplotlib.rc_context():
        yield
    pyplot.close("all")


# ---- the notebooks as they are ----


def test_lessons_and_solutions_come_in_pairs() -> None:
    assert [path.name for path in SOLUTIONS] == [path.name for path in LESSONS]
    assert [int(path.name[:2]) for path in LESSONS] == list(range(len(LESSONS)))


@pytest.mark.parametrize("path", LESSONS, ids=by_name)
def test_form_of_the_lesson(path: Path) -> None:
    assert faults_of_lesson(Notebook(path)) == []


def test_all_lessons_together_state_half_an_hour_of_computing_at_most() -> None:
    assert sum(Notebook(path).budget for path in LESSONS) <= 30 * 60


@pytest.mark.parametrize("path", LESSONS, ids=by_name)
def test_form_of_the_solution(path: Path) -> None:
    assert faults_of_solution(solution_of(path), Notebook(path)) == []


@pytest.mark.parametrize("path", sorted(COURSE.rglob("[!.]*.md")), ids=lambda path: path.name)
def test_links_of_the_texts_stay_in_the_course(path: Path) -> None:
    assert broken_links(path.read_text(encoding="utf-8"), path.parent, COURSE) == []


@pytest.mark.usefixtures("figures")
@pytest.mark.parametrize(("path", "name"), EXERCISES, ids=by_name)
def test_exercise(path: Path, name: str) -> None:
    lesson, solution = Notebook(path), solution_of(path)
    try_three_ways(lesson, solution, name)


def try_three_ways(lesson: Notebook, solution: Notebook, name: str) -> None:
    """The stub is not attempted, a mistake that learners make is refused, the solution is right."""
    assert attempt(lesson, name, lesson.only(f"exercise:{name}").source).startswith(NOT_YET.format(name))
    with pytest.raises(Exception) as refusal:  # noqa: PT011  or what its code stops with
        attempt(lesson, name, wrong_answer(solution, name))
    error = refusal.value
    assert not isinstance(error, NameError | SyntaxError | ImportError), f"the wrong answer does not run: {error!r}"
    if isinstance(error, WrongAnswer):
        assert re.match(rf"Exercise {re.escape(name)}: [\s\S]+\nHint( 1 of \d)?: .", str(error))
    assert attempt(lesson, name, solution.only(f"answer:{name}").source).endswith(RIGHT.format(name))


def test_glossary() -> None:
    """Every row has a term, its Chinese, a symbol or none, a lesson, and a sentence in either language."""
    text = (COURSE / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!term \||---)(.*) \|$", text, flags=re.MULTILINE)
    terms = set()
    for row in rows:
        term, chinese, _, lesson, meaning = (field.strip() for field in row.split("|"))
        english, other = meaning.split("<br>")
        assert re.search(r"[\u4e00-\u9fff]", chinese), row
        assert re.search(r"[\u4e00-\u9fff]", other), row
        assert english.endswith("."), row
        assert other.endswith("。"), row
        assert int(lesson) in range(len(LESSONS)), row
        terms.add(term)
    assert len(terms) == len(rows) > 60
    assert {"forget gate", "input gate", "cell state", "hidden state"} <= terms


# ---- the notebooks run ----


@pytest.mark.course
@pytest.mark.parametrize("path", [*LESSONS, *SOLUTIONS, COURSE / "concept_test.ipynb"], ids=by_name)
def test_notebook_is_valid(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat: the extra `lessons`")
    nbformat.validate(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.course
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's own
@pytest.mark.parametrize("path", [*LESSONS, *SOLUTIONS], ids=by_name)
def test_run_from_top_to_bottom(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """No error, no warning, no wrong number in the text, every exercise as it should be; the seconds are reported."""
    course = tmp_path / "course"
    shutil.copytree(COURSE, course, ignore=shutil.ignore_patterns(".*"))
    seconds, notebook = run(course / path.relative_to(COURSE), monkeypatch)
    outputs = outputs_of(notebook)
    budget = SOLUTION_BUDGET if path in SOLUTIONS else Notebook(path).budget
    record_property("seconds", f"{by_name(path)}: {seconds:.0f} s, {budget} stated{' <--' * (seconds > budget)}")

    warnings = [output["text"] for output in outputs if "Warning" in output.get("text", "")]
    assert warnings == []
    assert [width for width in map(width_of_picture, outputs) if width > WIDEST] == []
    said = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert [line for line in said.splitlines() if line.startswith(claims.WRONG)] == []
    for name in Notebook(path).exercises():
        assert (RIGHT if path in SOLUTIONS else NOT_YET).format(name) in said
    executed.keep(notebook, path)


def outputs_of(notebook: Any) -> list[dict[str, Any]]:
    """All that a notebook showed."""
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def width_of_picture(output: dict[str, Any]) -> float:
    """In points; 0 if the output is no vector graphic."""
    found = re.search(r'<svg[^>]*? width="([\d.]+)pt"', output.get("data", {}).get("image/svg+xml", ""))
    return float(found[1]) if found else 0.0


def with_checks_of_numbers(cells: list[Any], lesson: str) -> Iterator[Any]:
    """The cells, and after each text the code that holds its marked numbers against what the cells above computed."""
    import nbformat

    for cell in cells:
        yield cell
        if cell.cell_type == "markdown" and (code := claims.checks(cell.source, lesson)):
            yield nbformat.v4.new_code_cell(code, metadata={"tags": [executed.CHECK_OF_NUMBERS]})


def run(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[float, Any]:
    """Seconds that a notebook takes with a kernel of its own, and the notebook with what it showed."""
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: the extra `lessons`")
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat: the extra `lessons`")
    pytest.importorskip("ipykernel", reason="needs JupyterLab: the extra `lessons`")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # figures are shown as they are to a learner
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = list(with_checks_of_numbers(notebook.cells, f"lesson {Notebook(path).number}"))
    client = nbclient.NotebookClient(
        notebook, timeout=round(LIMIT), kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    start = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - start
    assert [output for output in outputs_of(notebook) if output.output_type == "error"] == []
    return seconds, notebook


# ---- that these tests can fail: a small pair of notebooks, whole and broken ----

Cells = list[tuple[str, str, str]]

OPENING = """\
# 3. A lesson on nothing

What is added to itself is doubled. The same once more: [the solutions](solutions/03_nothing.ipynb).

## What you will do

Double a number.

## What you will learn

That `x + x` is twice x.

## What you will need

**Time:** about 5 minutes of your own, 10 seconds of computing."""

SETUP = "from nblstm.course import begin, close, exercise\n\nrng = begin(seed=3)"
ADD = "def add(a, b):\n    return a + b"
SECTION = [
    ("markdown", "", "## {0}. Section\n\n**Predict.** What is twice {0}?"),
    ("code", "", "prediction_{0} = None  # what do you think?"),
    ("code", "", "add({0}, {0})"),
    ("markdown", "", "**What we saw.** It is {0} more than {0}."),
]
EXERCISE = [
    ("markdown", "", "### Exercise 3.{0}: double\n\nWrite `double`."),
    ("code", "exercise:3.{0}", 'def double(x):\n    """2 x."""\n    raise NotImplementedError("your code here")'),
    ("code", "check:3.{0}", 'with exercise("3.{0}", hint="add"):\n    close(double({0}.0), add({0}.0, {0}.0))'),
]
ANSWER = [
    ("markdown", "", "## Exercise 3.{0}: double\n\nAdd it to itself."),
    ("code", "answer:3.{0}", "def double(x):\n    return x + x"),
    EXERCISE[2],
    (
        "markdown",
        "wrong:3.{0}",
        "Squared, which is right for 2 only:\n\n```python\ndef double(x):\n    return -x * x\n```",
    ),
]


def numbered(cells: Cells, count: int) -> Cells:
    return [(kind, tag.format(k), source.format(k)) for k in range(1, count + 1) for kind, tag, source in cells]


LESSON: Cells = [
    ("markdown", "", OPENING),
    ("code", "setup", SETUP),
    ("code", "setup", ADD),
    *numbered(SECTION, 2),
    ("markdown", "", "## Exercises"),
    *numbered(EXERCISE, 3),
    ("markdown", "", "## On your own\n\nTreble a number."),
    ("markdown", "", "## Further reading\n\nNobody, *Nothing*, Nowhere, 1997."),
]
SOLUTION: Cells = [
    ("markdown", "", "# 3. A lesson on nothing: solutions"),
    ("code", "setup", SETUP),
    ("code", "setup", ADD),
    *numbered(ANSWER, 3),
]


def write(path: Path, cells: Cells) -> Notebook:
    """A notebook of these cells, in a file as Jupyter writes it."""
    written = []
    for number, (kind, tag, source) in enumerate(cells):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {"tags": [tag]} if tag else {}, "source": source}
        written.append(cell | ({"outputs": [], "execution_count": None} if kind == "code" else {}))
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"cells": written, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})
    )
    return Notebook(path)


Change = Callable[[str], str]


def pair(folder: Path, lesson: Cells = LESSON, solution: Cells = SOLUTION) -> tuple[Notebook, Notebook]:
    solved = write(folder / "solutions" / "03_nothing.ipynb", solution)
    return write(folder / "03_nothing.ipynb", lesson), solved


def changed(cells: Cells, old: str, new: str) -> Cells:
    """The cells with `old` replaced by `new` in the first text or tag that has it."""
    for number, (kind, tag, source) in enumerate(cells):
        if old in source or (tag and old == tag):
            cell = (kind, tag.replace(old, new) if old == tag else tag, source.replace(old, new))
            return [*cells[:number], cell, *cells[number + 1 :]]
    raise AssertionError(f"{old!r} is nowhere")


def test_the_small_pair_is_whole(tmp_path: Path) -> None:
    lesson, solution = pair(tmp_path)
    assert len(lesson.cells) == 23
    assert (faults_of_lesson(lesson), faults_of_solution(solution, lesson)) == ([], [])
    assert lesson.budget == 10
    assert lesson.exercises() == ["3.1", "3.2", "3.3"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("# 3. A lesson", "# 4. A lesson", "the first cell must begin with '# 3. Title'"),
        ("\n\nWhat is added", "\n\n## What is added", "the first cell must begin"),
        ("Double a number.", "# Double a number", "one heading of level 1"),
        ("Double a number.", "", "the section 'What you will do' is empty"),
        ("## What you will learn", "## What you learn", "the headings must be"),
        ("about 5 minutes", "5 minutes", "must have one line '**Time:**"),
        ("10 seconds", "241 seconds", "241 seconds of computing are more than 240"),
        ("setup", "", "the first code cell must be tagged setup"),
        ("rng = begin(seed=3)", "begin(seed=3)", "the first code cell must be tagged setup"),
        ("## 2. Section", "## 3. Section", "must be called '2. Name'"),
        ("**What we saw.** It is 2", "It is 2", "'2. Section' must have a paragraph that begins with **What we saw.**"),
        ("prediction_2 = None", "prediction_2 = 4", "the code below **Predict.** must say"),
        ("It is 2", "It is 2 <!-- number: 3 +- 0 = add(1, 2) -->", "the number 3 of a mark does not stand in the text"),
        ("## On your own", "## Further reading", "the headings must be"),
        ("### Exercise 3.2:", "### Exercise 3.4:", "headings '### Exercise 3.k: title', k from 1"),
        ("exercise:3.2", "exercise:3.9", "the cells tagged exercise: are"),
        ("check:3.2", "", "the cells tagged check: are"),
        ('with exercise("3.2"', 'with exercise("3.3"', 'must have a line with exercise("3.2"'),
        ("[the solutions](solutions/03", "[the solutions](solutions/04", "links to solutions/04_nothing.ipynb"),
        ("](solutions/03_nothing.ipynb)", "](../outside.md)", "links to ../outside.md"),
        ("add(1, 1)", "\n".join("0123456789a"), None),
    ],
)
def test_faults_of_a_lesson_are_found(tmp_path: Path, old: str, new: str, fault: str | None) -> None:
    (tmp_path / "outside.md").touch()
    faults = faults_of_lesson(pair(tmp_path / "course", changed(LESSON, old, new))[0])
    assert (fault is None and faults == []) or any(fault and fault in found for found in faults), faults


@pytest.mark.parametrize(
    ("lesson", "fault"),
    [
        (LESSON[:7] + LESSON[11:], "must be 20 to 40 cells, got 19"),
        (LESSON + LESSON[-1:] * 18, "must be 20 to 40 cells, got 41"),
        ([cell for cell in LESSON if "Predict" not in cell[2]], "nothing is predicted"),
        (LESSON + [("code", "", "1\n" * 11)] * 14, "the median code cell must have at most 10 lines, got 11"),
        ([*LESSON[:12], LESSON[14], LESSON[13], *LESSON[15:]], "the exercises are"),
        ([*LESSON[:13], LESSON[14], LESSON[13], *LESSON[15:]], "each stub must be followed by its check"),
    ],
)
def test_faults_of_the_whole_are_found(tmp_path: Path, lesson: Cells, fault: str) -> None:
    faults = faults_of_lesson(pair(tmp_path, lesson)[0])
    assert any(fault in found for found in faults), faults


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (": solutions", "", "the title must be"),
        ("## Exercise 3.2: double", "## Exercise 3.2: treble", "the headings here"),
        ("answer:3.2", "", "the cells tagged answer: are"),
        ("wrong:3.2", "", "the cells tagged wrong: are"),
        ('hint="add"', 'hint="multiply"', "tagged check:3.1 must be the lesson's"),
        ("return a + b", "return b + a", "tagged setup must be the lesson's"),
        ("```python", "```", "wrong:3.1 must be a text cell with one block of Python"),
    ],
)
def test_faults_of_a_solution_are_found(tmp_path: Path, old: str, new: str, fault: str) -> None:
    lesson, solution = pair(tmp_path, solution=changed(SOLUTION, old, new))
    faults = faults_of_solution(solution, lesson)
    assert any(fault in found for found in faults), faults


@pytest.mark.parametrize(
    ("cell", "where", "fault"),
    [
        ({"outputs": [{"output_type": "stream", "name": "stdout", "text": "1"}]}, "cells", "cell 1 has outputs"),
        ({"execution_count": 1}, "cells", "cell 1 has an execution count"),
        ({"attachments": {"a.png": {}}}, "cells", "cell 1 has an attachment"),
        ({"widgets": {}}, "metadata", "states of widgets are stored"),
        ({"kernelspec": {"name": "julia"}}, "metadata", "the kernel is not python3"),
    ],
)
def test_traces_of_a_run_are_found(tmp_path: Path, cell: dict[str, Any], where: str, fault: str) -> None:
    notebook = pair(tmp_path)[0]
    (notebook.raw["cells"][1] if where == "cells" else notebook.raw["metadata"]).update(cell)
    notebook.path.write_text(json.dumps(notebook.raw))
    assert [found for found in faults_of_lesson(Notebook(notebook.path)) if found.startswith(fault)]


def test_a_notebook_is_cleaned(tmp_path: Path) -> None:
    notebook = pair(tmp_path)[0]
    notebook.raw["cells"][1] |= {"outputs": [{"output_type": "stream", "name": "stdout", "text": "1"}]}
    notebook.raw["cells"][1] |= {"execution_count": 4, "source": ["\n", *SETUP.splitlines(keepends=True), "\n"]}
    notebook.raw["cells"][1]["metadata"] |= {
        "collapsed": True,
        "jupyter": {"source_hidden": True, "outputs_hidden": True},
    }
    notebook.raw["metadata"] |= {"widgets": {}, "language_info": {"name": "python", "version": "3.11.7"}}
    notebook.path.write_text(json.dumps(notebook.raw))

    def tool(*arguments: str) -> tuple[int, str]:
        script = COURSE.parent / "tools" / "clean_notebooks.py"
        with started(sys.executable, script, *arguments, notebook.path, stdout=subprocess.PIPE) as process:
            return ended(process)[:2]

    assert tool("--check") == (1, f"{notebook.path} is not clean (make format cleans it)\n")
    assert tool() == (0, f"{notebook.path} cleaned\n")
    assert tool("--check") == (0, "")
    cleaned = Notebook(notebook.path)
    assert [cell[:3] for cell in cleaned.cells] == [cell[:3] for cell in notebook.cells]
    assert cleaned.raw["cells"][1]["metadata"] == {"tags": ["setup"], "jupyter": {"source_hidden": True}}
    assert faults_of_lesson(cleaned) == []


@pytest.mark.usefixtures("figures")
def test_the_small_pair_passes_its_trial(tmp_path: Path) -> None:
    for name in ("3.1", "3.2", "3.3"):
        try_three_ways(*pair(tmp_path), name)


@pytest.mark.usefixtures("figures")
@pytest.mark.parametrize(
    ("lesson", "solution", "failure"),
    [
        (
            changed(LESSON, 'raise NotImplementedError("your code here")', "return 2.0 * x"),
            SOLUTION,
            "not attempted yet",
        ),
        (changed(LESSON, "close(double(1.0), add(1.0, 1.0))", "double(1.0)"), SOLUTION, "DID NOT RAISE"),
        (changed(LESSON, "def add(a, b)", "def plus(a, b)"), SOLUTION, "the wrong answer does not run: NameError"),
        ([*LESSON[:2], *LESSON[3:], LESSON[2]], SOLUTION, "the wrong answer does not run: NameError"),
        (LESSON, changed(SOLUTION, "return -x * x", "return 2 * x"), "DID NOT RAISE"),
        (LESSON, changed(SOLUTION, "return -x * x", "return y"), "the wrong answer does not run: NameError"),
        (LESSON, changed(SOLUTION, "return x + x", "return x"), "Exercise 3.1: the answer is wrong"),
        (LESSON, changed(SOLUTION, "return x + x", "return None"), "not attempted yet"),
    ],
)
def test_a_bad_pair_fails_its_trial(tmp_path: Path, lesson: Cells, solution: Cells, failure: str) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception), match=re.escape(failure)):
        try_three_ways(*pair(tmp_path, lesson, solution), "3.1")


@pytest.mark.course
@pytest.mark.filterwarnings("default")  # Jupyter's own
def test_the_small_pair_runs_and_a_wrong_one_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = "from matplotlib import pyplot\n\npyplot.figure(figsize=(12, 2)).add_subplot()\npyplot.show()"
    text = "2 and 3 <!-- number: 2 +- 0 = add(1, 1) --> <!-- number: 3 > add(1, 2) -->"
    lesson, solution = pair(tmp_path, [*LESSON, ("code", "", picture), ("markdown", "", text)])
    assert max(map(width_of_picture, outputs_of(run(lesson.path, monkeypatch)[1]))) == pytest.approx(12 * 72, rel=0.02)
    said = "".join(output["text"] for output in outputs_of(run(lesson.path, monkeypatch)[1]) if "text" in output)
    assert all(NOT_YET.format(name) in said for name in lesson.exercises())
    assert said.endswith("The text is wrong. lesson 3 says 3, which must be > 3.\n")
    assert said.count(claims.WRONG) == 1
    said = "".join(output["text"] for output in outputs_of(run(solution.path, monkeypatch)[1]) if "text" in output)
    assert all(RIGHT.format(name) in said for name in lesson.exercises())
    wrong = pair(tmp_path, solution=changed(SOLUTION, "return x + x", "return x"))[1]
    with pytest.raises(Exception, match=r"Wrong answer\. Exercise 3\.1: the answer is wrong"):
        run(wrong.path, monkeypatch)
