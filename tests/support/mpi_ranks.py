"""What the ranks of tests/ranks/test_mpi.py do: run by mpirun, with the folder that results go to.

One start serves for trainings by two, three and four ranks: those that a training has are a communicator of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from nblstm import Cell, CharLM, distributed, weights
from nblstm.cells import tanh
from nblstm.jobs import ClassificationJob, Job, TextJob, TextSettings, job
from nblstm.kernels import simd
from nblstm.runs import Run, common, run
from support.small_jobs import QUICK, sequences

TEXT = "a rose is a rose is a rose, said the little prince to the fox\n" * 9
STEPS = 4
MEASURED = ("step", "training", "validation")


def plain(a: Any) -> Any:
    return (), (tanh(a),)


def opposite(a: Any) -> Any:
    return (), (tanh(-a),)


def text_settings(folder: Path) -> TextSettings:
    """Of a run that saves and evaluates after every second step."""
    return TextSettings(
        text=str(folder / "text.txt"), hidden_size=33, batch_size=6, window=8, steps=STEPS, dropout=0.3, clip=0.5,
        seed=3, evaluate_every=2, shards=4,
    )  # fmt: skip


def result(folder: Path, record: Run) -> dict[str, Any]:
    """All that a run has come to but for times; of the folder by its first rank."""
    tensors = weights.load(folder / "checkpoint.safetensors")
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].tobytes())
    model = hashlib.sha256(b"".join(layer.flat_params.tobytes() for layer in record.model.layers)).hexdigest()
    best = record.best_model
    assert best is not None
    return {
        "checkpoint": digest.hexdigest(),
        "model": model,
        "best": hashlib.sha256(best.layers[0].flat_params.tobytes()).hexdigest(),
        "evaluations": [{name: each[name] for name in MEASURED} for each in record.evaluations],
    }


def trainings(folder: Path, name: str) -> dict[str, Any]:
    """A text and a classification, each trained whole; by the ranks there are."""
    text = Run.create(folder / f"text of {name}", TextJob(text_settings(folder)))
    assert text.train(progress=False)
    settings, parts = replace(QUICK, shards=4, epochs=1), [sequences(ClassificationJob, n, n) for n in (40, 12)]
    classes = Run.create(folder / f"classes of {name}", ClassificationJob(settings, *parts))
    assert classes.train(progress=False)
    found = {"text": text, "classes": classes}
    return {kind: result(Path(str(each.folder)), each) for kind, each in found.items()}


def stop(record: Run) -> None:
    """Ends a training in the middle, on all ranks."""
    if record.trainer.steps == 2:
        raise InterruptedError


def handed_on(folder: Path, ranks: distributed.Alone, fewer: distributed.Alone | None) -> dict[str, Any] | None:
    """A run that four ranks begin, of which two go on."""
    place = folder / "handed on"
    use(ranks)
    with contextlib.suppress(InterruptedError):
        Run.create(place, TextJob(text_settings(folder))).train(progress=False, on_evaluation=stop)
    ranks.gather(None)
    if fewer is None:
        return None
    use(fewer)
    text = Run.resume(place, TextJob)
    assert (text.trainer.steps, text.train(progress=False)) == (2, True)
    return {"text": result(place, text)}


def refusals(folder: Path, ranks: distributed.Alone) -> dict[str, str]:
    """What each rank is told."""
    use(ranks)
    settings, odd = text_settings(folder), ranks.rank == ranks.size - 1
    other = folder / "other.txt"
    said = {}

    def begin(name: str, settings: TextSettings, continue_from: CharLM | None = None) -> None:
        try:
            Run.create(folder / name, TextJob(settings, (), continue_from))
        except (ValueError, OSError) as error:
            said[name] = str(error)

    begin("data", replace(settings, text=str(other)) if odd else settings)
    begin("setting", replace(settings, lr=0.5) if odd else settings)
    cell = Cell("own", sums=("a",), forward=opposite if odd else plain)
    begin("equations", replace(settings, cell=cell))
    begin("weights", settings, CharLM("".join(sorted(set(TEXT))), 64, 33, 2, seed=int(odd)))
    begin("shards", replace(settings, shards=ranks.size - 1))
    with mock.patch.object(common, "source", return_value=str(odd)):
        begin("source", settings)
    with mock.patch.object(simd, "BYTES", 32 if odd else 64):
        begin("processor", settings)
    Run.create(folder / "taken", TextJob(settings))
    begin("taken", settings)
    begin("bad folder", settings)
    return said


def use(ranks: distributed.Alone) -> None:
    """Jobs take these ranks for all there are."""

    def ranks_for(shards: int) -> distributed.Alone:
        distributed.check_shards(shards, ranks.size)
        return ranks

    job.ranks_for = run.ranks_for = ranks_for


def main(folder: Path) -> None:
    from mpi4py import MPI

    world, found = distributed.world(), {}
    for size in (2, 3, 4):
        part = MPI.COMM_WORLD.Split(0 if world.rank < size else MPI.UNDEFINED)
        if part != MPI.COMM_NULL:
            use(distributed.Ranks(part))
            found[f"{size} ranks"] = trainings(folder, f"{size} ranks")
            if size == 2:
                two: distributed.Alone | None = distributed.Ranks(part)
        elif size == 2:
            two = None
        world.gather(None)
    found["handed on"] = handed_on(folder, world, two)
    found["refusals"] = refusals(folder, world)
    (folder / f"rank {world.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    Job.pictures = ClassificationJob.pictures = lambda *_: {}  # type: ignore[method-assign]
    main(Path(sys.argv[1]))
