"""A trial, as a worker trains it: a run in a folder of its own, up to a part of its length, in the threads it is given.

Whoever asks again for what is done already gets it from the run's checkpoint; so a trial whose worker was killed goes
on, and the same search ends in the same bits wherever and in whatever pieces it was computed.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nblstm.cells import Cell
from nblstm.cells.recorded import as_cell
from nblstm.environment import version_of
from nblstm.jobs import Job
from nblstm.jobs.settings import Settings
from nblstm.kernels.fingerprint import FINGERPRINT
from nblstm.runs import Run
from nblstm.runs.checkpoints import CHECKPOINT
from nblstm.runs.safeguards import alone

SESSION = "session"
"""The file that names who computes the search: trials of another session stop at their next evaluation."""


@dataclass(frozen=True)
class Trial:
    """What a worker is told.

    Attributes
    ----------
    folder : Path
        Of the trial's run; its search's is two above.
    kind : type of Job
    settings : Settings
    digest : str
        Of the data that the search was begun with.
    part : float
        Up to which part of its length the run is trained; 1 is its end.
    threads : int
    session : str
    """

    folder: Path
    kind: type[Job]
    settings: Settings
    digest: str
    part: float
    threads: int
    session: str

    @property
    def wanted(self) -> bool:
        """Whether the search that has asked for it still goes on."""
        return session_of(self.folder.parents[1]) == self.session


class Stopped(Exception):
    """The run is where it was to be trained to, or nobody wants it any more."""


def session_of(folder: Path) -> str | None:
    """Who computes the search in this folder; None for nobody, or where this machine does not see it."""
    try:
        return (folder / SESSION).read_text(encoding="utf-8")
    except OSError:
        return None


def train(trial: Trial, data: Sequence[Any]) -> dict[str, Any]:
    """Train a trial as far as it is wanted; what the table of the search says of it, also of one that fails.

    An exception is said in words: as it is, not every one finds its way to another process.
    """
    try:
        return _train(trial, data)
    except Exception as error:
        return {"status": "failed", "message": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def _train(trial: Trial, data: Sequence[Any]) -> dict[str, Any]:
    begun = time.perf_counter()
    with threads(trial.threads):
        run = _run(trial, data)
        if run.job.digest != trial.digest:
            raise ValueError(f"the data here, with SHA-256 {run.job.digest}, are not the search's, {trial.digest}")
        try:
            if run.finished or not _reached(run, trial.part):
                run.train(progress=False, verdict=False, on_evaluation=lambda run: _stop(run, trial))
        except Stopped:
            pass
        except FloatingPointError as error:
            return _record(run, trial, begun) | {"status": "diverged", "message": str(error).partition(";")[0]}
    return _record(run, trial, begun)


def _run(trial: Trial, data: Sequence[Any]) -> Run:
    """The trial's run, at its last checkpoint if there is one."""
    while (trial.folder / CHECKPOINT).exists():
        try:
            with alone(trial.folder):  # a worker that counts as lost may train it until its next evaluation
                break
        except ValueError:
            if not trial.wanted:
                raise
            time.sleep(0.2)
    else:
        shutil.rmtree(trial.folder, ignore_errors=True)  # of a worker that was killed before
        return Run.create(trial.folder, trial.kind(trial.settings, *data))
    return Run.resume(trial.folder, trial.kind, *data)


def _reached(run: Run, part: float) -> bool:
    """Whether an evaluation has shown where the run is at this part of its length."""
    assert run.total_steps
    return any(record["step"] >= part * run.total_steps for record in run.evaluations)


def _stop(run: Run, trial: Trial) -> None:
    if not run.finished and (_reached(run, trial.part) or not trial.wanted):
        raise Stopped


def _record(run: Run, trial: Trial, begun: float) -> dict[str, Any]:
    """Plain data: all evaluations up to the part, the best of them, and where they were computed."""
    assert run.total_steps
    beyond = [record["step"] for record in run.evaluations if record["step"] >= trial.part * run.total_steps]
    seen = [record for record in run.evaluations if not beyond or record["step"] <= beyond[0]]
    best = min(seen, key=lambda record: record["validation"], default=None)
    done = run.finished if trial.part == 1 else bool(beyond) or run.finished
    return {
        "status": "done" if done else "interrupted",
        "best": best,
        "step": seen[-1]["step"] if seen else 0,
        "steps": run.total_steps,
        "evaluations": [[record["step"], record["validation"]] for record in seen],
        "seconds": time.perf_counter() - begun,
        "worker": f"{platform.node()}:{os.getpid()}",
    }


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads for what this one calls, as far as Numba has them."""
    import numba

    before, most = numba.get_num_threads(), numba.config.NUMBA_NUM_THREADS
    if count > most:
        raise ValueError(f"threads must be at most the {most} that Numba has in a worker, got {count}")
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def compile_ahead(count: int, cells: Sequence[str | Cell]) -> None:
    """Compile the kernels of trials with these cells, or find them on the disk."""
    from nblstm import ahead

    with threads(count):
        for work in ahead.works("float32", map(as_cell, cells)):
            work()


def identity(folder: Path) -> dict[str, str]:
    """What must be the same in all workers of a search: versions, and the session that they see in its folder."""
    versions = {package: version_of(package) for package in ("nblstm", "numpy", "numba")}
    return {**versions, "kernels": f"{FINGERPRINT:x}", "session": session_of(folder) or "", "host": platform.node()}
