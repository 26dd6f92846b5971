"""What is told about the machine."""

from __future__ import annotations

import numba
import pytest

from nblstm import environment
from nblstm.kernels import driver
from nblstm.layers.linear import Linear


def test_describe_names_machine_and_versions() -> None:
    found = environment.describe()
    assert found["processor"]
    assert found["vector_bits"] in (128, 256, 512)
    assert (found["lanes_float32"], found["lanes_float64"]) == (found["vector_bits"] // 32, found["vector_bits"] // 64)
    assert found["threads"] == numba.get_num_threads()
    assert found["threading_layer"] in ("omp", "tbb", "workqueue")
    assert found["numba"] == numba.__version__


def test_only_what_may_change_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment.describe()
    monkeypatch.setattr(environment, "version", None)  # which reads files
    monkeypatch.setattr(environment, "Path", None)
    monkeypatch.setattr(driver.MEETINGS, "missed", 7)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert environment.describe() == before | {"threads": 1, "missed_meetings": 7}
    finally:
        numba.set_num_threads(threads)


def test_a_version_and_none() -> None:
    assert environment.version_of("numba") == numba.__version__
    assert environment.version_of("nblstm-of-tomorrow") == "not installed"


def test_the_cache_is_where_numba_keeps_the_kernels() -> None:
    Linear(2, 3, seed=0)(Linear(2, 2, seed=0).params["weight"].copy())
    assert sum(environment.cache().values()) > 0
