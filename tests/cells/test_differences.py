"""A cell's backward against differences of its forward: every gradient that is wrong is found and named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import own_cells

from nblstm import Cell, Recurrent
from nblstm.cells import CELLS, exp, maximum, relu, tanh, where


def test_a_wrong_gradient_is_named_each_in_turn() -> None:
    """Those of all sums, of both parts of one apart, and of all states."""
    for right, names in (
        (own_cells.EXPONENTIAL, ("z", "i", "f", "o", "c_prev", "n_prev", "m_prev")),
        (own_cells.MINIMAL, ("f", "n_x", "n_h", "h_prev")),
        (own_cells.ECHO, ("z", "c_prev")),
    ):
        for wrong, name in enumerate(names):
            assert_refused(right, wrong, f"the gradient of {name} is ")


def assert_refused(right: Cell, wrong: int, message: str) -> None:
    """The cell with one gradient a thousandth off."""
    arguments = ", ".join(right.backward_arguments)
    text = f"""def backward({arguments}):
        sums, states = right({arguments})
        found = [*sums, *states]
        found[wrong] = found[wrong] * 1.001
        return tuple(found[: len(sums)]), tuple(found[len(sums) :])"""
    names: dict[str, Any] = {"right": right.backward, "wrong": wrong}
    exec(text, names)
    parts = {each: getattr(right, each) for each in ("sums", "states", "forward", "apart", "peepholes")}
    with pytest.raises(ValueError, match="must be the derivative of forward") as caught:
        Cell("wrong", backward=names["backward"], **parts)
    assert message in str(caught.value)
    Cell("wrong", backward=names["backward"], check=False, **parts)


def test_a_peephole_declared_for_another_state_or_sum_is_found() -> None:
    peephole = CELLS["peephole"]
    parts = {each: getattr(peephole, each) for each in ("sums", "states", "forward", "backward")}
    right = dict(peephole.peepholes)
    Cell("p", peepholes=right, **parts)
    for name, target in (("p_i", ("i", "c")), ("p_f", ("g", "c_prev")), ("p_o", ("o", "c_prev"))):
        with pytest.raises(ValueError, match=f"the gradient of {name} is "):
            Cell("p", peepholes=right | {name: target}, **parts)


def from_a_kink_forward(z, h_prev):
    """h is 0 in some units from the first step on, just where the next one's gradient jumps."""
    return (), (relu(z) + 0.5 * maximum(h_prev, -h_prev),)


def from_a_kink_backward(h, h_prev, dh):
    return (where(h > 0.5 * maximum(h_prev, -h_prev), dh, 0),), (where(h_prev > 0, 0.5, -0.5) * dh,)


def beside_a_kink_backward(h, h_prev, dh):
    (dz,), _ = from_a_kink_backward(h, h_prev, dh)
    return (dz,), (where(h_prev > 0, 0.5, -0.6) * dh,)


def test_at_a_kink_the_gradient_of_either_side_is_right() -> None:
    """And what lies between them; a derived one is not refused for it."""
    for backward in (None, from_a_kink_backward):
        Cell("kinked", sums=("z",), forward=from_a_kink_forward, backward=backward)
    with pytest.raises(ValueError, match="the gradient of h_prev is "):
        Cell("kinked", sums=("z",), forward=from_a_kink_forward, backward=beside_a_kink_backward)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_gradient_that_is_wrong_only_far_out_is_found(sign: int) -> None:
    def forward(z):
        return (z,), (tanh(z),)

    def backward(z, h, dh):
        return (where(sign * z > 3, 0 * dh, dh * (1 - h * h)),), ()

    with pytest.raises(ValueError, match="the gradient of z is "):
        Cell("cut", sums=("z",), forward=forward, backward=backward)


def test_what_rounding_leaves_of_large_numbers_is_no_mistake() -> None:
    """The gradient of y, 1, is a difference of numbers of which only so many digits are there."""

    def forward(z, y):
        return (z,), (exp(4.0 + 3.0 * z) + y,)

    def backward(z, dh):
        return (3.0 * exp(4.0 + 3.0 * z) * dh, 1.0 * dh), ()

    Cell("large", sums=("z", "y"), forward=forward, backward=backward)


def test_gradients_that_are_no_numbers_are_refused() -> None:
    def forward(z):
        return (z,), (tanh(z),)

    def backward(z, h, dh):
        return (dh * (1 - h * h) + 0 / (z - z),), ()

    with pytest.raises(ValueError, match="must give numbers, got the gradient of z not finite"):
        Cell("nan", sums=("z",), forward=forward, backward=backward)


def test_numbers_that_are_none_in_some_units_are_refused() -> None:
    with pytest.raises(ValueError, match="must give numbers, got the gradient of z not finite"):
        Cell(
            "k", sums=("z",), forward=lambda z: ((z,), (z,)),
            backward=lambda z, dh: ((where(z > 0, dh, dh * (z - z) / (z - z)),), ()),
        )  # fmt: skip


def test_functions_may_reckon_in_place() -> None:
    def forward(z):
        z += 1.0
        return (z,), (z * z,)

    Cell("k", sums=("z",), forward=forward, backward=lambda z, dh: ((2.0 * z * dh,), ()))


def test_the_slstm_stays_finite_for_large_sums(rng: np.random.Generator) -> None:
    """Also where the first input gate is 0 beside the forget gate."""
    layer = Recurrent("slstm", 4, 16, seed=0)
    y, _, tape = layer.forward(rng.uniform(0, 255, (20, 3, 4)).astype("float32"))
    dx, _ = layer.backward(np.ones_like(y), tape)
    assert all(np.isfinite(array).all() for array in (y, dx, layer.flat_grads))
