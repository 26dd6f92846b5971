"""Layers of cells of one's own: the bits of the package's layers, the numbers of a plain loop, and their gradients."""

from __future__ import annotations

import copy
from typing import Any

import numba
import numpy as np
import pytest
from support import own_cells
from support.cases import assert_agree, named
from support.own_cells import run_plain
from support.threading_layers import PATIENT

import nblstm
from nblstm.cells import CELLS, Cell
from nblstm.cells.differences import check_backward
from nblstm.kernels import driver

T, B, I, H = 7, 3, 2, 13
TWINS = {"lstm": (nblstm.LSTM, own_cells.LSTM), "gru": (nblstm.GRU, own_cells.GRU)}
PARTS = [own_cells.MIXED, own_cells.HOISTED, own_cells.ALONE, own_cells.OPENED]
STAGES = [own_cells.STAGED, own_cells.AFTER]
OWN = [own_cells.COUPLED, own_cells.MINIMAL, own_cells.EXPONENTIAL, own_cells.ECHO, *PARTS, *STAGES]


def run(layer: Any, rng: np.random.Generator, lengths: list[int] | None = None) -> dict[str, np.ndarray]:
    """Everything that a layer gives: called, trained with given states and gradients, and back."""

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(layer.dtype)

    def state() -> Any:
        members = tuple(normal(layer.num_layers * layer.directions, B, layer.hidden_size) for _ in layer.cell.states)
        return members if len(members) > 1 else members[0]

    rows = (B, T) if layer.batch_first else (T, B)
    x, dy, given, dstate = normal(*rows, I), normal(*rows, layer.directions * layer.hidden_size), state(), state()
    called = layer(x, given, lengths)
    y, last, tape = layer.forward(x, given, lengths)
    forward = copy.deepcopy((y, last))
    found = named(*forward, *layer.backward(dy, tape, dstate), layer.grads)
    return copy.deepcopy(found | {"called y": called[0], "called states": np.array(called[1])})


def assert_twins(kind: str, lengths: list[int] | None = None, formulation: str = "split", **options: Any) -> None:
    make, cell = TWINS[kind]
    own = nblstm.Recurrent(cell, I, H, seed=3, formulation=formulation, **options)
    package = make(I, H, seed=3, **options, **({} if formulation == "split" else {"formulation": formulation}))
    assert own.cell is not package.cell
    found, expected = (run(layer, np.random.default_rng(5), lengths) for layer in (own, package))
    assert_agree(found, expected, tolerance=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", TWINS)
@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "bidirectional": True, "lengths": [5, 1, 7]},
        {"num_layers": 3, "dropout": 0.5, "batch_first": True},
        {"num_layers": 2, "checkpoint": 3},
        {"checkpoint": 2, "bidirectional": True, "lengths": [1, 7, 4], "bias": False},
    ],
    ids=lambda options: "-".join(options),
)
@pytest.mark.usefixtures("threads_and_serial")
def test_the_same_equations_give_the_bits_of_the_packages_layer(kind: str, dtype: str, options: dict[str, Any]) -> None:
    assert_twins(kind, dtype=dtype, **options)


@pytest.mark.usefixtures("threads_and_serial")
def test_also_on_joined_rows_with_a_forget_bias() -> None:
    assert_twins("lstm", num_layers=2, formulation="concat", forget_bias=1.0)


@pytest.mark.parametrize("kind", TWINS)
def test_also_in_teams_that_share_out_the_units(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("NUMBA_NUM_THREADS is 1: there is no team")
    monkeypatch.setattr(driver.MEETINGS, "missed", 0)
    monkeypatch.setattr(driver.MEETINGS, "skips", {})
    with nblstm.thread_policy(serial_below=0, team_rows=100, team_above=0, team_patience=PATIENT):
        assert_twins(kind, num_layers=2, bidirectional=True, lengths=[5, 2, 7])


@pytest.mark.parametrize("cell", [own_cells.LSTM, own_cells.MINIMAL, own_cells.EXPONENTIAL, *PARTS, *STAGES], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_stream_gives_the_bits_of_the_whole_sequence(cell: Cell, dtype: str, rng: np.random.Generator) -> None:
    layer, x = nblstm.Recurrent(cell, I, H, 2, dtype=dtype, seed=0), rng.standard_normal((T, I)).astype(dtype)
    stream, (y, states) = layer.stream(), layer(x)
    np.testing.assert_array_equal([stream(row) for row in x], y)
    np.testing.assert_array_equal(stream.state, states)
    resumed = layer.stream(stream.state)
    np.testing.assert_array_equal(resumed(x[0]), stream(x[0]))


def test_threads_change_no_bit_of_a_cell_with_four_states(rng: np.random.Generator) -> None:
    layer = nblstm.Recurrent(own_cells.EXPONENTIAL, I, 40, 2, bidirectional=True, dtype="float64", seed=0)
    found = []
    for policy in ({"serial_below": 10**12}, {"serial_below": 0, "team_rows": 1, "team_above": 10**12}):
        with nblstm.thread_policy(**policy):
            layer.zero_grad()
            found.append(run(layer, np.random.default_rng(2), [7, 1, 4]))
    assert_agree(found[1], found[0], tolerance=0)


@pytest.mark.parametrize("cell", [*OWN, *CELLS.values()], ids=repr)
def test_every_cell_gives_the_numbers_of_a_plain_loop(cell: Cell, rng: np.random.Generator) -> None:
    """Two layers, both ways, sequences of unequal length; and its gradients are those of its differences."""
    layer = nblstm.Recurrent(cell, I, 5, 2, bidirectional=True, dtype="float64", seed=1)
    x, lengths = rng.standard_normal((4, B, I)), [4, 1, 3]
    expected, last = run_plain(layer, x, lengths)
    for y, states in (layer(x, lengths=lengths), layer.forward(x, lengths=lengths)[:2]):
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
        members = states if isinstance(states, tuple) else (states,)
        assert len(members) == len(last)
        for member, plain in zip(members, last, strict=True):
            np.testing.assert_allclose(member, plain, rtol=0, atol=1e-12)
    if cell not in CELLS.values():  # of those the declaration's differences are enough
        nblstm.gradcheck(layer, x, lengths=np.array(lengths), entries=4)


@pytest.mark.parametrize("cell", OWN, ids=repr)
def test_checkpoints_and_steps_by_themselves_change_no_bit(cell: Cell) -> None:
    """Also of ECHO's peepholes: their gradient needs a state that its backward does not read."""
    whole, kept = (nblstm.Recurrent(cell, I, H, 2, seed=1, dtype="float64", checkpoint=k) for k in (None, 3))
    assert_agree(run(kept, np.random.default_rng(4)), run(whole, np.random.default_rng(4)), tolerance=0)


def linear_forward(z, h_prev, c_prev, p):
    c = z + p * c_prev
    return (c,), (c + 0.5 * h_prev, c)


def linear_backward(s, h_prev, dh, dc, p):
    dz = dh + dc
    return (dz,), (0.5 * dh, p * dz)


def divided_forward(z, h_prev, c_prev, p):
    c = (z + p * c_prev) * (z / z)
    return (c,), (c + 0.5 * h_prev * (c / c), c)


def divided_backward(s, h_prev, dh, dc, p):
    dz = (dh + dc) * (s / s)
    return (dz,), (0.5 * dh * (s / s), p * dz)


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"checkpoint": 2}], ids=str)
@pytest.mark.usefixtures("threads_and_serial")
def test_what_a_cell_makes_of_the_units_that_fill_the_last_vector_reaches_nobody(options: dict[str, Any]) -> None:
    """Their sums are 0, and here they divide by them; by themselves the cells are the same."""
    declared = {"sums": ("z",), "states": ("h", "c"), "peepholes": {"p": ("z", "c_prev")}}
    found = []
    for forward, backward in ((linear_forward, linear_backward), (divided_forward, divided_backward)):
        cell = Cell("same", forward=forward, backward=backward, **declared)
        layer = nblstm.Recurrent(cell, I, 5, 2, dtype="float64", seed=0, **options)
        found.append(run(layer, np.random.default_rng(6), [7, 1, 4]))
    assert_agree(found[1], found[0], tolerance=1e-14)


@pytest.mark.parametrize("cell", CELLS.values(), ids=repr)
def test_every_backward_of_the_family_is_the_derivative(cell: Cell) -> None:
    check_backward(cell)
    assert CELLS[cell.name] is cell
    assert cell.forward.__doc__, "the equations and the paper"


def test_a_cells_layer_trains_and_travels_as_a_state_dict(rng: np.random.Generator) -> None:
    layer, other = (nblstm.Recurrent(own_cells.COUPLED, I, H, seed=seed) for seed in (0, 1))
    x = rng.standard_normal((T, B, I)).astype("float32")
    optimizer, losses, tape = nblstm.Adam([layer], lr=0.02), [], None
    target = np.roll(x, 1, axis=0).sum(axis=2, keepdims=True) / 4 * np.ones(H, "float32")
    for _ in range(30):
        layer.zero_grad()
        y, _, tape = layer.forward(x, None, None, tape)
        loss, dy = nblstm.mse_loss(y, target)
        layer.backward(dy, tape)
        optimizer.step()
        losses.append(loss)
    assert losses[-1] < 0.7 * losses[0]
    other.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(other(x)[0], layer(x)[0])
