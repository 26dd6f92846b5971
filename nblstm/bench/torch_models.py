"""What lies beyond layers, in PyTorch: the character model with its training step and sampling, and a stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nblstm.layers.single_step import LSTMCell
from nblstm.models import CharLM


class TorchCharLM:
    """The model, weights included, that a `CharLM` is, and what `TextTrainer` and `CharLM.sample` do with it."""

    def __init__(self, model: CharLM, streams: np.ndarray, window: int, lr: float, clip: float) -> None:
        import torch
        from torch import nn

        V, E = model.embedding.params["weight"].shape
        H = model.recurrent.hidden_size
        parts = {"embedding": nn.Embedding(V, E), "lstm": nn.LSTM(E, H, model.recurrent.num_layers)}
        self.net = nn.ModuleDict({**parts, "linear": nn.Linear(H, V)})
        self.net.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in model.state_dict().items()})
        self.adam = torch.optim.Adam(self.net.parameters(), lr=lr, fused=True)  # the fastest of its three forms
        self.streams, self.window, self.clip = torch.from_numpy(streams), window, clip
        self.position = 0
        self.state: Any = None

    def step(self) -> float:
        """Learn from the next window of the streams; its loss, in bits per character."""
        from torch.nn.functional import cross_entropy
        from torch.nn.utils import clip_grad_norm_

        tokens = self.streams[self.position : self.position + self.window + 1]
        logits, state = self._logits(tokens[:-1], self.state)
        loss = cross_entropy(logits.flatten(0, 1), tokens[1:].flatten())
        self.net.zero_grad()
        loss.backward()
        clip_grad_norm_(self.net.parameters(), self.clip)
        self.adam.step()
        self.position += self.window
        self.state = tuple(member.detach() for member in state)
        if self.position + self.window > len(self.streams) - 1:
            self.position, self.state = 0, None
        return float(loss.detach()) / math.log(2)

    def sample(self, token: int, length: int, temperature: float) -> list[int]:
        """`length` tokens after `token`, drawn one after the other."""
        import torch

        state, last, drawn = None, torch.tensor([token]), []
        with torch.inference_mode():
            for _ in range(length):
                logits, state = self._logits(last[None], state)
                last = torch.multinomial(torch.softmax(logits[0, 0] / temperature, dim=0), 1)
                drawn.append(last)
            return torch.cat(drawn).tolist()

    def _logits(self, tokens: Any, state: Any) -> tuple[Any, Any]:
        y, state = self.net["lstm"](self.net["embedding"](tokens), state)
        return self.net["linear"](y), state


def torch_stream(cell: LSTMCell) -> Callable[[Any], Any]:
    """A function that takes x (1, I), a tensor, steps torch.nn.LSTMCell with the weights of `cell`, and returns h."""
    import torch

    net = torch.nn.LSTMCell(cell.input_size, cell.hidden_size)
    net.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in cell.state_dict().items()})
    state: Any = None

    def step(x: Any) -> Any:
        nonlocal state
        state = net(x, state)
        return state[0]

    return step
