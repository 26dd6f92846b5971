"""What the folder of a search says of it: what was asked, and what came of each trial."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nblstm import files

RECORD = "search.json"
NAMES = {"job", "digest", "settings", "trials", "halving", "results"}


def write(folder: Path, asked: dict[str, Any]) -> None:
    """Replace search.json in one piece."""
    with files.atomic_write(folder / RECORD) as file:
        file.write((json.dumps(asked, indent=1) + "\n").encode("utf-8", "backslashreplace"))


def read(folder: Path) -> dict[str, Any]:
    """What was written.

    Raises
    ------
    ValueError
        No search there, or a damaged one.
    """
    path = folder / RECORD
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"{folder} must be the folder of a search, but its {RECORD} cannot be read: {error.strerror}"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not _whole(asked):
        raise ValueError(f"{path} is damaged: it must have what a search writes there")
    return asked


def _whole(asked: Any) -> bool:
    """Whether all is there that is looked at, and of its kind."""
    try:
        results = [(int(number), each["status"]) for number, records in asked["results"].items() for each in records]
        points = [*asked["trials"], asked["settings"]]
        return (
            asked.keys() >= NAMES
            and bool(asked["trials"])
            and all(isinstance(one, dict) for one in points)
            and (all(1 <= number <= len(asked["trials"]) for number, _ in results))
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
