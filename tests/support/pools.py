"""Pools of processes, each with a pool of threads, get the bits that the parent gets: see kernels/test_callers.py."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from support import callers

NAMES = ("rows shared out", "units shared out")


def use_in_threads(name: str) -> list[bytes]:
    """What four threads get from one layer."""
    layer = callers.LAYERS[name]()
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda caller: callers.use(layer, name, caller), range(4)))


def by_pool(kind: str) -> list[list[bytes]]:
    """The same from two processes."""
    if kind == "loky":
        from joblib import Parallel, delayed

        return Parallel(2, backend="loky")(delayed(use_in_threads)(name) for name in NAMES)
    with ProcessPoolExecutor(2, multiprocessing.get_context(kind)) as pool:
        return list(pool.map(use_in_threads, NAMES))


if __name__ == "__main__":
    before = by_pool(sys.argv[1])  # children of a parent that has started no threads yet
    expected = [use_in_threads(name) for name in NAMES]
    print(before == expected, by_pool(sys.argv[1]) == expected)
