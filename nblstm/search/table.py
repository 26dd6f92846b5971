"""The results of a search: rows in the order of their rank, the file that keeps them, lines for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nblstm import files
from nblstm.plot.sheet import brief

TABLE = "results.csv"


def ranked(points: Sequence[Mapping[str, Any]], results: Mapping[int, Sequence[Mapping[str, Any]]]) -> list[dict]:
    """A row for each trial: those that have a loss, the lowest first, then those that failed, then what waits.

    `results` has for each trial what came of it, rung by rung. Trials are counted from 1.
    """
    rows = []
    for number, point in enumerate(points, 1):
        record = results.get(number, [{"status": "waiting"}])[-1]
        best = record.get("best") or {}
        measured = {name: best[name] for name in best if name not in ("step", "training", "seconds", "validation")}
        rows.append(
            {
                "trial": number,
                "status": record["status"],
                "validation": best.get("validation"),
                "at_step": best.get("step"),
                "steps": record.get("step", 0),
                **{name: value for name, value in measured.items() if not name.endswith("_per_second")},
                **point,
                "seconds": round(sum(each.get("seconds", 0.0) for each in results.get(number, ())), 1),
                "message": record.get("message", ""),
            }
        )
    order = {"finished": 0, "stopped": 0, "diverged": 1, "failed": 1, "waiting": 2}
    return sorted(rows, key=lambda row: (order[row["status"]], _loss(row), row["trial"]))


def _loss(row: Mapping[str, Any]) -> float:
    return float("inf") if row["validation"] is None else float(row["validation"])


def write(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write results.csv, with the columns of all rows."""
    columns = list(dict.fromkeys(name for row in rows for name in row if name not in ("seconds", "message")))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, "seconds", "message"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with files.atomic_write(folder / TABLE) as file:
        file.write(text.getvalue().encode("utf-8", "backslashreplace"))


def said(point: Mapping[str, Any]) -> str:
    """Settings as one writes them."""
    return ", ".join(f"{name}={value}" for name, value in point.items())


def line(number: int, point: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """What came of a trial, as a row under `HEAD`."""
    best = record.get("best")
    loss = brief(best["validation"], 3) if best else "-"
    steps = f"{record['step']:,}" if "step" in record else "-"
    more = f"  {record['status']}: {record['message']}" if record.get("message") else ""
    return f"{number:>5}  {loss:>10}  {steps:>8}  {said(point)}{more}"


HEAD = f"{'trial':>5}  {'validation':>10}  {'step':>8}  settings"
