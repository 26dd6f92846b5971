"""A child forked after parallel work computes what its parent does, with one thread; it is neither killed nor stuck."""

from __future__ import annotations

import os

import pytest
from support.threading_layers import run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

NETS = """
import contextlib, multiprocessing, os, queue, signal, sys, threading, time
import numba, numpy as np
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel
import nblstm
from nblstm.environment import describe

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

def forked(check):
    child = os.fork()
    if not child:
        signal.alarm(900)  # kills it if it hangs
        os._exit(0 if check() else 3)
    return os.waitpid(child, 0)[1]

BATCHES = 64, 1  # shared out by rows, and by units
"""
PARENT = (
    NETS
    + """
layers = made()
tapes = [layer.forward(np.zeros((20, batch, 40), "float32"))[2] for layer, batch in zip(layers, BATCHES)]
expected = [results(layer, batch) for layer, batch in zip(layers, BATCHES)]

def same():
    with_tapes_for_threads = [results(l, b, t) for l, b, t in zip(layers, BATCHES, tapes)]
    anew = [results(l, b) for l, b in zip(made(), BATCHES)]
    return with_tapes_for_threads == anew == expected and describe()["threads"] == 1
"""
)
FORKED = PARENT + 'print("status", forked(same))'
TAPES = (
    NETS
    + """
def forward(layers):
    rows = [np.random.default_rng(batch).standard_normal((20, batch, 40), dtype="float32") for batch in BATCHES]
    return [(layer, *layer.forward(x)) for layer, x in zip(layers, rows)]

def back(passes):
    found = []
    for layer, y, _, tape in passes:
        dx, dstate = layer.backward(np.sin(y), tape)
        found.append(b"".join(a.tobytes() for a in (dx, *dstate, layer.flat_grads)))
    return found

expected, pending = back(forward(made())), forward(made())
print("status", forked(lambda: back(pending) == expected))
"""
)
POOLED = (
    PARENT
    + """
with multiprocessing.get_context("fork").Pool(3) as pool:
    print("status", int(pool.starmap(results, [*zip(layers, BATCHES)] * 2) != expected * 2))
"""
)
THREADED = (
    PARENT
    + """
done, layer = threading.Event(), made()[0]

def work():
    while not done.is_set():
        results(layer, 64)

busy = threading.Thread(target=work)
busy.start()
status = forked(same)
done.set()
busy.join()
print("status", status)
"""
)
ASKED = (
    PARENT
    + """
held, done = threading.Event(), threading.Event()

def ask():
    with parallel._backend_init_thread_lock:  # as a thread holds it that asks Numba for the number of threads
        held.set()
        done.wait()

asking = threading.Thread(target=ask)
asking.start()
held.wait()
print("status", forked(lambda: numba.get_num_threads() > 0))
done.set()
asking.join()
"""
)
KILLED = (
    PARENT
    + """
child = os.fork()
if not child:
    with parallel._backend_init_process_lock:  # as a child holds it that asks
        os.kill(os.getpid(), signal.SIGKILL)
_, status = os.waitpid(child, 0)
signal.alarm(900)
numba.get_num_threads()
print("status", status - signal.SIGKILL)
"""
)
PREPARING = (
    NETS
    + """
from nblstm.kernels import tag
from nblstm.layers import packs

reached, forking, parent = queue.Queue(), threading.Semaphore(0), os.getpid()
os.register_at_fork(before=forking.release)  # registered last, it runs first

def slow_at_first(owner, name, lock):
    quick, first = getattr(owner, name), [True]
    def slow(*arguments):
        with lock:
            if first and os.getpid() == parent:
                first.pop()
                reached.put(name)
                forking.acquire()
                time.sleep(0.3)  # in which a fork that did not wait would be through
            return quick(*arguments)
    setattr(owner, name, slow)

def work():
    return bool(results(made()[0], 64)) and len(nblstm.LSTM(3, 4)(np.ones((2, 2, 3), "float32")))

slow_at_first(parallel, "_launch_threads", parallel._backend_init_thread_lock)
slow_at_first(tag, "install", contextlib.nullcontext())
slow_at_first(packs, "_machine_code", contextlib.nullcontext())
busy = threading.Thread(target=work)
busy.start()
for _ in range(3):
    print(reached.get(), forked(work))
busy.join()
"""
)
RENAMED = (
    PARENT
    + """
del parallel._is_initialized  # as a newer Numba may have it

def free():
    "Whether a thread other than this child's first may compile."
    found = []

    def ask():
        found.append(global_compiler_lock._lock.acquire(blocking=False))
        if found[0]:
            global_compiler_lock._lock.release()

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join()
    return found[0]

print("status", forked(lambda: free() and same()))
"""
)


@pytest.mark.parametrize(
    ("script", "layer"),
    [
        (FORKED, "omp"),
        (FORKED, "workqueue"),
        (FORKED, "tbb"),
        (TAPES, "omp"),
        (TAPES, "workqueue"),
        (POOLED, "default"),
        (THREADED, "default"),
        (ASKED, "default"),
        (KILLED, "default"),
        (RENAMED, "default"),
    ],
    ids=[
        "fork-omp",
        "fork-workqueue",
        "fork-tbb",
        "backward on the parent's tape-omp",
        "backward on the parent's tape-workqueue",
        "pool",
        "fork while a thread works",
        "fork while a thread asks for threads",
        "killed while it asks",
        "names of Numba's that are no more",
    ],
)
def test_a_forked_child_computes_the_same(script: str, layer: str) -> None:
    assert run(layer, "-c", script) == "status 0\n"


def test_a_child_is_left_no_lock() -> None:
    """Forked while a thread starts Numba's threads, and compiles: both made slow enough to fork in between."""
    assert run("default", "-c", PREPARING) == "_launch_threads 0\ninstall 0\n_machine_code 0\n"
