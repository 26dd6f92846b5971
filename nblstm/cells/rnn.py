"""The plain recurrent network, with tanh or with relu."""

from nblstm.cells.cell import Cell
from nblstm.kernels.functions import gate_positive, relu, tanh


def rnn_tanh_forward(z):
    """h = tanh(z)  (Elman 1990)."""
    return (z,), (tanh(z),)


def rnn_tanh_backward(z, h, dh):
    """dz = dh (1 - h^2)."""
    return (dh * (1 - h * h),), ()


def rnn_relu_forward(z):
    """h = max(0, z)."""
    return (z,), (relu(z),)


def rnn_relu_backward(z, h, dh):
    """dz = dh, but 0 where h is."""
    return (gate_positive(h, dh),), ()


RNN_TANH = Cell("rnn_tanh", sums=("z",), forward=rnn_tanh_forward, backward=rnn_tanh_backward)

RNN_RELU = Cell("rnn_relu", sums=("z",), forward=rnn_relu_forward, backward=rnn_relu_backward)
