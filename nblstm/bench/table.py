"""The comparison table: which LSTMs, dtypes and threads. What is timed, reported and drawn follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Shape(NamedTuple):
    """Steps, batch, input width, hidden width, layers, directions.

    Examples
    --------
    >>> Shape.parse("28,100,28,128,2,1").forward_flops
    1181286400
    """

    T: int
    B: int
    I: int
    H: int
    layers: int
    directions: int

    def __str__(self) -> str:
        return ", ".join(str(number) for number in self)

    @classmethod
    def parse(cls, text: str) -> Shape:
        """The shape that six numbers with commas between them name."""
        try:
            shape = cls(*map(int, text.split(",")))
        except (TypeError, ValueError):
            raise ValueError(f"a shape must be six integers T,B,I,H,layers,directions, got {text!r}") from None
        if min(shape) < 1 or shape.directions > 2:
            raise ValueError(f"a shape must have sizes of 1 or more and 1 or 2 directions, got {text!r}")
        return shape

    @property
    def tracks(self) -> list[int]:
        """Width of the input of every layer and direction."""
        widths = [self.I] + [self.H * self.directions] * (self.layers - 1)
        return [width for width in widths for _ in range(self.directions)]

    @property
    def forward_flops(self) -> int:
        """Multiplications and additions in the products of the forward pass."""
        return sum(2 * self.T * self.B * 4 * self.H * (width + self.H) for width in self.tracks)

    @property
    def training_flops(self) -> int:
        """Those of forward and backward: each product of the forward pass has two of its size, for input and weight."""
        return 3 * self.forward_flops

    @property
    def recurrent_weights(self) -> int:
        """Numbers in the matrix that one layer, in one direction, multiplies its state with at every step."""
        return 4 * self.H * self.H


class Case(NamedTuple):
    """One line of the results."""

    shape: Shape
    dtype: str
    threads: int


TABLE = (
    Shape(28, 100, 28, 128, 2, 1),
    Shape(28, 128, 28, 28, 1, 1),
    Shape(70, 1, 200, 1000, 1, 1),
    Shape(12, 3, 30, 20, 1, 1),
    Shape(100, 32, 64, 128, 1, 1),
    Shape(100, 64, 128, 256, 2, 1),
    Shape(50, 64, 512, 512, 2, 1),
    Shape(100, 32, 128, 128, 1, 2),
    Shape(200, 1, 64, 128, 1, 1),
    Shape(128, 50, 128, 512, 2, 1),
    Shape(1000, 1, 1, 64, 1, 1),
    Shape(20, 256, 40, 100, 1, 2),
    Shape(35, 20, 650, 650, 2, 1),
    Shape(30, 64, 300, 300, 1, 1),
    Shape(64, 16, 96, 192, 1, 1),
    Shape(20, 1, 4, 16, 1, 1),
    Shape(30, 8, 12, 24, 2, 1),
    Shape(15, 5, 10, 10, 1, 2),
)
DTYPES = {"float32": TABLE, "float64": TABLE[:6]}
"""Rows of the table that are measured in each dtype."""


def cases(shapes: Sequence[Shape], dtype: str | None, threads: Sequence[int]) -> list[Case]:
    """All lines for `shapes`: in `dtype`, or else in the dtypes that the table has for them (others in float32)."""

    def wanted(shape: Shape, name: str) -> bool:
        if dtype:
            return name == dtype
        return shape in DTYPES[name] if shape in TABLE else name == "float32"

    return [Case(shape, name, n) for name in DTYPES for n in threads for shape in shapes if wanted(shape, name)]


RANGES = ((5, 300), (1, 300), (1, 700), (8, 1000))
"""Of T, B, I and H of shapes drawn at random."""

MOST = 10**12
"""Multiplications and additions of a training pass that a shape drawn at random may have: some ten seconds."""


def draw(count: int) -> list[Shape]:
    """Shapes with T, B, I and H between the bounds of `RANGES`, evenly on a scale of logarithms; always the same ones.

    One or two layers, one or two directions. What would take longer than `MOST` is drawn again.

    Examples
    --------
    >>> draw(2)
    [Shape(T=68, B=5, I=1, H=9, layers=1, directions=2), Shape(T=210, B=32, I=119, H=110, layers=2, directions=2)]
    """
    rng = np.random.default_rng(0)
    shapes: list[Shape] = []
    while len(shapes) < count:
        T, B, I, H = (round(float(np.exp(rng.uniform(np.log(low), np.log(high))))) for low, high in RANGES)
        shape = Shape(T, B, I, H, int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        if shape.training_flops <= MOST:
            shapes.append(shape)
    return shapes
