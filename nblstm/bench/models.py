"""Beyond the LSTM's table, in this process: a character model, sampling, a cell's stream, and denormals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from nblstm.bench.peers import Torch
from nblstm.bench.results import OURS, Measurement
from nblstm.bench.sides import Ours, Problem, Side, check_same
from nblstm.bench.table import TABLE, Case
from nblstm.bench.timing import Timing, medians
from nblstm.bench.torch_models import TorchCharLM, torch_stream
from nblstm.layers.single_step import LSTMCell
from nblstm.models import CharLM
from nblstm.optim.optimizers import Adam
from nblstm.training import TextTrainer

Works = dict[str, Callable[[], Any]]

VOCABULARY = "".join(map(chr, range(100)))
WINDOW, BATCH, WINDOWS = 100, 32, 64
LEARNING_RATE, CLIP = 1e-3, 1.0
DRAWN = 500  # characters of one sample, the default of `nblstm sample`
GREEDY = 1e-6  # a temperature so low that only the likeliest character is drawn
INPUTS, UNITS, STREAMED = 64, 128, 100  # of the cell, and its steps that are timed together
TINY = 1e-39
NORMAL = np.finfo("float32").tiny  # numbers below it are denormal


def _set_threads(threads: int) -> None:
    """For nblstm and, if it is installed, PyTorch."""
    numba.set_num_threads(threads)
    if Torch.installed():
        import torch

        torch.set_num_threads(threads)


def _rates(row: str, threads: int, what: str, works: Works, characters: int, timing: Timing) -> list[Measurement]:
    """Time works that each deal with so many characters."""
    seconds = dict(zip(works, medians(list(works.values()), timing), strict=True))
    return [
        Measurement(
            row, "float32", threads, what, side, characters / taken, "characters/s",
            None if side == OURS else taken / seconds[OURS],
        )
        for side, taken in seconds.items()
    ]  # fmt: skip


def _character_models() -> tuple[CharLM, TextTrainer, TorchCharLM | None]:
    """The model and its training in both libraries, or in nblstm's alone."""
    model = CharLM(VOCABULARY, embedding_size=64, hidden_size=256, num_layers=2, seed=0)
    streams = np.random.default_rng(0).integers(len(VOCABULARY), size=(WINDOW * WINDOWS + 1, BATCH))
    trainer = TextTrainer(model, Adam(model.layers, lr=LEARNING_RATE), streams, WINDOW, clip=CLIP)
    peer = TorchCharLM(model, streams, WINDOW, LEARNING_RATE, CLIP) if Torch.installed() else None
    return model, trainer, peer


def training_step(threads: int, timing: Timing) -> list[Measurement]:
    """Characters per second of whole training steps: forward, loss, backward, clipping, Adam; the state is kept."""
    _set_threads(threads)
    _, trainer, peer = _character_models()
    works: Works = {OURS: trainer.step}
    if peer:
        works[Torch.name] = peer.step
        ours, theirs = (np.array([step() for _ in range(3)]) for step in works.values())
        check_same(Torch.name, {"the loss": ours}, {"the loss": theirs}, "float32")
    what = f"64 -> 2 x 256 -> {len(VOCABULARY)}, T = {WINDOW}, B = {BATCH}, clipping, Adam"
    return _rates("CharLM, training step", threads, what, works, WINDOW * BATCH, timing)


def sampling(threads: int, timing: Timing) -> list[Measurement]:
    """Characters per second when each is drawn from the model and read by it before the next."""
    _set_threads(threads)
    model, _, peer = _character_models()
    works: Works = {OURS: lambda: model.sample("A", DRAWN, 1.0, seed=0)}
    if peer:
        works[Torch.name] = lambda: peer.sample(VOCABULARY.index("A"), DRAWN, 1.0)
        ours = model.sample("A", DRAWN, GREEDY, seed=0)[1:]
        theirs = "".join(VOCABULARY[token] for token in peer.sample(VOCABULARY.index("A"), DRAWN, GREEDY))
        if ours != theirs:
            raise FloatingPointError(f"{Torch.name} and {OURS} draw other characters: there is nothing to time")
    return _rates("CharLM, sampling", threads, f"{DRAWN} characters, one by one", works, DRAWN, timing)


def streaming(threads: int, timing: Timing) -> list[Measurement]:
    """Microseconds of one step of a cell that is given one input after the other, B = 1."""
    _set_threads(threads)
    cell = LSTMCell(INPUTS, UNITS, seed=0)
    inputs = np.random.default_rng(0).standard_normal((STREAMED, INPUTS)).astype("float32")
    ours, rows = cell.stream(), list(inputs)

    def run_ours() -> list[np.ndarray]:
        return [ours(x) for x in rows]

    works: Works = {OURS: run_ours}
    if Torch.installed():
        import torch

        theirs, tensors = torch_stream(cell), list(torch.from_numpy(inputs)[:, None])

        def run_theirs() -> list[Any]:
            with torch.inference_mode():
                return [theirs(x) for x in tensors]

        works[Torch.name] = run_theirs
        expected = torch.cat(run_theirs()).numpy()
        check_same(Torch.name, {"h": np.array(run_ours())}, {"h": expected}, "float32")
    seconds = dict(zip(works, medians(list(works.values()), timing), strict=True))
    return [
        Measurement(
            "LSTMCell, streaming step", "float32", threads, f"{INPUTS} -> {UNITS}, B = 1", side,
            taken / STREAMED * 1e6, "µs", None if side == OURS else taken / seconds[OURS],
        )
        for side, taken in seconds.items()
    ]  # fmt: skip


def denormals(threads: int, timing: Timing) -> list[Measurement]:
    """A training pass whose states and gradients are all denormal, against the same pass over normal numbers."""
    case = Case(TABLE[4], "float32", threads)
    works: dict[tuple[str, str], Callable[[], Any]] = {}
    for numbers, scale in (("normal", 1.0), ("denormal", TINY)):
        problem = Problem(case)
        with problem.layer.editing() as params:
            for name in problem.layer.bias_names:
                params[name + "_l0"][...] = 0  # so that states become no larger than x
        problem.x, problem.dy = (array * np.float32(scale) for array in (problem.x, problem.dy))
        sides: list[Side] = [Ours(problem), *([Torch(problem)] if Torch.installed() else [])]
        found = sides[0].results()
        for name in ("y", "dx"):
            part = np.mean((found[name] != 0) & (np.abs(found[name]) < NORMAL))
            if not (part > 0.99 if scale == TINY else part < 0.01):
                raise FloatingPointError(f"{part:.0%} of {name} is denormal in the pass over {numbers} numbers")
        works |= {(side.name, numbers): side.train for side in sides}
    seconds = dict(zip(works, medians(list(works.values()), timing), strict=True))
    slower = {side: seconds[side, "denormal"] / seconds[side, "normal"] for side, _ in works}
    return [
        Measurement(
            "denormal numbers", "float32", threads, f"training {case.shape}: times as long as with normal ones", side,
            times, "times", None if side == OURS else times / slower[OURS],
        )
        for side, times in slower.items()
    ]  # fmt: skip
