"""Cells in PyTorch as one writes them there: a step of tensors in a loop over time, as it is and by `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nblstm.bench.sides import Problem, Side


def coupled(sums: Any, c: Any) -> tuple[Any, ...]:
    """The new h and c from the weighted sums (B, 3 H): the equations of `nblstm.cells.variants`."""
    f, g, o = sums.chunk(3, dim=-1)
    f = f.sigmoid()
    c = f * c + (1 - f) * g.tanh()
    return o.sigmoid() * c.tanh(), c


def slstm(sums: Any, c: Any, n: Any, m: Any) -> tuple[Any, ...]:
    """The new h, c, n and m from the weighted sums (B, 4 H): the equations of `nblstm.cells.xlstm`."""
    import torch

    i, f, z, o = sums.chunk(4, dim=-1)
    begun = n > 0
    largest = torch.where(begun, torch.maximum(f + m, i), i)
    i, f = (i - largest).exp(), torch.where(begun, (f + m - largest).exp(), 0.0)
    c, n = f * c + i * z.tanh(), f * n + i
    return o.sigmoid() * c / n, c, n, largest


STEPS: dict[str, Callable[..., tuple[Any, ...]]] = {"coupled": coupled, "slstm": slstm}
"""By the names of the cells of which each is a step."""


class TorchLoop(Side):
    """A loop over the steps in Python, beside nblstm's layer of one direction; x's products are those of all steps."""

    name = "PyTorch, loop"

    def __init__(self, problem: Problem) -> None:
        import torch

        torch.set_num_threads(problem.case.threads)
        self.layer = problem.layer
        self.weights = {name: torch.tensor(w, requires_grad=True) for name, w in problem.layer.state_dict().items()}
        self.x, self.dy = torch.from_numpy(problem.x).requires_grad_(), torch.from_numpy(problem.dy)
        self.no_grad = torch.inference_mode()
        self.forward: Callable[..., Any] = self._forward

    def _forward(self, weights: dict[str, Any], x: Any) -> Any:
        """y of all layers, from states of zeros."""
        for k in range(self.layer.num_layers):
            x = self._layer(x, *(weights[f"{name}_l{k}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
        return x

    def _layer(self, x: Any, W_ih: Any, W_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        import torch

        step, B, heads, size = STEPS[self.layer.cell.name], x.shape[1], self.layer.heads, self.layer.head
        count = len(self.layer.cell.sums)
        # Rows of each sum, head by head, become for each head the columns of all sums.
        W_hh = W_hh.view(count, heads, size, size).permute(1, 3, 0, 2).reshape(heads, size, count * size)
        h, *states = (x.new_zeros(B, heads * size) for _ in self.layer.cell.states)
        outputs = []
        for products in torch.nn.functional.linear(x, W_ih, b_ih + b_hh):
            if heads == 1:
                of_h = h @ W_hh[0]
            else:
                of_h = torch.bmm(h.view(B, heads, size).transpose(0, 1), W_hh)
                of_h = of_h.view(heads, B, count, size).permute(1, 2, 0, 3).reshape(B, -1)
            h, *states = step(products + of_h, *states)
            outputs.append(h)
        return torch.stack(outputs)

    def infer(self) -> Any:
        """y."""
        with self.no_grad:
            return self.forward(self.weights, self.x)

    def train(self) -> Any:
        """dx."""
        for tensor in (self.x, *self.weights.values()):
            tensor.grad = None
        self.forward(self.weights, self.x).backward(self.dy)
        return self.x.grad

    def results(self) -> dict[str, np.ndarray]:
        """See `Side`."""
        found = {"y": self.infer(), "dx": self.train(), **{name: w.grad for name, w in self.weights.items()}}
        return {name: tensor.numpy() for name, tensor in found.items()}


class TorchCompiled(TorchLoop):
    """The same loop by `torch.compile`, which unrolls it: the first call of each kind compiles."""

    name = "PyTorch, torch.compile"

    def __init__(self, problem: Problem) -> None:
        import torch

        super().__init__(problem)
        torch._dynamo.reset()  # what it has compiled for other shapes would make it try one for all
        self.forward = torch.compile(self._forward, fullgraph=True, dynamic=False)
