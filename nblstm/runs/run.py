"""A training run: begun or resumed, trained to its end or until it is stopped, and what it keeps of itself."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nblstm import environment
from nblstm.arguments import as_flag, as_number, as_path, check_kind
from nblstm.cells import Cell
from nblstm.jobs import Job
from nblstm.jobs.settings import Settings
from nblstm.layers import parameters
from nblstm.models import Network
from nblstm.optim.schedules import warmup_cosine
from nblstm.runs import checkpoints, reporting
from nblstm.runs.checkpoints import Checkpoint, damage_named
from nblstm.runs.folder import BEST, NoFolder, RunFolder
from nblstm.runs.length import steps_between_evaluations, total_steps
from nblstm.runs.safeguards import interrupt

SAVED_EVERY = 300.0
"""Seconds after which a run is saved where no evaluation is due."""


class Run:
    """A training run: a job, its progress, and the folder that keeps it.

    The folder holds ``model.safetensors`` (see the model's ``load``), ``best.safetensors`` (as that, of the evaluation
    with the lowest validation loss so far), ``run.json`` (settings, versions, baselines, every evaluation), the job's
    pictures, ``loss.png`` among them, and ``checkpoint.safetensors`` (weights, the optimiser's moments, place in the
    data, the dropout generator), each replaced in one piece. A run may be without a folder: then nothing is written.

    Attributes
    ----------
    folder : Path or None
    job : Job
        Its ``model`` is the network as it is now.
    evaluations : list of dict
        One for each evaluation: "step", "seconds", "training" (the mean loss of the steps since the one before, None
        before the first), "validation" (the loss), what else the job measures ("accuracy", say), and the speed.
    best : dict or None
        Step and validation loss of the evaluation that `best_model` is from.

    Use `Run.create` or `Run.resume`, then `train`.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from nblstm.jobs import RegressionJob, Sequences
    >>> from nblstm.runs.run import Run
    >>> from nblstm.jobs.settings import SequenceSettings
    >>> x = np.random.default_rng(0).normal(size=(12, 90, 1)).astype("float32")
    >>> training, validation = Sequences(x[:, :60], x[-1, :60]), Sequences(x[:, 60:], x[-1, 60:])
    >>> job = RegressionJob(SequenceSettings(hidden_size=8, epochs=3), training, validation)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = Run.create(folder, job)
    ...     finished = run.train(progress=False)
    >>> finished, run.evaluations[-1]["step"]
    (True, 3)
    """

    def __init__(self, files: RunFolder | NoFolder, job: Job) -> None:
        self.files, self.job, self.settings = files, job, job.settings
        self.folder = files.path
        self.model, self.trainer = job.model, job.trainer
        self.total_steps = total_steps(self.settings, job)
        self.interval = steps_between_evaluations(self.settings, job)
        self.ticks = self.total_steps or 1000  # of the schedule: steps, or thousandths of the minutes
        peak = self.settings.lr
        self.schedule = warmup_cosine(peak, 0, self.ticks, final=peak / 20)
        self.seconds = 0.0
        self.saved = 0  # the step of the last checkpoint
        self._kept: Settings | None = None  # the settings in it
        self.losses: list[float] = []  # of the steps since the last evaluation
        self.evaluations: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None

    @classmethod
    def create(cls, folder: str | Path | None, job: Job, *, numbered: bool = False) -> Run:
        """A new run, in a new or empty folder, which is made.

        Parameters
        ----------
        folder : str, Path or None
            None for a run that writes nothing and cannot be resumed.
        job : Job
        numbered : bool
            Where the folder holds something already, an earlier run, say, take ``folder-2``, ``folder-3`` and so on:
            so a script or a cell can be run twice. The attribute `folder` says which it is.

        Raises
        ------
        ValueError
            The folder holds something or cannot be written.
        """
        check_kind("job", job, Job)
        numbered = as_flag("numbered", numbered)
        files = NoFolder() if folder is None else RunFolder.new(as_path("folder", folder), numbered=numbered)
        run = cls(files, job)
        run._save()
        return run

    @classmethod
    def resume(cls, folder: str | Path, kind: type[Job], *data: Any, given: Mapping[str, Any] | None = None) -> Run:
        """The run in `folder`, at its last checkpoint, and with a new length if that is wanted.

        Parameters
        ----------
        folder : str or Path
        kind : type of Job
            What the run trains.
        *data
            What `kind` takes besides the settings: the same data as when the run was begun.
        given : mapping of str to object, optional
            A new length, ``{"steps": 5000}`` say, ``"epochs"`` or ``"minutes"``, counted from the beginning of the run:
            it is trained further, also if it was finished. From here on the learning rate is that of a run of the new
            length, so it goes up from where it had fallen to; the whole is not the run that would have had this
            length from its beginning. A new ``"patience"``, or None for no end of it. A cell of your own must be given
            again, ``{"cell": ...}``: the run's files have not its equations. Other settings are those that the caller
            believes the run to have, or say where its data are now: a text, say, may have moved.

        Raises
        ------
        ValueError
            No run there or one of another kind, a damaged checkpoint, settings that differ (all are listed), a new
            length that is not beyond what is done, or data that have changed or are gone.
        """
        checkpoint = Checkpoint.read(folder, kind, given)
        settings = checkpoint.settings_with(given)
        wanted, moved = f"the data with SHA-256 {checkpoint.digest}", checkpoint.moved(given)
        with parameters.no_more_parameters_than(checkpoint.tensors, settings.num_layers):
            try:
                run = cls(RunFolder(Path(folder), checkpoint.identity), kind(settings, *data))
            except (ValueError, OSError) as error:
                if not moved:
                    raise
                raise ValueError(f"{error}; the run in {folder} wants {wanted}{moved}") from error
        if run.job.digest != checkpoint.digest:
            raise ValueError(
                f"the data, with SHA-256 {run.job.digest}, are no longer those that the run in {folder} was begun "
                f"with, {wanted}{moved}"
            )
        run._take_over(checkpoint)
        if settings.length != checkpoint.settings.length and run.progress >= 1:
            name, value = settings.length
            done = f"{run.seconds / 60:.2g} minutes" if name == "minutes" else f"{run.trainer.steps:,} steps"
            steps = f", which is {run.total_steps:,} steps" if name == "epochs" else ""
            raise ValueError(
                f"the run in {folder} must have a new length beyond the {done} that are done, got {name}={value}{steps}"
            )
        changed = (settings.length, settings.patience) != (checkpoint.settings.length, checkpoint.settings.patience)
        if changed and run.out_of_patience:
            raise ValueError(
                f"the run in {folder} has ended early: to train it further it must have a patience above "
                f"{run.without_gain}, got patience={settings.patience}"
            )
        return run

    def _take_over(self, checkpoint: Checkpoint) -> None:
        """Be where the checkpoint was written."""
        with damage_named(checkpoint.path):
            self.trainer.load_state_dict(checkpoint.tensors, checkpoint.data["trainer"])
            self.seconds = as_number("seconds", checkpoint.data["seconds"])
            self.losses = [as_number("losses", loss) for loss in checkpoint.data["losses"]]
            self.evaluations = [checkpoints.evaluation(record) for record in checkpoint.data["evaluations"]]
            most = total_steps(checkpoint.settings, self.job)
            if most and self.trainer.steps > most:
                raise ValueError(f"steps must be at most {most}, got {self.trainer.steps}")
            if (checkpoint.path.parent / BEST).exists():
                self.best = checkpoint.best()
        self.saved, self._kept = self.trainer.steps, checkpoint.settings

    @property
    def progress(self) -> float:
        """The part of the run that is done, 1 at the end."""
        if self.total_steps:
            return self.trainer.steps / self.total_steps
        return min(1.0, self.seconds / (60 * (self.settings.minutes or 0.0)))

    @property
    def without_gain(self) -> int:
        """How many evaluations there were since the best one."""
        return 0 if self.best is None else sum(record["step"] > self.best["step"] for record in self.evaluations)

    @property
    def out_of_patience(self) -> bool:
        """Whether the setting `patience` ends the run."""
        return self.settings.patience is not None and self.without_gain >= self.settings.patience

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end, by its length or by its patience."""
        return self.progress == 1 or self.out_of_patience

    @property
    def best_model(self) -> Network | None:
        """A copy of the network as it was at the evaluation with the lowest validation loss; None before the first."""
        cell = self.settings.cell
        return self.files.best(cell if isinstance(cell, Cell) else None)

    @property
    def summary(self) -> str:
        """How the run ended, in words; empty before the first evaluation."""
        if not self.evaluations:
            return ""
        patience = self.without_gain if self.out_of_patience else None
        return reporting.summary(self.job, self.evaluations, patience)

    @property
    def verdict(self) -> str:
        """A sentence on a run that ended clearly worse than it was at its best; empty where there is none to say."""
        where = "best_model" if self.folder is None else str(self.folder / BEST)
        return reporting.verdict(self.job, self.evaluations, where) if self.evaluations else ""

    def train(
        self, *, progress: bool = True, verdict: bool = True, on_evaluation: Callable[[Run], object] | None = None
    ) -> bool:
        """Train to the end, or until Ctrl-C; evaluate and save as it goes.

        In a terminal or a notebook a bar shows the loss of the last step and the speed; each evaluation prints a row.
        The first Ctrl-C (or the system's SIGTERM) stops after the step under way and saves, a second one stops at once.
        (Signals are the main thread's: in another one a run goes on to its end.)

        Parameters
        ----------
        progress : bool
            Whether anything is printed.
        verdict : bool
            Whether the run's `verdict` is printed at its end, if there is one.
        on_evaluation : function of Run, optional
            Called after each evaluation, when it is in `evaluations` and all is saved. What it raises ends the
            training there.

        Returns
        -------
        bool
            Whether the run reached its end.

        Raises
        ------
        FloatingPointError
            A loss, a gradient or a weight is no longer finite; the last checkpoint is kept.
        OSError
            The folder can no longer be written; the last checkpoint is kept.
        ValueError
            The run is being trained already, or has gone on elsewhere since it was resumed here.
        """
        progress, verdict = as_flag("progress", progress), as_flag("verdict", verdict)
        if on_evaluation is not None and not callable(on_evaluation):
            raise TypeError(f"on_evaluation must be a function of a run, got {type(on_evaluation).__name__}")
        with self.files.training(), interrupt() as interrupted, self._divergence_named():
            if self.settings != self._kept:
                self._save()  # should the run be killed, it goes on to its new length, with its data where they are now
                if isinstance(self.files, RunFolder):
                    self.files.begin_anew()
            with reporting.Report(self.job, self.trainer.steps, self.total_steps, progress) as report:
                self._learn(report, interrupted, on_evaluation)
                self._save()
                if self.finished:
                    report.say(self.summary)
                    if verdict and self.verdict:
                        report.say(self.verdict)
            if isinstance(self.files, RunFolder):
                self.files.draw(self.job.pictures(self.evaluations))
        return self.finished

    def _learn(
        self, report: reporting.Report, interrupted: threading.Event, on_evaluation: Callable[[Run], object] | None
    ) -> None:
        """Step after step to the end of the run, or until `interrupted`."""
        begun = time.perf_counter() - self.seconds
        since, first, saved = time.perf_counter(), self.trainer.steps, time.perf_counter()
        while True:
            if self._evaluation_is_due():
                now = time.perf_counter()
                with report.validating():
                    self._evaluate((self.trainer.steps - first) * self.job.size / (now - since))
                if self.trainer.steps:
                    self._save()
                report.evaluation(self.evaluations[-1])
                if on_evaluation is not None:
                    on_evaluation(self)
                since, first, saved = time.perf_counter(), self.trainer.steps, time.perf_counter()
            elif time.perf_counter() - saved > SAVED_EVERY:
                self._save()
                saved = time.perf_counter()
            if self.finished or interrupted.is_set():
                return
            self.losses.append(self.trainer.step(self.schedule(round(self.progress * self.ticks))))
            self.seconds = time.perf_counter() - begun
            report.step(self.losses[-1])

    def _evaluation_is_due(self) -> bool:
        """After so many steps or such a part of the minutes, before the first step and after the last; once."""
        if not self.evaluations:
            return True
        last, steps = self.evaluations[-1], self.trainer.steps
        if last["step"] == steps:
            return False
        if self.progress == 1:
            return True
        if self.interval is not None:
            return steps % self.interval == 0
        parts = 15 / (60 * (self.settings.minutes or 0.0))
        return int(self.seconds * parts) > int(last["seconds"] * parts)

    @contextmanager
    def _divergence_named(self) -> Iterator[None]:
        """Say of numbers that are no longer finite what is kept, and what to do."""
        try:
            yield
        except FloatingPointError as error:
            kept = "" if self.folder is None else f"; {self.folder} keeps the checkpoint of step {self.saved}"
            raise FloatingPointError(
                f"training diverged at {error}{kept}; begin a new run with a learning rate below {self.settings.lr:g}"
            ) from error

    def _evaluate(self, speed: float | None = None) -> None:
        """Measure on the validation part and record it; `speed` of training in items per second."""
        measured = self.job.evaluate()
        loss = measured["validation"]
        if not math.isfinite(loss):
            self.trainer.check_finite()
            raise FloatingPointError(f"step {self.trainer.steps}: the validation loss is {loss}")
        training = float(np.mean(self.losses)) if self.losses else None
        record = {"step": self.trainer.steps, "seconds": round(self.seconds, 1), "training": training}
        self.evaluations.append(record | measured | {f"{self.job.item}s_per_second": round(speed) if speed else None})
        self.losses = []
        if self.best is None or loss < self.best["validation"]:
            self.trainer.check_finite()
            self.files.save_best(self.model)  # before the checkpoint: after a kill between, it is found once more
            self.best = {"step": self.trainer.steps, "validation": loss}

    def _save(self) -> None:
        """Write checkpoint, model and run.json, unless there is something not finite to write."""
        self.trainer.check_finite()
        if isinstance(self.files, RunFolder):
            self._write(self.files)
        self.saved, self._kept = self.trainer.steps, self.settings

    def _write(self, files: RunFolder) -> None:
        """What a later `resume` needs, and what others read."""
        tensors, plain = self.trainer.state_dict()
        shared = {
            "job": type(self.job).__name__,
            "settings": self.settings.record(),
            "digest": self.job.digest,
            "seconds": self.seconds,
            "evaluations": self.evaluations,
            "best": self.best,
            "finished": self.finished,
            "out_of_patience": self.out_of_patience,
        }
        report = shared | {
            "steps": self.trainer.steps,
            "parameters": self.model.num_parameters,
            **self.job.facts,
            "baselines": self.job.baselines,
            "machine": environment.describe(),
        }
        files.save(self.model, tensors, shared | {"trainer": plain, "losses": self.losses}, report)
