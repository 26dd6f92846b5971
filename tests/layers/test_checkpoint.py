"""`checkpoint`: c kept every k steps only, gates computed again on the way back, and the same bits in every result."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from dataclasses import replace

import naive
import numpy as np
import pytest
from support.cases import BOTH, Case, Problem, Results, grid, run_and_call, run_layer

import nblstm

EVERY = (1, 2, 3, 5, 100)  # of five steps: each one, some that do not divide them, all, more than all
NETS = grid(
    cell=naive.KNOWN,
    formulation=("split", "concat"),
    num_layers=(1, 3),
    bidirectional=BOTH,
    lengths=BOTH,
    batch_first=BOTH,
)


def assert_same_bits(found: Results, expected: Results) -> None:
    assert found.keys() == expected.keys()
    assert not [name for name in expected if found[name].tobytes() != expected[name].tobytes()]


@pytest.mark.parametrize("case", NETS, ids=str)
def test_every_result_is_the_same_to_the_last_bit(case, rng):
    problem = Problem.draw(case, rng)
    expected = run_and_call(case.layer(), problem)
    for k in EVERY:
        assert_same_bits(run_and_call(case.layer(checkpoint=k), problem), expected)


LONG = [
    *grid(cell=naive.KNOWN, formulation=("split", "concat"), num_layers=(2,), lengths=(True,), sizes=[(90, 7, 5, 21)]),
    *grid(cell=naive.KNOWN, formulation=("split", "concat"), bias=(False,), sizes=[(60, 33, 5, 40)]),
]


@pytest.mark.parametrize("case", LONG, ids=str)
def test_the_same_in_float32_with_threads_for_sums_that_come_in_many_pieces(case, rng):
    """More rows than a sum takes at once, and products with the input that span several steps, or fewer than k."""
    problem, T = Problem.draw(case, rng, "float32"), case.sizes[0]
    expected = run_and_call(case.layer("float32"), problem)
    for k in (1, 7, 32, T - 1, T):
        assert_same_bits(run_and_call(case.layer("float32", checkpoint=k), problem), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_drops_the_same(dtype, rng):
    case = Case(num_layers=3, bidirectional=True, lengths=True, sizes=(7, 5, 3, 21))
    problem = Problem.draw(case, rng, dtype)
    results = []
    for k in (None, 1, 3, 7):
        layer = nblstm.LSTM(3, 21, 3, dropout=0.5, bidirectional=True, dtype=dtype, seed=1, checkpoint=k)
        results.append(run_layer(layer, problem))
    for found in results[1:]:
        assert_same_bits(found, results[0])


@pytest.mark.parametrize("cell", ["lstm", "peephole", "rnn_relu"])
def test_a_reused_tape_forgets_what_it_held(cell, rng):
    """Sequences of one length, of several, longer ones, other batches, NaN: each time what a fresh tape gives."""
    layer = Case(cell, num_layers=2).layer(checkpoint=3)
    tape = None
    for T, B, lengths in [(5, 3, False), (5, 3, True), (5, 3, False), (8, 2, True), (2, 4, False), (5, 0, False)]:
        problem = Problem.draw(Case(cell, num_layers=2, lengths=lengths, sizes=(T, B, 2, 7)), rng)
        expected = run_layer(layer, problem)
        if tape is None:
            *_, tape = layer.forward(problem.x)
        for _ in range(2):
            assert_same_bits(run_layer(layer, problem, tape), expected)
            run_layer(layer, replace(problem, x=np.full_like(problem.x, np.nan)), tape)


def test_what_can_be_left_out(rng):
    """No dy, no dx, no state, a sequence without a batch, two losses that each add their gradient."""
    x, dh = rng.standard_normal((6, 3)), rng.standard_normal((2, 7))
    results = []
    for k in (None, 4):
        layer = nblstm.LSTM(3, 7, 2, dtype="float64", seed=0, checkpoint=k)
        *_, tape = layer.forward(x)
        dx, (dh_0, dc_0) = layer.backward(None, tape, (dh, None))
        layer.forward(x, tape=tape)
        assert layer.backward(np.ones((6, 7)), tape, need_dx=False)[0] is None
        results.append({"dx": dx, "dh_0": dh_0, "dc_0": dc_0, "grads": layer.flat_grads})
        with pytest.raises(RuntimeError, match="backward has already run"):
            layer.backward(None, tape)
    assert_same_bits(results[1], results[0])


def test_pictures_of_what_is_not_kept_are_refused(rng):
    layer = nblstm.LSTM(2, 7, dtype="float64", checkpoint=2)
    y, _, tape = layer.forward(rng.standard_normal((5, 3, 2)))
    assert np.array_equal(tape.hidden()[1:], y)
    for name, what in (("gates", "gates"), ("cells", "states c")):
        with pytest.raises(RuntimeError, match=f"{what} are not kept by a layer with checkpoint=2: make one without"):
            getattr(tape, name)()


@pytest.mark.parametrize("make", [nblstm.LSTM, nblstm.RNN])
def test_the_argument(make):
    for wrong, error in ((0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError), ("8", TypeError)):
        with pytest.raises(error, match=r"checkpoint must be (at least 1|an integer), got "):
            make(3, 7, checkpoint=wrong)
    layer = make(3, 7, checkpoint=np.int64(8), seed=0)
    assert repr(layer) == f"{make.__name__}(3, 7, checkpoint=8)"
    assert repr(make(3, 7)) == f"{make.__name__}(3, 7)"
    twins = (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), layer.to_formulation("concat"))
    assert [twin.checkpoint for twin in twins] == [8, 8, 8]


def test_gradients_hold_against_differences(rng):
    layer = nblstm.LSTM(3, 5, 2, peephole=True, bidirectional=True, dtype="float64", seed=0, checkpoint=2)
    nblstm.gradcheck(layer, rng.standard_normal((5, 3, 3)), lengths=np.array([5, 2, 4]))


# ------------------------------------------------------------------------------------------------------------- memory


def grown(layer: nblstm.LSTM | nblstm.GRU | nblstm.RNN, sizes: tuple[int, int, int, int]) -> float:
    """Numbers that a first training pass allocates at its peak."""
    T, B, I, H = sizes
    x, dy = np.ones((T, B, I), "float32"), np.ones((T, B, H), "float32")
    tracemalloc.start()
    try:
        *_, tape = layer.forward(x)
        layer.backward(dy, tape)
        return tracemalloc.get_traced_memory()[1] / 4
    finally:
        tracemalloc.stop()


def test_memory(rng):
    """By step, row and unit: h, and c and four gates where they are kept; c makes room for the upper layer's dx.

    A GRU has no c; it keeps its three gates and the part of n from h.

    The rest (packed weights, tables of rows, scratch of a step) is no larger than a sixth of all that.
    """
    sizes = T, B, I, H = 512, 32, 32, 64
    k, unit = 16, T * B * H
    for make, whole, thrifty in (
        (nblstm.LSTM, 2 * 6 + I / H, 2 * (1 + 1 / k) + 5 * k / T + 1 + I / H),
        (nblstm.GRU, 2 * 5 + 1 + I / H, 2 + 4 * k / T + 1 + I / H),
        (nblstm.RNN, 2 * 2 + 1 + I / H, 2 + k / T + 1 + I / H),
    ):
        for checkpoint, expected in ((None, whole), (k, thrifty)):
            grown(make(I, H, 2, seed=0, checkpoint=checkpoint), sizes)  # what the process needs once is then there
            found = grown(make(I, H, 2, seed=0, checkpoint=checkpoint), sizes) / unit
            assert expected < found < expected + 0.7, (make, checkpoint)


def test_c_makes_room_for_dx_only_where_it_can(rng):
    """It cannot if it is read again, or if its rows are others than those of dx."""
    for case in grid(cell=("lstm", "peephole"), num_layers=(2,), bidirectional=BOTH, lengths=BOTH):
        problem = Problem.draw(case, rng)
        layer = case.layer()
        *_, tape = layer.forward(problem.x, lengths=problem.lengths)
        layer.backward(problem.dy, tape)
        shared = np.shares_memory(tape.gradients.dx[1], tape.tracks[case.directions].c)
        assert shared == (case == Case("lstm", num_layers=2))
        assert not np.shares_memory(tape.gradients.dx[0], tape.tracks[0].c)


def test_cells_are_there_until_backward_runs(rng):
    layer = nblstm.LSTM(3, 7, 2, seed=0)
    y, (_, c_n), tape = layer.forward(rng.standard_normal((4, 2, 3)).astype("float32"))
    assert np.array_equal(tape.cells(1)[-1], c_n[1])
    before = c_n.copy()
    layer.backward(np.ones_like(y), tape)
    with pytest.raises(RuntimeError, match="states c are there between forward and backward only"):
        tape.cells(1)
    assert np.array_equal(c_n, before)
