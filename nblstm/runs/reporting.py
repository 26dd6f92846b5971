"""What a run says while it goes: a bar, a table of its evaluations, and at the end what they come to, in words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from nblstm.jobs import Job
from nblstm.plot.sheet import brief


class Report:
    """The bar and the lines of one training; all of it silent where nobody wants or can see it.

    The bar is for terminals and notebooks, and not for pipes and files. In a notebook it shares the stream of the
    lines: of another one the bars would stay between them.

    Parameters
    ----------
    job : Job
    steps : int
        Of the run that are done.
    total_steps : int, optional
        If that is known.
    wanted : bool
    """

    def __init__(self, job: Job, steps: int, total_steps: int | None, wanted: bool) -> None:
        from tqdm import tqdm

        self.job, self.wanted, self._begun = job, wanted, False
        stream = sys.stdout if of_a_notebook(sys.stdout) else sys.stderr
        seen = stream is not None and (of_a_notebook(stream) or stream.isatty())
        self.bar: Any = tqdm(
            desc="training",
            unit=f" {job.item}s",
            unit_scale=True,
            total=total_steps and total_steps * job.size,
            initial=steps * job.size,
            mininterval=0.5,
            disable=not (wanted and seen),
            dynamic_ncols=True,
            file=stream,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def step(self, loss: float) -> None:
        """One more is done."""
        beside = f", {self.job.ranks.size} ranks" if self.job.ranks.size > 1 else ""
        self.bar.set_postfix_str(f"{brief(loss, 3)} {self.job.measure}{beside}", refresh=False)
        self.bar.update(self.job.size)

    @contextmanager
    def validating(self) -> Iterator[None]:
        """The bar says what takes so long meanwhile."""
        self.bar.set_description_str("validating")
        yield
        self.bar.set_description_str("training", refresh=False)

    def evaluation(self, record: dict[str, Any]) -> None:
        """A row of the table, and above the first one its head."""
        lines = [row(self.job, record)]
        if not self._begun:
            lines = [*head(self.job), *lines]
        self._begun = True
        self.say("\n".join(lines))

    def say(self, text: str) -> None:
        """Lines above the bar, if anyone listens, and at once: a pipe would keep them back."""
        if self.wanted and sys.stdout is not None:
            self.bar.write(text)
            sys.stdout.flush()


def of_a_notebook(stream: Any) -> bool:
    """Whether what is written there is shown below a cell."""
    return type(stream).__module__.startswith("ipykernel")


def head(job: Job) -> list[str]:
    """What the numbers are, what they must beat, and the columns."""
    beside = ", ".join(f"{name} {brief(value, 2)}" for name, value in job.baselines.items())
    return [f"validation and training: {job.measure}", f"to beat: {beside}", _cells(_columns(job))]


def row(job: Job, record: dict[str, Any]) -> str:
    """An evaluation under the head."""
    training, speed = record["training"], record.get(f"{job.item}s_per_second")
    return _cells([
        f"{record['step']:,}",
        brief(record["validation"], 3),
        "-" if training is None else brief(training, 3),
        *(show(record[name]) if name in record else "-" for name, (_, show) in job.metrics.items()),
        "-" if speed is None else f"{speed:,}",
        *([format(record.get("waiting") or 0.0, ".1%")] if job.ranks.size > 1 else []),
    ], _columns(job))  # fmt: skip


def _columns(job: Job) -> list[str]:
    return ["step", "validation", "training", *(heading for heading, _ in job.metrics.values()), f"{job.item}s/s"] + [
        f"{job.ranks.size} ranks waiting"
    ] * (job.ranks.size > 1)


def _cells(cells: list[str], columns: list[str] | None = None) -> str:
    """Cells as wide as their columns, right-justified."""
    return "  ".join(cell.rjust(max(8, len(column))) for cell, column in zip(cells, columns or cells, strict=True))


def summary(job: Job, evaluations: list[dict[str, Any]], patience: int | None) -> str:
    """How the last evaluation compares with the best of the baselines, in words.

    `patience` is how many evaluations without a lower loss have ended the run, if they have.
    """
    loss = evaluations[-1]["validation"]
    name, value = min(job.baselines.items(), key=lambda pair: pair[1])
    beside = "better" if loss < value else "worse"
    how = f"{brief(abs(value - loss), 3)} {beside} than" if loss != value else "the same as"
    others = [f"{heading} {show(evaluations[-1][key])}" for key, (heading, show) in job.metrics.items()
              if key in evaluations[-1]]  # fmt: skip
    early = ""
    if patience is not None:
        count, step = (
            "one evaluation" if patience == 1 else f"{patience} evaluations",
            evaluations[-1 - patience]["step"],
        )
        early = f"ended early: {count} without a lower loss than that of step {step:,}\n"
    return early + "; ".join(
        [f"validation ends at {brief(loss, 3)} {job.measure}, {how} {name} ({brief(value, 3)})", *others]
    )


def verdict(job: Job, evaluations: list[dict[str, Any]], where: str) -> str:
    """A sentence on a run that ends with clearly less than it had gained, a twentieth of it or all; or nothing.

    `where` says where the best weights are.
    """
    first, last, best = evaluations[0], evaluations[-1], min(evaluations, key=_validation)
    if last["validation"] - best["validation"] <= (first["validation"] - best["validation"]) / 20:
        return ""
    before = " before the first step" if best is first else f" at step {best['step']:,}"
    return (
        f"the last evaluation, {brief(last['validation'], 3)} {job.measure}, is worse than the best, "
        f"{brief(best['validation'], 3)}{before}, whose weights are in {where}"
    )


def _validation(record: dict[str, Any]) -> float:
    return float(record["validation"])
