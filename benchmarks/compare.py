"""nblstm.LSTM beside torch.nn.LSTM in one process: same weights, same input, interleaved rounds, medians.

    python benchmarks/compare.py                          # the table below, all threads
    python benchmarks/compare.py --threads 1 --rounds 9
    python benchmarks/compare.py 100,32,64,128,1,1        # shapes of your own: T,B,I,H,layers,directions

Before anything is timed the results are compared. Each side's training step is forward, backward, all gradients and
dx; nblstm packs its weights anew in each, as after an optimiser's step. Needs PyTorch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
import torch

import nblstm


class Shape(NamedTuple):
    """Steps, batch, input width, hidden width, layers, directions."""

    T: int
    B: int
    I: int
    H: int
    layers: int
    directions: int

    @property
    def forward_flops(self) -> int:
        """Multiplications and additions of the forward pass's matrix products; training takes three times as many."""
        widths = [self.I] + [self.H * self.directions] * (self.layers - 1)
        return sum(8 * self.T * self.B * self.H * (width + self.H) * self.directions for width in widths)


TABLE = [
    Shape(28, 100, 128, 128, 1, 1),
    Shape(100, 32, 64, 128, 1, 1),
    Shape(100, 64, 128, 256, 1, 1),
    Shape(50, 64, 512, 512, 1, 1),
    Shape(200, 2, 64, 128, 1, 1),
    Shape(20, 4, 64, 64, 1, 1),
]


class Pair:
    """The same LSTM twice, and the four things to time."""

    def __init__(self, shape: Shape, dtype: str) -> None:
        T, B, I, H, layers, directions = shape
        self.ours = nblstm.LSTM(I, H, layers, bidirectional=directions == 2, dtype=dtype, seed=0)
        self.torch = torch.nn.LSTM(I, H, layers, bidirectional=directions == 2, dtype=getattr(torch, dtype))
        self.torch.load_state_dict({name: torch.from_numpy(w) for name, w in self.ours.state_dict().items()})
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((T, B, I)).astype(dtype)
        self.dy = rng.standard_normal((T, B, H * directions)).astype(dtype)
        self.x_torch, self.dy_torch = torch.from_numpy(self.x).requires_grad_(), torch.from_numpy(self.dy)
        self.tape = self.ours.forward(self.x)[2]

    def infer(self) -> np.ndarray:
        return self.ours(self.x)[0]

    def infer_torch(self) -> torch.Tensor:
        with torch.no_grad():
            return self.torch(self.x_torch)[0]

    def train(self) -> np.ndarray:
        with self.ours.editing():
            pass  # a new version of the parameters, so that they are packed again
        self.ours.zero_grad()
        self.ours.forward(self.x, tape=self.tape)
        return self.ours.backward(self.dy, self.tape)[0]

    def train_torch(self) -> torch.Tensor:
        self.torch.zero_grad()
        self.x_torch.grad = None
        self.torch(self.x_torch)[0].backward(self.dy_torch)
        return self.x_torch.grad

    def check(self) -> float:
        """Largest difference of y, dx and the gradients from PyTorch's, relative to the largest entry of each."""
        pairs = [(self.infer(), self.infer_torch()), (self.train(), self.train_torch())]
        pairs += [(self.ours.grads[name], w.grad) for name, w in self.torch.named_parameters()]
        return max(float(np.abs(a - b.numpy()).max() / b.abs().max()) for a, b in pairs)


def medians(functions: list[Callable[[], object]], rounds: int, seconds: float) -> list[float]:
    """Median time of a call of each function, taken in turns."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, taken in zip(functions, times, strict=True):
            function()
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                start = time.perf_counter()
                function()
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", help="T,B,I,H,layers,directions")
    parser.add_argument("--threads", type=int, default=numba.config.NUMBA_NUM_THREADS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each function in each round")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    arguments = parser.parse_args()
    numba.set_num_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    shapes = [Shape(*map(int, text.split(","))) for text in arguments.shapes] or TABLE
    print(
        f"{arguments.dtype}, {arguments.threads} threads, PyTorch {torch.__version__}; GFLOP/s of the matrix products"
    )
    print(f"{'T, B, I, H, layers, directions':32} {'inference':>24} {'training':>24}  difference")
    for shape in shapes:
        pair = Pair(shape, arguments.dtype)
        difference = pair.check()
        assert difference < (1e-4 if arguments.dtype == "float32" else 1e-10), (
            f"{shape}: results differ by {difference}"
        )
        timed = medians(
            [pair.infer, pair.infer_torch, pair.train, pair.train_torch], arguments.rounds, arguments.seconds
        )
        rates = [factor * shape.forward_flops / 1e9 / t for factor, t in zip((1, 1, 3, 3), timed, strict=True)]
        columns = [f"{ours:5.0f} : {theirs:5.0f} = {ours / theirs:5.2f}" for ours, theirs in (rates[:2], rates[2:])]
        print(f"{', '.join(map(str, shape)):32} {columns[0]:>24} {columns[1]:>24}  {difference:.0e}", flush=True)


if __name__ == "__main__":
    main()
