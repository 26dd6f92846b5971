"""Several callers at once, in threads and in pools of processes that have threads: the bits of one after the other."""

from __future__ import annotations

import multiprocessing
import os

import pytest
from support.threading_layers import LAYERS, run


@pytest.mark.parametrize("layer", LAYERS)
def test_eight_callers_get_what_each_gets_alone(layer: str) -> None:
    assert run(layer, "-m", "support.callers", "1") == f"{layer} {'and' if layer == 'omp' else 'without'} teams\n"


@pytest.mark.exhaustive
@pytest.mark.parametrize("layer", LAYERS)
def test_eight_callers_hundreds_of_times(layer: str) -> None:
    assert run(layer, "-m", "support.callers", "300", limit=3600).startswith(layer)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_threads_in_forked_processes() -> None:
    """Where a child that starts OpenMP's threads again would be killed by it."""
    assert run("omp", "-m", "support.pools", "fork") == "True True\n"


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["fork", "spawn", "loky"])
@pytest.mark.parametrize("layer", LAYERS)
def test_threads_in_processes_of_every_kind(layer: str, kind: str) -> None:
    if kind == "loky":
        pytest.importorskip("joblib", reason="needs joblib, which comes with scikit-learn: the extra `course`")
    elif kind not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {kind} on this system")
    assert run(layer, "-m", "support.pools", kind) == "True True\n"
