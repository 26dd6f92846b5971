"""Digests of results, as JSON, for the numbers of threads in the command: run by tests/kernels/test_threads.py."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace

import naive
import numba
import numpy as np

import nblstm
from support.cases import WITHOUT_TWIN, Case, Problem, Results, grid, run_and_call

DTYPES = ("float32", "float64")
FORMULATIONS = ("split", "concat")
KINDS = [
    *grid(cell=naive.KNOWN, formulation=FORMULATIONS),
    *grid(cell=WITHOUT_TWIN),
]
SIZES = [(20, B, 3, H) for B in (1, 2, 3) for H in (20, 128, 130)]
CASES = [
    *(replace(kind, num_layers=2, bidirectional=True, lengths=True, sizes=(6, 11, 3, 13)) for kind in KINDS),
    *(replace(kind, sizes=SIZES[(k + j) % len(SIZES)]) for k, kind in enumerate(KINDS) for j in (0, 4, 8)),
]
"""Many rows for few threads; and fewer rows than threads, with units enough for each, three sizes for every kind."""


def digests(results: Results) -> dict[str, str]:
    """By name of the result."""
    return {name: hashlib.sha256(array.tobytes()).hexdigest()[:16] for name, array in results.items()}


def of_case(case: Case, dtype: str, numbers: list[int]) -> list[dict[str, str]]:
    """For each number of threads, and for the last once more."""
    layer, problem = case.layer(dtype), Problem.draw(case, np.random.default_rng(20240607), dtype)
    found = []
    for threads in [*numbers, numbers[-1]]:
        numba.set_num_threads(threads)
        found.append(digests(run_and_call(layer, problem)))
    return found


def of_dropout(dtype: str, numbers: list[int]) -> list[dict[str, str]]:
    """The same for three layers that drop half of everything, each time from the same key."""
    case = Case(num_layers=3, sizes=(7, 5, 3, 21))
    layer = nblstm.LSTM(3, 21, 3, dropout=0.5, dtype=dtype, seed=1)
    problem, key, found = Problem.draw(case, np.random.default_rng(20240607), dtype), layer.dropout_state(), []
    for threads in numbers:
        numba.set_num_threads(threads)
        layer.set_dropout_state(key)
        found.append(digests(run_and_call(layer, problem)))
    return found


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    with nblstm.thread_policy(serial_below=0):
        everything = {f"{case} {dtype}": of_case(case, dtype, numbers) for case in CASES for dtype in DTYPES}
        everything |= {f"dropout {dtype}": of_dropout(dtype, numbers) for dtype in DTYPES}
    print(json.dumps(everything))
