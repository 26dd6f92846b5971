"""What a tape allows: one backward for each forward, reuse, views as states; and what `backward` adds where."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from support import own_cells
from support.cases import Case, Problem, assert_agree, grid, named, run_layer

import nblstm
from nblstm.cells import CELLS

CASE = Case("lstm", num_layers=2, bidirectional=True, lengths=True)
STACKS = grid(
    cell=("rnn_tanh", "peephole"), formulation=("split", "concat"), num_layers=(2,), bidirectional=(False, True)
)


def parts(case: Case, rng: np.random.Generator) -> tuple[nblstm.LSTM, Problem]:
    return case.layer(), Problem.draw(case, rng)


def test_a_second_backward_is_refused(rng):
    layer, problem = parts(CASE, rng)
    *_, tape = layer.forward(problem.x)
    layer.backward(problem.dy, tape)
    before = layer.flat_grads.copy()
    with pytest.raises(RuntimeError, match="backward has already run"):
        layer.backward(problem.dy, tape)
    assert np.array_equal(layer.flat_grads, before)
    layer.forward(problem.x, tape=tape)
    layer.backward(problem.dy, tape)
    assert np.array_equal(layer.flat_grads, 2 * before)


def test_backward_is_refused_once_parameters_were_written(rng):
    layer, problem = parts(CASE, rng)
    *_, tape = layer.forward(problem.x)
    with layer.editing() as p:
        p["bias_ih_l0"][0] += 1
    with pytest.raises(RuntimeError, match="parameters were written"):
        layer.backward(problem.dy, tape)


def test_parameters_written_are_parameters_used(rng):
    """Packed weights follow every way of writing, on a reused tape, on a fresh one and when called."""
    layer, problem = parts(CASE, rng)
    *_, tape = layer.forward(problem.x)
    layer(problem.x)
    layer.load_state_dict(CASE.layer(seed=2).state_dict())
    expected, *_ = CASE.layer(seed=2)(problem.x)
    for y, *_ in (layer.forward(problem.x, tape=tape), layer.forward(problem.x), layer(problem.x)):
        assert np.array_equal(y, expected)


@pytest.mark.parametrize("use", ["forward", "backward"])
def test_a_tape_of_another_layer_is_refused(use, rng):
    layer, problem = parts(CASE, rng)
    *_, tape = CASE.layer().forward(problem.x)
    with pytest.raises(ValueError, match="tape must be one of this layer's"):
        layer.forward(problem.x, tape=tape) if use == "forward" else layer.backward(problem.dy, tape)


@pytest.mark.parametrize("case", STACKS, ids=str)
def test_a_reused_tape_forgets_what_it_held(case, rng):
    """Whatever came before, with and without lengths or a state: what a fresh tape gives, bit for bit."""
    layer = case.layer()
    *_, tape = layer.forward(Problem.draw(case, rng).x)
    for T, B, lengths in [
        (5, 3, None),
        (5, 3, [1, 5, 2]),
        (5, 3, None),
        (2, 4, [2, 1, 1, 2]),
        (2, 4, [1, 2, 1, 1]),
        (5, 3, None),
    ]:
        problem = replace(Problem.draw(replace(case, sizes=(T, B, *case.sizes[2:])), rng), lengths=lengths)
        for h_0, c_0 in ((problem.h_0, problem.c_0), (None, None)):
            problem = replace(problem, h_0=h_0, c_0=c_0)
            assert_agree(run_layer(layer, problem, tape), run_layer(layer, problem), tolerance=0)


def test_past_its_end_a_sequence_is_zero_on_a_reused_tape(rng):
    layer, problem = parts(CASE, rng)
    *_, tape = layer.forward(problem.x)
    layer.backward(problem.dy, tape)
    lengths = [2, 5, 1]
    y, _, tape = layer.forward(problem.x, None, lengths, tape=tape)
    dx, _ = layer.backward(problem.dy, tape)
    for b, length in enumerate(lengths):
        assert y[:length, b].all()
        assert not y[length:, b].any()
        assert dx[:length, b].all()
        assert not dx[length:, b].any()


@pytest.mark.parametrize("case", STACKS, ids=str)
def test_final_state_views_are_good_initial_states(case, rng):
    """Truncated BPTT hands the tape's own h_n and c_n back to it."""
    layer, problem = parts(case, rng)
    y, state, tape = layer.forward(problem.x)
    copied = tuple(np.copy(member) for member in state) if case.is_lstm else state.copy()
    expected, *_ = layer.forward(problem.x, copied)
    y, *_ = layer.forward(problem.x, state, tape=tape)
    assert np.array_equal(y, expected)


@pytest.mark.parametrize("make", [lambda: nblstm.RNN(4, 4, seed=0), lambda: nblstm.Linear(4, 4, seed=0)])
def test_the_form_of_x_may_change_after_forward(make, rng):
    """Its numbers stay where they are; steps that are counted in another form would lead past its end."""
    layer, x = make(), rng.standard_normal((6, 2, 4)).astype("float32")
    y, *_, tape = layer.forward(x.copy())
    layer.backward(y, tape)
    expected = layer.flat_grads.copy()
    layer.zero_grad()
    y, *_, tape = layer.forward(x)
    x.shape = (1, 12, 4)
    layer.backward(y, tape)
    assert np.array_equal(layer.flat_grads, expected)


def test_what_forward_returns_is_read_only(rng):
    layer, problem = parts(CASE, rng)
    y, state, tape = layer.forward(problem.x)
    dx, dstate = layer.backward(problem.dy, tape)
    for array in (y, *state, dx, *dstate, layer.params["weight_ih_l0"], layer.flat_params):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_what_a_call_returns_is_fresh(rng):
    layer, problem = parts(CASE, rng)
    first, state = layer(problem.x)
    kept = [array.copy() for array in (first, *state)]
    layer(problem.x + 1)
    first[...] += 1
    assert np.array_equal(first, kept[0] + 1)
    assert all(map(np.array_equal, state, kept[1:]))


def test_gradients_add_up_in_grads_and_go_elsewhere_if_asked(rng):
    layer, problem = parts(CASE, rng)
    expected = run_layer(layer, problem)
    assert not layer.flat_grads.any()  # run_layer had grads of its own
    layer.flat_grads[:] = 1
    *_, tape = layer.forward(problem.x, problem.state, problem.lengths)
    layer.backward(problem.dy, tape, problem.dstate)
    for name, tensor in layer.grads.items():
        np.testing.assert_allclose(tensor - 1, expected[f"grad {name}"], rtol=0, atol=1e-12)
    layer.zero_grad()
    assert not layer.flat_grads.any()


@pytest.mark.parametrize("case", STACKS, ids=str)
def test_no_dy_is_a_dy_of_zeros(case, rng):
    layer, problem = parts(case, rng)
    results = []
    for dy in (None, np.zeros_like(problem.dy)):
        grads = layer.new_grads()
        y, state, tape = layer.forward(problem.x)
        dx, dstate = layer.backward(dy, tape, problem.dstate, grads=grads)
        results.append(named(y, state, dx, dstate, grads))
    assert_agree(*results, tolerance=0)


def test_no_dstate_is_zeros_and_one_member_may_be_missing(rng):
    layer, problem = parts(CASE, rng)
    zeros = np.zeros_like(problem.dh_n)
    for short, full in [
        (None, (zeros, zeros)),
        ((None, problem.dc_n), (zeros, problem.dc_n)),
        ((problem.dh_n, None), (problem.dh_n, zeros)),
    ]:
        results = []
        for dstate in (short, full):
            grads = layer.new_grads()
            y, state, tape = layer.forward(problem.x)
            dx, dfirst = layer.backward(problem.dy, tape, dstate, grads=grads)
            results.append(named(y, state, dx, dfirst, grads))
        assert_agree(*results, tolerance=0)


def test_no_state_is_zeros_and_one_member_may_be_missing(rng):
    layer, problem = parts(CASE, rng)
    zeros = np.zeros_like(problem.h_0)
    for short, full in [
        (None, (zeros, zeros)),
        ((None, problem.c_0), (zeros, problem.c_0)),
        ((problem.h_0, None), (problem.h_0, zeros)),
    ]:
        assert np.array_equal(layer(problem.x, short)[0], layer(problem.x, full)[0])


@pytest.mark.parametrize("case", STACKS, ids=str)
def test_dx_can_be_left_out(case, rng):
    layer, problem = parts(case, rng)
    expected = run_layer(layer, problem)
    *_, tape = layer.forward(problem.x, problem.state)
    dx, _ = layer.backward(problem.dy, tape, problem.dstate, need_dx=False)
    assert dx is None
    assert all(np.array_equal(layer.grads[name], expected[f"grad {name}"]) for name in layer.grads)


@pytest.mark.parametrize("case", STACKS, ids=str)
def test_pictures_show_the_run(case, rng):
    """`tape.hidden` is the output step by step, and the gates give the cells and the hidden states back."""
    layer, problem = parts(case, rng)
    y, _, tape = layer.forward(problem.x, problem.state, lengths := [5, 2, 4])
    last = case.num_layers - 1
    hidden = tape.hidden(last, 0)
    T, B, _, H = case.sizes
    assert hidden.shape == (T + 1, B, H)
    for b, length in enumerate(lengths):
        assert np.array_equal(hidden[1 : length + 1, b], y[:length, b, :H])
    if case.is_lstm:
        gates, cells = tape.gates(last, 0), tape.cells(last, 0)
        for b, length in enumerate(lengths):
            i, f, g, o = np.moveaxis(gates[:length, b], 1, 0)
            c_prev, c = cells[:length, b], cells[1 : length + 1, b]
            np.testing.assert_allclose(c, f * c_prev + i * g, rtol=0, atol=1e-15)
            np.testing.assert_allclose(hidden[1 : length + 1, b], o * np.tanh(c), rtol=0, atol=1e-15)
    layer.backward(problem.dy, tape)
    with pytest.raises(RuntimeError, match="gates"):
        tape.gates(last, 0)


@pytest.mark.parametrize("cell", [CELLS["gru"], CELLS["slstm"], own_cells.COUPLED, own_cells.MIXED], ids=repr)
def test_what_forward_leaves_is_had_by_name(cell, rng):
    """And between what a GRU leaves its equations hold."""
    layer = nblstm.Recurrent(cell, 3, 7, 2, bidirectional=True, dtype="float64", seed=0)
    *_, tape = layer.forward(rng.standard_normal((5, 3, 3)), lengths=[2, 5, 1])
    together = tape.gates(1, 1)
    for number, name in enumerate(cell.saved):
        assert np.array_equal(tape.saved(name, 1, 1), together[:, :, number])
    with pytest.raises(ValueError, match=r"name must be .*, got 'q'"):
        tape.saved("q")
    if cell.name == "gru":
        (z, n, n_h), h = (tape.saved(name) for name in ("z", "n", "n_h")), tape.states("h")
        np.testing.assert_allclose(h[1:3, 0], ((1 - z) * n + z * h[:-1])[:2, 0], rtol=0, atol=1e-15)
        U, b = layer.params["weight_hh_l0"][14:], layer.params["bias_hh_l0"][14:]
        np.testing.assert_allclose(n_h[:2, 0], h[:2, 0] @ U.T + b, rtol=0, atol=1e-15)
    layer.backward(rng.standard_normal((5, 3, 14)), tape)
    with pytest.raises(RuntimeError, match=f"saved {cell.saved[0]} are there between"):
        tape.saved(cell.saved[0])


def test_where_forward_leaves_nothing_there_is_nothing_saved(rng):
    *_, tape = nblstm.Recurrent("indrnn", 3, 7).forward(np.zeros((2, 1, 3), "float32"))
    assert tape.gates().shape == (2, 1, 0, 7)
    with pytest.raises(ValueError, match=r"nothing saved of Cell\('indrnn'\)"):
        tape.saved("z")


def test_pictures_show_zeros_past_the_end_of_a_sequence(rng):
    layer = nblstm.LSTM(3, 7, 2, bidirectional=True, dtype="float64", seed=0)
    lengths = np.array([2, 5, 1])
    y, _, tape = layer.forward(rng.standard_normal((5, 3, 3)), lengths=lengths)
    assert np.array_equal(tape.hidden(1, 0)[1:], y[:, :, :7])
    for direction in (0, 1):
        for picture, extra in (
            (tape.hidden(0, direction), 1),
            (tape.cells(0, direction), 1),
            (tape.gates(0, direction), 0),
        ):
            past = np.arange(len(picture))[:, None] >= lengths + extra
            assert not picture[past].any()
            assert picture[~past].any()


def test_copies_and_pickles_are_whole_and_apart(rng):
    layer = nblstm.LSTM(3, 7, 2, peephole=True, dropout=0.25, seed=0)
    x = rng.standard_normal((4, 2, 3)).astype("float32")
    before = layer(x)[0]
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert np.array_equal(twin(x)[0], before)
        with twin.editing() as p:
            p.flat[:] = 0
        assert not any(tensor.any() for tensor in twin.params.values())
        assert np.array_equal(layer(x)[0], before)


def test_no_dy_with_lengths_is_a_dy_of_zeros(rng):
    layer = nblstm.LSTM(3, 7, 2, bidirectional=True, dtype="float64", seed=0)
    x, dh = rng.standard_normal((6, 4, 3)), rng.standard_normal((4, 4, 7))
    results = []
    for dy in (None, np.zeros((6, 4, 14))):
        *_, tape = layer.forward(x, lengths=[3, 6, 1, 2])
        grads = layer.new_grads()
        results.append((layer.backward(dy, tape, (dh, None), grads=grads)[0], grads.flat))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("make", [lambda: nblstm.LSTM(3, 7, 2), lambda: nblstm.Linear(3, 7)], ids=["LSTM", "Linear"])
def test_a_forward_that_fails_leaves_no_tape_to_go_back_on(make, rng, monkeypatch):
    layer = make()
    small, large = (rng.standard_normal((T, 2, 3)).astype("float32") for T in (4, 9))
    *_, tape = layer.forward(small)

    def no_memory(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("numpy.zeros", no_memory)
        patch.setattr("numpy.empty", no_memory)
        with pytest.raises(MemoryError):
            layer.forward(large, tape=tape)
    with pytest.raises(RuntimeError, match="forward again"):
        layer.backward(np.zeros((4, 2, 7), "float32"), tape)
    y, *_ = layer.forward(large, tape=tape)
    assert np.array_equal(y, layer(large) if isinstance(layer, nblstm.Linear) else layer(large)[0])
