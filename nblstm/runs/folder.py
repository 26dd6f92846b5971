"""Where a run is kept: the files of its folder, or, for a run without one, memory alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm import files
from nblstm.cells import Cell
from nblstm.models import Network
from nblstm.runs import checkpoints
from nblstm.runs.checkpoints import CHECKPOINT
from nblstm.runs.safeguards import alone

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODEL = "model.safetensors"
BEST = "best.safetensors"
REPORT = "run.json"
PICTURE = "loss.png"
"""What every job draws of its run, at the end."""


class RunFolder:
    """The files of one run, each replaced in one piece; see `nblstm.runs.Run`.

    Parameters
    ----------
    path : Path
    seen : pair of int, optional
        `checkpoints.identity` of the checkpoint that the run goes on from.
    """

    def __init__(self, path: Path, seen: tuple[int, int] | None = None) -> None:
        self.path, self._seen = path, seen

    @classmethod
    def new(cls, path: Path, *, numbered: bool, what: str = "run") -> RunFolder:
        """A new or empty folder, made; if `numbered` and `path` holds something, the next of path-2, path-3 and so on.

        Raises
        ------
        ValueError
            The folder holds something or cannot be written.
        """
        folder, number = path, 1
        try:
            while numbered and folder.is_dir() and any(folder.iterdir()):
                number += 1
                folder = path.with_name(f"{path.name}-{number}")
            folder.mkdir(parents=True, exist_ok=True)
            occupied = any(folder.iterdir())
        except OSError as error:
            raise ValueError(
                f"the {what}'s folder must be one that can be written, got {folder}: {error.strerror}"
            ) from error
        if occupied:
            raise ValueError(
                f"the {what}'s folder must be new or empty, got {folder}; resume its {what} or name another"
            )
        return cls(folder)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Nobody else trains the run meanwhile, nor has since it was resumed."""
        with alone(self.path):
            if checkpoints.identity(self.path / CHECKPOINT) != self._seen:
                raise ValueError(f"the run in {self.path} has gone on since it was resumed here: resume it anew")
            for leftover in self.path.glob(".*.tmp"):  # of a save during which the run was killed
                leftover.unlink(missing_ok=True)
            yield

    def save(
        self, model: Network, tensors: dict[str, np.ndarray], data: Mapping[str, Any], report: Mapping[str, Any]
    ) -> None:
        """Write the checkpoint, of tensors and data; then the model and run.json."""
        self._seen = checkpoints.write(self.path, tensors, data)
        model.save(self.path / MODEL)
        text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
        with files.atomic_write(self.path / REPORT) as file:
            file.write(text.encode("utf-8", "backslashreplace"))  # the name of a file may be no UTF-8

    def save_best(self, model: Network) -> None:
        """The model as it is now is the best so far."""
        model.save(self.path / BEST)

    def best(self, cell: Cell | None) -> Network | None:
        """The best model so far; `cell` is its cell, if it is one of the user's own."""
        return Network.load(self.path / BEST, cell) if (self.path / BEST).exists() else None

    def begin_anew(self) -> None:
        """The picture there is of the run as it was shorter."""
        (self.path / PICTURE).unlink(missing_ok=True)

    def draw(self, pictures: Mapping[str, Figure]) -> None:
        """Write figures as files of these names."""
        for name, figure in pictures.items():
            with files.atomic_write(self.path / name) as file:
                figure.savefig(file, format="png", dpi=120)


class NoFolder:
    """In place of a folder: nothing is written, or by another rank, and the best model stays in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path  # of the folder that another rank writes
        self._best: Network | None = None

    @contextmanager
    def training(self) -> Iterator[None]:
        """Nobody else has this run."""
        yield

    def save_best(self, model: Network) -> None:
        """The model as it is now is the best so far."""
        self._best = copy.deepcopy(model)

    def best(self, cell: Cell | None) -> Network | None:
        """The best model so far; from before the run was resumed, the one in the other rank's folder."""
        if self._best is None and self.path is not None:
            return RunFolder(self.path).best(cell)
        return copy.deepcopy(self._best)
