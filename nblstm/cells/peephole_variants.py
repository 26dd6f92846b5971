"""The LSTM with peepholes and a part taken away: the variants as Greff et al. 2017 tried them.

Each is `peephole` but for one line; `lstm` is their variant without peepholes, NP. Full gate recurrence is not
here: it has matrices from gates to gates. `nblstm.cells.variants` has the same without peepholes.
"""

from collections.abc import Callable
from typing import Any

from nblstm.cells.cell import Cell
from nblstm.kernels.functions import sigmoid, tanh


def no_input_gate_forward(f, g, o, c_prev, p_f, p_o):
    """NIG: c = f c' + g,  h = o tanh(c)."""
    f, g = sigmoid(f + p_f * c_prev), tanh(g)
    c = f * c_prev + g
    o = sigmoid(o + p_o * c)
    return (f, g, o), (o * tanh(c), c)


def no_input_gate_backward(f, g, o, c_prev, c, dh, dc, p_f, p_o):
    """The chain rule through `no_input_gate_forward`."""
    tanh_c = tanh(c)
    do = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c * tanh_c) + do * p_o
    df = dc * c_prev * f * (1 - f)
    return (df, dc * (1 - g * g), do), (dc * f + df * p_f,)


def no_forget_gate_forward(i, g, o, c_prev, p_i, p_o):
    """NFG: c = c' + i g,  h = o tanh(c)."""
    i, g = sigmoid(i + p_i * c_prev), tanh(g)
    c = c_prev + i * g
    o = sigmoid(o + p_o * c)
    return (i, g, o), (o * tanh(c), c)


def no_forget_gate_backward(i, g, o, c, dh, dc, p_i, p_o):
    """The chain rule through `no_forget_gate_forward`."""
    tanh_c = tanh(c)
    do = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c * tanh_c) + do * p_o
    di = dc * g * i * (1 - i)
    return (di, dc * i * (1 - g * g), do), (dc + di * p_i,)


def no_output_gate_forward(i, f, g, c_prev, p_i, p_f):
    """NOG: c = f c' + i g,  h = tanh(c)."""
    i, f, g = sigmoid(i + p_i * c_prev), sigmoid(f + p_f * c_prev), tanh(g)
    c = f * c_prev + i * g
    return (i, f, g), (tanh(c), c)


def no_output_gate_backward(i, f, g, c_prev, h, dh, dc, p_i, p_f):
    """The chain rule through `no_output_gate_forward`; h is tanh(c)."""
    dc = dc + dh * (1 - h * h)
    di, df = dc * g * i * (1 - i), dc * c_prev * f * (1 - f)
    return (di, df, dc * i * (1 - g * g)), (dc * f + di * p_i + df * p_f,)


def no_input_activation_forward(i, f, g, o, c_prev, p_i, p_f, p_o):
    """NIAF: c = f c' + i g with g as it comes,  h = o tanh(c)."""
    i, f = sigmoid(i + p_i * c_prev), sigmoid(f + p_f * c_prev)
    c = f * c_prev + i * g
    o = sigmoid(o + p_o * c)
    return (i, f, g, o), (o * tanh(c), c)


def no_input_activation_backward(i, f, g, o, c_prev, c, dh, dc, p_i, p_f, p_o):
    """The chain rule through `no_input_activation_forward`."""
    tanh_c = tanh(c)
    do = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c * tanh_c) + do * p_o
    di, df = dc * g * i * (1 - i), dc * c_prev * f * (1 - f)
    return (di, df, dc * i, do), (dc * f + di * p_i + df * p_f,)


def no_output_activation_forward(i, f, g, o, c_prev, p_i, p_f, p_o):
    """NOAF: c = f c' + i g,  h = o c."""
    i, f, g = sigmoid(i + p_i * c_prev), sigmoid(f + p_f * c_prev), tanh(g)
    c = f * c_prev + i * g
    o = sigmoid(o + p_o * c)
    return (i, f, g, o), (o * c, c)


def no_output_activation_backward(i, f, g, o, c_prev, c, dh, dc, p_i, p_f, p_o):
    """The chain rule through `no_output_activation_forward`."""
    do = dh * c * o * (1 - o)
    dc = dc + dh * o + do * p_o
    di, df = dc * g * i * (1 - i), dc * c_prev * f * (1 - f)
    return (di, df, dc * i * (1 - g * g), do), (dc * f + di * p_i + df * p_f,)


def coupled_forward(f, g, o, c_prev, p_f, p_o):
    """CIFG: c = f c' + (1 - f) g,  h = o tanh(c)."""
    f, g = sigmoid(f + p_f * c_prev), tanh(g)
    c = f * c_prev + (1 - f) * g
    o = sigmoid(o + p_o * c)
    return (f, g, o), (o * tanh(c), c)


def coupled_backward(f, g, o, c_prev, c, dh, dc, p_f, p_o):
    """The chain rule through `coupled_forward`."""
    tanh_c = tanh(c)
    do = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c * tanh_c) + do * p_o
    df = dc * (c_prev - g) * f * (1 - f)
    return (df, dc * (1 - f) * (1 - g * g), do), (dc * f + df * p_f,)


def _variant(name: str, sums: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> Cell:
    return Cell(
        f"peephole_{name}", sums=tuple(sums), states=("h", "c"), forward=forward, backward=backward,
        peepholes={f"p_{each}": (each, "c" if each == "o" else "c_prev") for each in sums if each != "g"},
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
