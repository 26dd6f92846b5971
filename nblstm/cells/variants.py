"""The LSTM with a part taken away, as in Greff et al. 2017, LSTM: a search space odyssey; here without peepholes.

Each is `lstm` but for one line. ``i, f, g, o`` are as there; NIG, NFG, ... are the names that the paper gives them.
`nblstm.cells.peephole_variants` has them with peepholes, as in the paper.
"""

from collections.abc import Callable
from typing import Any

from nblstm.cells.cell import Cell
from nblstm.kernels.functions import sigmoid, tanh


def no_input_gate_forward(f, g, o, c_prev):
    """NIG: c = f c' + g,  h = o tanh(c)."""
    f, g, o = sigmoid(f), tanh(g), sigmoid(o)
    c = f * c_prev + g
    return (f, g, o), (o * tanh(c), c)


def no_input_gate_backward(f, g, o, c_prev, c, dh, dc):
    """The chain rule through `no_input_gate_forward`."""
    tanh_c = tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    return (dc * c_prev * f * (1 - f), dc * (1 - g * g), dh * tanh_c * o * (1 - o)), (dc * f,)


def no_forget_gate_forward(i, g, o, c_prev):
    """NFG: c = c' + i g,  h = o tanh(c); the LSTM as it began (Hochreiter & Schmidhuber 1997, Long short-term memory).

    There, g lay between -2 and 2, and the gradient was cut off.
    """
    i, g, o = sigmoid(i), tanh(g), sigmoid(o)
    c = c_prev + i * g
    return (i, g, o), (o * tanh(c), c)


def no_forget_gate_backward(i, g, o, c, dh, dc):
    """The chain rule through `no_forget_gate_forward`: nothing weakens dc on its way back."""
    tanh_c = tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    return (dc * g * i * (1 - i), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)), (dc,)


def no_output_gate_forward(i, f, g, c_prev):
    """NOG: c = f c' + i g,  h = tanh(c)."""
    i, f, g = sigmoid(i), sigmoid(f), tanh(g)
    c = f * c_prev + i * g
    return (i, f, g), (tanh(c), c)


def no_output_gate_backward(i, f, g, c_prev, h, dh, dc):
    """The chain rule through `no_output_gate_forward`; h is tanh(c)."""
    dc = dc + dh * (1 - h * h)
    return (dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dc * i * (1 - g * g)), (dc * f,)


def no_input_activation_forward(i, f, g, o, c_prev):
    """NIAF: c = f c' + i g with g as it comes,  h = o tanh(c)."""
    i, f, o = sigmoid(i), sigmoid(f), sigmoid(o)
    c = f * c_prev + i * g
    return (i, f, g, o), (o * tanh(c), c)


def no_input_activation_backward(i, f, g, o, c_prev, c, dh, dc):
    """The chain rule through `no_input_activation_forward`."""
    tanh_c = tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    return (dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dc * i, dh * tanh_c * o * (1 - o)), (dc * f,)


def no_output_activation_forward(i, f, g, o, c_prev):
    """NOAF: c = f c' + i g,  h = o c."""
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c = f * c_prev + i * g
    return (i, f, g, o), (o * c, c)


def no_output_activation_backward(i, f, g, o, c_prev, c, dh, dc):
    """The chain rule through `no_output_activation_forward`."""
    dc = dc + dh * o
    return (dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dc * i * (1 - g * g), dh * c * o * (1 - o)), (dc * f,)


def coupled_forward(f, g, o, c_prev):
    """CIFG: c = f c' + (1 - f) g,  h = o tanh(c): as much comes in as goes."""
    f, g, o = sigmoid(f), tanh(g), sigmoid(o)
    c = f * c_prev + (1 - f) * g
    return (f, g, o), (o * tanh(c), c)


def coupled_backward(f, g, o, c_prev, c, dh, dc):
    """The chain rule through `coupled_forward`."""
    tanh_c = tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    return (dc * (c_prev - g) * f * (1 - f), dc * (1 - f) * (1 - g * g), dh * tanh_c * o * (1 - o)), (dc * f,)


def _variant(name: str, sums: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> Cell:
    return Cell(
        name, sums=tuple(sums), states=("h", "c"), forward=forward, backward=backward,
        forget="f" if "f" in sums else None,
    )  # fmt: skip


NO_INPUT_GATE = _variant("no_input_gate", "fgo", no_input_gate_forward, no_input_gate_backward)

NO_FORGET_GATE = _variant("no_forget_gate", "igo", no_forget_gate_forward, no_forget_gate_backward)

NO_OUTPUT_GATE = _variant("no_output_gate", "ifg", no_output_gate_forward, no_output_gate_backward)

NO_INPUT_ACTIVATION = _variant("no_input_activation", "ifgo", no_input_activation_forward, no_input_activation_backward)

NO_OUTPUT_ACTIVATION = _variant(
    "no_output_activation", "ifgo", no_output_activation_forward, no_output_activation_backward
)

COUPLED = _variant("coupled", "fgo", coupled_forward, coupled_backward)
