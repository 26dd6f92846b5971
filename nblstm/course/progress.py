"""What a learner has done: ``progress.json`` in the folder of the lessons, which write it; the command shows it.

The file is the sign of a learner's own folder: `begin` makes it there, and nothing is recorded where it is missing, so
that neither solutions nor tests nor the originals leave anything behind.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np

from nblstm.files import atomic_write

NAME = "progress.json"

CONCEPT_TEST = "concept test"
"""Where its two scores stand in the record, which has no such entry before it was taken."""

LONGEST = 200
"""Characters that are kept of a prediction: what is compared is compared before."""


class Lesson(NamedTuple):
    """One line of the table: how many of how many; `misses` are shares, for predictions that are numbers."""

    number: str
    exercises: int
    of_exercises: int
    predictions: int
    of_predictions: int
    misses: list[float]


def begin(folder: Path) -> None:
    """Make the record of a folder that has none; what is there stays, whatever it holds."""
    if not os.path.lexists(folder / NAME):
        _write(folder, {"exercises": {}, "predictions": {}})


def exercise_right(name: str) -> None:
    """Note that an exercise was right, if a lesson of a learner's own folder is running."""
    notebook = _notebook()
    if notebook:
        _note(notebook.parent, ("exercises", name.split(".")[0], name), True)


def predicted(what: str, prediction: Any, truth: Any) -> None:
    """Note a prediction, if a lesson of a learner's own folder is running; the first counts, as the second has seen."""
    notebook = _notebook()
    if notebook and prediction is not None:
        made = {"predicted": str(prediction)[:LONGEST], "came": str(truth)[:LONGEST], "miss": miss(prediction, truth)}
        _note(notebook.parent, ("predictions", str(int(notebook.name[:2])), what), made)


def concepts_tested(when: str, answers: str, right: int, of: int) -> dict[str, dict[str, Any]]:
    """Note a concept test, if it runs in a learner's own folder; the first "before" and the first "after" count.

    Returns
    -------
    dict
        What is kept, by "before" and "after"; empty where nothing is recorded.
    """
    notebook = _notebook("concept_test")
    if not notebook:
        return {}
    record = _note(notebook.parent, (CONCEPT_TEST, when), {"answers": answers, "right": right, "of": of})
    return record.get(CONCEPT_TEST, {})


def gain(kept: dict[str, dict[str, Any]]) -> str:
    """The concept test in a line.

    Examples
    --------
    >>> from nblstm.course.progress import gain
    >>> gain({"before": {"right": 6, "of": 15}})
    'concept test: 6 of 15 before'
    >>> gain({"before": {"right": 6, "of": 15}, "after": {"right": 12, "of": 15}})
    'concept test: 6 of 15 before, 12 of 15 after: gained 6'
    """
    tries = [(when, kept[when]) for when in ("before", "after") if when in kept]
    line = ", ".join(f"{one['right']} of {one['of']} {when}" for when, one in tries)
    return f"concept test: {line}" + (f": gained {tries[1][1]['right'] - tries[0][1]['right']}" if tries[1:] else "")


def miss(prediction: Any, truth: Any) -> float | None:
    """How far off a prediction is: the mean of |p - t| / max(|p|, |t|), or None where there are no numbers to compare.

    0 is exact, 0.5 is off by a factor of two, 1 is everything, 2 the wrong sign. A single number is compared with each
    of several; of two groups each number with its own.

    Examples
    --------
    >>> from nblstm.course.progress import miss
    >>> miss(50, "100"), miss(0.5, [0.5, 1.0]), miss((2, 3), (2, 3)), miss("less", 3)
    (0.5, 0.25, 0.0, None)
    """
    try:
        p, t = (np.asarray(_plain(value), float).ravel() for value in (prediction, truth))
    except (TypeError, ValueError):
        return None
    if not p.size or not t.size or (p.size != t.size and 1 not in (p.size, t.size)):
        return None
    largest = np.maximum(np.abs(p), np.abs(t))
    if not np.isfinite(largest).all():
        return None
    return float(np.mean(np.abs(p - t) / np.where(largest > 0, largest, 1)))


def _plain(value: Any) -> Any:
    """Numbers that stand in words, such as "80,896"; everything else as it is."""
    return value.replace(",", "") if isinstance(value, str) else value


def lessons(folder: Path, originals: Path) -> list[Lesson]:
    """How far each lesson is done.

    Parameters
    ----------
    folder : Path
        The learner's own.
    originals : Path
        The lessons as they came: what each asks for is counted there.

    Returns
    -------
    list of Lesson
        In their order.

    Raises
    ------
    ValueError
        The folder has no record, or one that is damaged.
    """
    record = _read(folder)
    found = []
    for path in sorted(originals.glob("[0-9][0-9]_*.ipynb")):
        number, text = str(int(path.name[:2])), path.read_text(encoding="utf-8")
        asked = set(re.findall(r'"check:(\d+\.\d+)"', text))
        right = asked & record["exercises"].get(number, {}).keys()
        made = record["predictions"].get(number, {})
        misses = [one["miss"] for one in made.values() if one["miss"] is not None]
        found.append(Lesson(number, len(right), len(asked), len(made), len(re.findall(r"\breveal\(", text)), misses))
    return found


def concept_test(folder: Path) -> str:
    """The concept test in a line, or nothing where it was not taken; the record is one that `lessons` has read."""
    kept = _read(folder).get(CONCEPT_TEST)
    return gain(kept) if kept else ""


def table(rows: list[Lesson]) -> str:
    """The lessons in lines of text, and all of them together."""
    total = Lesson(
        "all",
        sum(row.exercises for row in rows),
        sum(row.of_exercises for row in rows),
        sum(row.predictions for row in rows),
        sum(row.of_predictions for row in rows),
        [one for row in rows for one in row.misses],
    )
    lines = ["lesson  exercises right  predictions  mean miss"]
    for row in [*rows, total]:
        right, made = f"{row.exercises} of {row.of_exercises}", f"{row.predictions} of {row.of_predictions}"
        lines.append(f"{row.number:>6}  {right:>15}  {made:>11}  {f'{mean(row.misses):.0%}' if row.misses else '':>9}")
    lines.append("")
    lines.append(
        "A miss is |predicted - came| over the larger of the two: 50% is off by a factor of two. The first try counts,"
    )
    lines.append("and only predictions that are numbers have one.")
    return "\n".join(line.rstrip() for line in lines)


# ---- the file ----

_told: set[str] = set()
"""Complaints that were printed: each comes once in a lesson."""


def _notebook(stem: str = r"\d\d_.*") -> Path | None:
    """The notebook of such a name that is running, in JupyterLab or Visual Studio Code, if a record lies beside it."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    name = os.environ.get("JPY_SESSION_NAME") or (shell.user_ns.get("__vsc_ipynb_file__") if shell else None)
    path = Path(name or "")
    return path if re.fullmatch(rf"{stem}\.ipynb", path.name) and (path.parent / NAME).is_file() else None


def _note(folder: Path, where: tuple[str, ...], value: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """The record with one more entry, by its keys there; what goes wrong is said once, and the lesson goes on."""
    try:
        record = _read(folder)
        entries: dict[str, Any] = record
        for key in where[:-1]:
            entries = entries.setdefault(key, {})
        if where[-1] not in entries:
            entries[where[-1]] = value
            _write(folder, record)
    except (ValueError, OSError) as error:
        if str(error) not in _told:
            print(f"(Your progress was not recorded: {error})")
        _told.add(str(error))
        return {}
    return record


def _read(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    path = folder / NAME
    if not path.is_file():
        raise ValueError(f"{folder} has no {NAME}: `nblstm course {folder}` begins one, and the lessons fill it")
    try:
        record = json.loads(path.read_bytes())
        entries = [one for lesson in record["predictions"].values() for one in lesson.values()]
        whole = all(one["miss"] is None or isinstance(one["miss"], int | float) for one in entries)
        whole = whole and all(isinstance(lesson, dict) for lesson in record["exercises"].values())
        for when, test in record.get(CONCEPT_TEST, {}).items():
            whole = whole and when in ("before", "after") and type(test["right"]) is type(test["of"]) is int
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise ValueError(
            f"{path} is damaged, and was left as it is: mend it, or rename it and run `nblstm course {folder}` once "
            "more, which begins a new one"
        )
    return record


def _write(folder: Path, record: dict[str, Any]) -> None:
    with atomic_write(folder / NAME) as file:
        file.write(json.dumps(record, indent=1).encode())
