"""A search, begun or resumed: its trials, who computes them, what is known so far, and which is the best."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nblstm import files
from nblstm.arguments import as_flag, as_path, as_size, as_text
from nblstm.cells.recorded import as_cell
from nblstm.jobs import Job
from nblstm.runs.folder import RunFolder
from nblstm.runs.safeguards import alone, interrupt
from nblstm.search import record, table
from nblstm.search.halving import counts_of, due, parts_of
from nblstm.search.picture import draw
from nblstm.search.progress import Progress
from nblstm.search.space import trials_of
from nblstm.search.trial import SESSION, Trial, train
from nblstm.search.workers import Cluster, Processes

PICTURE = "search.png"
TRIES = 2
LOOK = 0.2
"""Seconds after which it is looked whether someone has pressed Ctrl-C, or the scheduler is gone."""


class Search:
    """Many runs of one job with settings that differ, the best of them found by the lowest validation loss.

    Each trial is the run that `nblstm.runs.Run` makes of its settings, in a folder of its own, and can be resumed,
    sampled from and so on. Its bits do not depend on who computed it, nor on how often it was interrupted: seeds are
    those of its settings.

    With *successive halving* all n trials are trained to a part of their length, the best third of them goes on to
    three times that part, and so on to the end. For n trials there are 1 + ⌊log₃ n⌋ such rungs, four at most. A trial
    that goes on does so from its checkpoint, with the learning rate of the whole length: one that reaches the end is,
    bit for bit, the run that was never stopped.

    The folder holds ``search.json`` (what was asked, and what came of each trial), ``results.csv``, ``search.png``,
    and the runs, ``trials/001`` and so on.

    Attributes
    ----------
    folder : Path
    kind : type of Job
    settings : list of Settings
        Of each trial.
    results : list of dict
        A row for each trial, the best first: "trial", counted from 1, "status" (finished, stopped by halving,
        diverged, failed or waiting), "validation" (the lowest loss), "at_step" (its step), what else was measured
        there, and the settings that were searched.
    best : dict or None
        The first row, if it has a loss.
    best_folder : Path or None
        The folder of its run.

    Use `Search.create` or `Search.resume`, then `run`.

    Notes
    -----
    Successive halving: K. Jamieson and A. Talwalkar, *Non-stochastic best arm identification and hyperparameter
    optimization*, AISTATS 2016. That a third is kept is the advice of L. Li and others, *Hyperband*, JMLR 18, 2018.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from nblstm.jobs import RegressionJob, Sequences
    >>> from nblstm.search import Range, Search
    >>> x = np.random.default_rng(0).normal(size=(12, 90, 1)).astype("float32")
    >>> training, validation = Sequences(x[:, :60], x[-1, :60]), Sequences(x[:, 60:], x[-1, 60:])
    >>> space = {"hidden_size": [4, 8], "lr": Range(1e-3, 1e-1, log=True)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     search = Search.create(f"{folder}/search", RegressionJob, space, training, validation,
    ...         settings={"epochs": 3}, trials=3)
    ...     finished = search.run(workers=1, progress=False)
    >>> finished, len(search.results), search.best["status"], sorted(search.points[0])
    (True, 3, 'finished', ['hidden_size', 'lr'])
    """

    def __init__(self, folder: Path, kind: type[Job], asked: dict[str, Any], *data: Any) -> None:
        self.folder, self.kind, self.data, self.asked = folder, kind, data, asked
        self.points: list[dict[str, Any]] = asked["trials"]
        self.settings = [kind.settings_type(**{**asked["settings"], **point}) for point in self.points]
        self._results: dict[int, list[dict[str, Any]]] = {
            int(number): records for number, records in asked["results"].items()
        }
        job = kind(self.settings[0], *data)
        self.digest, self.measure, self.baselines, self.described = (
            job.digest, job.measure, job.baselines, job.describe()
        )  # fmt: skip

    @classmethod
    def create(
        cls, folder: str | Path, kind: type[Job], space: Mapping[str, Any], *data: Any,
        settings: Mapping[str, Any] | None = None, trials: int | None = None, halving: bool = False,
        random_state: int = 0, numbered: bool = False,
    ) -> Search:  # fmt: skip
        """A new search, in a new or empty folder, which is made.

        Parameters
        ----------
        folder : str or Path
        kind : type of Job
            What the trials train.
        space : mapping of str to list or Range
            For names of settings the values to try: a list, or a `Range` (or what else has ``rvs``, a distribution of
            ``scipy.stats``, say) to draw from.
        *data
            What `kind` takes besides the settings.
        settings : mapping of str to object, optional
            Settings that all trials have. Their length must be in steps or epochs.
        trials : int, optional
            How many to draw, with scikit-learn's ``ParameterSampler``; by default it is all combinations of the lists,
            ``ParameterGrid``. Lists alone may have fewer.
        halving : bool
            Whether most trials are stopped early; see above.
        random_state : int
            Of the draw. (The trials' own seed is the setting "seed".)
        numbered : bool
            See `nblstm.runs.Run.create`.

        Raises
        ------
        ValueError, TypeError
            A setting that does not exist, or that cannot be searched as losses would not compare (where the data are,
            what is a token, how classes weigh, the length); values that a setting refuses; and what the job refuses.
        """
        _check_kind_of_job(kind)
        settings = {} if settings is None else settings
        halving, numbered = as_flag("halving", halving), as_flag("numbered", numbered)
        made = trials_of(kind.settings_type, space, settings, trials, random_state)
        asked = {
            "job": kind.__name__,
            "settings": {name: made[0][1].record()[name] for name in settings},
            "trials": [point for point, _ in made],
            "halving": halving,
            "results": {},
        }
        search = cls(as_path("folder", folder), kind, asked, *data)
        asked["digest"] = search.digest
        search.folder = RunFolder.new(search.folder, numbered=numbered, what="search").path
        search._save()
        return search

    @classmethod
    def resume(cls, folder: str | Path, kind: type[Job], *data: Any) -> Search:
        """The search in `folder`, which goes on where it was stopped or killed.

        Parameters
        ----------
        folder : str or Path
        kind : type of Job
        *data
            As it was begun with.

        Raises
        ------
        ValueError
            No search there, one of another kind of job, or other data.
        """
        _check_kind_of_job(kind)
        asked = record.read(as_path("folder", folder))
        if asked["job"] != kind.__name__:
            raise ValueError(f"the search in {folder} must be one of {kind.__name__}, got one of {asked['job']}")
        search = cls(Path(folder), kind, asked, *data)
        if search.digest != asked["digest"]:
            raise ValueError(
                f"the data, with SHA-256 {search.digest}, are no longer those that the search in {folder} was begun "
                f"with, {asked['digest']}"
            )
        return search

    @property
    def parts(self) -> list[float]:
        """Up to which parts of their length trials are trained, one after the other: [1/9, 1/3, 1], say."""
        return parts_of(len(self.points), self.asked["halving"])

    @property
    def rungs(self) -> list[int]:
        """How many trials are trained up to each of these parts, if none fails: [20, 7, 3], say."""
        return counts_of(len(self.points), len(self.parts))

    @property
    def done(self) -> int:
        """How many of these trainings are over."""
        return sum(len(records) for records in self._results.values())

    def evaluations(self, trial: int) -> list[tuple[int, float]]:
        """Step and validation loss of each evaluation of a trial that has been trained."""
        records = [found for found in self._results[trial] if "evaluations" in found]
        return [(step, loss) for step, loss in records[-1]["evaluations"]]

    @property
    def results(self) -> list[dict[str, Any]]:
        """See above."""
        return table.ranked(self.points, self._results)

    @property
    def best(self) -> dict[str, Any] | None:
        """See above."""
        first = self.results[0]
        return first if first["status"] in ("finished", "stopped") else None

    @property
    def best_folder(self) -> Path | None:
        """See above."""
        return self._trial_folder(self.best["trial"]) if self.best else None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return not self._due()

    def run(
        self, workers: int | None = None, *, threads: int = 1, scheduler: str | None = None, progress: bool = True
    ) -> bool:
        """Compute the trials that are left, or until Ctrl-C.

        A trial whose process is killed, or that ends with an exception, is tried once more, from its checkpoint; then
        it counts as failed, and the search goes on. One that diverges would do so again, and counts as diverged.

        Parameters
        ----------
        workers : int, optional
            Processes of this machine, by default as many as fill its cores.
        threads : int
            Of each of them: small nets gain more by another trial at once than by another thread.
        scheduler : str, optional
            The address of a Dask cluster, "tcp://192.168.1.5:8786" say, whose workers compute the trials in place of
            processes of this machine. They must see `folder`, and have this version of nblstm.
        progress : bool
            Whether anything is printed.

        Returns
        -------
        bool
            Whether the search reached its end.

        Raises
        ------
        OSError
            The scheduler does not answer, has no workers or goes away; the search can be resumed.
        ValueError
            The search is computed already, or a worker has another version or does not see the folder.
        """
        threads, progress = as_size("threads", threads), as_flag("progress", progress)
        if scheduler is not None and workers is not None:
            raise ValueError(f"workers must be left out with a scheduler, which has its own, got {workers}")
        if workers is not None:
            workers = as_size("workers", workers)
        with ExitStack() as closing:
            closing.enter_context(alone(self.folder, "search"))
            if not self.finished:
                pool: Processes | Cluster
                if scheduler is None:
                    pool = Processes(workers, threads)
                else:
                    pool = Cluster(as_text("scheduler", scheduler), threads)
                closing.callback(pool.close)
                session = secrets.token_hex(8)
                with files.atomic_write(self.folder / SESSION) as file:
                    file.write(session.encode())
                closing.callback((self.folder / SESSION).unlink, missing_ok=True)
                self._compute(pool, session, progress)
        if self.best:
            with files.atomic_write(self.folder / PICTURE) as file:
                draw(self).savefig(file, format="png", dpi=120)
        return self.finished

    def _compute(self, pool: Processes | Cluster, session: str, wanted: bool) -> None:
        """Rung after rung: which trials go on is known only when all of one are through."""
        with interrupt() as interrupted, Progress(self, wanted) as report:
            report.say(str(pool))
            with report.preparing():
                cells = {as_cell(settings.cell).name: settings.cell for settings in self.settings}
                compiled = pool.prepare(self.folder.absolute(), list(cells.values()))
                while wait(compiled, LOOK).not_done and not interrupted.is_set():
                    pass
            for future in () if interrupted.is_set() else compiled:
                future.result()
            data = pool.share(self.data)
            while self._due() and not interrupted.is_set():
                self._rung(pool, session, data, interrupted, report)

    def _rung(
        self, pool: Processes | Cluster, session: str, data: Any, interrupted: threading.Event, report: Progress
    ) -> None:
        """All trials that are due, up to one part of their length; what fails is tried once more."""
        numbers = self._due()
        part = self.parts[len(self._results.get(numbers[0], ()))]
        waiting: dict[Future[Any], tuple[int, int]] = {}

        def submit(number: int, tries: int) -> None:
            folder = self._trial_folder(number).absolute()
            trial = Trial(folder, self.kind, self.settings[number - 1], self.digest, part, pool.threads, session)
            waiting[pool.submit(train, trial, data)] = number, tries

        for number in numbers:
            submit(number, 1)
        while waiting and not interrupted.is_set():
            ended, _ = wait(waiting, LOOK, FIRST_COMPLETED)
            if pool.lost:
                raise OSError("the Dask scheduler no longer answers")
            if not ended:
                report.idle(pool.idle)
            for future in ended:
                number, tries = waiting.pop(future)
                outcome = _outcome(future)
                if outcome["status"] == "failed" and tries < TRIES:
                    report.say(f"{table.line(number, self.points[number - 1], outcome)}; it is tried once more")
                    submit(number, tries + 1)
                elif outcome["status"] != "interrupted":
                    self._keep(number, part, outcome)
                    report.trial(number, self._results[number][-1])

    def _trial_folder(self, number: int) -> Path:
        return self.folder / "trials" / f"{number:03}"

    def _keep(self, number: int, part: float, outcome: dict[str, Any]) -> None:
        """One more is known."""
        if outcome["status"] == "done":
            outcome = outcome | {"status": "finished" if part == 1 else "stopped"}
        self._results.setdefault(number, []).append(outcome)
        self._save()

    def _due(self) -> list[int]:
        return due(len(self.points), len(self.parts), self._results)

    def _save(self) -> None:
        self.asked["results"] = {str(number): records for number, records in self._results.items()}
        record.write(self.folder, self.asked)
        table.write(self.folder, self.results)


def _check_kind_of_job(kind: type[Job]) -> None:
    if not isinstance(kind, type) or not issubclass(kind, Job):
        raise TypeError(f"kind must be a kind of Job, got {kind!r}")


def _outcome(future: Future[Any]) -> dict[str, Any]:
    """What a worker says of its trial, or is said of a worker that cannot say anything any more."""
    try:
        return future.result()
    except CancelledError:
        return {"status": "failed", "message": "the scheduler has cancelled it"}
    except Exception as error:
        return {"status": "failed", "message": f"{type(error).__name__}: {' '.join(str(error).split())}"}
