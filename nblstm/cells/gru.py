"""The gated recurrent unit, in the form of PyTorch and cuDNN and in that of its paper."""

from nblstm.cells.cell import Cell
from nblstm.kernels.functions import sigmoid, tanh


def gru_forward(r, z, n_x, n_h, h_prev):
    """h = (1 - z) n + z h',  n = tanh(n_x + r n_h)  (Cho et al. 2014; here the reset gate acts on the product)."""
    r, z = sigmoid(r), sigmoid(z)
    n = tanh(n_x + r * n_h)
    return (r, z, n, n_h), ((1 - z) * n + z * h_prev,)


def gru_backward(r, z, n, n_h, h_prev, dh):
    """The chain rule through `gru_forward`; z dh goes straight to h'."""
    dn = dh * (1 - z) * (1 - n * n)
    dr = dn * n_h * r * (1 - r)
    dz = dh * (h_prev - n) * z * (1 - z)
    return (dr, dz, dn, dn * r), (dh * z,)


def reset(r, h_prev):
    """m = r h', what n reads: a step of two stages, for r must be known of every unit before U m."""
    return sigmoid(r) * h_prev


def gru_original_forward(z, n, h_prev):
    """h = (1 - z) n + z h',  n = tanh(W x + U (r h') + b)  (Cho et al. 2014; there z and 1 - z change places)."""
    z, n = sigmoid(z), tanh(n)
    return (z, n), ((1 - z) * n + z * h_prev,)


def gru_original_backward(z, n, h_prev, dh):
    """The chain rule through `gru_original_forward`; that through `reset` is derived."""
    return (dh * (h_prev - n) * z * (1 - z), dh * (1 - z) * (1 - n * n)), (dh * z,)


GRU = Cell("gru", sums=("r", "z", "n"), forward=gru_forward, backward=gru_backward, apart=("n",))

GRU_ORIGINAL = Cell(
    "gru_original", sums=("r", "z", "n"), forward=gru_original_forward, backward=gru_original_backward,
    reads={"n": reset},
)  # fmt: skip
