"""The number of threads changes nothing, to the last bit; and one layer may be used by several threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import naive
import numba
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


@pytest.fixture
def threads(monkeypatch):
    """`numba.set_num_threads`, put back afterwards, and even the smallest piece of work shared out."""
    monkeypatch.setattr(driver, "SERIAL_BELOW", 0)
    before = numba.get_num_threads()
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("NUMBA_NUM_THREADS is 1: there is nothing to compare")
    yield numba.set_num_threads
    numba.set_num_threads(before)


@pytest.mark.parametrize("case", [*NETS, *grid(cell=naive.CELLS, sizes=[(5, 1, 3, 40)])], ids=str)
def test_any_number_of_threads_gives_the_same_bits(case, rng, threads):
    results = []
    layer, problem = case.layer(), Problem.draw(case, rng)
    for count in (1, 2):
        threads(count)
        results.append(run_layer(layer, problem))
    assert_agree(*results, tolerance=0)


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
