"""Clipping of gradients by their joint norm."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numba import prange

from nblstm.arguments import as_number
from nblstm.kernels.driver import Driver, threads_for
from nblstm.kernels.tag import ANY, Tag
from nblstm.layers.composed import Composed
from nblstm.layers.layer import Layer

RUN = 4096
"""Numbers that a thread sums at a stretch; fixed, so that the sum does not depend on how many threads there are."""


@Driver
def _sum_of_squares(tag: Tag, threads: int, g: np.ndarray, run: int, sums: np.ndarray) -> float:
    """Sum in float64 of the squares of `g`, by runs of `run` numbers, whose sums go to `sums`, and then over the runs.

    Runs are shared out among the threads, but each is summed from left to right and so are their sums: one fixed order.
    """
    for c in prange(sums.size):
        total = 0.0
        for i in range(c * run, min((c + 1) * run, g.size)):
            total += np.float64(g[i]) * np.float64(g[i])
        sums[c] = total
    total = 0.0
    for c in range(sums.size):
        total += sums[c]
    return total


Trained = Layer | Composed | Sequence[Layer | Composed]
"""A layer, what is composed of layers, or a list of such: what an optimiser trains."""


def check_layers(layers: Trained) -> list[Layer]:
    """Those layers that have parameters, after the check that there is one, and each once."""
    if isinstance(layers, str) or not isinstance(layers, (Layer, Composed, Sequence)):
        came = "a mapping: hand over the net itself" if isinstance(layers, Mapping) else type(layers).__name__
        raise TypeError(f"layers must be a layer, a net or a list of them, got {came}")
    found: list[Layer] = []
    for i, one in enumerate([layers] if isinstance(layers, (Layer, Composed)) else layers):
        if not isinstance(one, (Layer, Composed)):
            raise TypeError(f"layers must be a list of layers, got {type(one).__name__} at position {i}")
        found += one.layers if isinstance(one, Composed) else [one]
    if len({id(layer) for layer in found}) != len(found):
        raise ValueError("layers must hold each layer once, got one of them twice")
    found = [layer for layer in found if layer.num_parameters]
    if not found:
        raise ValueError("layers must hold at least one layer with parameters, got none")
    return found


def clip_grad_norm(layers: Trained, max_norm: float) -> float:
    r"""Scale the gradients of all layers by one factor so that their joint norm is at most `max_norm`.

    .. math:: n = \sqrt{\textstyle\sum_i g_i^2}, \qquad g \leftarrow g \cdot \min(1, c / (n + 10^{-6}))

    Parameters
    ----------
    layers : Layer, Composed (a `Sequential` or a model, say), or sequence of them
        Each layer once; their dtypes may differ. Those without parameters are passed over.
    max_norm : float
        :math:`c > 0`; infinity to measure only.

    Returns
    -------
    float
        The norm n before scaling, summed in float64 in a fixed order: the same, bit for bit, for any number of threads.
        If it is infinite or NaN, the gradients are left as they are; a careful loop looks at it and skips the step.
        (PyTorch would spread NaN over all of them.)

    Raises
    ------
    TypeError
        What is no layer, net or list of them.
    ValueError
        No layers, the same one twice, or `max_norm` not above 0.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.

    Examples
    --------
    >>> from nblstm.layers.layer import Layer
    >>> layer = Layer({"weight": (2,)}, "float64")
    >>> layer.flat_grads[:] = [3, 4]
    >>> clip_grad_norm([layer], 1.0)
    5.0
    >>> layer.grads["weight"].round(6)
    array([0.6, 0.8])
    """
    limit = as_number("max_norm", max_norm, positive=True, finite=False)
    found, square = check_layers(layers), 0.0
    for layer in found:
        square += sum_of_squares(layer.flat_grads)[0]
    norm = math.sqrt(square)
    scale_down([layer.flat_grads for layer in found], norm, limit)
    return norm


def sum_of_squares(g: np.ndarray) -> tuple[float, np.ndarray]:
    """The sum in float64 of the squares of a flat array, and the sums over its runs, which add up to it in order."""
    sums = np.empty(-(-g.size // RUN))
    return _sum_of_squares(ANY, threads_for(10 * g.size), g, RUN, sums), sums


def scale_down(gradients: Iterable[np.ndarray], norm: float, limit: float) -> None:
    """What clipping does once the joint norm is known."""
    factor = limit / (norm + 1e-6)
    if math.isfinite(norm) and factor < 1:
        for gradient in gradients:
            np.multiply(gradient, factor, out=gradient)
