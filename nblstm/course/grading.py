"""``nblstm course --grade``: the project of the course against its rubric of 20 points, in words.

The learner's code runs in processes of its own (`nblstm.course.handed_in`), one for each part, with a limit of time:
an exception or an endless loop costs the points of its part.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from nblstm.course import handed_in, rubric
from nblstm.course.rubric import Graded, Results, held_out_from
from nblstm.course.start import originals

LIMITS = dict.fromkeys(handed_in.PARTS, 120.0)
"""Seconds that a part may take."""

INPUTS = ("x", "h_0", "c_0", "W", "U", "b", "dy", "dh_n", "dc_n", "tokens")
"""What the learner's code is given of the recorded file; the rest are the answers."""

SHORTEST = 20_000
"""Characters of a text of one's own."""

FOR_A_PERSON = """\
A program cannot judge these; a person reads them (project.md):
  - Is the code readable, and is it the learner's own?
  - Does the report say what the text makes easy, what went wrong, and what was tried and left out?
  - Do the sentences claim more than three seeds show?"""


def grade(folder: str | os.PathLike[str]) -> list[Graded]:
    """Grade a learner's project: all items of the rubric in their order, 20 points together.

    Parameters
    ----------
    folder : str or os.PathLike
        Holds ``lstm.py``, ``text.txt`` and ``report.md``, as ``project.md`` of the course asks for.

    Returns
    -------
    list of Graded

    Raises
    ------
    ValueError
        There is no such folder, or no ``lstm.py`` in it.

    Examples
    --------
    >>> from nblstm.course import grading, start
    >>> rows = grading.grade(start.originals() / "solutions" / "project")  # doctest: +SKIP
    >>> sum(row.points for row in rows)  # doctest: +SKIP
    20
    """
    from tqdm import tqdm

    path = Path(folder).resolve()
    if not path.is_dir():
        raise ValueError(f"folder must be the one of your project, there is no folder {folder}")
    if not (path / "lstm.py").is_file():
        raise ValueError(f"{folder} has no lstm.py: project.md in the course says what belongs in the folder")
    with np.load(originals() / "project" / "recorded.npz") as file:
        recorded = dict(file)
    text, fault = read_text(path)
    held_out = text[held_out_from(text) :]
    given = {name: recorded[name] for name in INPUTS} | {
        "p": np.linspace(-1, 0.2, 6).reshape(2, 3),  # the gradient check's: gradients larger than 1 at both ends
        "q": np.linspace(-0.9, 1, 4),
        "path": np.array(str(originals() / "project" / "weights.safetensors")),
        "text": np.array(held_out),
        "cut": np.array(len(held_out) // 2),
    }
    results: dict[str, Results] = {}
    broken: Results = {}
    for part in tqdm(handed_in.PARTS, desc="grading", unit=" parts", leave=False, disable=None):
        nothing_to_read = {"error": np.array(fault)} if fault and part == "probabilities" else {}
        results[part] = nothing_to_read or broken or _run(path, part, given)
        broken = results[part] if "unusable" in results[part] else broken
    measured = rubric.measure(results["probabilities"], text)
    return [
        *rubric.of_forward(results["forward"], recorded),
        *rubric.of_backward(results["backward"], recorded),
        *rubric.of_gradient_check(results["gradient_check"]),
        *rubric.of_weights_file(results["weights_file"], recorded),
        *rubric.of_text(results["probabilities"], text, measured),
        *rubric.of_report(path, measured),
    ]


def table(rows: list[Graded]) -> str:
    """The rubric with its points and sentences, and their sum."""
    wide = max(len(row.item) for row in rows)
    lines = [f"{row.points} of {row.of}  {row.item:<{wide}}  {row.sentence}" for row in rows]
    lines.append(f"{sum(row.points for row in rows)} of {sum(row.of for row in rows)} points")
    return "\n".join([*lines, "", FOR_A_PERSON])


# ---- the learner's code, in a process of its own ----


def _run(folder: Path, part: str, given: Results) -> Results:
    """What a part returns; in its place ``error`` where it stopped, ended itself or had to be ended."""
    with tempfile.TemporaryDirectory() as place:
        asked, answered = Path(place) / "given.npz", Path(place) / "results.npz"
        np.savez(asked, **given)  # type: ignore[arg-type]
        words = [sys.executable, "-B", handed_in.__file__, str(folder), part, str(asked), str(answered)]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(words, cwd=folder, start_new_session=True, **quiet) as process:  # type: ignore[call-overload]
            try:
                code = process.wait(LIMITS[part])
            except subprocess.TimeoutExpired:
                imported = answered.with_suffix(".imported").exists()
                where = "it" if imported else "the import of lstm.py"
                error = f"{where} did not end within {LIMITS[part]:.0f} s and was stopped"
                return {"error": np.array(error)} | ({} if imported else {"unusable": np.array(True)})
            finally:
                if process.poll() is None:
                    _end(process)
        try:
            with np.load(answered) as file:
                return dict(file)
        except (OSError, ValueError, BadZipFile):
            return {"error": np.array(f"its process ended with exit code {code} and no answer")}


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and what it has started, where the system has groups of processes."""
    with suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def read_text(folder: Path) -> tuple[str, str]:
    """The learner's text, and in a sentence what is wrong with it."""
    try:
        text = (folder / "text.txt").read_text(encoding="utf-8")
    except OSError:
        return "", "expected text.txt, and it could not be read"
    except UnicodeDecodeError:
        return "", "text.txt must be UTF-8, and it is not"
    if len(text) < SHORTEST:
        return "", f"text.txt must have {SHORTEST:,} characters or more, got {len(text):,}"
    return text, ""
