"""A training run and its folder: the loop, checkpoints, and how it is stopped and resumed."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nblstm import environment, parameters, weights
from nblstm.arguments import as_number, as_path, as_size, check_kind
from nblstm.jobs import Job
from nblstm.plot.sheet import brief
from nblstm.safeguards import alone, interrupt
from nblstm.schedules import warmup_cosine

FORMAT = "nblstm.checkpoint"
CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"


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
        self.total_steps = self.settings.steps or (self.settings.epochs and self.settings.epochs * job.batches)
        self.ticks = self.total_steps or 1000  # of the schedule: steps, or thousandths of the minutes
        peak = self.settings.learning_rate
        self.schedule = warmup_cosine(peak, 0, self.ticks, final=peak / 20)
        self.seconds = 0.0
        self.saved = 0  # the step of the last checkpoint
        self._seen: tuple[int, int] | None = None  # that checkpoint's file, as it was read or written
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
            raise ValueError(f"output must be a folder that can be written, got {folder}: {error.strerror}") from error
        if occupied:
            raise ValueError(f"output must be a new or empty folder, got {folder}; resume its run or name another")
        run._save()
        return run

    @classmethod
    def resume(cls, folder: str | Path, kind: type[Job], *data: Any, given: Mapping[str, Any] | None = None) -> Run:
        """The run in `folder`, at its last checkpoint.

        Parameters
        ----------
        folder : str or Path
        kind : type of Job
            What the run trains.
        *data
            What `kind` takes besides the settings: the same data as when the run was begun.
        given : mapping of str to object, optional
            Settings that the caller believes the run to have, or where its data are now: a text, say, may have moved.

        Raises
        ------
        ValueError
            No run there or one of another kind, a damaged checkpoint, settings that differ (all are listed), or data
            that have changed or are gone.
        """
        if not isinstance(kind, type) or not issubclass(kind, Job):
            raise TypeError(f"kind must be a kind of Job, got {kind!r}")
        if given is not None:
            check_kind("given", given, Mapping)
        path = as_path("folder", folder) / CHECKPOINT
        try:
            seen = _identity(path)
            tensors, metadata = weights.load_with_metadata(path)
        except OSError as error:
            raise ValueError(f"resume must name the folder of a run, got {folder}: {error}") from error
        if FORMAT not in metadata:
            raise ValueError(f"{path} must be a checkpoint written by a run; its metadata does not say so")
        with _damage_named(path):
            progress = weights.unseal(metadata[FORMAT], tensors)
            found = progress["job"]
        if found != kind.__name__:
            raise ValueError(f"the run in {folder} must be one of {kind.__name__}, got one of {found}")
        with _damage_named(path):
            settings = kind.settings_type(**progress["settings"])
            digest = progress["digest"]
        own = dataclasses.asdict(settings)
        moved = {name: value for name, value in (given or {}).items() if name in kind.settings_type.PLACES}
        believed = (
            (name, own.get(name, "no setting"), value) for name, value in (given or {}).items() if name not in moved
        )
        differing = [f"{name} is {known}, got {value}" for name, known, value in believed if value != known]
        if differing:
            raise ValueError(f"the run in {folder} must be resumed with its own settings: {'; '.join(differing)}")
        settings = dataclasses.replace(settings, **moved)
        with parameters.no_more_parameters_than(tensors, settings.num_layers), _data_named(folder, settings, digest):
            run = cls(Path(folder), kind(settings, *data))
            if run.job.digest != digest:
                raise ValueError(
                    f"the data are no longer those that the run in {folder} was begun with: their SHA-256 is "
                    f"{run.job.digest}"
                )
        with _damage_named(path):
            run.trainer.load_state_dict(tensors, progress["trainer"])
            run.seconds = as_number("seconds", progress["seconds"])
            run.losses = [as_number("losses", loss) for loss in progress["losses"]]
            run.evaluations = [_evaluation(record) for record in progress["evaluations"]]
            if run.progress > 1:
                raise ValueError(f"steps must be at most {run.total_steps}, got {run.trainer.steps}")
            if progress.get("best") and (run.folder / BEST).exists():
                run.best = _evaluation({"training": None} | progress["best"])
                run.best = {name: run.best[name] for name in ("step", "validation")}
            run.saved, run._seen = run.trainer.steps, seen
        return run

    @property
    def progress(self) -> float:
        """The part of the run that is done, 1 at the end."""
        if self.total_steps:
            return self.trainer.steps / self.total_steps
        return min(1.0, self.seconds / (60 * (self.settings.minutes or 0.0)))

    def train(self) -> bool:
        """Train to the end, or until Ctrl-C; evaluate and save as it goes.

        The bar on stderr shows the loss of the last step and the speed; each evaluation prints a line. The first Ctrl-C
        (or the system's SIGTERM) stops after the step under way and saves, a second one stops at once. (Signals are the
        main thread's: in another one a run goes on to its end.)

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
        from tqdm import tqdm

        size = self.job.size
        with alone(self.folder), interrupt() as interrupted, self._divergence_named():
            if _identity(self.folder / CHECKPOINT) != self._seen:
                raise ValueError(f"the run in {self.folder} has gone on since it was resumed here: resume it anew")
            for leftover in self.folder.glob(".*.tmp"):  # of a save during which the run was killed
                leftover.unlink(missing_ok=True)
            with tqdm(
                desc="training",
                unit=f" {self.job.item}s",
                unit_scale=True,
                total=self.total_steps and self.total_steps * size,
                initial=self.trainer.steps * size,
                mininterval=0.5 if sys.stderr and sys.stderr.isatty() else 10.0,
                disable=sys.stderr is None,
                dynamic_ncols=True,
            ) as bar:
                self._learn(bar, interrupted)
                self._save()
                if self.progress == 1 and (lost := self._lost()):
                    _print(bar, lost)
            self._draw()
        return self.progress == 1

    def _learn(self, bar: Any, interrupted: threading.Event) -> None:
        """Step after step to the end of the run, or until `interrupted`."""
        begun = time.perf_counter() - self.seconds
        if not self.evaluations:
            _print(bar, self._evaluate())
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
                _print(bar, line)
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
        beside = ", ".join(f"{name} {brief(value, 2)}" for name, value in self.job.baselines.items())
        right = f", {measured['accuracy']:.1%} right" if "accuracy" in measured else ""
        trained = "untrained"
        if training is not None and speed is not None:
            trained = f"training {brief(training, 3)}, {speed:,.0f} {self.job.item}s/s"
        validation = f"validation {brief(loss, 3)} {self.job.measure} ({beside}){right}"
        return f"step {self.trainer.steps:>6,}: {validation}; {trained}"

    def _lost(self) -> str:
        """A sentence about a run that ends with clearly less than it had gained: a twentieth of it is gone, or all."""
        first, last, best = self.evaluations[0], self.evaluations[-1], min(self.evaluations, key=_validation)
        if last["validation"] - best["validation"] <= (first["validation"] - best["validation"]) / 20:
            return ""
        before = " before the first step" if best is first else f" at step {best['step']:,}"
        return (
            f"the last evaluation, {brief(last['validation'], 3)} {self.job.measure}, is worse than the best, "
            f"{brief(best['validation'], 3)}{before}, whose weights are in {self.folder / BEST}"
        )

    def _save(self) -> None:
        """Write checkpoint, model and run.json, unless there is something not finite to write."""
        self.trainer.check_finite()
        tensors, plain = self.trainer.state_dict()
        shared = {
            "job": type(self.job).__name__,
            "settings": dataclasses.asdict(self.settings),
            "digest": self.job.digest,
            "seconds": self.seconds,
            "evaluations": self.evaluations,
            "best": self.best,
        }
        progress = weights.seal(shared | {"trainer": plain, "losses": self.losses}, tensors)
        weights.save(self.folder / CHECKPOINT, tensors, {FORMAT: progress})
        self._seen = _identity(self.folder / CHECKPOINT)
        self.model.save(self.folder / "model.safetensors")
        report = shared | {
            "finished": self.progress == 1,
            "steps": self.trainer.steps,
            "parameters": self.model.num_parameters,
            **self.job.facts,
            "baselines": self.job.baselines,
            "machine": environment.describe(),
        }
        with weights.atomic_write(self.folder / "run.json") as file:
            file.write((json.dumps(report, indent=2) + "\n").encode())
        self.saved = self.trainer.steps

    def _draw(self) -> None:
        """Draw the job's pictures."""
        for name, figure in self.job.pictures(self.evaluations).items():
            with weights.atomic_write(self.folder / name) as file:
                figure.savefig(file, format="png", dpi=120)


def _identity(path: Path) -> tuple[int, int]:
    """What another save changes; the content need not be read for it."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Name the file when what was read from it does not make sense."""
    try:
        yield
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"{path} is a damaged checkpoint: {error}") from error


@contextmanager
def _data_named(folder: str | Path, settings: Any, digest: str) -> Iterator[None]:
    """Say of data that are gone or changed which ones are wanted, and how they are named where they have moved."""
    try:
        yield
    except (ValueError, OSError) as error:
        places = " or ".join(name for name in settings.PLACES[:1])
        if not places:
            raise
        raise ValueError(
            f"{error}; the run in {folder} wants the data with SHA-256 {digest}: where they have moved, name their "
            f"{places} as when the run was begun, besides --resume {folder} (in Python: given={{{places!r}: ...}})"
        ) from error


def _validation(record: dict[str, Any]) -> float:
    return float(record["validation"])


def _evaluation(record: dict[str, Any]) -> dict[str, Any]:
    """One of a checkpoint's evaluations, if it has what pictures and reports are made of."""
    as_size("step", record["step"], least=0)
    for name, value in record.items():
        if value is not None or name == "validation":
            as_number(name, value)
    return {"training": record["training"], "validation": record["validation"]} | record


def _print(bar: Any, line: str) -> None:
    """A line above the bar, if anyone listens, and at once: a pipe would keep it back."""
    if sys.stdout is not None:
        bar.write(line)
        sys.stdout.flush()
