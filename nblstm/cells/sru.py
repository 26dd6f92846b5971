"""The simple recurrent unit, in which no sum reads h: its products are had at once, and a step is a few operations."""

from nblstm.cells.cell import Cell
from nblstm.kernels.functions import sigmoid


def sru_forward(g, f, r, k, c_prev, v_f, v_r):
    """c = f c' + (1 - f) g,  h = r c + (1 - r) k  with f = sigma(W x + v c' + b), and r too  (Lei et al. 2018).

    There k is x itself where a layer has as many units as inputs, and W x elsewhere; here it is W x + b.
    """
    f, r = sigmoid(f + v_f * c_prev), sigmoid(r + v_r * c_prev)
    c = f * c_prev + (1 - f) * g
    return (g, f, r, k), (r * c + (1 - r) * k, c)


def sru_backward(g, f, r, k, c_prev, c, dh, dc, v_f, v_r):
    """The chain rule through `sru_forward`; the peepholes add df v_f + dr v_r to the gradient of c'."""
    dr = dh * (c - k) * r * (1 - r)
    dc = dc + dh * r
    df = dc * (c_prev - g) * f * (1 - f)
    return (dc * (1 - f), df, dr, dh * (1 - r)), (dc * f + df * v_f + dr * v_r,)


SRU = Cell(
    "sru", sums=("g", "f", "r", "k"), states=("h", "c"), forward=sru_forward, backward=sru_backward, forget="f",
    inputs_only=("g", "f", "r", "k"), peepholes={"v_f": ("f", "c_prev"), "v_r": ("r", "c_prev")},
)  # fmt: skip
