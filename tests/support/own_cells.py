"""Cells as users write them, and the plain loop that steps any cell unit by unit in Python's own numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from nblstm import Cell
from nblstm.cells import exp, log_sigmoid, maximum, sigmoid, softplus, tanh, where


def lstm_forward(i, f, g, o, c_prev):
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c = f * c_prev + i * g
    return (i, f, g, o), (o * tanh(c), c)


def lstm_backward(i, f, g, o, c_prev, c, dh, dc):
    tanh_c = tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    return (dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)), (dc * f,)


def gru_forward(r, z, n_x, n_h, h_prev):
    r, z = sigmoid(r), sigmoid(z)
    n = tanh(n_x + r * n_h)
    return (r, z, n, n_h), ((1 - z) * n + z * h_prev,)


def gru_backward(r, z, n, n_h, h_prev, dh):
    dn = dh * (1 - z) * (1 - n * n)
    return (dn * n_h * r * (1 - r), dh * (h_prev - n) * z * (1 - z), dn, dn * r), (dh * z,)


def coupled_forward(f, g, o, c_prev):
    f, g, o = sigmoid(f), tanh(g), sigmoid(o)
    c = f * c_prev + (1 - f) * g
    return (f, g, o), (o * tanh(c), c)


def coupled_backward(f, g, o, c_prev, c, dh, dc):
    tanh_c = tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    return (dc * (c_prev - g) * f * (1 - f), dc * (1 - f) * (1 - g * g), dh * tanh_c * o * (1 - o)), (dc * f,)


def minimal_forward(f, n_x, n_h, h_prev):
    f = sigmoid(f)
    n = tanh(n_x + f * n_h)
    return (f, n, n_h), ((1 - f) * h_prev + f * n,)


def minimal_backward(f, n, n_h, h_prev, dh):
    dn = dh * f * (1 - n * n)
    return ((dh * (n - h_prev) + dn * n_h) * f * (1 - f), dn, dn * f), (dh * (1 - f),)


def exponential_forward(z, i, f, o, c_prev, n_prev, m_prev):
    z, o = tanh(z), sigmoid(o)
    m = maximum(f + m_prev, i)
    i, f = exp(i - m), exp(f + m_prev - m)
    c, n = f * c_prev + i * z, f * n_prev + i
    return (z, i, f, o), (o * c / n, c, n, m)


def exponential_backward(z, i, f, o, c_prev, n_prev, c, n, dh, dc, dn, dm):
    dc, dn = dc + dh * o / n, dn - dh * o * c / (n * n)
    di, df = (dc * z + dn) * i, (dc * c_prev + dn * n_prev) * f
    dm = dm - di - df
    by_f = where(f >= 1, dm, 0)
    df = df + by_f
    return (dc * i * (1 - z * z), di + dm - by_f, df, dh * c / n * o * (1 - o)), (dc * f, dn * f, df)


def leak(w, c_prev):
    """A weight of each unit for its own past."""
    return w * c_prev


def echo_forward(z, c_prev, w):
    """Linear, so that backward needs nothing of the step: c is h, and peepholes are all that reads it again."""
    c = z + leak(w, c_prev)
    return (), (1 * c, c)


def echo_backward(dh, dc, w):
    dz = dh + dc
    return (dz,), (leak(w, dz),)


def mixed_forward(a, b, c, e, h_prev, u):
    """A sum of both parts, two of x alone and one of h alone; and weights of each unit for its own h."""
    return (), (tanh(a + u * h_prev) + sigmoid(b) * e + tanh(c),)


def hoisted_forward(a, b, c, e):
    """All read x, which is multiplied for many steps at once, but not all read h."""
    return (), (tanh(softplus(a) + log_sigmoid(b)) * sigmoid(c) + e,)


def alone_forward(a, b, c_prev, u):
    """Nothing reads h: what is simplest of an SRU."""
    f = sigmoid(a + u * c_prev)
    c = f * c_prev + (1 - f) * b
    return (), (tanh(c), c)


def opened_forward(f, n):
    """A gate that h alone opens, as in Heck & Salem's second minimal gated unit (2017)."""
    return (), (sigmoid(f) * tanh(n),)


HC = ("h", "c")
LSTM = Cell("my_lstm", sums=("i", "f", "g", "o"), states=HC, forward=lstm_forward, backward=lstm_backward, forget="f")
GRU = Cell("my_gru", sums=("r", "z", "n"), forward=gru_forward, backward=gru_backward, apart=("n",))
COUPLED = Cell("my_coupled", sums=("f", "g", "o"), states=HC, forward=coupled_forward, backward=coupled_backward)
MINIMAL = Cell("my_minimal", sums=("f", "n"), forward=minimal_forward, backward=minimal_backward, apart=("n",))
EXPONENTIAL = Cell(
    "exponential", sums=("z", "i", "f", "o"), states=("h", "c", "n", "m"), forward=exponential_forward,
    backward=exponential_backward,
)  # fmt: skip
ECHO = Cell(
    "echo", sums=("z",), states=HC, forward=echo_forward, backward=echo_backward, peepholes={"w": ("z", "c_prev")}
)

MIXED = Cell(
    "mixed", sums=("a", "b", "c", "e"), forward=mixed_forward, inputs_only=("e", "b"), hidden_only=("c",),
    peepholes={"u": ("a", "h_prev")},
)  # fmt: skip
HOISTED = Cell("hoisted", sums=("a", "b", "c", "e"), forward=hoisted_forward, inputs_only=("b",), forget="c")
ALONE = Cell(
    "alone", sums=("a", "b"), states=HC, forward=alone_forward, inputs_only=("a", "b"), forget="b",
    peepholes={"u": ("a", "c_prev")},
)  # fmt: skip
OPENED = Cell("opened", sums=("f", "n"), forward=opened_forward, hidden_only=("f",), forget="f")


def remembered(f, g_x, c_prev, w):
    """What two sums read in place of h: more than a gate of h, with a weight of each unit and a sum that reads x."""
    return sigmoid(f + w * c_prev) * c_prev + tanh(g_x)


def staged_forward(f, g_x, g_h, o, c_prev, w):
    """Two stages, in which f counts twice: with half of its sums past the second product."""
    f = sigmoid(f + w * c_prev)
    c = f * c_prev + (1 - f) * tanh(g_x + g_h)
    return (), (sigmoid(o) * tanh(c), c)


def after_forward(z):
    return (), (tanh(z),)


def halved(h_prev):
    return 0.5 * h_prev


STAGED = Cell(
    "staged", sums=("f", "g", "o"), states=HC, forward=staged_forward, apart=("g",), peepholes={"w": ("f", "c_prev")},
    reads={"g": remembered, "o": remembered}, forget="f",
)  # fmt: skip
AFTER = Cell("after", sums=("z",), forward=after_forward, reads={"z": halved})


def step(cell: Cell, u: int, a_x: np.ndarray, a_h: np.ndarray, states: list[np.ndarray], peephole: Any) -> list[float]:
    """The new states of unit u, from what x and h contribute to sums, each (sums, H), and the states before, (H,)."""
    given = numbers_of_unit(cell, u, a_x, a_h, states, peephole)
    _, new = cell.forward(*(given[name] for name in cell.forward_arguments))
    return [float(value) for value in new]


def what_is_read(cell: Cell, *of_unit: Any) -> float:
    """What some sums read of a unit in place of h; see `step`, but a_h of other sums only is made use of."""
    given = numbers_of_unit(cell, *of_unit)
    return float(cell.reading.functions[0](*(given[name] for name in cell.reading.arguments[0])))


def numbers_of_unit(
    cell: Cell, u: int, a_x: np.ndarray, a_h: np.ndarray, states: list[np.ndarray], peephole: Any
) -> dict[str, float]:
    """All that functions of a cell may take, by name."""
    given = {f"{name}_prev": state[u] for name, state in zip(cell.states, states, strict=True)}
    given |= {name: peephole[k, u] for k, name in enumerate(cell.peepholes)}
    for name in cell.sums:
        x, h = (
            a[part.index(name), u] if name in part else 0.0
            for a, part in ((a_x, cell.sums_of_x), (a_h, cell.sums_of_h))
        )
        given |= {f"{name}_x": x, f"{name}_h": h, name: x + h}
    return given


def normalised(a: np.ndarray, gain: np.ndarray | None) -> np.ndarray:
    """A product of all sums as a layer with layer norm has it, or, without a gain, as it is."""
    return a if gain is None or not a.size else gain * (a - a.mean()) / np.sqrt(a.var() + 1e-5)


def run_plain(layer: Any, x: np.ndarray, lengths: list[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """y (T, B, D H) and the last states (L D, B, H) of a split layer with biases, from states of zeros."""
    cell, p, H, D = layer.cell, layer.params, layer.hidden_size, layer.directions
    T, B, _ = x.shape
    last = [np.zeros((layer.num_layers * D, B, H)) for _ in cell.states]
    for number in range(layer.num_layers):
        y = np.zeros((T, B, D * H))
        for d in range(D):
            suffix = f"_l{number}" + "_reverse" * d
            w_x, peephole = p["weight_ih" + suffix], p.get("weight_peephole" + suffix)
            w_h, b_h = p.get("weight_hh" + suffix, np.zeros((0, layer.head))), p.get("bias_hh" + suffix, 0)
            heads = np.arange(H)[:, None] // layer.head == np.arange(H) // layer.head  # which units read which
            w_h = np.tile(w_h, layer.heads) * np.tile(heads, (len(cell.sums_of_h), 1))
            for b in range(B):
                states = [np.zeros(H) for _ in cell.states]
                for t in range(lengths[b])[:: 1 - 2 * d]:
                    a_x = (normalised(w_x @ x[t, b], p.get("gain_ih" + suffix)) + p["bias_ih" + suffix]).reshape(-1, H)
                    a_h = (normalised(w_h @ states[0], p.get("gain_hh" + suffix)) + b_h).reshape(-1, H)
                    if cell.reads:
                        read = np.array([what_is_read(cell, u, a_x, a_h, states, peephole) for u in range(H)])
                        second = [cell.sums_of_h.index(name) for name in cell.reads]
                        a_h[second] = (w_h @ read + b_h).reshape(-1, H)[second]
                    states = list(np.transpose([step(cell, u, a_x, a_h, states, peephole) for u in range(H)]))
                    y[t, b, d * H : (d + 1) * H] = states[0]
                for member, state in zip(last, states, strict=True):
                    member[number * D + d, b] = state
        x = y
    return y, last
