"""Cells whose candidate reads the input alone: the recurrent additive network, the independently recurrent network."""

from nblstm.cells.cell import Cell
from nblstm.kernels.functions import gate_positive, relu, sigmoid, tanh


def ran_forward(g, i, f, c_prev):
    """c = i g + f c',  h = tanh(c)  with g = W x + b  (Lee, Levy & Zettlemoyer 2017, Recurrent additive networks).

    So c is a weighted sum of all inputs, the weights being products of gates.
    """
    i, f = sigmoid(i), sigmoid(f)
    c = i * g + f * c_prev
    return (g, i, f), (tanh(c), c)


def ran_backward(g, i, f, c_prev, h, dh, dc):
    """The chain rule through `ran_forward`; h is tanh(c)."""
    dc = dc + dh * (1 - h * h)
    return (dc * i, dc * g * i * (1 - i), dc * c_prev * f * (1 - f)), (dc * f,)


def up_to_one(generator, units):
    """The u to begin with: at least 0, as the paper wants it for relu, and at most 1, so that nothing grows."""
    return generator.uniform(0, 1, units)


def indrnn_forward(z, h_prev, u):
    """h = max(0, z + u h')  with z = W x + b  (Li et al. 2018, Independently recurrent neural network)."""
    return (), (relu(z + u * h_prev),)


def indrnn_backward(h, dh, u):
    """dz = dh, but 0 where h is; u dz goes to the unit's own h'."""
    dz = gate_positive(h, dh)
    return (dz,), (u * dz,)


RAN = Cell(
    "ran", sums=("g", "i", "f"), states=("h", "c"), forward=ran_forward, backward=ran_backward, inputs_only=("g",),
    forget="f",
)  # fmt: skip

INDRNN = Cell(
    "indrnn", sums=("z",), forward=indrnn_forward, backward=indrnn_backward, inputs_only=("z",),
    peepholes={"u": ("z", "h_prev")}, draw={"u": up_to_one},
)  # fmt: skip
