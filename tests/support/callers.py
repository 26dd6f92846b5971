"""Eight callers at once get the bits that each gets alone, under each threading layer: see kernels/test_callers.py."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numba
import numpy as np

import nblstm
from nblstm.datasets import streams
from nblstm.layers import passes
from nblstm.training import TextTrainer
from support.own_cells import COUPLED
from support.processes import LIMIT
from support.threading_layers import PATIENT

CALLERS = 8
SHAPES = {
    "serial": (5, 2, 3),
    "rows shared out": (10, 16, 20),
    "units shared out": (20, 1, 20),
}
LAYERS = {
    "serial": partial(nblstm.Recurrent, COUPLED, 3, 8, seed=0),
    "rows shared out": partial(nblstm.GRU, 20, 40, 2, bidirectional=True, seed=0),
    "units shared out": partial(nblstm.LSTM, 20, 128, peephole=True, formulation="concat", checkpoint=7, seed=0),
}


def use(layer: nblstm.Recurrent, name: str, caller: int) -> bytes:
    """Inference and training, with a tape and gradients of one's own."""
    T, B, I = SHAPES[name]
    rng = np.random.default_rng(caller)
    x = rng.standard_normal((T, B, I), dtype="float32")
    lengths = rng.integers(1, T + 1, B) if layer.bidirectional else None
    grads = layer.new_grads()
    called, state = layer(x, None, lengths)
    y, last, tape = layer.forward(x, None, lengths)
    dx, first = layer.backward(y, tape, last, grads=grads)
    arrays = (called, np.array(state), y, np.array(last), dx, np.array(first), grads.flat)
    return b"".join(array.tobytes() for array in arrays)


def trainer_of(caller: int) -> TextTrainer:
    """Of a character model of one's own, with the cell that has most states."""
    model = nblstm.CharLM("abcdef", 8, 40, 2, cell="slstm", dropout=0.2, seed=caller)
    tokens = np.random.default_rng(caller).integers(6, size=400)
    return TextTrainer(model, nblstm.Adam(model.layers, lr=0.01), streams(tokens, 8, 10), window=10, clip=1.0)


def learn(caller: int) -> bytes:
    """Train and ask a model, with as many threads as this caller likes."""
    numba.set_num_threads(1 + caller % numba.config.NUMBA_NUM_THREADS)
    trainer = trainer_of(caller)
    model = trainer.model
    losses = [trainer.step() for _ in range(3)]
    return f"{losses} {model.sample('a', length=20, seed=0)}".encode() + model.recurrent.flat_params.tobytes()


def works() -> dict[str, list[Callable[[], bytes]]]:
    """By name, what the callers do."""
    found: dict[str, list[Callable[[], bytes]]] = {}
    for name, make in LAYERS.items():
        one = make()
        found[f"{name}, one layer"] = [partial(use, one, name, caller) for caller in range(CALLERS)]
        found[f"{name}, layers apart"] = [partial(use, make(), name, caller) for caller in range(CALLERS)]
    return found | {"training": [partial(learn, caller) for caller in range(CALLERS)]}


def compare(repetitions: int) -> None:
    """All at once, over and over; the first time each thread still has everything to compile or to load."""
    everything = works()
    with ThreadPoolExecutor(CALLERS) as pool:
        for repetition in range(repetitions):
            found = {name: list(pool.map(lambda work: work(), several)) for name, several in everything.items()}
            if repetition == 0:
                expected = {name: [work() for work in several] for name, several in everything.items()}
            wrong = [name for name in expected if found[name] != expected[name]]
            assert not wrong, f"repetition {repetition}: {wrong}"


def look_on() -> None:
    """Two threads save, load and ask a model while it is trained: it learns what it learns alone."""
    watched, alone = trainer_of(0), trainer_of(0)
    model, done, looked, x = watched.model, threading.Event(), threading.Barrier(3), np.zeros((3, 2), int)

    def look(file: str) -> None:
        first = True
        while not done.is_set():
            model.save(file)
            nblstm.CharLM.load(file)
            model(x)
            model.sample("a", length=5, seed=0)
            if first:
                looked.wait(LIMIT)
                first = False

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(look, f"{folder}/{n}.safetensors") for n in range(2)]
        try:
            losses = [watched.step() for _ in range(15)]
            looked.wait(LIMIT)
            losses += [watched.step() for _ in range(15)]
        finally:
            done.set()
        for one in looks:
            one.result()
    assert losses == [alone.step() for _ in range(30)]
    assert np.array_equal(model(x)[0], alone.model(x)[0])


def interrupt() -> None:
    """A signal arrives while the main thread computes, and its handler computes too."""
    layer, x, handled = LAYERS["rows shared out"](), np.ones((200, 16, 20), "float32"), []
    signal.signal(signal.SIGALRM, lambda *_: handled.append(layer(x)[0]))
    seen = -1
    while len(handled) < 5:
        if seen != len(handled):
            seen = len(handled)
            signal.setitimer(signal.ITIMER_REAL, 1e-3)
        y = layer(x)[0]
    assert all(np.array_equal(other, y) for other in handled)


if __name__ == "__main__":
    outcomes = []
    ask = passes.run_as_team
    passes.run_as_team = lambda *arguments: outcomes.append(ask(*arguments)) or outcomes[-1]
    with nblstm.thread_policy(team_patience=PATIENT):
        compare(int(sys.argv[1]))
        look_on()
        if hasattr(signal, "setitimer"):
            interrupt()
    print(numba.threading_layer(), "and teams" if any(outcomes) else "without teams")
