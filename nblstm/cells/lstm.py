"""The LSTM, and the LSTM with peepholes.

``i, f, g, o`` are the weighted sums where a `*_forward` takes them, and the activated gates from there on.
"""

from nblstm.cells.cell import Cell
from nblstm.kernels.functions import sigmoid, tanh


def lstm_forward(i, f, g, o, c_prev):
    """c = f c' + i g,  h = o tanh(c)  (Gers, Schmidhuber & Cummins 2000)."""
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c = f * c_prev + i * g
    h = o * tanh(c)
    return (i, f, g, o), (h, c)


def lstm_backward(i, f, g, o, c_prev, c, dh, dc):
    """The chain rule through `lstm_forward`, with sigma' = s (1 - s) and tanh' = 1 - t^2."""
    tanh_c = tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    di = dc * g * i * (1 - i)
    df = dc * c_prev * f * (1 - f)
    dg = dc * i * (1 - g * g)
    do = dh * tanh_c * o * (1 - o)
    return (di, df, dg, do), (dc * f,)


def peephole_forward(i, f, g, o, c_prev, p_i, p_f, p_o):
    """An LSTM whose gates see the cell: i and f the old c, o the new one  (Gers & Schmidhuber 2000)."""
    i, f, g = sigmoid(i + p_i * c_prev), sigmoid(f + p_f * c_prev), tanh(g)
    c = f * c_prev + i * g
    o = sigmoid(o + p_o * c)
    h = o * tanh(c)
    return (i, f, g, o), (h, c)


def peephole_backward(i, f, g, o, c_prev, c, dh, dc, p_i, p_f, p_o):
    """As `lstm_backward`; the peepholes add do p_o to the gradient of c, and di p_i + df p_f to that of c'."""
    tanh_c = tanh(c)
    do = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c * tanh_c) + do * p_o
    di = dc * g * i * (1 - i)
    df = dc * c_prev * f * (1 - f)
    dg = dc * i * (1 - g * g)
    return (di, df, dg, do), (dc * f + di * p_i + df * p_f,)


LSTM = Cell(
    "lstm", sums=("i", "f", "g", "o"), states=("h", "c"), forward=lstm_forward, backward=lstm_backward, forget="f"
)

PEEPHOLE = Cell(
    "peephole",
    sums=("i", "f", "g", "o"),
    states=("h", "c"),
    forward=peephole_forward,
    backward=peephole_backward,
    peepholes={"p_i": ("i", "c_prev"), "p_f": ("f", "c_prev"), "p_o": ("o", "c")},
    forget="f",
)
