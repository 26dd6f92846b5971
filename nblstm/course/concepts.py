"""The concept test: questions with buttons or a line of letters, and a score before the course and after it."""

from __future__ import annotations

from hashlib import sha256
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

from nblstm.course import progress

LETTERS = "abcd"

UNKNOWN = "?"
"""The answer of those who do not know: it counts as wrong, and is worth more than a guess."""


class _Question(NamedTuple):
    """What `ask` was told, and its buttons where there are some."""

    digest: str
    read: str
    buttons: Any


_asked: dict[int, _Question] = {}


def digest(number: int, letter: str) -> str:
    """What stands in the notebook in place of the right letter.

    Examples
    --------
    >>> from nblstm.course.concepts import digest
    >>> digest(1, "a") == digest(1, "b")
    False
    """
    return sha256(f"nblstm concept test, question {number}: {letter}".encode()).hexdigest()[:16]


def ask(number: int, digest: str, read: str) -> None:
    """Show the buttons of a question; without ipywidgets it is answered by a letter in the line at the end.

    Parameters
    ----------
    number : int
        Of the question, whose text stands above.
    digest : str
        `concepts.digest` of the right letter.
    read : str
        The lessons to read if the answer is wrong.
    """
    buttons = None
    if find_spec("ipywidgets") is not None:
        from IPython.display import display
        from ipywidgets import ToggleButtons

        buttons = ToggleButtons(options=[*LETTERS, UNKNOWN], value=None, style={"button_width": "3em"})
        display(buttons)
    _asked[number] = _Question(digest, read, buttons)


def score(when: Literal["before", "after"], answers: str = "") -> None:
    """Say how many answers are right, what to read for the others, and after the second time what was gained.

    Nothing is said or kept until every question has an answer. Of several tries before the course, and of several
    after it, the first is kept, as with predictions: ``nblstm course --progress`` shows it.

    Parameters
    ----------
    when : {"before", "after"}
        Before the course, or after it.
    answers : str
        One letter for each question, in their order, or "?" for "I do not know". The buttons, if it is empty.

    Raises
    ------
    ValueError
        `when` is something else, or `answers` has another length or other letters.
    """
    if when not in ("before", "after"):
        raise ValueError(f'when must be "before" or "after", got {when!r}')
    given = _given(answers)
    missing = [number for number in sorted(_asked) if not given[number]]
    if missing:
        print(f"not answered yet: {_listed(missing)} ({UNKNOWN} stands for: I do not know)")
        return
    wrong = [number for number in sorted(_asked) if digest(number, given[number]) != _asked[number].digest]
    right, of = len(_asked) - len(wrong), len(_asked)
    print(f"{when} the course: {right} of {of} right")
    for read in dict.fromkeys(_asked[number].read for number in wrong):
        print(f"  question {_listed([k for k in wrong if _asked[k].read == read])}: {read}")
    kept = progress.concepts_tested(when, "".join(given[number] for number in sorted(given)), right, of)
    if when in kept and kept[when]["right"] != right:
        print(f"(The first try counts: {kept[when]['right']} of {of}.)")
    if len(kept) == 2:
        print(progress.gain(kept))


def _given(answers: str) -> dict[int, str]:
    """The answer of each question; empty where there is none yet."""
    if not answers:
        return {number: (one.buttons.value or "") if one.buttons else "" for number, one in _asked.items()}
    letters = answers.lower().replace(" ", "")
    if len(letters) != len(_asked) or set(letters) - set(LETTERS + UNKNOWN):
        raise ValueError(
            f"answers must be {len(_asked)} letters, each one of {', '.join(LETTERS)} or {UNKNOWN}, got {answers!r}"
        )
    return dict(zip(sorted(_asked), letters, strict=True))


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
