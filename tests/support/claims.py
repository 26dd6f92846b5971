"""Numbers in a lesson's text, held against what its cells compute, by comments beside them in the same cell.

A text that says "ends near 0.01" has ``<!-- number: 0.01 +- 0.005 = losses[-1] -->``; one that says "before step 150"
has ``<!-- number: 150 > steps -->``. What stands right of the sign is Python; it is evaluated where the text stands,
when the cells above have run. If it is an array, all its entries must agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

COMMENT = re.compile(r"<!--.*?-->", flags=re.DOTALL)
MARK = re.compile(r"<!-- number: (\S+) (\+- \S+ =|[<>]) (.+) -->", flags=re.DOTALL)
WRONG = "The text is wrong. "


def marks(text: str) -> Iterator[tuple[str, str, str]]:
    """Number as it stands in the text, sign, and expression of each mark."""
    for comment in COMMENT.findall(text):
        mark = MARK.fullmatch(comment)
        if mark:
            yield mark[1], mark[2], " ".join(mark[3].split())


def faults(text: str) -> Iterator[str]:
    """Comments that are no marks, numbers that the text does not have, expressions that are not Python."""
    prose = COMMENT.sub("", text)
    for comment in COMMENT.findall(text):
        if not MARK.fullmatch(comment):
            yield f"{comment} must be <!-- number: N +- tolerance = expression -->, or < or > for '+- tolerance ='"
    for number, sign, expression in marks(text):
        if not re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d]|[.,]\d)", prose):
            yield f"the number {number} of a mark does not stand in the text beside it"
        try:
            [value_of(part) for part in (number, *re.findall(r"\+- (\S+) =", sign))]
            compile(expression, "a mark", "eval")
        except (ValueError, SyntaxError) as error:
            yield f"the mark of {number}: {error}"


def value_of(number: str) -> float:
    """Of a number as texts have it: "11,520", "0.01"."""
    return float(number.replace(",", ""))


def checks(text: str, lesson: str) -> str:
    """Python that holds each number of a text against its expression, to be run in the lesson's kernel."""
    calls = [f"_hold({lesson!r}, {number!r}, {sign!r}, ({value}))" for number, sign, value in marks(text)]
    return "\n".join(["from support.claims import hold as _hold", *calls]) if calls else ""


def hold(lesson: str, number: str, sign: str, value: Any) -> None:
    """Print a sentence with lesson, number and what came, if the number is not true here."""
    came, right = np.asarray(value, float), value_of(number)
    if sign in "<>":
        true, must = (right < came) if sign == "<" else (right > came), f"be {sign}"
    else:
        within = sign.split()[1]
        true, must = np.abs(came - right) <= value_of(within), f"be within {within} of"
    if not (came.size and true.all()):
        said = np.array2string(came, precision=4, separator=", ", threshold=20)
        print(f"{WRONG}{lesson} says {number}, which must {must} {said}")
