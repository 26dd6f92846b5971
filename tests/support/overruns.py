"""What guard mode is there to see, done on purpose, each in a child process of its own; prints how each ended, as JSON.

Called with the side of the guard by tests/kernels/test_guard.py.
"""

from __future__ import annotations

import json
import os
import sys

import numba
import numpy as np
from numba import njit

from nblstm.kernels.simd import lanes_of, load, pointer, store
from support import guard

N = 37


@njit
def lanes(array):
    return lanes_of(pointer(array))


@njit
def number(array, at, write):
    p = pointer(array)
    if write:
        p[at] = 1.0
    return p[at]


@njit
def vector(array, at, write):
    p = pointer(array)
    if write:
        store(p, at, load(p, 0))
    else:
        store(p, 0, load(p, at))
    return array.sum()


@njit
def number_of_its_own(array, at, write):
    own = np.zeros(array.size, array.dtype)
    return number(own, at, write) + own[0]


@njit
def let_go(array, at, write):
    """Numba keeps the array for the first half of the line only."""
    p = pointer(np.zeros(array.size, array.dtype))
    return p[at]


def ending(kernel, at: int, write: bool) -> str:
    """How a child ends that runs the kernel: "well", in "NaN", or by a signal."""
    child = os.fork()
    if child == 0:
        array = np.zeros(N, np.float32)
        found = kernel(array, at, write)
        del array  # which is looked at once more
        os._exit(3 if np.isnan(found) else 0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "well", 3: "NaN", -6: "abort", -11: "fault"}[code]


if __name__ == "__main__":
    guard.install(sys.argv[1])
    some = np.zeros(N, np.float32)
    edge = {number: (0, N - 1), vector: (0, N - lanes(some))}
    edge[number_of_its_own] = edge[number]
    endings = {}
    for kernel, (first, last) in edge.items():
        kernel(some, first, True)  # compiled once, not in each child
        for write in (False, True):
            places = {"first": first, "last": last, "before": first - 1, "after": last + 1}
            endings |= {
                f"{kernel.__name__} {'written' if write else 'read'} {place}": ending(kernel, at, write)
                for place, at in places.items()
            }
    let_go.compile(tuple(map(numba.typeof, (some, 0, False))))
    print(json.dumps(endings | {"let go": ending(let_go, 0, False)}))
