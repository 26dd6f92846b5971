"""A lesson as a page: what came is folded, solutions are behind a click, and nothing is lost on the way."""

from __future__ import annotations

import importlib
import re
from pathlib import PurePosixPath
from typing import Any

import pytest

from site_source import pages

nbformat = pytest.importorskip("nbformat", reason="needs nbformat: the extra `site`")
lessons = importlib.import_module("site_source.lessons")

PAGE = PurePosixPath("course/05_nothing.ipynb")
OPEN, SOLUTION, SHUT = "<details came>", "<details solution>", "</details>"


def text(source: str, *tags: str) -> Any:
    return nbformat.v4.new_markdown_cell(source, metadata={"tags": list(tags)})


def code(source: str, *tags: str, **rest: Any) -> Any:
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}, **rest)


def said(cells: list[Any]) -> list[str]:
    """The sources of cells, the beginnings of folds in short."""
    return [re.sub(r'<details class="(\w+)">\n<summary>.*</summary>', r"<details \1>", cell.source) for cell in cells]


def folded(*cells: Any) -> list[str]:
    return said(list(lessons.folded(list(cells))))


ASK, RUN, SAW = text("**Predict.** How many?"), code("1 + 1"), text("**What we saw.** Two.")


def test_what_follows_a_prediction_is_folded_up_to_what_we_saw() -> None:
    rest = text("Another text."), code("2 + 2")
    assert folded(ASK, RUN, text("On we go."), RUN, SAW, *rest) == [
        ASK.source, OPEN, "1 + 1", "On we go.", "1 + 1", SAW.source, SHUT, "Another text.", "2 + 2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("saw", "inside", "outside"),
    [
        ("**What we saw.** Two.\n\nMore of it.", "**What we saw.** Two.\n\nMore of it.", None),
        ("**What we saw.** Two.\n\n## 2. Next\n\nA text.", "**What we saw.** Two.\n\n", "## 2. Next\n\nA text."),
        (
            "**What we saw.** Two.\n\n## 2. Next\n\n**Predict.** And now?",
            "**What we saw.** Two.\n\n",
            "## 2. Next\n\n**Predict.** And now?",
        ),
        (
            "**What we saw.** Two.\n\nThree more.\n\n**Predict.** And now?",
            "**What we saw.** Two.",
            "Three more.\n\n**Predict.** And now?",
        ),
    ],
)
def test_a_fold_ends_before_a_heading_and_before_what_leads_to_a_prediction(
    saw: str, inside: str, outside: str | None
) -> None:
    assert folded(ASK, RUN, text(saw)) == [ASK.source, OPEN, "1 + 1", inside, SHUT, *([outside] if outside else [])]


def test_an_exercise_between_a_prediction_and_what_came_stays_outside() -> None:
    exercise, check = code("x = None", "exercise:5.1"), code("check", "check:5.1")
    assert folded(ASK, exercise, check, RUN, SAW)[1:4] == ["x = None", "check", OPEN]


def test_a_second_prediction_is_asked_in_the_open_and_opens_a_fold_of_its_own() -> None:
    second = text("Two it was.\n\nTwice that.\n\n**Predict.** And then?")
    assert folded(ASK, RUN, second, RUN, SAW) == [
        ASK.source, OPEN, "1 + 1", "Two it was.", SHUT,
        "Twice that.\n\n**Predict.** And then?", OPEN, "1 + 1", SAW.source, SHUT,
    ]  # fmt: skip
    assert folded(ASK, RUN) == [ASK.source, OPEN, "1 + 1", SHUT]


SOLVED = [
    text("## Exercise 5.1: one"), text("The thinking."), code("x = 1", "answer:5.1"), code("check", "check:5.1"),
    text("```python\nx = 2\n```\n\nToo many.", "wrong:5.1"), text("## Exercise 5.2: two\n\nOther thinking."),
]  # fmt: skip


def test_a_solution_stands_behind_the_check_of_its_exercise() -> None:
    cells = [code("x = None", "exercise:5.1"), code("check", "check:5.1"), text("After it.")]
    assert said(list(lessons.with_solutions(iter(cells), SOLVED))) == [
        "x = None", "check", SOLUTION, "The thinking.", "```python\nx = 1\n```", "**A mistake that many make:**",
        "```python\nx = 2\n```\n\nToo many.", SHUT, "After it.",
    ]  # fmt: skip


def test_the_whole_page() -> None:
    svg = "<svg><!-- step --><g/><!-- loss $h_t$ --><g/><!-- 0.5 --><!-- step --></svg>"
    shown = [
        nbformat.v4.new_output("display_data", {"image/svg+xml": svg}),
        nbformat.v4.new_output("display_data", {lessons.WIDGET: {"model_id": "1"}, "text/plain": "interactive(...)"}),
        nbformat.v4.new_output("stream", name="stdout", text="h: 2 (no prediction: write one next time)\n"),
    ]
    drawn, check = code("draw()", outputs=shown), code("check", "check:5.1")
    check.outputs = [nbformat.v4.new_output("stream", name="stdout", text="Exercise 5.1: not attempted yet.\n")]
    drawn.metadata.jupyter = {"source_hidden": True}
    secret = (
        "2 <!-- number: 2 +- 0 = 1 + 1 -->\n<!-- number: 3 > 2 -->\n<details><summary>Answer</summary>$x$</details>"
    )
    cells = [text("# 5. Nothing\n\nIt is.\n\n## What you will do"), drawn, text(secret), check]
    lesson = nbformat.v4.new_notebook(cells=cells)
    lesson.metadata.widgets = {}
    opening, drawn, answer, check, *_ = lessons.page_of(lesson, nbformat.v4.new_notebook(cells=SOLVED), PAGE).cells
    assert (
        opening.source.index("It is.")
        < opening.source.index("downloads/05_nothing.ipynb")
        < opening.source.index("## ")
    )
    assert answer.source == "2\n<details>\n<summary>Answer</summary>\n\n$x$\n\n</details>"
    assert "hide-input" in drawn.metadata.tags
    assert drawn.metadata.mystnb.image.alt == "Figure: step; loss h_t."
    assert drawn.outputs[1].data == {"text/markdown": lessons.SLIDERS}
    assert drawn.outputs[2].text == "h: 2\n"
    assert check.outputs == []


def without_blanks(cells: list[Any]) -> str:
    return re.sub(r"\s", "", "".join(cell.source for cell in cells))


@pytest.mark.parametrize("path", pages.found(pages.LESSONS), ids=lambda path: path.stem)
def test_every_lesson_folds_without_hiding_a_question_and_without_losing_a_cell(path: PurePosixPath) -> None:
    lesson = nbformat.read(pages.ROOT / path, as_version=4)
    solution = nbformat.read(pages.ROOT / path.parent / "solutions" / path.name, as_version=4)
    hidden, kept, folds = False, [], 0
    for cell in lessons.folded(lesson.cells):
        if cell.source.startswith("<details class=") or cell.source == SHUT:
            assert hidden == (cell.source == SHUT)
            hidden, folds = not hidden, folds + hidden
            continue
        kept.append(cell)
        if hidden:
            assert not lessons.tags_of(cell).keys() & {"exercise", "check"}
            if cell.cell_type == "markdown":
                prose = pages.FENCE.sub("", cell.source)
                assert not lessons.PREDICT.search(prose)
                assert not lessons.HEADING.search(prose)
    assert not hidden
    assert folds == sum(bool(lessons.PREDICT.search(cell.source)) for cell in lesson.cells)
    assert without_blanks(kept) == without_blanks(lesson.cells)
    shown = list(lessons.with_solutions(iter(lesson.cells), solution.cells))
    answers = [cell for cell in solution.cells if "answer" in lessons.tags_of(cell)]
    assert answers
    assert all(any(cell.source in page.source for page in shown) for cell in answers)
