"""The animations of course/pictures: small, moving for as long as one can watch, and each in its lesson."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest
from matplotlib.figure import Figure
from PIL import Image
from support.notebooks import Notebook

from nblstm.course import start

ROOT = Path(__file__).resolve().parents[2]
COURSE = ROOT / "course"
PLACES = {"cell": "05", "conveyor": "05", "gradients": "10", "transpose": "02", "both_directions": "12"}
"""The lesson that shows it."""


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program that draws them."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    return importlib.import_module("draw_animations")


def test_the_tool_draws_just_these(tool: ModuleType) -> None:
    assert tool.ANIMATIONS.keys() == PLACES.keys()
    files = {path.name for path in (COURSE / "pictures").iterdir()}
    assert files == {f"{name}.{suffix}" for name in PLACES for suffix in ("gif", "png")}


@pytest.mark.parametrize("name", PLACES)
def test_it_moves_for_five_to_twelve_seconds_and_for_ever(name: str) -> None:
    file = COURSE / "pictures" / f"{name}.gif"
    assert file.stat().st_size < 1_000_000
    with Image.open(file) as image:
        assert image.info["loop"] == 0  # for ever
        seconds = 0.0
        for frame in range(image.n_frames):
            image.seek(frame)
            seconds += image.info["duration"] / 1000
        assert image.n_frames > 10
    assert 5 < seconds < 12.05
    with Image.open(file.with_suffix(".png")) as still:
        assert still.width >= 1200


@pytest.mark.parametrize("name", PLACES)
def test_its_lesson_shows_it_in_words_too(name: str) -> None:
    link = re.compile(rf"!\[([^]]{{60,}})\]\(pictures/{name}\.gif\)")
    shown = [
        (path.stem[:2], cell.source)
        for path in COURSE.glob("[0-9]*.ipynb")
        for cell in Notebook(path).cells
        if link.search(cell.source)
    ]
    assert [lesson for lesson, _ in shown] == [PLACES[name]]
    assert f"](pictures/{name}.png)" in shown[0][1], "the still, for print"


def test_they_travel_with_the_course(tmp_path: Path) -> None:
    copied = start.copy(tmp_path)
    assert {f"pictures/{name}.gif" for name in PLACES} <= set(copied.new)
    assert (tmp_path / "pictures" / "cell.png").read_bytes() == (COURSE / "pictures" / "cell.png").read_bytes()


def test_the_printed_sums_of_the_cell_are_right(tool: ModuleType) -> None:
    """Rounded numbers need not add up; the weights are chosen so that those on the screen do."""
    animation, figure = tool.cell(), Figure(figsize=(8, 4.8))
    said = set()
    for second in range(12):
        animation.draw(tool.Moment(figure), second)
        said |= {text.get_text() for text in figure.axes[0].texts}
    sums = [text.replace("−", "-").partition(":  ")[2] for text in said if text.startswith("new c:")]
    products = [text.replace("−", "-").rpartition("= ") for text in said if " × " in text]
    assert len(sums) == 2
    assert len(products) == 4
    for text in sums:
        left, _, right = text.partition(" = ")
        assert round(eval(left), 2) == float(right), text
    for before, _, result in products:
        first, second = re.findall(r"-?\d\.\d\d", before)
        assert round(float(first) * float(second), 2) == float(result), before
