"""A cell's digest: it changes with all that its functions do; and functions that have changed are not compiled."""

from __future__ import annotations

import math
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import own_cells
from support.processes import run_python

import nblstm
from nblstm import Cell, Recurrent, cells
from nblstm.cells import CELLS, sigmoid, tanh
from nblstm.kernels import units


def written(text: str, **names: Any) -> types.FunctionType:
    """The function f of a source text, with these names outside."""
    found = {"tanh": tanh, "sigmoid": sigmoid, "math": math, "cells": cells, "np": np} | names
    exec(text, found)
    return found["f"]


def key(text: str, **names: Any) -> str:
    return Cell("k", sums=("z",), forward=written(text, **names), backward=lambda h, dh: ((dh,), ()), check=False).key


def closing_over(number: float) -> str:
    def forward(z):
        return (), (number * z,)

    return Cell("k", sums=("z",), forward=forward, backward=lambda h, dh: ((dh,), ()), check=False).key


def module(**names: Any) -> types.ModuleType:
    found = types.ModuleType("numbers")
    vars(found).update(names)
    return found


TEXT = "def f(z):\n    return (), (a * tanh(z) + 2.0,)"


def test_the_digest_changes_with_all_that_a_function_does() -> None:
    helping = "def f(z):\n    return (), (g(z),)"
    inside = "def f(z):\n    return (), (m.a * cells.tanh(z),)"
    keys = [
        key(TEXT, a=0.5), key(TEXT, a=0.25), key(TEXT, a=1), key(TEXT, a=np.float32(1)), key(TEXT, a=True),
        key(TEXT.replace("2.0", "3.0"), a=0.5), key(TEXT.replace("tanh", "sigmoid"), a=0.5),
        key(TEXT.replace("+", "-"), a=0.5), key(TEXT, a=0.5, tanh=written("def f(x):\n    return x")),
        key(TEXT, a=0.5, tanh=sigmoid), closing_over(1.0), closing_over(2.0),
        key(helping, g=written("def f(x):\n    return x")), key(helping, g=written("def f(x):\n    return x * x")),
        key(helping, g=written("def f(x):\n    return a * x", a=2)),
        key(helping, g=written("def f(x):\n    return a * x", a=3)),
        key(inside, m=module(a=2)), key(inside, m=module(a=3)), key(inside, m=module(a=3), cells=module(tanh=sigmoid)),
    ]  # fmt: skip
    assert len({*keys}) == len(keys)


def test_the_digest_knows_which_name_stands_for_which_function() -> None:
    text, double = "def f(z):\n    return (), (g(z) + 2.0 * h(z) + k(z),)", written("def f(x):\n    return x + x")
    other = written("def f(x):\n    return x * x")
    bindings = [(tanh, double, double), (double, tanh, double), (double, double, tanh), (double, other, double)]
    keys = [key(text, g=g, h=h, k=k) for g, h, k in [*bindings, (double, other, other), (other, double, double)]]
    assert len({*keys}) == len(keys)


def test_the_digest_knows_the_defaults_of_helpers() -> None:
    helping = "def f(z):\n    return (), (g(z),)"
    texts = [f"def f(x, a={a}, *, b={b}):\n    return x * a * b" for a, b in ((1, 2), (1, 3), (2, 3))]
    assert len({key(helping, g=written(text)) for text in texts}) == 3


def test_peepholes_in_another_order_are_another_declaration() -> None:
    """The rows of their weights lie in that order."""
    parts = CELLS["peephole"]
    declared = {each: getattr(parts, each) for each in ("sums", "states", "forward", "backward", "forget")}
    turned = Cell("peephole", **declared, peepholes=dict(reversed(parts.peepholes.items())))
    assert turned.key != parts.key


def test_names_of_attributes_are_no_globals() -> None:
    inside = "def f(z):\n    return (), (m.slope * z,)"
    assert key(inside, m=module(slope=2), slope=np.zeros(3)) == key(inside, m=module(slope=2))


def test_the_digest_changes_with_the_declaration() -> None:
    parts = {"forward": own_cells.lstm_forward, "backward": own_cells.lstm_backward, "states": ("h", "c")}
    given = {"sums": ("i", "f", "g", "o")}
    keys = {
        Cell("k", **parts, **given).key, Cell("l", **parts, **given).key, Cell("k", **parts, **given, forget="f").key,
        Cell("k", **parts, sums=("f", "i", "g", "o"), check=False).key,
        Cell("k", **parts, **given, peepholes={"p": ("i", "c")}, check=False).key,
    }  # fmt: skip
    assert len(keys) == 5


def test_the_digest_knows_no_docstrings_nor_lines_nor_what_is_not_used() -> None:
    same = key(TEXT, a=0.5)
    assert key("\n\n# a remark\n" + TEXT, a=0.5) == same
    assert key(TEXT.replace(":\n", ':\n    "What it does."\n', 1), a=0.5, other=3) == same
    assert key(TEXT.replace(":\n", ':\n    "And else."\n', 1), a=0.5, other=np.zeros(3)) == same


@pytest.mark.parametrize("value", [np.zeros(2), object(), [1.0], "x", None, {}])
def test_what_has_no_meaning_in_another_process_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"must use numbers and functions only .* got a, a {type(value).__name__}"):
        key(TEXT, a=value)
    with pytest.raises(TypeError, match=r"must use numbers and functions only .* got m\.a, a"):
        key("def f(z):\n    return (), (m.a * z,)", m=module(a=value))


PROGRAM = """
import numpy as np
import nblstm
from nblstm.kernels import units

print("runs")

def forward(z, h_prev):
    return (), (0.7071 * z + 0.5 * h_prev,)

def backward(dh):
    return (0.7071 * dh,), (0.5 * dh,)

layer = nblstm.Recurrent(nblstm.Cell("far", sums=("z",), forward=forward, backward=backward), 2, 3, seed=0)
y, _, tape = layer.forward(np.ones((2, 1, 2), "float32"))
print(layer.backward(y, tape)[0].sum())
(compiled,) = units._COMPILED.values()
print([function.cache_hits for function in compiled.functions])
"""


def test_machine_code_outlives_the_module_that_the_cell_stood_in(tmp_path: Path) -> None:
    """The next process neither needs that module nor runs it."""
    for name in ("first", "second", "third"):
        (tmp_path / f"{name}.py").write_text(PROGRAM)
    found, _ = run_python("-c", "import first", cwd=tmp_path)  # what an earlier test run left is from there as well
    _, gradient, _ = found.splitlines()
    assert run_python("-c", "import second", cwd=tmp_path)[0].splitlines() == ["runs", gradient, "[1, 1]"]
    (tmp_path / "first.py").unlink()
    assert run_python("-c", "import third", cwd=tmp_path)[0].splitlines() == ["runs", gradient, "[1, 1]"]


@pytest.mark.parametrize("value", [np.float16(2), np.longdouble(2), np.True_, np.complex64(1)])
def test_numbers_of_other_kinds_are_refused_with_those_that_are_taken(value: Any) -> None:
    with pytest.raises(TypeError, match=r"got a, a .*; of numbers it takes int, float, NumPy's integers, float32 and "):
        key(TEXT, a=value)


@pytest.mark.parametrize(
    ("value", "bits"), [(2**63, 65), (-(2**63) - 1, 65), (10**30, 101), (np.uint64(2**63), 65), (2**2000, 2002)]
)
def test_integers_that_machine_code_has_not_are_refused(value: Any, bits: int) -> None:
    for text in (TEXT, TEXT.replace("a *", f"{int(value)} *")):
        with pytest.raises(ValueError, match=f"f must use integers of 64 bits, got one of {bits}: write a float"):
            key(text, a=value)
    key(TEXT, a=2**63 - 1)
    key(TEXT, a=np.uint64(3))


# ---------------------------------------------------------------------------------------------------- changed functions


FACTOR = 1.0


def scaled_forward(z):
    return (), (FACTOR * z,)


def scaled_backward(h, dh):
    return (FACTOR * dh,), ()


def scaled_by(factor: float) -> Cell:
    def forward(z):
        return (), (factor * z,)

    def backward(h, dh):
        return (factor * dh,), ()

    return Cell("scaled", sums=("z",), forward=forward, backward=backward)


def test_two_cells_of_one_name_each_run_their_own_code() -> None:
    x = np.ones((1, 1, 1))
    for factor in (1.0, 2.0, 1.0):
        cell = scaled_by(factor)
        layer = Recurrent(cell, 1, 3, bias=False, dtype="float64", seed=0)
        np.testing.assert_array_equal(layer(x)[0].ravel(), factor * layer.params["weight_ih_l0"].ravel())
        nblstm.gradcheck(layer, x)


def test_a_function_that_got_other_numbers_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those that it had when the cell was declared are to be had, nor does Numba compile it twice.

    A layer that is there goes on with what it was compiled with.
    """
    cell = Cell("scaled", sums=("z",), forward=scaled_forward, backward=scaled_backward)
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    with pytest.raises(ValueError, match="cell 'scaled' must be declared anew: what its functions use has changed"):
        Recurrent(cell, 1, 3)
    monkeypatch.undo()
    layer, x = Recurrent(cell, 1, 3), np.ones((1, 1, 1), "float32")
    units._jitable(scaled_forward)  # as it is done when the code does not come from the cache
    before = layer(x)[0]
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    np.testing.assert_array_equal(layer(x)[0], before)
    for dtype in ("float32", "float64"):
        with pytest.raises(ValueError, match="cell 'scaled' must be declared anew"):
            Recurrent(cell, 1, 3, dtype=dtype)
    with pytest.raises(ValueError, match="scaled_forward must be defined anew: what it uses has changed since it was"):
        Recurrent(Cell("scaled", sums=("z",), forward=scaled_forward, backward=scaled_backward), 1, 3)
