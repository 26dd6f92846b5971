"""The course's pages beside the lessons: what they claim, computed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.notebooks import without_fences

COURSE = Path(__file__).resolve().parents[2] / "course"
OFTEN_WRITTEN = (COURSE / "often_written.md").read_text(encoding="utf-8")


def test_each_row_of_what_is_often_written_names_what_is_right_and_a_lesson() -> None:
    text = without_fences(OFTEN_WRITTEN)
    rows = re.findall(r"^\| (?!often written|the program|---)(.*) \|$", text, flags=re.MULTILINE)
    assert len(rows) > 50
    for row in rows:
        _, right, lessons = row.split(" | ")
        assert right.endswith("."), row
        named = re.findall(r"\[lesson (\d+)\]\((\d\d)_\w+\.ipynb\)", lessons)
        assert named, row
        assert all(int(number) == int(file) for number, file in named), row


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", OFTEN_WRITTEN, flags=re.DOTALL))
def test_what_the_lessons_only_say_is_proved(code: str) -> None:
    assert "assert " in code
    exec(code, {})
