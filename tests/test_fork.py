"""A child forked after parallel work computes what its parent does, with one thread; it is neither killed nor stuck."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import pytest

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system"),
    pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="with one core there are no threads to lose"),
]

PARENT = """
import multiprocessing, os, sys
import numpy as np
import nblstm

def results(layer, batch, tape=None):
    x = np.random.default_rng(batch).standard_normal((20, batch, 40), dtype="float32")
    layer.zero_grad()
    y, state, tape = layer.forward(x, tape=tape)
    layer.backward(y, tape)
    nblstm.clip_grad_norm([layer], 1.0)
    loss, gradient = nblstm.cross_entropy(y, np.zeros(y.shape[:2], int))
    called, _ = layer(x)
    return b"".join(a.tobytes() for a in (y, called, *state, gradient, layer.flat_grads)) + str(loss).encode()

def made():
    return nblstm.LSTM(40, 200, bidirectional=True, seed=0), nblstm.LSTM(40, 700, seed=1)

BATCHES = 64, 1  # shared out by rows, and by units
layers = made()
tapes = [layer.forward(np.zeros((20, batch, 40), "float32"))[2] for layer, batch in zip(layers, BATCHES)]
expected = [results(layer, batch) for layer, batch in zip(layers, BATCHES)]
"""
FORKED = """
child = os.fork()
if not child:
    same = [results(l, b, t) for l, b, t in zip(layers, BATCHES, tapes)] == expected  # with tapes made for two threads
    same &= [results(l, b) for l, b in zip(made(), BATCHES)] == expected
    os._exit(0 if same else 3)
_, status = os.waitpid(child, 0)
print("status", status)
"""
POOLED = """
with multiprocessing.get_context("fork").Pool(3) as pool:
    print("status", int(pool.starmap(results, [*zip(layers, BATCHES)] * 2) != expected * 2))
"""
THREADED = (
    """
import threading
busy = threading.Thread(target=lambda: [results(made()[0], 64) for _ in range(20)])
busy.start()
"""
    + FORKED
    + """
busy.join()
"""
)
ASKED = """
import signal, threading
from nblstm.environment import describe
from numba.np.ufunc import parallel
held, done = threading.Event(), threading.Event()

def ask():
    with parallel._backend_init_thread_lock:  # as a thread holds it that asks Numba for the number of threads
        held.set()
        done.wait()

asking = threading.Thread(target=ask)
asking.start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(60)
    describe()
    os._exit(0)
_, status = os.waitpid(child, 0)
done.set()
asking.join()
print("status", status)
"""
KILLED = """
import signal
from nblstm.environment import describe
from numba.np.ufunc import parallel
child = os.fork()
if not child:
    with parallel._backend_init_process_lock:  # as a child holds it that asks
        os.kill(os.getpid(), signal.SIGKILL)
_, status = os.waitpid(child, 0)
signal.alarm(60)
describe()
print("status", status - signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("script", "layer"),
    [
        (FORKED, "omp"),
        (FORKED, "workqueue"),
        (POOLED, "default"),
        (THREADED, "default"),
        (ASKED, "default"),
        (KILLED, "default"),
    ],
    ids=[
        "fork-omp",
        "fork-workqueue",
        "pool",
        "fork while a thread works",
        "fork while a thread asks for threads",
        "killed while it asks",
    ],
)
def test_a_forked_child_computes_the_same(script: str, layer: str) -> None:
    if layer == "omp":
        pytest.importorskip("numba.np.ufunc.omppool", reason="needs OpenMP's library", exc_type=ImportError)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NUMBA_THREADING_LAYER": layer}
    result = subprocess.run(
        [sys.executable, "-c", PARENT + script], capture_output=True, text=True, env=environment, timeout=300
    )
    assert (result.returncode, result.stdout) == (0, "status 0\n"), result.stderr
