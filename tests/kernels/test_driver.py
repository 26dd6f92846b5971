"""How threads are started: OpenMP's let go of their cores soon, unless somebody said otherwise."""

from __future__ import annotations

import os

import pytest
from support.threading_layers import run

from nblstm.kernels.driver import OPENMP_SPINS

STARTED = """
import os, sys
import numpy as np
import nblstm
with nblstm.thread_policy(serial_below=0):
    nblstm.LSTM(3, 5, seed=0)(np.ones((2, 2, 3), "float32"))
print(os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(
    ("given", "spins", "left"),
    [
        ({}, str(OPENMP_SPINS), "None"),
        ({"GOMP_SPINCOUNT": "77"}, "77", "77"),
        ({"OMP_WAIT_POLICY": "passive"}, "0", "None"),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else None,
)
def test_threads_without_work_sleep_soon(given: dict[str, str], spins: str, left: str) -> None:
    """What GNU's OpenMP took, as it tells by itself; the variable is gone again, so that no other program sees it."""
    inherited = {name: "" for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if name in os.environ and name not in given}
    if inherited:
        pytest.skip(f"{', '.join(inherited)} is set here")
    shown = run("omp", "-c", STARTED, threads=2, with_errors=True, OMP_DISPLAY_ENV="verbose", **given)
    if "GOMP_SPINCOUNT" not in shown:
        pytest.skip("this OpenMP is not GNU's")
    assert f"GOMP_SPINCOUNT = '{spins}'" in shown
    assert f"\n{left}\n" in f"\n{shown}"
