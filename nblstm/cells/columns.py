"""The weighted sums of a cell as the kernels take them: columns, and the slots of a unit in which they lie."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

import numpy as np

SLOTS = (1, 2, 4)
"""How many a unit may have: a tile takes 1, 2 or 4 vectors of one block of units."""


class Column(NamedTuple):
    """A weighted sum, or a part of one, and which block of rows of the weights its parts from x and h come from.

    -1 is for none. The part from h is `of_h`, or `of_read` where the sum reads something in place of h.
    """

    name: str
    of_x: int
    of_h: int
    of_read: int = -1

    @property
    def order(self) -> int:
        """Its place among columns: those with a part from x, from h, from what is read, each lie in one piece."""
        read = self.of_read >= 0
        return (self.of_x < 0) - (self.of_h < 0) - read - 2 * (read and self.of_x < 0)


def columns_of(
    sums: Sequence[str], of_x: Sequence[str], of_h: Sequence[str], apart: Container[str], reads: Container[str]
) -> list[Column]:
    """One column for each of the sums, two where the parts are apart; of_x and of_h have the sums with such a part."""
    found = []
    for each in sums:
        from_x, from_h = (part.index(each) if each in part else -1 for part in (of_x, of_h))
        hidden = (-1, from_h) if each in reads else (from_h, -1)
        if each in apart:
            found += [Column(f"{each}_x", from_x, -1), Column(f"{each}_h", -1, *hidden)]
        else:
            found.append(Column(each, from_x, *hidden))
    return found


def slots_of(columns: Sequence[Column], values: int) -> tuple[tuple[int, ...], np.ndarray]:
    """The slot of each column; and for every slot (of_x, of_h, of_read), where there is room for so many values."""
    parts = {(column.of_x < 0, column.of_h < 0) for column in columns}
    some = len(parts) > 1 or any(column.of_x < 0 or column.of_read >= 0 for column in columns)
    # Products that take some columns only take them out of four.
    least = max(len(columns), values, SLOTS[-1] * some)
    order = sorted(range(len(columns)), key=lambda k: columns[k].order)
    empty = next(slots for slots in SLOTS if slots >= least) - len(columns)
    rows = np.array([columns[k][1:] for k in order] + [(-1, -1, -1)] * empty)
    return tuple(order.index(k) for k in range(len(columns))), rows
