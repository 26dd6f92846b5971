"""What a cell says that its biases and peepholes begin with."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from support import own_cells

from nblstm import Cell, Recurrent
from nblstm.cells import CELLS, tanh


def from_ten_up(generator: np.random.Generator, units: int) -> np.ndarray:
    return 10 + generator.uniform(0, 1, units)


def thousands(generator: np.random.Generator, units: int) -> np.ndarray:
    return 1000 * (1 + np.arange(units))


def made(draw: dict[str, Any] | None = None, **options: Any) -> Recurrent:
    cell = Cell(
        "drawn", sums=("a", "b", "c"), forward=forward, hidden_only=("c",), peepholes={"u": ("a", "h_prev")}, draw=draw
    )
    return Recurrent(cell, 2, 3, seed=4, **options)


def forward(a, b, c, h_prev, u):
    return (), (tanh(a + u * h_prev) + b + tanh(c),)


def test_what_is_drawn_takes_the_place_of_the_bias_or_the_peephole_alone() -> None:
    plain = made(num_layers=2, bidirectional=True)
    layer = made({"u": from_ten_up, "b": thousands, "c": from_ten_up}, num_layers=2, bidirectional=True)
    found = []
    for suffix, _ in layer.tracks:
        p, rest = layer.params, {name: tensor.copy() for name, tensor in plain.params.items()}
        np.testing.assert_array_equal(p["bias_ih" + suffix][3:], [1000, 2000, 3000])
        assert not p["bias_hh" + suffix][3:6].any()
        assert np.all((p["bias_hh" + suffix][6:] > 10) & (p["bias_hh" + suffix][6:] < 11)), "c reads h alone"
        assert np.all((p["weight_peephole" + suffix] > 10) & (p["weight_peephole" + suffix] < 11))
        for name in ("weight_ih", "weight_hh"):
            np.testing.assert_array_equal(p[name + suffix], rest[name + suffix])
        for name in ("bias_ih", "bias_hh"):
            np.testing.assert_array_equal(p[name + suffix][:3], rest[name + suffix][:3])
        found.append(p["weight_peephole" + suffix].tobytes())
    assert len({*found}) == 4, "each layer and direction has its own"
    again = made({"u": from_ten_up, "b": thousands, "c": from_ten_up}, num_layers=2, bidirectional=True)
    np.testing.assert_array_equal(again.params.flat, layer.params.flat)


@pytest.mark.parametrize("formulation", ["split", "concat"])
def test_of_two_biases_the_second_is_0_and_the_forget_bias_comes_on_top(formulation: str) -> None:
    lstm = own_cells.LSTM
    cell = Cell(
        "slow", sums=lstm.sums, states=lstm.states, forward=lstm.forward, backward=lstm.backward, forget="f",
        draw={"f": thousands},
    )  # fmt: skip
    layer = Recurrent(cell, 2, 3, formulation=formulation, forget_bias=0.5)
    first, *second = (layer.params[f"{name}_l0"] for name in layer.bias_names)
    np.testing.assert_array_equal(first[3:6], [1000.5, 2000.5, 3000.5])
    assert [other[3:6].tolist() for other in second] == [[0, 0, 0]] * (formulation == "split")
    assert Recurrent(cell, 2, 3, formulation=formulation, bias=False).params.keys() == {
        name for name in layer.params if "bias" not in name
    }


def test_the_indrnn_begins_with_memories_of_every_length() -> None:
    u = Recurrent("indrnn", 2, 1000, seed=0).params["weight_peephole_l0"]
    assert u.min() >= 0
    assert u.max() <= 1
    assert abs(u.mean() - 0.5) < 0.05


@pytest.mark.parametrize("way", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_of_a_cell_draws_the_same(way: Any) -> None:
    cell = made({"b": thousands}).cell
    np.testing.assert_array_equal(Recurrent(way(cell), 2, 3).params["bias_ih_l0"][3:], [1000, 2000, 3000])
    assert way(CELLS["indrnn"]) is CELLS["indrnn"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (["u"], "draw must be a mapping of names to functions, got ['u']"),
        ({"h": thousands}, "draw must name sums or peepholes, a, b, c, u, got 'h'"),
        ({"u": 1.0}, "draw['u'] must be a function, got float"),
        ({"u": lambda generator, units: 1.0}, "draw['u'] must return an array of 3 finite numbers, one for each unit"),
        ({"a": lambda generator, units: np.ones((units, 1))}, "one for each unit, got float64 (3, 1)"),
        ({"a": lambda generator, units: np.full(units, np.inf)}, "draw['a'] must return an array of 3 finite numbers"),
        ({"a": lambda generator, units: np.full(units, "1")}, "draw['a'] must return an array of 3 finite numbers"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        made(draw)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
