"""Cells with two sums and no state but h: JANET, the minimal gated unit, the update-gate RNN."""

from nblstm.cells.cell import Cell
from nblstm.kernels.functions import sigmoid, tanh


def janet_forward(f, g, h_prev):
    """h = sigma(s) h' + (1 - sigma(s - 1)) tanh(g)  (van der Westhuizen & Lasenby 2018, with beta = 1)."""
    i = 1 - sigmoid(f - 1)
    f, g = sigmoid(f), tanh(g)
    return (f, g), (f * h_prev + i * g,)


def janet_backward(f, g, h_prev, dh):
    """The chain rule through `janet_forward`; i again from f, as e^(1 - s) is e (1 - f) / f."""
    i = EULER * (1 - f) / (f + EULER * (1 - f))
    return (dh * (h_prev * f * (1 - f) - g * i * (1 - i)), dh * i * (1 - g * g)), (dh * f,)


def mgu_forward(f, n_x, n_h, h_prev):
    """h = (1 - f) h' + f n,  n = tanh(n_x + f n_h)  (Zhou et al. 2016; here f acts on the product, as r in a GRU)."""
    f = sigmoid(f)
    n = tanh(n_x + f * n_h)
    return (f, n, n_h), ((1 - f) * h_prev + f * n,)


def mgu_backward(f, n, n_h, h_prev, dh):
    """The chain rule through `mgu_forward`."""
    dn = dh * f * (1 - n * n)
    return ((dh * (n - h_prev) + dn * n_h) * f * (1 - f), dn, dn * f), (dh * (1 - f),)


def ugrnn_forward(z, n, h_prev):
    """h = z h' + (1 - z) n  (Collins, Sohl-Dickstein & Sussillo 2017)."""
    z, n = sigmoid(z), tanh(n)
    return (z, n), (z * h_prev + (1 - z) * n,)


def ugrnn_backward(z, n, h_prev, dh):
    """The chain rule through `ugrnn_forward`."""
    return (dh * (h_prev - n) * z * (1 - z), dh * (1 - z) * (1 - n * n)), (dh * z,)


EULER = 2.718281828459045

JANET = Cell("janet", sums=("f", "g"), forward=janet_forward, backward=janet_backward, forget="f")

MGU = Cell("mgu", sums=("f", "n"), forward=mgu_forward, backward=mgu_backward, apart=("n",))

UGRNN = Cell("ugrnn", sums=("z", "n"), forward=ugrnn_forward, backward=ugrnn_backward, forget="z")
