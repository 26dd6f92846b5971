"""The equations: for each cell what one time step computes, and its derivative, written out.

The functions take and return whatever has + - * /: NumPy arrays in plain Python, vectors of units in the compiled
sweeps. Arguments ``i, f, g, o`` are the gates' weighted sums W x + U h + b before the activation when they enter a
`*_forward`, the activated gates when they leave it. A `*_backward` takes the gradients ``dh, dc`` of the loss with
respect to this step's h and c and returns those with respect to the weighted sums, and with respect to the c of the
step before. (The gradient that flows to the h of the step before goes through the weights, so it is the sweep's
matter.)
"""

from numba.extending import register_jitable

from nblstm.kernels.functions import gate_positive, relu, sigmoid, tanh


@register_jitable
def lstm_forward(i, f, g, o, c_prev):
    """c = f c' + i g,  h = o tanh(c)  (Gers, Schmidhuber & Cummins 2000)."""
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c = f * c_prev + i * g
    h = o * tanh(c)
    return i, f, g, o, c, h


@register_jitable
def lstm_backward(i, f, g, o, c_prev, c, dh, dc):
    """The chain rule through `lstm_forward`, with sigma' = s (1 - s) and tanh' = 1 - t^2."""
    tanh_c = tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    di = dc * g * i * (1 - i)
    df = dc * c_prev * f * (1 - f)
    dg = dc * i * (1 - g * g)
    do = dh * tanh_c * o * (1 - o)
    return di, df, dg, do, dc * f


@register_jitable
def peephole_forward(i, f, g, o, c_prev, p_i, p_f, p_o):
    """An LSTM whose gates see the cell: i and f the old c, o the new one  (Gers & Schmidhuber 2000)."""
    i, f, g = sigmoid(i + p_i * c_prev), sigmoid(f + p_f * c_prev), tanh(g)
    c = f * c_prev + i * g
    o = sigmoid(o + p_o * c)
    h = o * tanh(c)
    return i, f, g, o, c, h


@register_jitable
def peephole_backward(i, f, g, o, c_prev, c, dh, dc, p_i, p_f, p_o):
    """As `lstm_backward`; the peepholes add do p_o to the gradient of c, and di p_i + df p_f to that of c'."""
    tanh_c = tanh(c)
    do = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c * tanh_c) + do * p_o
    di = dc * g * i * (1 - i)
    df = dc * c_prev * f * (1 - f)
    dg = dc * i * (1 - g * g)
    return di, df, dg, do, dc * f + di * p_i + df * p_f


@register_jitable
def rnn_tanh_forward(z):
    """h = tanh(z)  (Elman 1990)."""
    return tanh(z)


@register_jitable
def rnn_tanh_backward(h, dh):
    """dz = dh (1 - h^2)."""
    return dh * (1 - h * h)


@register_jitable
def rnn_relu_forward(z):
    """h = max(0, z)."""
    return relu(z)


@register_jitable
def rnn_relu_backward(h, dh):
    """dz = dh, but 0 where h is."""
    return gate_positive(h, dh)
