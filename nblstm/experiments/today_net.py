"""Today's net for the same tasks: an LSTM with forget gates and a linear layer, Adam, batches, the whole gradient."""

from __future__ import annotations

import numpy as np

from nblstm.experiments.tasks import Sequences
from nblstm.layers import LSTM, Linear
from nblstm.losses import mse_loss
from nblstm.optim import Adam, clip_grad_norm

HIDDEN, BATCH, LR, CLIP = 32, 20, 0.003, 1.0
"""The same for all tasks; none was searched for."""


class TodayNet:
    """Squared error of linear outputs; the forget gates' biases begin at the logarithm of the tasks' length.

    A sigmoid of log(T) forgets 1/(T + 1) a step, so that states last about as long as a sequence (Tallec & Ollivier
    2018, Can recurrent neural networks warp time?, without their spread).
    """

    def __init__(self, inputs: int, outputs: int, steps: int, rng: np.random.Generator) -> None:
        seeds = rng.integers(2**31, size=2)
        self.inputs = inputs
        self.lstm = LSTM(inputs, HIDDEN, forget_bias=float(np.log(steps)), seed=int(seeds[0]))
        self.linear = Linear(HIDDEN, outputs, seed=int(seeds[1]))
        self._layers = [self.lstm, self.linear]
        self._adam = Adam(self._layers, lr=LR)

    def train(self, sequences: Sequences) -> np.ndarray:
        """A step of Adam for each batch; the outputs as they were before the step that they belong to."""
        outputs = np.zeros(sequences.targets.shape)
        for start in range(0, len(sequences.lengths), BATCH):
            part = sequences.part(slice(start, start + BATCH))
            outputs[: len(part.targets), start : start + BATCH] = self._step(part)
        return outputs

    def _step(self, sequences: Sequences) -> np.ndarray:
        x, lengths = sequences.dense(self.inputs), sequences.lengths
        y, state, tape = self.lstm.forward(x, lengths=lengths)
        at_end = len(sequences.targets) == 1
        out, out_tape = self.linear.forward(state[0] if at_end else y)
        due = np.broadcast_to(sequences.due()[..., None], out.shape)
        target = np.where(due, sequences.targets, out).astype(np.float32)
        _, d_out = mse_loss(out, target)
        d_out *= due.size / due.sum()
        for layer in self._layers:
            layer.zero_grad()
        dy = self.linear.backward(d_out, out_tape)
        if at_end:
            self.lstm.backward(None, tape, (dy, np.zeros_like(dy)), need_dx=False)
        else:
            self.lstm.backward(dy, tape, need_dx=False)
        outputs = out.astype(np.float64)
        clip_grad_norm(self._layers, CLIP)
        self._adam.step()
        return outputs

    def answer(self, sequences: Sequences) -> np.ndarray:
        """The outputs wherever a target stands."""
        y, state = self.lstm(sequences.dense(self.inputs), lengths=sequences.lengths)
        return self.linear(state[0] if len(sequences.targets) == 1 else y).astype(np.float64)
