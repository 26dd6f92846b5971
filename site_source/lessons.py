"""A lesson that has run, as a page: it asks before it answers, and solutions are behind a click."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from nbformat.v4 import new_markdown_cell

from site_source.pages import REPOSITORY, outside_fences, with_links

PREDICT = re.compile(r"^\*\*Predict\.\*\*", flags=re.MULTILINE)
SAW = re.compile(r"^\*\*What we saw\.\*\*", flags=re.MULTILINE)
HEADING = re.compile(r"^#{1,6} ", flags=re.MULTILINE)
COMMENT = re.compile(r"^<!--.*?-->\n?|[ \t]*<!--.*?-->", flags=re.DOTALL | re.MULTILINE)
DETAILS = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", flags=re.DOTALL)
NO_PREDICTION = re.compile(r" \(no prediction(: [^)]*)?\)")
WIDGET = "application/vnd.jupyter.widget-view+json"
SLIDERS = "*Here the notebook has sliders; they need a running kernel.*"

LONGEST = 300
"""Characters that say what a picture shows."""

Cell = Any
"""Of a notebook, as nbformat has it."""


def page_of(lesson: Any, solution: Any, page: PurePosixPath) -> Any:
    """The notebook that is shown in place of `lesson`, which has run; `solution` is the other notebook of its name."""
    shown = lesson.copy()
    shown.metadata = {key: value for key, value in lesson.metadata.items() if key != "widgets"}
    shown.cells = list(with_solutions(folded(lesson.cells), solution.cells))
    for cell in shown.cells:
        if cell.cell_type == "markdown":
            cell.source = with_links(outside_fences(cell.source, plain), page)
        else:
            dress(cell)
    opening = shown.cells[0]
    opening.source = re.sub(r"\n(?=## )", f"\n{ways_to_run(page)}\n\n", opening.source, count=1)
    return shown


def plain(text: str) -> str:
    """Without comments, and with Markdown inside <details>, which is text for Jupyter alone."""
    return DETAILS.sub(r"<details>\n<summary>\1</summary>\n\n\2\n\n</details>", COMMENT.sub("", text))


def tags_of(cell: Cell) -> dict[str, str]:
    """The kinds of a cell's tags and the names behind them: {"check": "5.1"}."""
    return dict(tag.partition(":")[::2] for tag in cell.metadata.get("tags", []))


# ---- what came is folded ----


def folded(cells: list[Cell]) -> Iterator[Cell]:
    """The cells, with all that follows a prediction in a fold: from the code below it to what we saw.

    An exercise between the two stays outside. A fold ends before the next heading and before the next prediction,
    wherever they stand, so that neither is hidden.
    """
    predicted = opened = False
    for cell in cells:
        if cell.cell_type != "markdown":
            if predicted and not opened and not {"exercise", "check"} & tags_of(cell).keys():
                yield beginning("Show what came", "came")
                opened = True
            yield cell
            continue
        inside, outside = split(cell.source) if opened else ("", cell.source)
        if inside.strip():
            yield new_markdown_cell(inside)
        if opened and (outside.strip() or SAW.search(inside)):
            yield new_markdown_cell("</details>")
            predicted = opened = False
        if outside.strip():
            yield new_markdown_cell(outside)
            predicted = bool(PREDICT.search(outside))
    if opened:
        yield new_markdown_cell("</details>")


def split(text: str) -> tuple[str, str]:
    """What of a text cell still belongs to the fold above it, and the rest: from a heading or a prediction on.

    Where no heading stands before a prediction, "What we saw" is one paragraph, or else the first of several still
    speaks of what came; those after it lead up to what is asked. A paragraph that ends in a colon goes on.
    """
    heading, predict, saw = HEADING.search(text), PREDICT.search(text), SAW.search(text)
    if heading and not (predict and predict.start() < heading.start()):
        end = heading.start()
    elif predict:
        above = text[: predict.start()]
        ends = [blank.start() for blank in re.finditer(r"(?<!:)\n\n", above) if not saw or blank.start() > saw.end()]
        end = ends[0] if len(ends) >= (1 if saw else 2) else 0
    else:
        end = len(text)
    return text[:end], text[end:].lstrip("\n")


def beginning(summary: str, kind: str) -> Cell:
    """The upper end of a fold."""
    return new_markdown_cell(f'<details class="{kind}">\n<summary>{summary}</summary>')


# ---- solutions behind a click ----


def with_solutions(cells: Iterator[Cell], solution: list[Cell]) -> Iterator[Cell]:
    """The cells, and after the check of each exercise its solution, in a fold."""
    for cell in cells:
        yield cell
        if name := tags_of(cell).get("check"):
            yield beginning("Show a solution", "solution")
            yield from answer(solution, name)
            yield new_markdown_cell("</details>")


def answer(solution: list[Cell], name: str) -> Iterator[Cell]:
    """The thinking, the code and the mistake that belong to an exercise; the check is the lesson's."""
    within = False
    for cell in solution:
        text = cell.source
        if cell.cell_type == "markdown" and (heading := re.match(r"## Exercise (\S+):.*\n*", text)):
            within, text = heading[1] == name, text[heading.end() :]
        if not within or "check" in tags_of(cell) or not text.strip():
            continue
        if "wrong" in tags_of(cell):
            yield new_markdown_cell("**A mistake that many make:**")
        yield new_markdown_cell(text if cell.cell_type == "markdown" else f"```python\n{text}\n```")


# ---- cells of code ----


def dress(cell: Cell) -> None:
    """Fold tools and checks, leave out what only a running kernel can show, and say in words what a picture shows."""
    tags = cell.metadata.setdefault("tags", [])
    if cell.metadata.get("jupyter", {}).get("source_hidden"):
        tags.append("hide-input")
    if "check" in tags_of(cell):
        cell.outputs = []  # that the exercise was not attempted
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            output.text = NO_PREDICTION.sub("", output.text)
        elif WIDGET in output.get("data", {}):
            output.data = {"text/markdown": SLIDERS}
        elif svg := output.get("data", {}).get("image/svg+xml"):
            texts.append(described(svg))
    if texts:
        cell.metadata["mystnb"] = {"image": {"alt": " ".join(texts)}}


def described(svg: str) -> str:
    """What stands written in a figure: Matplotlib leaves each text as a comment beside its glyphs."""
    texts = [re.sub(r"\s+", " ", text).strip() for text in re.findall(r"<!--(.*?)-->", svg, flags=re.DOTALL)]
    words = [text.replace("$", "") for text in dict.fromkeys(texts) if re.search(r"[^\W\d_]", text)]
    text = "Figure: " + "; ".join(words)
    return (text if len(text) <= LONGEST else text[:LONGEST].rpartition(";")[0]) + "."


def download_of(page: PurePosixPath) -> PurePosixPath:
    """Where on the site the notebook itself is, as it is copied for learners."""
    return page.parent / "downloads" / page.name


def ways_to_run(page: PurePosixPath) -> str:
    """The line below the title: the notebook as a file, and where it can be run at once."""
    ways = [f'<a href="downloads/{page.name}" download>Download the notebook</a>']
    if REPOSITORY:
        ways += [
            f'<a href="https://colab.research.google.com/github/{REPOSITORY}/blob/main/{page}">Open in Colab</a>',
            f'<a href="https://mybinder.org/v2/gh/{REPOSITORY}/main?labpath={page}">Open in Binder</a>',
        ]
    return f'<p class="ways">{" ".join(ways)}</p>'
