"""The number of threads changes nothing, to the last bit; and one layer may be used by several threads at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import naive
import numpy as np
import pytest
from support import bits
from support.cases import WITHOUT_TWIN, Problem, assert_agree, grid, run_layer
from support.threading_layers import run

THREADS = (1, 2, 3, 4)
NETS = grid(
    cell=[*naive.KNOWN, *WITHOUT_TWIN],
    num_layers=(2,),
    bidirectional=(True,),
    lengths=(True,),
    sizes=[(6, 11, 3, 13)],
)


def printed(*threads: int) -> dict[str, list[dict[str, str]]]:
    """What ``bits.py`` prints, from a process that has as many threads whatever the machine."""
    return json.loads(run("default", "-m", "support.bits", *map(str, threads), threads=max(threads)))


@pytest.fixture(scope="module")
def digests() -> dict[str, list[dict[str, str]]]:
    return printed(*THREADS)


@pytest.mark.exhaustive
def test_many_threads_give_the_same_bits():
    for case, (first, *others) in printed(1, 5, 8).items():
        assert others == [first] * len(others), case


@pytest.mark.parametrize("dtype", bits.DTYPES)
@pytest.mark.parametrize("case", [*bits.CASES, "dropout"], ids=str)
def test_any_number_of_threads_gives_the_same_bits(case, dtype, digests):
    """For 1, 2, 3 and 4 threads, and when repeated."""
    first, *others = digests[f"{case} {dtype}"]
    assert len(others) >= len(THREADS) - 1
    for other in others:
        assert other == first


@pytest.mark.parametrize("case", NETS, ids=str)
@pytest.mark.usefixtures("threads_and_serial")
def test_several_callers_at_once(case, rng):
    """Each with its own tape and its own gradients: what each would get alone."""
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
