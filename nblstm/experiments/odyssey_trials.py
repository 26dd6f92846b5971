"""What came of the odyssey's trials: gathered from its searches, kept in one CSV file, read again."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nblstm.experiments.odyssey import VARIANTS
from nblstm.experiments.odyssey_tasks import TASKS
from nblstm.files import atomic_write
from nblstm.search import record


@dataclass(frozen=True)
class Trial:
    """A row: where it is from, what was drawn, and the losses at `at_step`, the evaluation of the lowest `validation`.

    `status` is that of the search: finished or diverged, when the losses are those of before; failed has none.
    """

    task: str
    variant: str
    search: str
    trial: int
    status: str
    lr: float
    hidden_size: int
    noise: float
    momentum: float
    seed: int
    at_step: int
    validation: float
    test: float
    test_accuracy: float


NAMES = [field.name for field in fields(Trial)]


def collect(folder: Path) -> tuple[list[Trial], int]:
    """The trials of all searches in a folder that have losses, and how many failed without."""
    found, failed = [], 0
    for file in sorted(folder.glob(f"*-*/{record.RECORD}")):
        asked = record.read(file.parent)
        task, variant, *_ = file.parent.name.split("-")
        for number, records in sorted((int(number), records) for number, records in asked["results"].items()):
            best, point = records[-1].get("best"), asked["trials"][number - 1]
            if best is None:
                failed += 1
                continue
            found.append(Trial(
                task, variant, file.parent.name, number, records[-1]["status"], **point, at_step=best["step"],
                **{name: round(best[name], 5) for name in ("validation", "test", "test_accuracy")},
            ))  # fmt: skip
    order = {name: place for place, name in enumerate((*TASKS, *VARIANTS))}
    return sorted(found, key=lambda each: (order[each.task], order[each.variant], each.search, each.trial)), failed


def write(file: Path, trials: Sequence[Trial]) -> None:
    """All trials as CSV, in the place of what `file` has."""
    text = io.StringIO()
    writer = csv.DictWriter(text, NAMES, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(trial) for trial in trials)
    with atomic_write(file) as out:
        out.write(text.getvalue().encode())


def read(file: Path) -> list[Trial]:
    """The trials of a file that `write` has written; one with other columns is refused."""
    kinds: dict[str, Any] = {
        field.name: {"int": int, "float": float, "str": str}[str(field.type)] for field in fields(Trial)
    }
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        if reader.fieldnames != NAMES:
            raise ValueError(f"{file} must be a table of the odyssey's trials, with the columns {', '.join(NAMES)}")
        try:
            return [Trial(**{name: read_as(row[name]) for name, read_as in kinds.items()}) for row in reader]
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file}, line {reader.line_num}, is no trial: {error}") from None
