"""What came of the odyssey's trials, gathered from its searches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nblstm.experiments.odyssey import VARIANTS
from nblstm.experiments.odyssey_tasks import TASKS
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
