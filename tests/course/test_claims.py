"""Numbers in the text of a lesson: marks that are no marks are found, and numbers that are not true are named."""

from __future__ import annotations

import pytest
from support.claims import checks, faults

TEXT = "The loss falls below 0.02, from 11,520 steps on. <!-- number: 0.02 > losses --> <!-- number: {} -->"


@pytest.mark.parametrize(
    ("mark", "fault"),
    [
        ("11,520 +- 0 = steps", None),
        ("11,520 < [steps,\n steps]", None),
        ("11,520 = steps", "must be <!-- number: N +- tolerance = expression -->"),
        ("1,520 +- 1 = steps", "the number 1,520 of a mark does not stand in the text beside it"),
        ("520 +- 1 = steps", "the number 520 of a mark does not stand in the text beside it"),
        ("0.0 +- 1 = steps", "the number 0.0 of a mark does not stand in the text beside it"),
        ("falls +- 1 = steps", "the mark of falls: could not convert string to float"),
        ("11,520 +- a = steps", "the mark of 11,520: could not convert string to float"),
        ("11,520 +- 1 = steps +", "the mark of 11,520: invalid syntax"),
    ],
)
def test_faults_of_marks_are_found(mark: str, fault: str | None) -> None:
    found = list(faults(TEXT.format(mark)))
    assert (fault is None and found == []) or any(fault and fault in each for each in found), found


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("11,520 +- 1 = [11521, 11519.5]", ""),
        ("11,520 +- 1 = [11520, 11522]", "says 11,520, which must be within 1 of [11520., 11522.]"),
        ("11,520 +- 1 = float('nan')", "says 11,520, which must be within 1 of nan"),
        ("11,520 +- 1 = []", "says 11,520, which must be within 1 of []"),
        ("11,520 < 11520", "says 11,520, which must be < 11520."),
        ("11,520 < [11521, 11522]", ""),
        ("11,520 > [11519, 11521]", "says 11,520, which must be > [11519., 11521.]"),
    ],
)
def test_a_number_is_held_against_what_came(mark: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = checks(TEXT.format(mark), "lesson 3")
    exec(code, {"losses": [0.01, 0.015]})
    assert capsys.readouterr().out == (f"The text is wrong. lesson 3 {said}\n" if said else "")


def test_a_text_without_marks_needs_no_code() -> None:
    assert checks("It falls below 0.02.", "lesson 3") == ""
