"""The number of threads changes nothing, to the last bit; and one layer may be used by several threads at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bits
import naive
import numpy as np
import pytest
from cases import Problem, assert_agree, grid, run_layer

from nblstm.kernels import driver

NETS = grid(
    cell=naive.CELLS,
    formulation=("split", "concat"),
    num_layers=(2,),
    bidirectional=(True,),
    lengths=(True,),
    sizes=[(6, 11, 3, 13)],
)


@pytest.fixture(scope="module")
def digests() -> dict[str, list[dict[str, str]]]:
    """What ``bits.py`` prints, from a process that has four threads whatever the machine."""
    environment = os.environ | {"NUMBA_NUM_THREADS": "4", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    script = [sys.executable, str(Path(__file__).with_name("bits.py"))]
    ran = subprocess.run(script, env=environment, check=True, capture_output=True, text=True, timeout=300)
    return json.loads(ran.stdout)


@pytest.mark.parametrize("dtype", bits.DTYPES)
@pytest.mark.parametrize("case", [*bits.CASES, "dropout"], ids=str)
def test_any_number_of_threads_gives_the_same_bits(case, dtype, digests):
    """For 1, 2, 3 and 4 threads, and when repeated."""
    first, *others = digests[f"{case} {dtype}"]
    assert len(others) >= len(bits.THREADS) - 1
    for other in others:
        assert other == first


@pytest.mark.parametrize("case", NETS, ids=str)
@pytest.mark.parametrize("serial_below", [0, 10**9], ids=["threads", "serial"])
def test_several_callers_at_once(case, serial_below, rng, monkeypatch):
    """Each with its own tape and its own gradients: what each would get alone."""
    monkeypatch.setattr(driver, "SERIAL_BELOW", serial_below)
    layer = case.layer()
    problems = [Problem.draw(case, rng) for _ in range(4)]
    expected = [run_layer(layer, problem) for problem in problems]
    with ThreadPoolExecutor(len(problems)) as pool:
        for _ in range(3):
            for found, alone in zip(
                pool.map(lambda problem: run_layer(layer, problem), problems), expected, strict=True
            ):
                assert_agree(found, alone, tolerance=0)
            for (y, _), alone in zip(
                pool.map(lambda p: layer(p.x, p.state, p.lengths), problems), expected, strict=True
            ):
                assert np.array_equal(y, alone["y"])
