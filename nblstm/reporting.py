"""What a run says while it goes: a bar, a line for each evaluation, a sentence where it ends worse than it was."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from nblstm.jobs import Job
from nblstm.plot.sheet import brief


def bar(job: Job, steps: int, total_steps: int | None) -> Any:
    """On stderr, `steps` of a run being done."""
    from tqdm import tqdm

    return tqdm(
        desc="training",
        unit=f" {job.item}s",
        unit_scale=True,
        total=total_steps and total_steps * job.size,
        initial=steps * job.size,
        mininterval=0.5 if sys.stderr and sys.stderr.isatty() else 10.0,
        disable=sys.stderr is None,
        dynamic_ncols=True,
    )


def say(bar: Any, line: str) -> None:
    """A line above the bar, if anyone listens, and at once: a pipe would keep it back."""
    if sys.stdout is not None:
        bar.write(line)
        sys.stdout.flush()


def line(job: Job, evaluation: dict[str, Any], speed: float | None) -> str:
    """An evaluation beside what costs less than a network, and the `speed` of training in items per second."""
    beside = ", ".join(f"{name} {brief(value, 2)}" for name, value in job.baselines.items())
    right = f", {evaluation['accuracy']:.1%} right" if "accuracy" in evaluation else ""
    if "perplexity" in evaluation:
        perplexity, bits = evaluation["perplexity"], brief(evaluation["bits_per_character"], 3)
        whole = f"{perplexity:,.0f}" if 100 <= perplexity < 1e9 else f"{perplexity:.3g}"
        right = f", perplexity {whole}, {bits} bits per character"
    trained = "untrained"
    if evaluation["training"] is not None and speed is not None:
        trained = f"training {brief(evaluation['training'], 3)}, {speed:,.0f} {job.item}s/s"
    validation = f"validation {brief(evaluation['validation'], 3)} {job.measure} ({beside}){right}"
    return f"step {evaluation['step']:>6,}: {validation}; {trained}"


def verdict(job: Job, evaluations: list[dict[str, Any]], file: Path) -> str:
    """A sentence on a run that ends with clearly less than it had gained, a twentieth of it or all; or nothing.

    The best weights are in `file`.
    """
    first, last, best = evaluations[0], evaluations[-1], min(evaluations, key=_validation)
    if last["validation"] - best["validation"] <= (first["validation"] - best["validation"]) / 20:
        return ""
    before = " before the first step" if best is first else f" at step {best['step']:,}"
    return (
        f"the last evaluation, {brief(last['validation'], 3)} {job.measure}, is worse than the best, "
        f"{brief(best['validation'], 3)}{before}, whose weights are in {file}"
    )


def _validation(record: dict[str, Any]) -> float:
    return float(record["validation"])
