"""What a tape returned may be handed to its next pass, in any place where it fits: the bits are those of a copy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from support.cases import Case, grid

import nblstm

BOTH = (False, True)
T, B = 2, 3
CASES = [
    *grid(cell=("rnn_tanh", "lstm"), num_layers=(1, 2), bidirectional=(False,), lengths=BOTH, sizes=[(T, B, 8, 8)]),
    *grid(cell=("lstm",), num_layers=(1, 2), bidirectional=(True,), lengths=BOTH, sizes=[(T, B, 16, 8)]),
    Case("peephole", "concat", num_layers=2, batch_first=True, sizes=(T, B, 8, 8)),
    Case("lstm", num_layers=2, sizes=(T, 40, 8, 8)),
]
"""T is also the number of layers of two, and I the width of y, so that states and results fit as x."""


def flat(state: Any) -> list[np.ndarray]:
    return list(state) if isinstance(state, tuple) else [state]


def joined(layer: Any, members: list[np.ndarray | None]) -> Any:
    return tuple(members) if len(layer.cell.states) > 1 else members[0]


def drawn(case: Case, seed: int, what: str) -> np.ndarray:
    """An x or a dy."""
    steps, rows, width, _ = case.sizes
    shape = (rows, steps, width) if case.batch_first else (steps, rows, width)
    return np.random.default_rng([seed, len(what)]).standard_normal(shape, dtype="float32")


def first_pass(case: Case, checkpoint: int | None) -> tuple[Any, Any, dict[str, np.ndarray]]:
    """A layer, its tape, and by name all that forward and backward returned, some of it as other views."""
    layer = case.layer("float32", checkpoint=checkpoint)
    y, state, tape = layer.forward(drawn(case, 0, "x"), None, lengths_of(case))
    dx, dstate = layer.backward(drawn(case, 0, "dy"), tape)
    found = {"y": y, "dx": dx, "y reversed": y[::-1, :, ::-1], "dx reversed": dx[::-1, ::-1]}
    for name, members in (("state", flat(state)), ("dstate", flat(dstate))):
        found |= {f"{name} {n}": member for n, member in enumerate(members)}
        found |= {f"{name} {n} reversed": member[::-1] for n, member in enumerate(members)}
    return layer, tape, found


def lengths_of(case: Case) -> np.ndarray | None:
    return np.arange(case.sizes[1]) % case.sizes[0] + 1 if case.lengths else None


def second_pass(case: Case, checkpoint: int | None, name: str, place: str, form: Callable) -> list[bytes] | None:
    """All that the second pass gives, with one result of the first in one place, or None where it does not fit."""
    layer, tape, results = first_pass(case, checkpoint)
    handed = form(results[name])
    x, dy = drawn(case, 1, "x"), drawn(case, 1, "dy")
    state_shape = (layer.num_layers * layer.directions, case.sizes[1], layer.hidden_size)
    if handed.shape != (x.shape if place in ("x", "dy") else state_shape):
        return None
    whole = joined(layer, [handed] * (len(layer.cell.states)))
    state, dstate = (whole if place == other else None for other in ("state", "dstate"))
    layer.zero_grad()
    y, last, _ = layer.forward(handed if place == "x" else x, state, lengths_of(case), tape)
    found = [array.tobytes() for array in (y, *flat(last))]
    dx, first = layer.backward(handed if place == "dy" else dy, tape, dstate)
    return found + [array.tobytes() for array in (dx, *flat(first), layer.flat_grads)]


@pytest.mark.parametrize("checkpoint", [None, 1])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_results_are_good_arguments(case, checkpoint):
    tried = 0
    for name, place in product(first_pass(case, checkpoint)[2], ("x", "dy", "state", "dstate")):
        if name[0] != "d" and place[0] == "d":  # what the second forward overwrites, as it is meant to
            continue
        found = second_pass(case, checkpoint, name, place, lambda array: array)
        if found is not None:
            assert found == second_pass(case, checkpoint, name, place, np.copy), (name, place)
            tried += 1
    assert tried >= 12


@pytest.mark.parametrize("case", CASES, ids=str)
def test_y_is_a_good_dy(case):
    """As a loss of half the sum of squares has it."""
    layer, x = case.layer("float32"), drawn(case, 0, "x")
    results = []
    for form in (lambda array: array, np.copy):
        layer.zero_grad()
        y, state, tape = layer.forward(x, None, lengths_of(case))
        dx, _ = layer.backward(form(y), tape, joined(layer, [form(member) for member in flat(state)]))
        results.append(dx.tobytes() + layer.flat_grads.tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("size", [8, 5])
@pytest.mark.parametrize("name", ["y", "dx"])
def test_results_of_linear_are_good_arguments(name, size, rng):
    x, dy = rng.standard_normal((2, 4, 3, size)).astype("float32")
    for place in ("x", "dy"):
        results = []
        for form in (lambda array: array, np.copy):
            layer = nblstm.Linear(size, size, seed=0)
            y, tape = layer.forward(x)
            first = {"y": y, "dx": layer.backward(dy, tape)}
            handed = form(first[name] if place == "x" else first[name][::-1])
            layer.zero_grad()
            y, _ = layer.forward(handed if place == "x" else x, tape)
            found = y.tobytes()
            if place == "dy" and name == "y":  # it holds the new y by now
                handed = form(y)
            dx = layer.backward(handed if place == "dy" else dy, tape)
            results.append(found + dx.tobytes() + layer.flat_grads.tobytes())
        assert results[0] == results[1], place


def test_results_of_a_cell_are_good_arguments(rng):
    x = rng.standard_normal((3, 6)).astype("float32")
    for name, place in product(("h", "c", "dx", "dh", "dc"), ("x", "state", "dstate")):
        results = []
        for form in (lambda array: array, np.copy):
            cell = nblstm.LSTMCell(6, 6, seed=0)
            (h, c), tape = cell.forward(x)
            dx, (dh, dc) = cell.backward((x, x), tape)
            handed = form({"h": h, "c": c, "dx": dx, "dh": dh, "dc": dc}[name])
            cell.zero_grad()
            state = (handed, handed) if place == "state" else None
            (h, c), _ = cell.forward(handed if place == "x" else x, state, tape)
            found = h.tobytes() + c.tobytes()
            dx, (dh, dc) = cell.backward((handed, handed) if place == "dstate" and name[0] == "d" else (x, x), tape)
            results.append(found + b"".join(array.tobytes() for array in (dx, dh, dc, cell.flat_grads)))
        assert results[0] == results[1], (name, place)


def test_the_gradient_of_x_is_a_good_x_for_a_model(rng):
    """A step along the gradient of what a network reads, as a picture of what it looks for is made."""
    x, results = rng.standard_normal((4, 3, 5)).astype("float32"), []
    for form in (lambda array: array, np.copy):
        model = nblstm.SequenceRegressor(5, 5, 1, 5, seed=0)
        z, tape = model.forward(x)
        dx = model.backward(z, tape, need_dx=True)
        model.zero_grad()
        z, tape = model.forward(form(dx), tape=tape)
        dx = model.backward(form(z), tape, need_dx=True)
        results.append(b"".join(layer.flat_grads.tobytes() for layer in model.layers) + z.tobytes() + dx.tobytes())
    assert results[0] == results[1]
