"""A training run and its folder: begun or resumed, trained to its end or until it is stopped, and what it writes."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nblstm import checkpoints, environment, parameters, reporting, weights
from nblstm.arguments import as_flag, as_number, as_path, check_kind
from nblstm.checkpoints import CHECKPOINT, Checkpoint, damage_named
from nblstm.jobs import Job
from nblstm.plot.sheet import brief
from nblstm.safeguards import alone, interrupt
from nblstm.schedules import warmup_cosine
from nblstm.settings import Settings

BEST = "best.safetensors"
PICTURE = "loss.png"
"""What every job draws of its run, at the end."""


class Run:
    """A training run: a job, its progress, and the folder that keeps it.

    The folder holds ``model.safetensors`` (see the model's ``load``), ``best.safetensors`` (as that, of the evaluation
    with the lowest validation loss so far), ``run.json`` (settings, versions, baselines, every evaluation), the job's
    pictures, ``loss.png`` among them, and ``checkpoint.safetensors`` (weights, the optimiser's moments, place in the
    data, the dropout generator), each replaced in one piece.

    Attributes
    ----------
    best : dict or None
        Step and validation loss of the evaluation that ``best.safetensors`` is from.

    Use `Run.create` or `Run.resume`, then `train`.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from nblstm.jobs import RegressionJob, Sequences
    >>> from nblstm.runs import Run
    >>> from nblstm.settings import SequenceSettings
    >>> x = np.random.default_rng(0).normal(size=(12, 90, 1)).astype("float32")
    >>> training, validation = Sequences(x[:, :60], x[-1, :60]), Sequences(x[:, 60:], x[-1, 60:])
    >>> job = RegressionJob(SequenceSettings(hidden_size=8, epochs=3), training, validation)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Run.create(folder, job).train()  # doctest: +ELLIPSIS
    step      0: ...
    step      3: ...
    True
    """

    def __init__(self, folder: Path, job: Job) -> None:
        self.folder, self.job, self.settings = folder, job, job.settings
        self.model, self.trainer = job.model, job.trainer
        self.total_steps = _total_steps(self.settings, job)
        self.ticks = self.total_steps or 1000  # of the schedule: steps, or thousandths of the minutes
        peak = self.settings.learning_rate
        self.schedule = warmup_cosine(peak, 0, self.ticks, final=peak / 20)
        self.seconds = 0.0
        self.saved = 0  # the step of the last checkpoint
        self._seen: tuple[int, int] | None = None  # that checkpoint's file, as it was read or written
        self._kept: Settings | None = None  # the settings in it
        self.losses: list[float] = []  # of the steps since the last evaluation
        self.evaluations: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None

    @classmethod
    def create(cls, folder: str | Path, job: Job) -> Run:
        """A new run in a new or empty folder, which is made.

        Raises
        ------
        ValueError
            The folder holds something or cannot be written.
        """
        check_kind("job", job, Job)
        run = cls(as_path("folder", folder), job)
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            occupied = any(run.folder.iterdir())
        except OSError as error:
            raise ValueError(
                f"the run's folder must be one that can be written, got {folder}: {error.strerror}"
            ) from error
        if occupied:
            raise ValueError(f"the run's folder must be new or empty, got {folder}; resume its run or name another")
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
            length from its beginning. A cell of your own must be given again, ``{"cell": ...}``: the run's files have
            not its equations. Other settings are those that the caller believes the run to have, or say where its data
            are now: a text, say, may have moved.

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
                run = cls(Path(folder), kind(settings, *data))
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
        return run

    def _take_over(self, checkpoint: Checkpoint) -> None:
        """Be where the checkpoint was written."""
        with damage_named(checkpoint.path):
            self.trainer.load_state_dict(checkpoint.tensors, checkpoint.data["trainer"])
            self.seconds = as_number("seconds", checkpoint.data["seconds"])
            self.losses = [as_number("losses", loss) for loss in checkpoint.data["losses"]]
            self.evaluations = [checkpoints.evaluation(record) for record in checkpoint.data["evaluations"]]
            most = _total_steps(checkpoint.settings, self.job)
            if most and self.trainer.steps > most:
                raise ValueError(f"steps must be at most {most}, got {self.trainer.steps}")
            if (self.folder / BEST).exists():
                self.best = checkpoint.best()
        self.saved, self._seen, self._kept = self.trainer.steps, checkpoint.identity, checkpoint.settings

    @property
    def progress(self) -> float:
        """The part of the run that is done, 1 at the end."""
        if self.total_steps:
            return self.trainer.steps / self.total_steps
        return min(1.0, self.seconds / (60 * (self.settings.minutes or 0.0)))

    @property
    def verdict(self) -> str:
        """A sentence on a run that ended clearly worse than it was at its best; empty where there is none to say."""
        return reporting.verdict(self.job, self.evaluations, self.folder / BEST)

    def train(self, *, verdict: bool = True) -> bool:
        """Train to the end, or until Ctrl-C; evaluate and save as it goes.

        The bar on stderr shows the loss of the last step and the speed; each evaluation prints a line. The first Ctrl-C
        (or the system's SIGTERM) stops after the step under way and saves, a second one stops at once. (Signals are the
        main thread's: in another one a run goes on to its end.)

        Parameters
        ----------
        verdict : bool
            Whether the run's `verdict` is printed at its end, if there is one.

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
        verdict = as_flag("verdict", verdict)
        with alone(self.folder), interrupt() as interrupted, self._divergence_named():
            if checkpoints.identity(self.folder / CHECKPOINT) != self._seen:
                raise ValueError(f"the run in {self.folder} has gone on since it was resumed here: resume it anew")
            for leftover in self.folder.glob(".*.tmp"):  # of a save during which the run was killed
                leftover.unlink(missing_ok=True)
            if self.settings != self._kept:
                self._save()  # should the run be killed, it goes on to its new length, with its data where they are now
                (self.folder / PICTURE).unlink(missing_ok=True)  # of the run as it was shorter
            with reporting.bar(self.job, self.trainer.steps, self.total_steps) as bar:
                self._learn(bar, interrupted)
                self._save()
                if verdict and self.progress == 1 and self.verdict:
                    reporting.say(bar, self.verdict)
            self._draw()
        return self.progress == 1

    def _learn(self, bar: Any, interrupted: threading.Event) -> None:
        """Step after step to the end of the run, or until `interrupted`."""
        begun = time.perf_counter() - self.seconds
        if not self.evaluations:
            reporting.say(bar, self._evaluate())
        since, first = time.perf_counter(), self.trainer.steps
        while self.progress < 1 and not interrupted.is_set():
            self.losses.append(self.trainer.step(self.schedule(round(self.progress * self.ticks))))
            self.seconds = time.perf_counter() - begun
            bar.set_postfix_str(f"{brief(self.losses[-1], 3)} {self.job.measure}", refresh=False)
            bar.update(self.job.size)
            if self.trainer.steps % self.settings.evaluate_every == 0 or self.progress == 1:
                seconds = time.perf_counter() - since
                line = self._evaluate((self.trainer.steps - first) * self.job.size / seconds)
                self._save()
                reporting.say(bar, line)
                since, first = time.perf_counter(), self.trainer.steps

    @contextmanager
    def _divergence_named(self) -> Iterator[None]:
        """Say of numbers that are no longer finite what is kept, and what to do."""
        try:
            yield
        except FloatingPointError as error:
            raise FloatingPointError(
                f"training diverged at {error}; {self.folder} keeps the checkpoint of step {self.saved}; "
                f"begin a new run with a learning rate below {self.settings.learning_rate:g}"
            ) from error

    def _evaluate(self, speed: float | None = None) -> str:
        """Measure on the validation part, record it, and say it in a line; `speed` of training in items per second."""
        measured = self.job.evaluate()
        loss = measured["validation"]
        if not math.isfinite(loss):
            self.trainer.check_finite()
            raise FloatingPointError(f"step {self.trainer.steps}: the validation loss is {loss}")
        training = float(np.mean(self.losses)) if self.losses else None
        record = {"step": self.trainer.steps, "seconds": round(self.seconds, 1), "training": training}
        self.evaluations.append(record | measured | {f"{self.job.item}s_per_second": speed and round(speed)})
        self.losses = []
        if self.best is None or loss < self.best["validation"]:
            self.trainer.check_finite()
            self.model.save(self.folder / BEST)  # before the checkpoint: after a kill between, it is found once more
            self.best = {"step": self.trainer.steps, "validation": loss}
        return reporting.line(self.job, self.evaluations[-1], speed)

    def _save(self) -> None:
        """Write checkpoint, model and run.json, unless there is something not finite to write."""
        self.trainer.check_finite()
        tensors, plain = self.trainer.state_dict()
        shared = {
            "job": type(self.job).__name__,
            "settings": self.settings.record(),
            "digest": self.job.digest,
            "seconds": self.seconds,
            "evaluations": self.evaluations,
            "best": self.best,
            "finished": self.progress == 1,
        }
        self._seen = checkpoints.write(self.folder, tensors, shared | {"trainer": plain, "losses": self.losses})
        self.model.save(self.folder / "model.safetensors")
        report = shared | {
            "steps": self.trainer.steps,
            "parameters": self.model.num_parameters,
            **self.job.facts,
            "baselines": self.job.baselines,
            "machine": environment.describe(),
        }
        with weights.atomic_write(self.folder / "run.json") as file:
            file.write((json.dumps(report, indent=2) + "\n").encode())
        self.saved, self._kept = self.trainer.steps, self.settings

    def _draw(self) -> None:
        """Draw the job's pictures."""
        for name, figure in self.job.pictures(self.evaluations).items():
            with weights.atomic_write(self.folder / name) as file:
                figure.savefig(file, format="png", dpi=120)


def _total_steps(settings: Settings, job: Job) -> int | None:
    """How long a run is with these settings, if that is known beforehand."""
    return settings.steps or (settings.epochs and settings.epochs * job.batches)
