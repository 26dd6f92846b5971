"""Greff et al.'s variants of the LSTM, with and without peepholes, against the paper's equations written out."""

from __future__ import annotations

import numpy as np
import pytest
from naive import sigmoid

import nblstm
from nblstm.cells import CELLS, Cell
from nblstm.cells.peephole_variants import NO_FORGET_GATE

I, H = 2, 13
VARIANTS = {
    "no_input_gate": "fgo", "no_forget_gate": "igo", "no_output_gate": "ifg", "no_input_activation": "ifgo",
    "no_output_activation": "ifgo", "coupled": "fgo",
}  # fmt: skip
NAMES = ["lstm", "peephole", *(f"{prefix}{name}" for prefix in ("", "peephole_") for name in VARIANTS)]


def vanilla(layer: nblstm.Recurrent, x: np.ndarray, h: np.ndarray, c_prev: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The new h and c by the paper's equations in its section 2 and appendix A.2."""
    cell, p = layer.cell, layer.params
    sums = p["weight_ih_l0"] @ x + p["bias_ih_l0"] + p["weight_hh_l0"] @ h + p["bias_hh_l0"]
    s = dict(zip(cell.sums, sums.reshape(-1, H), strict=True))
    w = dict.fromkeys(("p_i", "p_f", "p_o"), 0.0) | dict(
        zip(cell.peepholes, p.get("weight_peephole_l0", ()), strict=True)
    )
    f = sigmoid(s["f"] + w["p_f"] * c_prev) if "f" in s else 1.0
    i = sigmoid(s["i"] + w["p_i"] * c_prev) if "i" in s else 1 - f if "coupled" in cell.name else 1.0
    z = s["g"] if "no_input_activation" in cell.name else np.tanh(s["g"])
    c = i * z + f * c_prev
    o = sigmoid(s["o"] + w["p_o"] * c) if "o" in s else 1.0
    return o * (c if "no_output_activation" in cell.name else np.tanh(c)), c


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_equations(name: str, rng: np.random.Generator) -> None:
    layer, x = nblstm.Recurrent(name, I, H, dtype="float64", seed=0), rng.standard_normal((6, I))
    h, c = rng.standard_normal((2, H))
    y, (_, c_n) = layer(x, (h[None], c[None]))
    for t in range(6):
        h, c = vanilla(layer, x[t], h, c)
        np.testing.assert_allclose(y[t], h, rtol=0, atol=1e-14)
    np.testing.assert_allclose(c_n[0], c, rtol=0, atol=1e-14)


@pytest.mark.parametrize("cell", [cell for cell in CELLS.values() if cell.name.startswith("peephole_")], ids=repr)
def test_gradients(cell: Cell, rng: np.random.Generator) -> None:
    layer = nblstm.Recurrent(cell, I, 5, 2, bidirectional=True, dtype="float64", seed=1)
    assert "weight_peephole_l1_reverse" in layer.params
    nblstm.gradcheck(layer, rng.standard_normal((4, 3, I)), None, np.array([4, 1, 3]), entries=3)


def test_a_gate_that_is_not_there_has_no_peephole() -> None:
    assert NO_FORGET_GATE.peepholes == {"p_i": ("i", "c_prev"), "p_o": ("o", "c")}
    assert [len(CELLS[f"peephole_{name}"].peepholes) for name in VARIANTS] == [2, 2, 2, 3, 3, 2]
