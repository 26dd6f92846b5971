"""The plain reference: RNN, LSTM, peephole LSTM, both GRUs in NumPy, loops over layers, directions, sequences, steps.

It shares no code with the package; it only takes the parameters under the package's names. Backpropagation through time
is derived by hand from the equations beside it, for one sequence at one step.

T steps, B sequences, I inputs, H hidden units, L layers, D directions, G gates (LSTM: i, f, g, o; GRU: r, z, n;
RNN: one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Params = Mapping[str, np.ndarray]


# ---- one cell, one sequence, one step: `a_x`, `a_h` (G*H,) are what x and h contribute to the pre-activations, `h` and
# `c` (H,) the states before. The way back gives the gradients of a_x and a_h, of h (but for a_h) and c, and of p ----


def rnn_tanh(a_x, a_h, h, c, p):
    """h' = tanh(a)."""
    return np.tanh(a_x + a_h), c, None


def rnn_tanh_backward(dh, dc, a_x, a_h, h, c, p):
    """da = dh' (1 - h'^2)."""
    da = dh * (1 - np.tanh(a_x + a_h) ** 2)
    return da, da, 0, dc, None


def rnn_relu(a_x, a_h, h, c, p):
    """h' = max(a, 0)."""
    return np.maximum(a_x + a_h, 0), c, None


def rnn_relu_backward(dh, dc, a_x, a_h, h, c, p):
    """da = dh' but where a <= 0: a NaN lets it pass."""
    da = np.where(a_x + a_h <= 0, 0, dh)
    return da, da, 0, dc, None


def sigmoid(a):
    """1 / (1 + exp(-a)), written so that nothing overflows."""
    return 0.5 * (1 + np.tanh(0.5 * a))


def seen(p, cell):
    """What passes through a peephole of weight p; nothing where p is no array, not even of an infinite cell."""
    return p * cell if np.ndim(p) else 0


def lstm(a_x, a_h, h, c, p):
    """i, f, o = sigmoid, g = tanh; c' = f c + i g; h' = o tanh(c'). Peepholes: i and f see c, o sees c'."""
    a_i, a_f, a_g, a_o = np.split(a_x + a_h, 4)
    p_i, p_f, p_o = p
    i, f, g = sigmoid(a_i + seen(p_i, c)), sigmoid(a_f + seen(p_f, c)), np.tanh(a_g)
    c_new = f * c + i * g
    o = sigmoid(a_o + seen(p_o, c_new))
    return o * np.tanh(c_new), c_new, (i, f, g, o)


def lstm_backward(dh, dc, a_x, a_h, h, c, p):
    """The chain rule, last equation first; `dc` comes in as the gradient of c' and leaves as that of c."""
    p_i, p_f, p_o = p
    _, c_new, (i, f, g, o) = lstm(a_x, a_h, h, c, p)
    da_o = dh * np.tanh(c_new) * o * (1 - o)
    dc_new = dc + dh * o * (1 - np.tanh(c_new) ** 2) + seen(p_o, da_o)
    da_i = dc_new * g * i * (1 - i)
    da_f = dc_new * c * f * (1 - f)
    da_g = dc_new * i * (1 - g**2)
    dc = dc_new * f + seen(p_i, da_i) + seen(p_f, da_f)
    da = np.concatenate([da_i, da_f, da_g, da_o])
    return da, da, 0, dc, np.stack([da_i * c, da_f * c, da_o * c_new])


def gru(a_x, a_h, h, c, p):
    """r, z = sigmoid; n = tanh(what x contributes + r times what h does); h' = n + z (h - n)."""
    (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(a_x, 3), np.split(a_h, 3)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = np.tanh(x_n + r * h_n)
    return n + z * (h - n), c, (r, z, n)


def gru_backward(dh, dc, a_x, a_h, h, c, p):
    """The chain rule; z of the gradient goes to h past the gates."""
    h_n = np.split(a_h, 3)[2]
    _, _, (r, z, n) = gru(a_x, a_h, h, c, p)
    da_n = dh * (1 - z) * (1 - n**2)
    da_r = da_n * h_n * r * (1 - r)
    da_z = dh * (h - n) * z * (1 - z)
    return np.concatenate([da_r, da_z, da_n]), np.concatenate([da_r, da_z, da_n * r]), dh * z, dc, None


def gru_original(a_x, a_h, h, c, p):
    """z = sigmoid; n = tanh; h' = n + z (h - n). Of r see `contributed`."""
    _, a_z, a_n = np.split(a_x + a_h, 3)
    z, n = sigmoid(a_z), np.tanh(a_n)
    return n + z * (h - n), c, (z, n)


def gru_original_backward(dh, dc, a_x, a_h, h, c, p):
    """The chain rule; r has its gradient through n's part of a_h alone, see `contributed_backward`."""
    _, _, (z, n) = gru_original(a_x, a_h, h, c, p)
    da_n, da_z = dh * (1 - z) * (1 - n**2), dh * (h - n) * z * (1 - z)
    da = np.concatenate([np.zeros_like(h), da_z, da_n])
    return da, da.copy(), dh * z, dc, None


CELLS = {
    "rnn_tanh": (1, rnn_tanh, rnn_tanh_backward),
    "rnn_relu": (1, rnn_relu, rnn_relu_backward),
    "lstm": (4, lstm, lstm_backward),
    "peephole": (4, lstm, lstm_backward),
    "gru": (3, gru, gru_backward),
}
TWO_STAGES = {"gru_original": (3, gru_original, gru_original_backward)}
"""The same, but that h contributes in two stages; apart, for most tests need not walk both."""
KNOWN = CELLS | TWO_STAGES


def contributed(cell, w, a_x, h):
    """a_h = W_h h + b_h; but n has W_n (r h) + b_n in the original GRU, where r is the sigmoid of its own sum."""
    a_h = contribution(w.w_h @ h, w.g_h) + w.b_h
    if cell in TWO_STAGES:
        r, n = sigmoid((a_x + a_h)[: len(h)]), slice(2 * len(h), None)
        a_h[n] = (w.w_h @ (r * h) + w.b_h)[n]
    return a_h


def contributed_backward(cell, w, da_x, da_h, a_x, a_h, h):
    """The gradients of W_h and, beside what goes past the products, of h; those of r are added to da_x and da_h."""
    if cell not in TWO_STAGES:
        return np.outer(da_h, h), w.w_h.T @ da_h
    H = len(h)
    r, da_n = sigmoid((a_x + a_h)[:H]), da_h[2 * H :]
    d_read = w.w_h[2 * H :].T @ da_n
    for da in (da_x, da_h):
        da[:H] += d_read * h * r * (1 - r)
    dw = np.concatenate([np.outer(da_h[: 2 * H], h), np.outer(da_n, r * h)])
    return dw, w.w_h[: 2 * H].T @ da_h[: 2 * H] + d_read * r


# ---- layer norm of what x and h contribute: z (G*H,) becomes gain (z - mean) / sigma; without a gain it stays z ----


def normal(z):
    """(z - mean) / sigma, and sigma."""
    sigma = np.sqrt(((z - z.mean()) ** 2).mean() + 1e-5)
    return (z - z.mean()) / sigma, sigma


def contribution(z, gain):
    """What is added to the other contribution and the bias."""
    return z if gain is None else gain * normal(z)[0]


def contribution_backward(da, z, gain):
    """The gradients of z and of the gain: z acts by its number of the normal form, by the mean and by sigma."""
    if gain is None:
        return da, 0
    n, sigma = normal(z)
    dn = gain * da
    return (dn - dn.mean() - n * (dn * n).mean()) / sigma, da * n


# ---- parameters: both formulations become W_x (G*H, I), W_h (G*H, H), biases and gains (G*H,), peepholes (3, H) ----


@dataclass
class Weights:
    """What one layer in one direction computes with; also the form of its gradients."""

    w_x: np.ndarray
    w_h: np.ndarray
    b_x: np.ndarray
    b_h: np.ndarray
    p: np.ndarray
    g_x: np.ndarray | None
    g_h: np.ndarray | None

    @classmethod
    def of(cls, params: Params, suffix: str, gates: int) -> Weights:
        """From the tensors of the split or of the concatenated formulation, whichever is there."""
        if "weight_hh" + suffix in params:
            w_x, w_h = params["weight_ih" + suffix], params["weight_hh" + suffix]
            b_x, b_h = params.get("bias_ih" + suffix, 0), params.get("bias_hh" + suffix, 0)
        else:
            joined = params["weight" + suffix]
            hidden = joined.shape[0] // gates
            w_h, w_x = joined[:, :hidden], joined[:, hidden:]
            b_x, b_h = params.get("bias" + suffix, 0), 0
        gains = params.get("gain_ih" + suffix), params.get("gain_hh" + suffix)
        return cls(w_x, w_h, b_x, b_h, params.get("weight_peephole" + suffix, np.zeros(3)), *gains)

    @classmethod
    def zeros(cls, like: Weights) -> Weights:
        """Room for gradients."""
        rows, hidden = like.w_h.shape
        vectors = [np.zeros(rows) for _ in range(4)]
        return cls(
            np.zeros(like.w_x.shape), np.zeros((rows, hidden)), *vectors[:2], np.zeros((3, hidden)), *vectors[2:]
        )

    def named(self, params: Params, suffix: str) -> dict[str, np.ndarray]:
        """Back under the names that `params` has."""
        names = {
            "weight_ih": self.w_x,
            "weight_hh": self.w_h,
            "bias_ih": self.b_x,
            "bias_hh": self.b_h,
            "weight": np.hstack([self.w_h, self.w_x]),
            "bias": self.b_x,
            "weight_peephole": self.p,
            "gain_ih": self.g_x,
            "gain_hh": self.g_h,
        }
        return {name + suffix: tensor for name, tensor in names.items() if name + suffix in params}


# ---- the net ----


@dataclass(frozen=True)
class Net:
    """A stacked, perhaps bidirectional net: the cell's name, the parameters and the shape of the stack."""

    cell: str
    params: Params
    num_layers: int = 1
    bidirectional: bool = False
    batch_first: bool = False

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def weights(self, layer: int, direction: int) -> tuple[Weights, str]:
        """The weights of one layer in one direction, and the suffix of their names."""
        suffix = f"_l{layer}" + ("_reverse" if direction else "")
        return Weights.of(self.params, suffix, KNOWN[self.cell][0]), suffix

    def time_major(self, array: np.ndarray) -> np.ndarray:
        """(T, B, ...) from the layout of the caller, or the other way round: the swap is its own inverse."""
        return array.swapaxes(0, 1) if self.batch_first else array


def steps(length: int, direction: int) -> list[int]:
    """The order in which a sequence is read."""
    return list(range(length)) if direction == 0 else list(reversed(range(length)))


def forward(net: Net, x, h_0=None, c_0=None, lengths=None):
    """y, h_n, c_n and the record that `backward` reads; an RNN carries its zero `c` along unused."""
    x = net.time_major(x)
    T, B, _ = x.shape
    L, D = net.num_layers, net.directions
    H = net.weights(0, 0)[0].w_h.shape[1]
    _, cell, _ = KNOWN[net.cell]
    lengths = [T] * B if lengths is None else lengths
    h_0 = np.zeros((L * D, B, H)) if h_0 is None else h_0
    c_0 = np.zeros((L * D, B, H)) if c_0 is None else c_0

    record = {"x": [], "lengths": lengths}
    h_n, c_n = np.zeros((L * D, B, H)), np.zeros((L * D, B, H))
    for layer in range(L):
        y = np.zeros((T, B, D * H))
        for direction in range(D):
            k = layer * D + direction
            w, _ = net.weights(layer, direction)
            for b in range(B):
                h, c = h_0[k, b], c_0[k, b]
                for t in steps(lengths[b], direction):
                    a_x = contribution(w.w_x @ x[t, b], w.g_x) + w.b_x
                    a_h = contributed(net.cell, w, a_x, h)
                    record[k, t, b] = h, c, a_x, a_h
                    h, c, _ = cell(a_x, a_h, h, c, w.p)
                    y[t, b, direction * H : (direction + 1) * H] = h
                h_n[k, b], c_n[k, b] = h, c
        record["x"].append(x)
        x = y
    return net.time_major(y), h_n, c_n, record


def backward(net: Net, record, dy, dh_n, dc_n=None):
    """dx, dh_0, dc_0 and the gradients of the parameters by name."""
    dy = net.time_major(dy)
    B = dy.shape[1]
    D, H = net.directions, dh_n.shape[2]
    _, _, cell_backward = KNOWN[net.cell]
    dh_0, dc_0 = np.zeros(dh_n.shape), np.zeros(dh_n.shape)
    dc_n = np.zeros(dh_n.shape) if dc_n is None else dc_n

    grads = {}
    for layer in reversed(range(net.num_layers)):
        x = record["x"][layer]
        dx = np.zeros(x.shape)
        for direction in range(D):
            k = layer * D + direction
            w, suffix = net.weights(layer, direction)
            dw = Weights.zeros(w)
            for b in range(B):
                dh, dc = dh_n[k, b], dc_n[k, b]
                for t in reversed(steps(record["lengths"][b], direction)):
                    h, c, a_x, a_h = record[k, t, b]
                    dh = dh + dy[t, b, direction * H : (direction + 1) * H]
                    da_x, da_h, dh, dc, dp = cell_backward(dh, dc, a_x, a_h, h, c, w.p)
                    dz_x, dg_x = contribution_backward(da_x, w.w_x @ x[t, b], w.g_x)
                    dz_h, dg_h = contribution_backward(da_h, w.w_h @ h, w.g_h)
                    dw_h, dh_read = contributed_backward(net.cell, w, da_x, dz_h, a_x, a_h, h)
                    dw.w_x += np.outer(dz_x, x[t, b])
                    dw.w_h += dw_h
                    dw.b_x += da_x
                    dw.b_h += da_h
                    dw.g_x += dg_x
                    dw.g_h += dg_h
                    if dp is not None:
                        dw.p += dp
                    dx[t, b] += w.w_x.T @ dz_x
                    dh = dh + dh_read
                dh_0[k, b], dc_0[k, b] = dh, dc
            grads |= dw.named(net.params, suffix)
        dy = dx
    return net.time_major(dy), dh_0, dc_0, grads


def nearest_kink(record) -> float:
    """The smallest |pre-activation| of a run: how far a ReLU net is from a point where it has no derivative."""
    return min(np.abs(value[2] + value[3]).min() for key, value in record.items() if isinstance(key, tuple))
