"""Gradients by centred differences, for what `nblstm.gradcheck` does not take: losses, and nets of an experiment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

STEP = 1e-5


def slopes(loss: Callable[[], float], array: np.ndarray) -> np.ndarray:
    """The gradient of a loss with respect to an array that it reads, each number of which is moved in its place."""
    found = np.zeros(array.shape)
    for place in np.ndindex(array.shape):
        kept, sides = array[place], []
        for step in (STEP, -STEP):
            array[place] = kept + step
            sides.append(loss())
        array[place] = kept
        found[place] = (sides[0] - sides[1]) / (2 * STEP)
    return found
