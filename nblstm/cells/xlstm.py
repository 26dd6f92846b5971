"""The sLSTM of xLSTM, whose gates are exponentials; heads are an argument of the layer."""

from nblstm.cells.cell import Cell
from nblstm.kernels.functions import exp, maximum, sigmoid, tanh, where


def slstm_forward(i, f, z, o, c_prev, n_prev, m_prev):
    """c = f c' + i z,  n = f n' + i,  h = o c / n  with i = e^(s_i - m), f = e^(s_f + m' - m)  (Beck et al. 2024).

    m = max(s_f + m', s_i) keeps both at most 1; h does not depend on it. Where n' is 0 nothing has been read, m is s_i
    and f is 0; so n is at least 1 from then on. The paper lets f be a sigmoid, too: s_f is then log_sigmoid(s_f).
    """
    begun = n_prev > 0
    m = where(begun, maximum(f + m_prev, i), i)
    i, f, z, o = exp(i - m), where(begun, exp(f + m_prev - m), 0), tanh(z), sigmoid(o)
    c, n = f * c_prev + i * z, f * n_prev + i
    return (i, f, z, o), (o * c / n, c, n, m)


def slstm_backward(i, f, z, o, c_prev, n_prev, h, c, n, dh, dc, dn, dm):
    """The chain rule through `slstm_forward`; dm goes to the sum that m was taken from, where the gate is 1."""
    do = dh * (c / n) * o * (1 - o)
    dc, dn = dc + dh * o / n, dn - dh * h / n
    di, df = (dc * z + dn) * i, (dc * c_prev + dn * n_prev) * f
    dm = dm - di - df
    by_f = where(f >= 1, dm, 0)
    di, df = di + dm - by_f, df + by_f
    return (di, df, dc * i * (1 - z * z), do), (dc * f, dn * f, df)


SLSTM = Cell(
    "slstm", sums=("i", "f", "z", "o"), states=("h", "c", "n", "m"), forward=slstm_forward, backward=slstm_backward,
    forget="f",
)  # fmt: skip
