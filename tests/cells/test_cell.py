"""The declaration of a cell: what is refused and how, its digest, its copies, and the check of its backward."""

from __future__ import annotations

import copy
import math
import pickle
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import own_cells

from nblstm import Cell, Recurrent
from nblstm.cells import CELLS, tanh
from nblstm.kernels.units import compiled


def plain_forward(z, c_prev):
    c = 0.5 * c_prev + tanh(z)
    return (z,), (c * c, c)


def plain_backward(z, c, dh, dc):
    dc = dc + 2 * dh * c
    t = tanh(z)
    return (dc * (1 - t * t),), (0.5 * dc,)


PLAIN = {
    "name": "plain", "sums": ("z",), "states": ("h", "c"), "forward": plain_forward, "backward": plain_backward,
}  # fmt: skip


def declared(**changes: Any) -> Cell:
    return Cell(**(PLAIN | changes))


def test_the_plain_cell_is_what_it_says() -> None:
    cell = declared()
    assert repr(cell) == "Cell('plain')"
    assert (cell.saved, cell.carried, cell.slots) == (("z",), ("c",), 1)
    assert (cell.returns_h, cell.reads_more_than_h) == (False, True)
    assert [(column.name, column.of_x, column.of_h) for column in own_cells.MINIMAL.columns] == [
        ("f", 0, 0), ("n_x", 1, -1), ("n_h", -1, 1),
    ]  # fmt: skip
    assert own_cells.MINIMAL.rows.tolist() == [[1, -1, -1], [0, 0, -1], [-1, 1, -1], [-1, -1, -1]]
    assert own_cells.MINIMAL.returns_h
    assert own_cells.ECHO.reads_more_than_h, "for its peepholes"
    assert not CELLS["rnn_tanh"].reads_more_than_h, "though it is given more"


# -------------------------------------------------------------------------------------------------------------- refused


def plain_read(h_prev):
    return 0.5 * h_prev


FIVE = tuple("abcde")
REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "name": ({"name": 3}, TypeError, "name must be a string, got 3"),
    "sums: a string": ({"sums": "z"}, TypeError, "sums must be a sequence of names, got 'z'"),
    "sums: no names": ({"sums": ("z", "2")}, TypeError, "sums must be a sequence of names"),
    "sums: none": ({"sums": ()}, ValueError, "sums must be 1 or more names, each once, got ()"),
    "sums: twice": ({"sums": ("z", "z")}, ValueError, "sums must be 1 or more names, each once"),
    "sums: a number": ({"sums": 4}, TypeError, "sums must be a sequence of names, got 4"),
    "states: order": ({"states": ("c", "h")}, ValueError, "states must begin with 'h', which the sums read, got 'c'"),
    "states: none": ({"states": ()}, ValueError, "states must be 1 or more names"),
    "apart": ({"apart": ("y",)}, ValueError, "apart must name sums, z, got 'y'"),
    "inputs_only": ({"inputs_only": ("y",)}, ValueError, "inputs_only must name sums, z, got 'y'"),
    "hidden_only": ({"hidden_only": 3}, TypeError, "hidden_only must be a sequence of names, got 3"),
    "hidden_only: all": (
        {"hidden_only": ("z",)}, ValueError, "hidden_only must leave a sum that reads x, got all of them",
    ),
    "in two ways": (
        {"inputs_only": ("z",), "apart": ("z",)}, ValueError,
        "apart, inputs_only, hidden_only must have a sum in one of them at most, got 'z' in two",
    ),
    "forget": ({"forget": "y"}, ValueError, "forget must name sums, z, got 'y'"),
    "forget: a number": ({"forget": 3}, TypeError, "forget must be a string, got 3"),
    "check": ({"check": 1}, TypeError, "check must be True or False, got 1"),
    "forward: a class": ({"forward": dict}, TypeError, "forward must be a function, got type"),
    "backward": ({"backward": 3}, TypeError, "backward must be a function, got int"),
    "a sum like a state": ({"sums": ("c",)}, ValueError, "must differ by name, got 'c' twice"),
    "a sum like a gradient": ({"sums": ("dh",)}, ValueError, "must differ by name, got 'dh' twice"),
    "defaults": (
        {"forward": lambda z, c_prev=0: None}, ValueError, "must take plain arguments without defaults, got c_prev=0",
    ),
    "stars": ({"forward": lambda *z: None}, ValueError, "must take plain arguments without defaults, got *z"),
    "unknown": (
        {"forward": lambda z, y: None}, ValueError, "forward must take arguments among z, h_prev, c_prev, got 'y'",
    ),
    "a sum not taken": (
        {"forward": lambda c_prev: None}, ValueError, "forward must take every sum, got none named 'z'",
    ),
    "five sums": (
        {"sums": FIVE, "forward": lambda a, b, c_, d, e: None, "states": ("h",)}, ValueError, "among a, b, c, d, e",
    ),
    "five sums, taken": (
        {"sums": FIVE, "forward": lambda a, b, c, d, e: None, "states": ("h",)}, ValueError,
        "a cell may have 4 sums, parts of one counted apart, at most, got 5",
    ),
    "three apart": (
        {
            "sums": ("a", "b", "e"), "apart": ("a", "b"), "forward": lambda a_x, a_h, b_x, b_h, e: None,
            "states": ("h",),
        }, ValueError, "parts of one counted apart, at most, got 5",
    ),
    "five saved": (
        {"backward": lambda v, w, x, y, z, dh: None}, ValueError,
        "a cell may have 4 values for backward at most, got 5",
    ),
    "no tuples": ({"forward": lambda z, c_prev: z}, TypeError, "forward must return two tuples, got array"),
    "a list": ({"forward": lambda z: ([z], (z, z))}, TypeError, "forward must return two tuples, got"),
    "too little saved": (
        {"forward": lambda z: ((), (z, z))}, ValueError,
        "forward must return what backward takes besides states, for z, got 0 values",
    ),
    "a state missing": (
        {"forward": lambda z: ((z,), (z,))}, ValueError, "forward must return the new states, for h, c, got 1 values",
    ),
    "a gradient missing": (
        {"backward": lambda z, dh, dc: ((), (dc,))}, ValueError,
        "backward must return gradients of the sums, for z, got 0 values",
    ),
    "a gradient too many": (
        {"backward": lambda z, dh, dc: ((dc,), (dh, dc))}, ValueError,
        "backward must return gradients of the states before that forward takes, for c, got 2 values",
    ),
    "a plain number": (
        {"backward": lambda z, dh, dc: ((0.0,), (dc,))}, TypeError,
        "backward must return a number for each unit, computed from its arguments, got 0.0 for z",
    ),
    "a condition": (
        {"forward": lambda z, c_prev: ((z > 0,), (z, z))}, TypeError,
        "computed from its arguments, got bool (2,) for z",
    ),
    "a sum over units": (
        {"forward": lambda z, c_prev: ((z,), (z, np.sum(z)))}, TypeError,
        "must return a number for each unit, computed from its arguments, got np.float64(0.5) for c",
    ),
    "peepholes: a list": ({"peepholes": ["p"]}, TypeError, "peepholes must be a mapping of names to pairs"),
    "peepholes: a name": ({"peepholes": {3: ("z", "c_prev")}}, TypeError, "peepholes must be a sequence of names"),
    "peepholes: no pair": ({"peepholes": {"p": "zc"}}, TypeError, "peepholes['p'] must be a pair (sum, state), got"),
    "peepholes: sum": (
        {"peepholes": {"p": ("y", "c_prev")}}, ValueError, "peepholes['p'] must name a sum that is not apart, got 'y'",
    ),
    "peepholes: state": (
        {"peepholes": {"p": ("z", "h")}}, ValueError,
        "peepholes['p'] must name a state, as h_prev, c_prev or c, got 'h'",
    ),
    "reads: a list": ({"reads": ["z"]}, TypeError, "reads must be a mapping of sums to a function, got ['z']"),
    "reads: no sum": (
        {"reads": {"y": plain_read}}, ValueError, "reads must name sums that have a part from h, z, got 'y'",
    ),
    "reads: of x alone": (
        {"reads": {"z": plain_read}, "inputs_only": ("z",)}, ValueError, "reads must name sums that have a part from h",
    ),
    "reads: no function": ({"reads": {"z": 3}}, TypeError, "reads['z'] must be a function, got int"),
    "reads: two functions": (
        {"reads": {"a": plain_read, "b": lambda h_prev: h_prev}, "sums": ("a", "b"), "forward": lambda a, b: None},
        ValueError, "reads must have one function for all of its sums, got plain_read, <lambda>",
    ),
    "reads: what comes later": (
        {"reads": {"z": lambda z: z}}, ValueError, "<lambda> must take arguments among h_prev, c_prev, got 'z'",
    ),
    "reads: a pair": (
        {"reads": {"z": lambda h_prev: (h_prev, h_prev)}}, TypeError,
        "<lambda> of cell 'plain' must return one number for each unit, computed from its arguments, got (array",
    ),
    "reads: a constant": ({"reads": {"z": lambda: 1.0}}, TypeError, "one number for each unit, computed from its"),
    "reads: what vectors have not": (
        {"reads": {"z": lambda h_prev: np.sin(h_prev)}}, ValueError, "must take arrays, a number for each unit, which",
    ),
    "reads: a sum that nobody takes": (
        {"sums": ("a", "z"), "reads": {"z": plain_read}, "forward": lambda z: None}, ValueError,
        "forward or plain_read must take every sum, got none named 'a'",
    ),
    "reads: a name": (
        {"reads": {"z": plain_read}, "states": ("h", "read"), "forward": lambda z: None}, ValueError,
        "no name may be 'read_prev' where there are reads: read is what their function returns",
    ),
    "reads: a peephole that multiplies the sum": (
        {
            "sums": ("a", "z"), "reads": {"z": lambda a, w: a * w}, "peepholes": {"w": ("a", "c_prev")},
            "forward": lambda z, c_prev: ((), (z, z + c_prev)), "backward": None, "check": True,
        }, ValueError,
        "<lambda> of cell 'plain' must add each peephole, times its state, to its sum: the gradient of w is",
    ),
    "reads: a peephole that forward leaves out": (
        {
            "sums": ("a", "z"), "reads": {"z": lambda a, c_prev, w: tanh(a + w * c_prev)},
            "peepholes": {"w": ("a", "c_prev")}, "forward": lambda a, z, c_prev: ((), (a, z + c_prev)),
            "backward": None, "check": True,
        }, ValueError, "backward of cell 'plain' must be the derivative of forward: the gradient of w is",
    ),
    "reads: values": (
        {
            "sums": ("a", "b", "d", "z"), "states": ("h",), "reads": {"z": lambda a, h_prev: a * h_prev},
            "forward": lambda b, d, z: None, "backward": lambda u, v, w, x, dh: None,
        }, ValueError, "a cell may have 4 values for backward at most, got 5",
    ),
    "peepholes: like a sum": ({"peepholes": {"z": ("z", "c")}}, ValueError, "must differ by name, got 'z' twice"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "kind", "message"), REFUSED.values(), ids=REFUSED)
def test_what_a_cell_refuses(changes: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        declared(**changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cell": 5}, "cell must be Cell, got int"),
        ({"cell": 5, "formulation": "concat"}, "cell must be Cell, got int"),
        ({"cell": Cell, "forget_bias": 1.0}, "cell must be Cell, got type"),
        ({"cell": "gu"}, "cell must be '"),
        ({"cell": "rnn_tanh", "forget_bias": 1.0}, "forget_bias must be 0 for cell 'rnn_tanh', which has no forget"),
        ({"cell": "gru", "formulation": "concat"}, "formulation must be 'split' for cell 'gru', which keeps the parts"),
        ({"cell": "ran", "formulation": "concat"}, "'split' for cell 'ran', whose sum g reads x alone, got 'concat'"),
        ({"cell": "gru_original", "formulation": "concat"}, "'split' for cell 'gru_original', whose sum n reads some"),
        ({"cell": "slstm", "heads": 2}, "heads must divide hidden_size, 3, got 2"),
        ({"cell": "slstm", "heads": 0}, "heads must be at least 1, got 0"),
        ({"cell": "lstm", "heads": 3, "formulation": "concat"}, "heads must be 1 in the concatenated formulation, got"),
    ],
)
def test_what_a_layer_of_a_cell_refuses(given: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Recurrent(**given, input_size=2, hidden_size=3)
    assert message in str(caught.value)


@pytest.mark.parametrize("state", [None, 5, (1, 2), (1, 2, 3, 4)])
def test_a_state_of_another_form_is_refused_and_named(state: Any) -> None:
    layer, x = Recurrent(own_cells.EXPONENTIAL, 2, 3), np.zeros((2, 1, 2), "float32")
    if state is None:
        assert len(layer(x, state)[1]) == 4
    else:
        with pytest.raises(TypeError, match=r"state(\[0\])? must be a"):
            layer(x, state)


# --------------------------------------------------------------------------------------- what vectors of units have not


def squared_forward(z):
    y = tanh(z)
    return (y,), (y**2,)


def sine_forward(z):
    y = np.sin(z)
    return (y,), (y * y,)


def branch_forward(z):
    y = z
    if z > 0:
        y = tanh(z)
    return (y,), (y * y,)


def erf(z):
    return np.vectorize(math.erf)(z)


def unknown_forward(z):
    y = erf(z)
    return (y,), (y * y,)


@pytest.mark.parametrize(
    ("forward", "line"),
    [
        (squared_forward, "return (y,), (y**2,)"),
        (sine_forward, "y = np.sin(z)"),
        (branch_forward, "if z > 0:"),
        (unknown_forward, "y = erf(z)"),
    ],
)
def test_what_vectors_have_not_is_refused_by_the_line(forward: Callable[..., Any], line: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Recurrent(Cell("no", sums=("z",), forward=forward, backward=lambda y, dh: ((dh * y,), ()), check=False), 2, 3)
    number = forward.__code__.co_firstlineno
    assert line in str(caught.value)
    assert any(f"line {number + k}" in str(caught.value) for k in range(1, 5))
    assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------------------------------- copies


def unchecked_backward(z, c, dh, dc):
    """Not the derivative; on purpose, as of a gradient that is passed straight through."""
    return (dc + dh + 0 * z,), (0.5 * dc,)


UNCHECKED = Cell(**(PLAIN | {"backward": unchecked_backward}), check=False)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize(
    "cell", [CELLS["gru"], CELLS["slstm"], own_cells.COUPLED, own_cells.STAGED, UNCHECKED], ids=repr
)
def test_copies_of_layers_have_the_same_cell_and_give_the_same(way: Callable[[Any], Any], cell: Cell) -> None:
    layer = Recurrent(cell, 2, 3, bidirectional=True, seed=0)
    other, x = way(layer), np.ones((4, 2, 2), "float32")
    assert repr(other) == repr(layer) == f"Recurrent({cell.name!r}, 2, 3, bidirectional=True)"
    assert other.cell.key == way(cell).key == cell.key
    assert compiled(other.cell, layer.dtype) is compiled(cell, layer.dtype), "no copy is compiled again"
    np.testing.assert_array_equal(other(x)[0], layer(x)[0])


def test_a_copy_of_a_layer_keeps_its_own_cell_and_functions() -> None:
    """Not those of one that means the same: pickle knows functions by where they stand, the newest ones alone."""
    first, second = (
        Cell(**(PLAIN | {"forward": types.FunctionType(plain_forward.__code__, globals(), "plain_forward")}))
        for _ in range(2)
    )
    assert first.key == second.key
    for cell in (first, second):
        layer = Recurrent(cell, 2, 3)
        assert copy.copy(cell) is copy.deepcopy(layer).cell is cell


def test_a_cell_of_the_name_of_one_in_the_package_is_itself() -> None:
    own = Cell("lstm", **{key: value for key, value in PLAIN.items() if key != "name"})
    assert pickle.loads(pickle.dumps(own)).forward is plain_forward
    assert pickle.loads(pickle.dumps(CELLS["lstm"])) is CELLS["lstm"]


def test_functions_that_no_module_has_cannot_be_pickled_but_copied() -> None:
    def forward(z):
        return (), (1 * z,)

    layer = Recurrent(Cell("here", sums=("z",), forward=forward, backward=lambda h, dh: ((1 * dh,), ())), 2, 3)
    with pytest.raises((AttributeError, pickle.PicklingError), match="pickle"):
        pickle.dumps(layer)
    assert copy.deepcopy(layer).cell.forward is forward
