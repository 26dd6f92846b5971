"""A child forked after parallel work computes what its parent does, with one thread; it is neither killed nor stuck."""

from __future__ import annotations

import os
import re

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
    last = np.array(state)
    return b"".join(a.tobytes() for a in (y, called, last, gradient, layer.flat_grads)) + str(loss).encode()

def made():
    from support.own_cells import COUPLED
    own, xlstm = (nblstm.Recurrent(cell, 40, 100, seed=2) for cell in (COUPLED, "slstm"))
    return nblstm.GRU(40, 200, bidirectional=True, seed=0), nblstm.LSTM(40, 700, seed=1), own, xlstm

def forked(check):
    child = os.fork()
    if not child:
        signal.alarm(900)  # kills it if it hangs
        os._exit(0 if check() else 3)
    return os.waitpid(child, 0)[1]

BATCHES = 64, 1, 64, 64  # shared out by rows, and by units
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
FORKED = 'print("fork", forked(same))\n'
TAPES = """
def forward(layers):
    rows = [np.random.default_rng(batch).standard_normal((20, batch, 40), dtype="float32") for batch in BATCHES]
    return [(layer, *layer.forward(x)) for layer, x in zip(layers, rows)]

def back(passes):
    found = []
    for layer, y, _, tape in passes:
        dx, dstate = layer.backward(np.sin(y), tape)
        found.append(b"".join(a.tobytes() for a in (dx, np.array(dstate), layer.flat_grads)))
    return found

there, pending = back(forward(made())), forward(made())
print("backward on the parent's tapes", forked(lambda: back(pending) == there))
"""
POOLED = """
with multiprocessing.get_context("fork").Pool(3) as pool:
    print("pool", int(pool.starmap(results, [*zip(layers, BATCHES)] * 2) != expected * 2))
"""
THREADED = """
done, layer = threading.Event(), made()[0]

def work():
    while not done.is_set():
        results(layer, 64)

busy = threading.Thread(target=work)
busy.start()
status = forked(same)
done.set()
busy.join()
print("fork while a thread works", status)
"""
ASKED = """
held, done = threading.Event(), threading.Event()

def ask():
    with parallel._backend_init_thread_lock:  # as a thread holds it that asks Numba for the number of threads
        held.set()
        done.wait()

asking = threading.Thread(target=ask)
asking.start()
held.wait()
print("fork while a thread asks for threads", forked(lambda: numba.get_num_threads() > 0))
done.set()
asking.join()
"""
KILLED = """
child = os.fork()
if not child:
    with parallel._backend_init_process_lock:  # as a child holds it that asks
        os.kill(os.getpid(), signal.SIGKILL)
_, status = os.waitpid(child, 0)
signal.alarm(900)
numba.get_num_threads()
signal.alarm(0)
print("killed while it asks", status - signal.SIGKILL)
"""
RENAMED = """
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

print("names of Numba's that are no more", forked(lambda: free() and same()))
"""
PREPARING = (
    NETS
    + """
from nblstm.kernels import tag
from nblstm.layers import packs

reached, forking, parent = queue.Queue(), threading.Semaphore(0), os.getpid()
begun, ended = [], []  # forks; one that has begun and not ended may wait for the lock that the other thread has again
os.register_at_fork(before=lambda: begun.append(1), after_in_parent=lambda: ended.append(1))
os.register_at_fork(before=forking.release)  # registered last, it runs first

def slow_at_first(owner, name, lock):
    quick, first = getattr(owner, name), [True]
    def slow(*arguments):
        with lock:
            if first and os.getpid() == parent:
                first.pop()
                reached.put(name)
                while not forking.acquire(timeout=0.01) and len(begun) == len(ended):
                    pass
                time.sleep(0.3)  # in which a fork that did not wait would be through
            return quick(*arguments)
    setattr(owner, name, slow)

def work():
    return bool(results(nblstm.LSTM(40, 200, seed=0), 64)) and len(nblstm.LSTM(3, 4)(np.ones((2, 2, 3), "float32")))

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


@pytest.mark.parametrize(
    ("layer", "scripts"),
    [
        ("omp", [FORKED, TAPES, POOLED, THREADED, ASKED, KILLED, RENAMED]),
        ("workqueue", [FORKED, TAPES]),
        ("tbb", [FORKED]),
    ],
)
def test_a_forked_child_computes_the_same(layer: str, scripts: list[str]) -> None:
    """Of a GRU, an LSTM, a cell of one's own and an sLSTM; each script says its name and how its child ended."""
    printed = run(layer, "-c", "\n".join([PARENT, *scripts]))
    said = [re.search(r'print\("([^"]+)"', script)[1] for script in scripts]
    assert printed.splitlines() == [f"{name} 0" for name in said]


def test_a_child_is_left_no_lock() -> None:
    """Forked while a thread starts Numba's threads, and compiles: both made slow enough to fork in between."""
    assert run("default", "-c", PREPARING) == "_launch_threads 0\ninstall 0\n_machine_code 0\n"
