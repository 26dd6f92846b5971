"""The checkpoint of a run: how it is written, what is read from it, and with which settings the run goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nblstm import files
from nblstm.arguments import as_float, as_number, as_path, as_size, check_kind, shown
from nblstm.cells.recorded import as_record, cell_of
from nblstm.jobs import Job
from nblstm.jobs.settings import LENGTHS, Settings

FORMAT = "nblstm.checkpoint"
CHECKPOINT = "checkpoint.safetensors"
RENAMED = {"learning_rate": "lr"}
"""Settings of earlier versions, by the names that they had."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What the last save of a run left.

    Attributes
    ----------
    path : Path
    identity : tuple of int
        See `identity`.
    tensors : dict of str to numpy.ndarray
    data : dict
        All else that was saved, of which only what has a name here is checked.
    settings : Settings
    digest : str
    steps : int
        How many the run had gone.
    finished, out_of_patience : bool
        Whether that was its end, and whether it came early.
    """

    path: Path
    identity: tuple[int, int]
    tensors: dict[str, np.ndarray]
    data: dict[str, Any]
    settings: Settings
    digest: str
    steps: int
    finished: bool
    out_of_patience: bool

    @classmethod
    def read(cls, folder: str | Path, kind: type[Job], given: Mapping[str, Any] | None = None) -> Checkpoint:
        """The one in `folder`, of a run that trains this kind of job; a cell of one's own is `given`.

        Raises
        ------
        ValueError
            No run there or one of another kind, a damaged file, or a cell that is missing or another than the run's.
        """
        if not isinstance(kind, type) or not issubclass(kind, Job):
            raise TypeError(f"kind must be a kind of Job, got {kind!r}")
        path = as_path("folder", folder) / CHECKPOINT
        try:
            seen = identity(path)
            tensors, metadata = files.load_with_metadata(path)
        except OSError as error:
            raise ValueError(
                f"{folder} must be the folder of a run, but its {CHECKPOINT} cannot be read: {error.strerror or error}"
            ) from error
        if FORMAT not in metadata:
            raise ValueError(f"{path} must be a checkpoint written by a run; its metadata does not say so")
        with damage_named(path):
            data = files.unseal(metadata[FORMAT], tensors)
            found = data["job"]
        if found != kind.__name__:
            raise ValueError(f"the run in {folder} must be one of {kind.__name__}, got one of {found}")
        if given is not None:
            check_kind("given", given, Mapping)
        cell = (given or {}).get("cell")
        with damage_named(path):
            record = as_record(data["settings"]["cell"])
        if not isinstance(record, str):  # of those that come with the package settings know the names
            found = cell_of(record, cell, f"the run in {folder}", "cell=... (in Python given={'cell': ...})")
            data["settings"]["cell"] = found
        with damage_named(path):
            settings = kind.settings_type(
                **{RENAMED.get(name, name): value for name, value in data["settings"].items()}
            )
            steps = as_size("steps", data["trainer"]["steps"], least=0)
            finished, early = (data.get(name) is True for name in ("finished", "out_of_patience"))
            return cls(path, seen, tensors, data, settings, data["digest"], steps, finished, early)

    def settings_with(self, given: Mapping[str, Any] | None) -> Settings:
        """The run's own settings, but with the length, the patience and the location of its data that are given.

        Raises
        ------
        ValueError
            Other settings that are given and differ; all of them are listed.
        """
        if given is None:
            return self.settings
        own = dataclasses.asdict(self.settings)
        length = {name: given[name] for name in LENGTHS if given.get(name) is not None}
        replaced: dict[str, Any] = dict.fromkeys(LENGTHS if length else ()) | length
        replaced |= {name: given[name] for name in (*self.settings.LOCATION, "patience") if name in given}
        differing = [
            f"{name}={own[name]}, got {value}" if name in own else f"{name} is no setting, got {value}"
            for name, value in self._kept(given).items()
            if name not in replaced and (name not in own or value != own[name])
        ]
        if differing:
            raise ValueError(
                f"the run in {self.path.parent} must be resumed with its own settings: {'; '.join(differing)}"
            )
        return dataclasses.replace(self.settings, **replaced)

    def _kept(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What is given as settings keep it, plain data; what they refuse in words, which are none of theirs."""
        kept = dict(given)
        for name, value in given.items():
            if name in LENGTHS:  # of which one is enough
                continue
            try:
                kept[name] = getattr(dataclasses.replace(self.settings, **{name: value}), name)
            except (TypeError, ValueError):
                kept[name] = value if isinstance(value, str) else shown(value)
        return kept

    def moved(self, given: Mapping[str, Any] | None) -> str:
        """How to say where the data are now, for whoever has not said it: their old place has them no more."""
        location = self.settings.LOCATION
        if not location or any(name in (given or {}) for name in location):
            return ""
        folder = self.path.parent
        return (
            f": where they have moved, name their {location[0]} as when the run was begun, besides --resume {folder} "
            f"(in Python: given={{{location[0]!r}: ...}})"
        )

    def best(self) -> dict[str, Any] | None:
        """Step and validation loss of the best evaluation, if there was one."""
        if not self.data.get("best"):
            return None
        best = evaluation({"training": None} | self.data["best"])
        return {name: best[name] for name in ("step", "validation")}


def write(folder: Path, tensors: dict[str, np.ndarray], data: Mapping[str, Any]) -> tuple[int, int]:
    """Replace the checkpoint in `folder`; the new one's identity."""
    files.save(folder / CHECKPOINT, tensors, {FORMAT: files.seal(data, tensors)})
    return identity(folder / CHECKPOINT)


def identity(path: Path) -> tuple[int, int]:
    """What another save changes; the content need not be read for it."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Name the file when what was read from it does not make sense."""
    try:
        yield
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"{path} is a damaged checkpoint: {error}") from error


def evaluation(record: dict[str, Any]) -> dict[str, Any]:
    """One of a checkpoint's evaluations, if it has what pictures and reports are made of."""
    as_size("step", record["step"], least=0)
    for name, value in record.items():
        if name == "r2":
            as_number(name, abs(as_float(name, value)))
        elif value is not None or name == "validation":
            as_number(name, value)
    return {"training": record["training"], "validation": record["validation"]} | record
