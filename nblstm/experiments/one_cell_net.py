"""The net of experiments 2a and 2b: inputs tied to outputs, and one cell that comes when they stall."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from nblstm.experiments.tasks import Sequences

STALLED = 0.99
"""The cell comes once the mean squared error of a call of `train` is above this part of the call before."""


@dataclass(frozen=True)
class OneCellSettings:
    """Learning rate, and the interval of the initial weights."""

    lr: float
    init: float = 0.2


@dataclass
class OneCellNet:
    r"""One cell without output gate between symbols and their successors, trained as Hochreiter & Schmidhuber did.

    With :math:`\sigma` the logistic function and x the input, one line of which is 1:

    .. math::
        s = s' + \sigma(w_{in} \cdot x) \, \sigma(w_c \cdot x), \quad y = \sigma(V x + v s)

    There are no biases, and s is 0 when a sequence begins. The cell, :math:`w_{in}, w_c, v`, takes part once the error
    has stopped decreasing. Weights change after each sequence by the sum of its steps' contributions, where those of
    :math:`w_{in}` and :math:`w_c` need sums over time of ds/dw only; nothing is left to truncate.

    Parameters
    ----------
    lines : int
        Symbols, which come in and are predicted.
    settings : OneCellSettings
    rng : numpy.random.Generator
        For the initial weights.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory, section 5.2.
    """

    lines: int
    settings: OneCellSettings
    rng: np.random.Generator
    has_cell: bool = False
    _last_error: float = field(default=np.inf, repr=False)

    def __post_init__(self) -> None:
        init = self.settings.init
        self.direct = self.rng.uniform(-init, init, (self.lines, self.lines))
        """(inputs, outputs)"""
        self.in_gate, self.cell, self.out = self.rng.uniform(-init, init, (3, self.lines))

    @property
    def weights(self) -> int:
        """Their number, the cell's among them."""
        return self.direct.size + self.in_gate.size + self.cell.size + self.out.size

    def train(self, sequences: Sequences) -> np.ndarray:
        """The outputs wherever a target stands, as they were before the weights changed for the sequence."""
        outputs = self._run(sequences, self.settings.lr)
        if not self.has_cell:
            error = float(((outputs - sequences.targets) ** 2).mean())
            self.has_cell = error > STALLED * self._last_error
            self._last_error = error
        return outputs

    def answer(self, sequences: Sequences) -> np.ndarray:
        """The same outputs from weights that stay as they are."""
        return self._run(sequences, 0.0)

    def _run(self, sequences: Sequences, lr: float) -> np.ndarray:
        outputs = np.zeros(sequences.targets.shape)
        _run(
            self.direct, self.in_gate, self.cell, self.out, self.has_cell, lr, sequences.inputs, sequences.lengths,
            sequences.targets, outputs,
        )  # fmt: skip
        return outputs


@njit(cache=True, nogil=True)
def _run(
    direct: np.ndarray, in_gate: np.ndarray, cell: np.ndarray, out: np.ndarray, has_cell: bool, lr: float,
    inputs: np.ndarray, lengths: np.ndarray, targets: np.ndarray, outputs: np.ndarray,
) -> None:  # fmt: skip  # pragma: no cover  (machine code)
    """All sequences, one after the other; `inputs` (T, B) are the numbers of the lines that are 1."""
    lines, places = len(direct), len(targets)
    by_gate, by_cell = np.zeros(lines), np.zeros(lines)  # ds/dw
    direct_update, out_update = np.zeros(direct.shape), np.zeros(lines)
    gate_update, cell_update = np.zeros(lines), np.zeros(lines)
    for b in range(len(lengths)):
        s = 0.0
        by_gate[:], by_cell[:] = 0, 0
        direct_update[:], out_update[:], gate_update[:], cell_update[:] = 0, 0, 0, 0
        for t in range(lengths[b]):
            x = inputs[t, b]
            if has_cell:
                gate, g = 1 / (1 + np.exp(-in_gate[x])), 1 / (1 + np.exp(-cell[x]))
                s += gate * g
                by_gate[x] += g * gate * (1 - gate)
                by_cell[x] += gate * g * (1 - g)
            if places == 1 and t < lengths[b] - 1:
                continue
            at, s_error = 0 if places == 1 else t, 0.0
            for k in range(lines):
                total = direct[x, k]
                if has_cell:
                    total += out[k] * s
                y = outputs[at, b, k] = 1 / (1 + np.exp(-total))
                delta = (targets[at, b, k] - y) * y * (1 - y)
                s_error += out[k] * delta
                direct_update[x, k] += delta
                out_update[k] += delta * s
            for m in range(lines):
                gate_update[m] += s_error * by_gate[m]
                cell_update[m] += s_error * by_cell[m]
        if lr != 0:
            direct += lr * direct_update
            if has_cell:
                out += lr * out_update
                in_gate += lr * gate_update
                cell += lr * cell_update
