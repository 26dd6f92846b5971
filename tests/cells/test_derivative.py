"""A cell without backward: the one that is derived from its forward gives the gradients of one written by hand."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import own_cells

import nblstm
from nblstm import Cell
from nblstm.cells import CELLS, exp, log_sigmoid, maximum, minimum, relu, sigmoid, softplus, tanh, where

DECLARED = ("sums", "states", "apart", "peepholes", "reads", "forget")
WRITTEN = [*CELLS.values(), own_cells.EXPONENTIAL, own_cells.ECHO]


def without_backward(cell: Cell) -> Cell:
    return Cell(f"derived_{cell.name}", forward=cell.forward, **{each: getattr(cell, each) for each in DECLARED})


def numbers_of(cell: Cell, rng: np.random.Generator, spread: float) -> dict[str, np.ndarray]:
    """What its functions take but for what forward leaves: sums that wide, and states that it comes to by itself."""
    columns, previous = [column.name for column in cell.columns], [f"{state}_prev" for state in cell.states]
    known = {each: np.zeros(200) for each in previous} | {each: rng.uniform(-1, 1, 200) for each in cell.peepholes}
    for _ in range(3):
        known |= {each: rng.uniform(-spread, spread, 200) for each in columns}
        _, states = cell.forward(*(known[each] for each in cell.forward_arguments))
        known |= dict(zip(previous, states, strict=True))
    known |= {each: rng.uniform(-spread, spread, 200) for each in columns}
    return known | {f"d{state}": rng.standard_normal(200) for state in cell.states}


def gradients(cell: Cell, known: dict[str, np.ndarray]) -> list[np.ndarray]:
    saved, states = cell.forward(*(known[each].copy() for each in cell.forward_arguments))
    known = known | dict(zip(cell.saved, saved, strict=True)) | dict(zip(cell.states, states, strict=True))
    sums, before = cell.backward(*(known[each] for each in cell.backward_arguments))
    return [*sums, *before]


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("cell", WRITTEN, ids=repr)
def test_it_gives_the_gradients_of_the_one_written_by_hand(cell: Cell, rng: np.random.Generator) -> None:
    derived = without_backward(cell)
    for spread in (1.5, 6.0):
        known = numbers_of(cell, rng, spread)
        for found, expected in zip(gradients(derived, known), gradients(cell, known), strict=True):
            assert_close(found, expected)
    assert derived.reads_more_than_h == cell.reads_more_than_h


@pytest.mark.parametrize("cell", [CELLS["gru"], CELLS["peephole"], CELLS["slstm"], own_cells.ECHO], ids=repr)
def test_so_does_a_layer_of_it(cell: Cell, rng: np.random.Generator) -> None:
    x, dy = rng.standard_normal((6, 3, 2)), rng.standard_normal((6, 3, 10))
    found = []
    for each, checkpoint in ((without_backward(cell), None), (without_backward(cell), 2), (cell, None)):
        options: dict[str, Any] = {"bidirectional": True, "dtype": "float64", "checkpoint": checkpoint}
        layer = nblstm.Recurrent(each, 2, 5, 2, **options, seed=0)
        y, _, tape = layer.forward(x, lengths=[6, 2, 4])
        dx, _ = layer.backward(dy, tape)
        found.append(copy.deepcopy([y, dx, *layer.grads.values()]))
    for derived, checkpointed, expected in zip(*found, strict=True):
        assert_close(derived, expected)
        np.testing.assert_array_equal(checkpointed, derived)


def mixed_forward(a, b, h_prev, c_prev):
    """Everything that vectors have, numbers on either side, and a value in several places."""
    a = a + 0.25
    c = minimum(1.5, c_prev) * 0.5 + maximum(a, -b) / (2 + relu(b)) - SCALE * tanh(b / 3)
    low = 1 - exp(-c) * where(a <= b, a, where(c > 0.1, 2.0, b * b))
    low = low + softplus(a) * sigmoid(a) + log_sigmoid(3 * b)
    return (), (sigmoid(low) - maximum(0, h_prev) / 4 + minimum(c, a) * 0.1, -c * 0.7)


SCALE = np.float32(0.3)


def test_all_that_vectors_have_is_derived(rng: np.random.Generator) -> None:
    cell = Cell("mixed", sums=("a", "b"), states=("h", "c"), forward=mixed_forward)
    layer = nblstm.Recurrent(cell, 2, 5, 2, dtype="float64", seed=2)
    x = 2 * rng.standard_normal((5, 3, 2))
    nblstm.gradcheck(layer, x, (rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 3, 5))), entries=8)


def test_what_is_not_chosen_may_be_infinite() -> None:
    """Its derivative, times a gradient of 0, would be no number; also where one choice stands in another."""

    def forward(z, h_prev):
        inner = where(z > -1, 1 / maximum(z, 0) + exp(1000 * z), 2 * z)
        return (), (where(z > 0.5, inner * 0 + z, where(z <= 0, 3 * z, 1 / h_prev + z)),)

    z, h_prev, dh = np.array([-2.0, -0.5, 0.25, 1.0, -3.0]), np.array([0.0, 0, 2, 0, 0]), np.ones(5)
    cell = Cell("k", sums=("z",), forward=forward, check=False)
    known = {"z": z[:3], "h_prev": h_prev[:3], "dh": dh[:3]}
    with np.errstate(all="ignore"):
        (dz, dh_prev) = gradients(cell, known)
    np.testing.assert_array_equal(dz, [3, 3, 1])
    np.testing.assert_array_equal(dh_prev, [0, 0, -0.25])


def test_of_a_relu_at_zero_and_a_gate_far_out_it_is_a_number() -> None:
    def forward(z, g):
        return (), (relu(z) + sigmoid(g),)

    def far_out(s, t):
        return (), (softplus(s) + log_sigmoid(t),)

    known = {"z": np.array([0.0, 1.0]), "g": np.array([-1000.0, -800.0]), "dh": np.ones(2)}
    known |= {"s": np.array([-1000.0, 1000.0]), "t": np.array([-1000.0, 1000.0])}
    with np.errstate(over="ignore"):
        dz, dg = gradients(Cell("k", sums=("z", "g"), forward=forward), known)
        ds, dt = gradients(Cell("k", sums=("s", "t"), forward=far_out), known)
    np.testing.assert_array_equal(dz, [0, 1])
    np.testing.assert_array_equal(dg, [0, 0])
    np.testing.assert_array_equal(ds, [0, 1])
    np.testing.assert_array_equal(dt, [1, 0])


def test_of_two_that_are_equal_it_is_the_first_ones_but_0_where_one_is_plain() -> None:
    def forward(a, b, c):
        return (), (maximum(a, b), minimum(b, a), maximum(c, 2) + maximum(2, c), minimum(c, 2) + minimum(2, c))

    cell = Cell("k", sums=("a", "b", "c"), states=("h", "larger", "above", "below"), forward=forward)
    known = dict.fromkeys("abc", np.full(1, 2.0)) | {"dh": 1.0, "dlarger": 10.0, "dabove": 100.0, "dbelow": 1000.0}
    np.testing.assert_array_equal([np.broadcast_to(each, 1)[0] for each in gradients(cell, known)], [1, 10, 0])


def test_states_that_are_no_more_than_handed_on_and_sums_without_effect(rng: np.random.Generator) -> None:
    def forward(a, b, c_prev, m_prev):
        return (), (tanh(a) * c_prev, c_prev, 1 * a)

    cell = Cell("k", sums=("a", "b"), states=("h", "c", "m"), forward=forward)
    nblstm.gradcheck(nblstm.Recurrent(cell, 2, 5, dtype="float64", seed=2), rng.standard_normal((4, 3, 2)))


def test_names_of_its_own_meet_none_of_the_cells() -> None:
    def forward(a1, d1, da1, h_prev):
        return (), (tanh(a1 * d1) * (da1 + h_prev) * (da1 - h_prev),)

    cell = Cell("k", sums=("a1", "d1", "da1"), forward=forward)  # whose check finds what is mistaken for another
    assert cell.saved == ("a1", "d1", "da1")


def test_its_text_is_what_runs_and_tracebacks_show_it() -> None:
    cell = without_backward(own_cells.COUPLED)
    assert cell.backward_source == inspect.getsource(cell.backward)
    assert own_cells.COUPLED.backward_source is None
    assert "df = " in cell.backward_source
    assert cell.given == (own_cells.coupled_forward, None)


FACTOR = 2.0


def scaled_forward(z):
    return (), (FACTOR * z,)


def test_the_digest_follows_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [Cell("k", sums=("z",), forward=scaled_forward) for _ in range(2)]
    assert cells[0].key == cells[1].key
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    assert Cell("k", sums=("z",), forward=scaled_forward).key != cells[0].key
    with pytest.raises(ValueError, match="cell 'k' must be declared anew"):
        nblstm.Recurrent(cells[0], 2, 3)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_derive_the_same(way: Callable[[Any], Any]) -> None:
    layer = nblstm.Recurrent(Cell("scaled", sums=("z",), forward=scaled_forward), 2, 3, seed=0)
    other, x = way(layer), np.ones((4, 2, 2), "float32")
    assert other.cell.key == layer.cell.key
    np.testing.assert_array_equal(other(x)[0], layer(x)[0])


def power(z):
    return (), (z**2,)


def looked_at(z):
    return (), (1.0 * z if z > 0 else 2 * z,)


def of_numpy(z):
    return (), (np.sin(z),)


def clipped(z):
    return (), (np.clip(z, -1, 1),)


def as_array(z):
    return (), (1.0 * z.ravel(),)


def of_two(z):
    return (), (np.logaddexp(z, 2 * z),)


def in_place(z):
    z += 1.0
    return (), (z * z,)


@pytest.mark.parametrize("forward", [power, looked_at, of_numpy, clipped, as_array, of_two, in_place])
def test_what_cannot_be_derived_is_refused_by_its_line(forward: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"forward of cell 'k' .* line") as caught:
        Cell("k", sums=("z",), forward=forward)
    lines, first = inspect.getsourcelines(forward)
    assert f"line {first + 1}" in str(caught.value)
    assert lines[1].strip() in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_that_vectors_have_not_is_that_of_the_cells_own_forward() -> None:
    def forward(z):
        y = np.tanh(z)  # of which the derivative is known, but not of vectors
        return (), (y,)

    with pytest.raises(ValueError, match="forward of cell 'k' uses what vectors of units have not, in line") as caught:
        nblstm.Recurrent(Cell("k", sums=("z",), forward=forward), 2, 3)
    assert f"line {forward.__code__.co_firstlineno + 1}: y = np.tanh(z)" in str(caught.value)
