"""The course's notebooks as the tests read them: what is wrong with their form, and their exercises tried out."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from support import claims

OPENING = ["What you will do", "What you will learn", "What you will need"]
CLOSING = ["Exercises", "On your own", "Further reading"]
TIME = re.compile(r"^\*\*Time:\*\* about \d+ minutes of your own, (\d+) seconds? of computing\.$", flags=re.MULTILINE)
LARGEST_BUDGET = 240


class Cell(NamedTuple):
    """One cell: "markdown" or "code", its text and its tags; `raw` is what the file holds."""

    kind: str
    source: str
    tags: tuple[str, ...]
    raw: dict[str, Any]


class Notebook:
    """A notebook read from its file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw = json.loads(path.read_text(encoding="utf-8"))
        self.cells = [
            Cell(cell["cell_type"], "".join(cell["source"]), tuple(cell["metadata"].get("tags", [])), cell)
            for cell in self.raw["cells"]
        ]

    @property
    def number(self) -> str:
        """Number of the lesson, without a zero before it."""
        return str(int(self.path.stem[:2]))

    @property
    def budget(self) -> int:
        """Seconds of computing that the lesson says it takes."""
        (seconds,) = TIME.findall("\n".join(text for _, text in self.sections()))
        return int(seconds)

    def exercises(self) -> list[str]:
        """The names of the exercises that are checked, for instance "5.1"."""
        return self.names("check")

    def names(self, kind: str) -> list[str]:
        """What comes after "kind:" in the tags of the cells, in their order."""
        return [tag.removeprefix(f"{kind}:") for cell in self.cells for tag in cell.tags if tag.startswith(f"{kind}:")]

    def tagged(self, tag: str) -> list[Cell]:
        return [cell for cell in self.cells if tag in cell.tags]

    def only(self, tag: str) -> Cell:
        (cell,) = self.tagged(tag)
        return cell

    def lines(self) -> Iterator[str]:
        """The lines of the text cells, but for what stands in fences."""
        for cell in self.cells:
            if cell.kind == "markdown":
                yield from without_fences(cell.source).splitlines()

    def headings(self, level: int) -> list[str]:
        mark = "#" * level + " "
        return [line.removeprefix(mark).strip() for line in self.lines() if line.startswith(mark)]

    def sections(self) -> list[tuple[str, str]]:
        """Heading of level 2, and the text below it; what stands before the first has the heading ""."""
        sections = [("", "")]
        for line in self.lines():
            heading, text = sections[-1]
            if line.startswith("## "):
                sections.append((line.removeprefix("## ").strip(), ""))
            else:
                sections[-1] = (heading, f"{text}{line}\n")
        return sections


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def broken_links(text: str, folder: Path, course: Path) -> list[str]:
    """Links of a text in `folder` to files that are not there, or not in the course, which learners have alone."""
    prose = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$|`[^`\n]+`", "", without_fences(text), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", prose)
    return [
        link
        for link in links
        if not (folder / link).exists() or not (folder / link).resolve().is_relative_to(course.resolve())
    ]


def unclean(notebook: Notebook) -> Iterator[str]:
    """What a run leaves behind, and links that lead nowhere."""
    course = notebook.path.parent if notebook.path.parent.name != "solutions" else notebook.path.parent.parent
    for number, cell in enumerate(notebook.cells):
        if cell.raw.get("outputs"):
            yield f"cell {number} has outputs (make format removes them)"
        if cell.raw.get("execution_count") is not None:
            yield f"cell {number} has an execution count (make format removes it)"
        if cell.raw.get("attachments"):
            yield f"cell {number} has an attachment"
        if cell.kind == "markdown":
            for link in broken_links(cell.source, notebook.path.parent, course):
                yield f"cell {number} links to {link}, which is not there or not in the course"
            for fault in claims.faults(without_fences(cell.source)):
                yield f"cell {number}: {fault}"
    if notebook.raw["metadata"].get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"
    if "widgets" in notebook.raw["metadata"]:
        yield "states of widgets are stored (make format removes them)"


def faults_of_lesson(notebook: Notebook) -> list[str]:
    """What is wrong with the form of a lesson; nothing, one hopes."""
    return [*unclean(notebook), *_opening(notebook), *_sections(notebook), *_sizes(notebook), *_exercises(notebook)]


def _opening(notebook: Notebook) -> Iterator[str]:
    number = re.escape(notebook.number)
    first = notebook.cells[0]
    if first.kind != "markdown" or not re.match(rf"# {number}\. \S.*\n+[^#\s]", first.source):
        yield f"the first cell must begin with '# {notebook.number}. Title' and a sentence or two"
    if len(notebook.headings(1)) != 1:
        yield "there must be one heading of level 1"
    code = [cell for cell in notebook.cells if cell.kind == "code"]
    if not code or "setup" not in code[0].tags or not re.search(r"^\w+ = begin\(seed=\d+\)$", code[0].source, re.M):
        yield "the first code cell must be tagged setup and have a line rng = begin(seed=...)"
    need = dict(notebook.sections()).get("What you will need", "")
    times = TIME.findall(need)
    if len(times) != 1:
        yield "What you will need must have one line '**Time:** about M minutes of your own, S seconds of computing.'"
    elif int(times[0]) > LARGEST_BUDGET:
        yield f"{times[0]} seconds of computing are more than {LARGEST_BUDGET}"


def _sections(notebook: Notebook) -> Iterator[str]:
    headings = notebook.headings(2)
    numbered = headings[len(OPENING) : -len(CLOSING)]
    if [*headings[: len(OPENING)], *headings[-len(CLOSING) :]] != [*OPENING, *CLOSING] or not numbered:
        yield f"the headings must be {OPENING}, numbered sections, {CLOSING}; they are {headings}"
    for number, heading in enumerate(numbered, 1):
        if not re.match(rf"{number}\. \S", heading):
            yield f"the section {heading!r} must be called '{number}. Name'"
    for heading, text in notebook.sections():
        if not text.strip() and heading not in ("", "Exercises"):
            yield f"the section {heading!r} is empty"
        if heading in numbered and not re.search(r"^\*\*What we saw\.\*\*", text, flags=re.MULTILINE):
            yield f"the section {heading!r} must have a paragraph that begins with **What we saw.**"
    predicted = False
    for number, cell in enumerate(notebook.cells):
        if cell.kind == "markdown" and re.search(r"^\*\*Predict\.\*\*", cell.source, flags=re.MULTILINE):
            predicted = True
            code = itertools.takewhile(lambda below: below.kind == "code", notebook.cells[number + 1 :])
            if not any(re.search(r"^prediction\w* = None\b", below.source, flags=re.MULTILINE) for below in code):
                yield f"the code below **Predict.** must say prediction = None, in cell {number} {cell.source[:60]!r}"
    if not predicted:
        yield "nothing is predicted: no paragraph begins with **Predict.**"


def _sizes(notebook: Notebook) -> Iterator[str]:
    if not 20 <= len(notebook.cells) <= 40:
        yield f"there must be 20 to 40 cells, got {len(notebook.cells)}"
    median = statistics.median([len(cell.source.splitlines()) for cell in notebook.cells if cell.kind == "code"] or [0])
    if median > 10:
        yield f"the median code cell must have at most 10 lines, got {median:g}"


def titles(notebook: Notebook, level: int) -> dict[str, str]:
    """Number and title of each exercise, as the headings of this level give them."""
    found = [re.fullmatch(r"Exercise (\S+): (\S.*)", heading) for heading in notebook.headings(level)]
    return {match[1]: match[2] for match in found if match}


def _exercises(notebook: Notebook) -> Iterator[str]:
    names = list(titles(notebook, 3))
    if names != [f"{notebook.number}.{k}" for k in range(1, len(names) + 1)] or not 3 <= len(names) <= 6:
        yield f"there must be 3 to 6 headings '### Exercise {notebook.number}.k: title', k from 1, got {names}"
    for kind in ("exercise", "check"):
        if notebook.names(kind) != names:
            yield f"the exercises are {names}, the cells tagged {kind}: are {notebook.names(kind)}"
    tags = [tag for cell in notebook.cells for tag in cell.tags if tag.startswith(("exercise:", "check:"))]
    if tags != [f"{kind}:{name}" for name in names for kind in ("exercise", "check")]:
        yield f"each stub must be followed by its check, the order is {tags}"
    for name in notebook.names("check"):
        if not re.search(rf'^with exercise\("{re.escape(name)}",', notebook.tagged(f"check:{name}")[0].source, re.M):
            yield f'the cell check:{name} must have a line with exercise("{name}", hint=...)'


def faults_of_solution(solution: Notebook, lesson: Notebook) -> list[str]:
    """What is wrong with the form of a solution, beside its lesson."""
    return [*unclean(solution), *_answers(solution, lesson)]


def _answers(solution: Notebook, lesson: Notebook) -> Iterator[str]:
    (title,) = lesson.headings(1)
    if solution.headings(1) != [f"{title}: solutions"]:
        yield f"the title must be '# {title}: solutions'"
    if titles(solution, 2) != titles(lesson, 3):
        yield f"the exercises are {titles(lesson, 3)}, the headings here {titles(solution, 2)}"
    for kind in ("answer", "check", "wrong"):
        if solution.names(kind) != lesson.exercises():
            yield f"the exercises are {lesson.exercises()}, the cells tagged {kind}: are {solution.names(kind)}"
    for tag in ("setup", *(f"check:{name}" for name in lesson.exercises())):
        if [cell.source for cell in solution.tagged(tag)] != [cell.source for cell in lesson.tagged(tag)]:
            yield f"the cells tagged {tag} must be the lesson's"
    for name in solution.names("wrong"):
        cell = solution.tagged(f"wrong:{name}")[0]
        if cell.kind != "markdown" or len(_fenced(cell)) != 1:
            yield f"wrong:{name} must be a text cell with one block of Python"


def _fenced(cell: Cell) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", cell.source, flags=re.DOTALL | re.MULTILINE)


def wrong_answer(solution: Notebook, name: str) -> str:
    """The code of the wrong answer that the solution keeps."""
    (code,) = _fenced(solution.only(f"wrong:{name}"))
    return code


def attempt(lesson: Notebook, name: str, code: str) -> str:
    """What the check of an exercise prints when `code` is the attempt: only the setup before it has been run."""
    check = lesson.only(f"check:{name}")
    setup = [cell.source for cell in lesson.cells[: lesson.cells.index(check)] if "setup" in cell.tags]
    names: dict[str, Any] = {"__name__": "__main__"}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for part in setup:
            exec(compile(part, f"{lesson.path.name}, setup", "exec"), names)
        said.truncate(0)
        said.seek(0)
        exec(compile(code, f"{lesson.path.name}, exercise {name}", "exec"), names)
        exec(compile(check.source, f"{lesson.path.name}, check {name}", "exec"), names)
    return said.getvalue()
