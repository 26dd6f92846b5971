"""Cells without a matrix for some sum, and heads, against their papers' equations written out; and by differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest
from naive import sigmoid

import nblstm
from nblstm.cells import log_sigmoid
from nblstm.cells.xlstm import slstm_forward

I, H, HEADS = 2, 12, 3
Params = Mapping[str, np.ndarray]
States = tuple[np.ndarray, ...]


def ran(p: Params, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> States:
    """Lee, Levy & Zettlemoyer 2017, equations 1 to 5: the content layer reads x alone."""
    w_c, w_i, w_f = np.split(p["weight_ih_l0"], 3)
    b_c, b_i, b_f = np.split(p["bias_ih_l0"], 3)
    (u_i, u_f), (d_i, d_f) = np.split(p["weight_hh_l0"], 2), np.split(p["bias_hh_l0"], 2)
    content = w_c @ x + b_c
    i, f = sigmoid(u_i @ h + w_i @ x + b_i + d_i), sigmoid(u_f @ h + w_f @ x + b_f + d_f)
    c = i * content + f * c
    return np.tanh(c), c


def indrnn(p: Params, x: np.ndarray, h: np.ndarray) -> States:
    """Li et al. 2018, equation 2, with relu."""
    return (np.maximum(p["weight_ih_l0"] @ x + p["weight_peephole_l0"][0] * h + p["bias_ih_l0"], 0),)


def sru(p: Params, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> States:
    """Lei et al. 2018, equations 1 to 4, with a matrix in the highway."""
    (candidate, a_f, a_r, highway), (v_f, v_r) = (
        np.split(p["weight_ih_l0"] @ x + p["bias_ih_l0"], 4),
        p["weight_peephole_l0"],
    )
    f, r = sigmoid(a_f + v_f * c), sigmoid(a_r + v_r * c)
    c = f * c + (1 - f) * candidate
    return r * c + (1 - r) * highway, c


def slstm(
    p: Params, x: np.ndarray, h: np.ndarray, c: np.ndarray, n: np.ndarray, m: np.ndarray,
    log_f: Callable[[np.ndarray], np.ndarray] = lambda s: s,
) -> States:  # fmt: skip
    """Beck et al. 2024, equations 8 to 17, one head after the other; what is read first makes the state."""
    found, size = [], H // HEADS
    for head in range(HEADS):
        own = slice(head * size, head * size + size)
        i, f, z, o = (
            p["weight_ih_l0"][k * H : k * H + H][own] @ x + p["weight_hh_l0"][k * H : k * H + H][own] @ h[own]
            + (p["bias_ih_l0"] + p["bias_hh_l0"])[k * H : k * H + H][own]
            for k in range(4)
        )  # fmt: skip
        first, f = n[own].max() == 0, log_f(f)
        new_m = i if first else np.maximum(f + m[own], i)
        new_c, new_n = np.exp(i - new_m) * np.tanh(z), np.exp(i - new_m)
        if not first:
            new_c, new_n = (
                new_c + np.exp(f + m[own] - new_m) * c[own], new_n + np.exp(f + m[own] - new_m) * n[own],
            )  # fmt: skip
        found.append((sigmoid(o) * new_c / new_n, new_c, new_n, new_m))
    return tuple(map(np.concatenate, zip(*found, strict=True)))


def slstm_sigmoid(p: Params, x: np.ndarray, h: np.ndarray, c: np.ndarray, n: np.ndarray, m: np.ndarray) -> States:
    """The other form of equation 13: the forget gate is a sigmoid."""
    return slstm(p, x, h, c, n, m, log_f=lambda s: np.log(sigmoid(s)))


def slstm_sigmoid_forward(i, f, z, o, c_prev, n_prev, m_prev):
    return slstm_forward(i, log_sigmoid(f), z, o, c_prev, n_prev, m_prev)


SLSTM_SIGMOID = nblstm.Cell(
    "slstm_sigmoid", sums=("i", "f", "z", "o"), states=("h", "c", "n", "m"), forward=slstm_sigmoid_forward
)
PAPERS: dict[str, tuple[nblstm.Cell | str, Callable[..., States], dict[str, Any]]] = {
    "ran": ("ran", ran, {}), "indrnn": ("indrnn", indrnn, {}), "sru": ("sru", sru, {}),
    "slstm": ("slstm", slstm, {"heads": HEADS}),
    "slstm, f a sigmoid": (SLSTM_SIGMOID, slstm_sigmoid, {"heads": HEADS}),
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-6)])
@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.usefixtures("threads_and_serial")
def test_the_papers_equations(name: str, dtype: str, tolerance: float, rng: np.random.Generator) -> None:
    cell, plain, options = PAPERS[name]
    layer, x = (
        nblstm.Recurrent(cell, I, H, dtype=dtype, seed=0, **options),
        rng.standard_normal((6, 2, I)).astype(dtype),
    )
    y, last = layer(x)
    for b in range(2):
        states = (np.zeros(H),) * len(layer.cell.states)
        for t in range(6):
            states = plain(layer.params, x[t, b], *states)
            np.testing.assert_allclose(y[t, b], states[0], rtol=0, atol=tolerance)
        for found, expected in zip(last if len(states) > 1 else (last,), states, strict=True):
            np.testing.assert_allclose(found[0, b], expected, rtol=0, atol=tolerance)


@pytest.mark.gradients
@pytest.mark.parametrize("name", PAPERS)
def test_gradients(name: str, rng: np.random.Generator) -> None:
    """From a state that has read something, where an sLSTM is smooth; with these numbers no relu is near its kink."""
    for layers, bidirectional, bias, ragged, batch_first in product((1, 2), *((False, True),) * 4):
        layer = nblstm.Recurrent(
            PAPERS[name][0], I, H, layers, bias, batch_first, bidirectional=bidirectional, dtype="float64", seed=1,
            **PAPERS[name][2],
        )  # fmt: skip
        x = rng.standard_normal((3, 5, I) if batch_first else (5, 3, I))
        nblstm.gradcheck(layer, x, layer(x)[1], np.array([5, 2, 4]) if ragged else None, entries=4)
