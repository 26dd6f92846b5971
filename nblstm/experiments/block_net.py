"""The LSTM of 1997: memory blocks that share gates, no forget gate, truncated gradient, one sequence after the other.

`nblstm.Cell` cannot say it: there a unit reads h of other units, and here also their gates; cells share gates; errors
do not go back through the recurrent weights; and weights change after each sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from nblstm.experiments.tasks import Sequences


@dataclass(frozen=True)
class BlockSettings:
    """The net of one experiment, as its section has it.

    `biases` names the kinds of units that have one. Initial weights and biases are uniform within `init`, but for
    those of `in_gates` and `out_gates`, one number for each block, where the section has them.
    """

    blocks: int
    cells: int
    lr: float
    init: float = 0.1
    in_gates: tuple[float, ...] = ()
    out_gates: tuple[float, ...] = ()
    biases: tuple[str, ...] = ("gates", "cells", "outputs")


class BlockNet:
    r"""Blocks of cells between inputs and outputs, trained as Hochreiter & Schmidhuber did.

    With :math:`\sigma` the logistic function, y' all hidden units of the step before, gates and cells, and x the input:

    .. math::
        y_{in} = \sigma(W_{in} [x, y', 1]), \quad y_{out} = \sigma(W_{out} [x, y', 1]), \quad
        s = s' + y_{in} \, g(W_c [x, y', 1]), \quad y_c = y_{out} \, h(s), \quad y_k = \sigma(V [y_c, 1])

    with :math:`g = 4 \sigma - 2` and :math:`h = 2 \sigma - 1`; a block's cells share both gates. All states are 0 when
    a sequence begins. The error of an output, :math:`\delta_k = (t_k - y_k) y_k (1 - y_k)`, goes to V, to the output
    gates of the same step, and into each s, where it meets the sums over time of ds/dW, in which y' counts as constant.
    "Each weight's total update is the sum of the contributions of all time steps" (appendix A.1): weights change by lr
    times that sum once a sequence has ended.

    Parameters
    ----------
    inputs, outputs : int
        Lines in and out.
    settings : BlockSettings
    rng : numpy.random.Generator
        For the initial weights.

    Attributes
    ----------
    hidden : numpy.ndarray of float64, shape (units, inputs + units + 1)
        Rows: for each block its input gate, its output gate and its cells; columns: x, y' and the bias.
    output : numpy.ndarray of float64, shape (outputs, cells + 1)
        The last column is the bias.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory, section 4 and appendix A.1.
    """

    def __init__(self, inputs: int, outputs: int, settings: BlockSettings, rng: np.random.Generator) -> None:
        self.settings = settings
        size = 2 + settings.cells
        units, cells = settings.blocks * size, settings.blocks * settings.cells
        self.hidden = rng.uniform(-settings.init, settings.init, (units, inputs + units + 1))
        self.output = rng.uniform(-settings.init, settings.init, (outputs, cells + 1))
        gate = np.arange(units) % size < 2
        self._hidden_biases = np.where(gate, "gates" in settings.biases, "cells" in settings.biases)
        self._output_biases = "outputs" in settings.biases
        self.hidden[~self._hidden_biases, -1] = 0
        if not self._output_biases:
            self.output[:, -1] = 0
        for row, biases in ((0, settings.in_gates), (1, settings.out_gates)):
            if biases:
                self.hidden[row::size, -1] = biases

    @property
    def weights(self) -> int:
        """Their number, biases among them."""
        without = self.hidden.size - len(self.hidden) + self.output.size - len(self.output)
        return int(without + self._hidden_biases.sum() + self._output_biases * len(self.output))

    def train(self, sequences: Sequences) -> np.ndarray:
        """The outputs wherever a target stands, as they were before the weights changed for the sequence."""
        return self._run(sequences, self.settings.lr)

    def answer(self, sequences: Sequences) -> np.ndarray:
        """The same outputs from weights that stay as they are."""
        return self._run(sequences, 0.0)

    def _run(self, sequences: Sequences, lr: float) -> np.ndarray:
        shown, values = sequences.sparse()
        outputs = np.zeros(sequences.targets.shape)
        _run(
            self.hidden, self.output, self._hidden_biases, self._output_biases, self.settings.blocks,
            self.settings.cells, lr, shown, values, sequences.lengths, sequences.targets, outputs,
        )  # fmt: skip
        return outputs


@njit(cache=True, nogil=True)
def _logistic(x: float) -> float:  # pragma: no cover  (machine code)
    return 1 / (1 + np.exp(-x))


@njit(cache=True, nogil=True)
def _run(
    W: np.ndarray, V: np.ndarray, biased: np.ndarray, outputs_biased: bool, blocks: int, cells: int, lr: float,
    shown: np.ndarray, values: np.ndarray, lengths: np.ndarray, targets: np.ndarray, outputs: np.ndarray,
) -> None:  # fmt: skip  # pragma: no cover
    """All sequences, one after the other; `shown` and `values` (T, B, K) are the inputs that are not 0."""
    units, count, size = len(W), blocks * cells, 2 + cells
    inputs, bias = W.shape[1] - units - 1, W.shape[1] - 1
    places = len(targets)
    y, before, net = np.zeros(units), np.zeros(units), np.zeros(units)
    s, squashed, s_error = np.zeros(count), np.zeros(count), np.zeros(count)
    by_gate, by_cell = np.zeros((count, bias + 1)), np.zeros((count, bias + 1))  # ds/dW of the input gate and the cell
    delta = np.zeros(len(V))
    W_update, V_update = np.zeros(W.shape), np.zeros(V.shape)
    for b in range(len(lengths)):
        y[:], s[:], by_gate[:], by_cell[:], W_update[:], V_update[:] = 0, 0, 0, 0, 0, 0
        for t in range(lengths[b]):
            before, y = y, before
            for u in range(units):
                total = W[u, bias]
                for k in range(shown.shape[2]):
                    total += W[u, shown[t, b, k]] * values[t, b, k]
                for v in range(units):
                    total += W[u, inputs + v] * before[v]
                net[u] = total
            for j in range(blocks):
                first = j * size
                gate = y[first] = _logistic(net[first])
                y[first + 1] = _logistic(net[first + 1])
                for c in range(j * cells, (j + 1) * cells):
                    u = first + 2 + c - j * cells
                    sigma = _logistic(net[u])
                    g, slope = 4 * sigma - 2, 4 * sigma * (1 - sigma)
                    s[c] += gate * g
                    squashed[c] = 2 * _logistic(s[c]) - 1
                    y[u] = y[first + 1] * squashed[c]
                    if lr != 0:
                        to_gate, to_cell = g * gate * (1 - gate), gate * slope
                        for k in range(shown.shape[2]):
                            by_gate[c, shown[t, b, k]] += to_gate * values[t, b, k]
                            by_cell[c, shown[t, b, k]] += to_cell * values[t, b, k]
                        for v in range(units):
                            by_gate[c, inputs + v] += to_gate * before[v]
                            by_cell[c, inputs + v] += to_cell * before[v]
                        by_gate[c, bias] += to_gate
                        by_cell[c, bias] += to_cell
            if places == 1 and t < lengths[b] - 1:
                continue
            at = 0 if places == 1 else t
            s_error[:] = 0
            for k in range(len(V)):
                total = V[k, count]
                for c in range(count):
                    total += V[k, c] * y[c // cells * size + 2 + c % cells]
                out = outputs[at, b, k] = _logistic(total)
                delta[k] = (targets[at, b, k] - out) * out * (1 - out)
                for c in range(count):
                    s_error[c] += V[k, c] * delta[k]  # so far of y_c
            if lr == 0:
                continue
            for k in range(len(V)):
                for c in range(count):
                    V_update[k, c] += lr * delta[k] * y[c // cells * size + 2 + c % cells]
                if outputs_biased:
                    V_update[k, count] += lr * delta[k]
            for j in range(blocks):
                first = j * size
                out = y[first + 1]
                out_error = 0.0
                for c in range(j * cells, (j + 1) * cells):
                    out_error += squashed[c] * s_error[c]
                    s_error[c] *= out * 0.5 * (1 - squashed[c] * squashed[c])
                    u = first + 2 + c - j * cells
                    for column in range(bias + biased[u]):
                        W_update[u, column] += lr * s_error[c] * by_cell[c, column]
                    for column in range(bias + biased[first]):
                        W_update[first, column] += lr * s_error[c] * by_gate[c, column]
                out_error *= lr * out * (1 - out)
                u = first + 1
                for k in range(shown.shape[2]):
                    W_update[u, shown[t, b, k]] += out_error * values[t, b, k]
                for v in range(units):
                    W_update[u, inputs + v] += out_error * before[v]
                if biased[u]:
                    W_update[u, bias] += out_error
        if lr != 0:
            W += W_update
            V += V_update
