"""What a call of a recurrent layer returns lies in memory in one way, whatever its size, and takes little more."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from support.cases import Problem, grid

import nblstm

BOTH = (False, True)
CASES = grid(cell=("lstm", "rnn_tanh"), num_layers=(2,), bidirectional=BOTH, lengths=BOTH, batch_first=BOTH)


@pytest.mark.usefixtures("threads_and_serial")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_results_are_in_c_order(case, rng):
    """By the one compiled call for short work and by the engine, for an odd number of units."""
    layer, problem = case.layer(), Problem.draw(case, rng)
    y, state = layer(problem.x, problem.state, problem.lengths)
    assert y.flags.c_contiguous
    assert y.flags.owndata
    assert y.shape == problem.dy.shape
    expected, last, _ = layer.forward(problem.x, problem.state, problem.lengths)
    assert np.array_equal(y, expected)
    members = state if isinstance(state, tuple) else (state,)
    assert all(member.flags.c_contiguous and member.flags.owndata for member in members)
    assert all(map(np.array_equal, members, last if isinstance(last, tuple) else (last,)))


@pytest.mark.usefixtures("threads_and_serial")
@pytest.mark.parametrize("batch_first", BOTH)
def test_results_without_a_batch_are_in_c_order(batch_first, rng):
    layer = nblstm.LSTM(3, 7, 2, batch_first=batch_first, seed=0)
    x = rng.standard_normal((5, 3)).astype("float32")
    y, (h_n, c_n) = layer(x)
    assert y.flags.owndata
    assert all(array.flags.c_contiguous for array in (y, h_n, c_n))
    assert np.array_equal(y, layer.forward(x)[0])


def test_a_call_of_many_layers_holds_three_times_its_result():
    """The result itself, and what a layer reads and writes."""
    layer, x = nblstm.RNN(16, 16, 6, seed=0), np.ones((2000, 4, 16), "float32")
    with nblstm.thread_policy(serial_below=0):
        layer(x)  # packs the weights
        tracemalloc.start()
        try:
            y, _ = layer(x)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 3.5 * y.nbytes
