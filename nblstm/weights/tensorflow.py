"""The weights of TensorFlow's `BasicLSTMCell`, the cell of a generation of examples and checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_number, check_kind
from nblstm.cells import lstm
from nblstm.layers.recurrent import LSTM, Recurrent
from nblstm.weights.tracks import Track, as_array, layer_of, tracks_of

GATES = [0, 2, 1, 3]  # i, j, f, o from i, f, g, o, and back: j is our g


def to_tensorflow(layer: LSTM | Recurrent, forget_bias: float = 1.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of a ``BasicLSTMCell`` for each layer, which together compute the same.

    The cell multiplies the joined [x, h] with one kernel, has its gates in the order i, j, f, o, where j is our g, and
    adds `forget_bias` to the forget gate whenever it runs; so that much is taken off the bias here.

    Parameters
    ----------
    layer : LSTM
        In one direction and without peepholes.
    forget_bias : float
        That of the cells, of which 1 is the default.

    Returns
    -------
    list of (numpy.ndarray, numpy.ndarray)
        For each layer kernel (I + H, 4H) and bias (4H,).

    Raises
    ------
    ValueError, TypeError
        A layer of another kind.

    References
    ----------
    Zaremba, Sutskever & Vinyals (2014), Recurrent neural network regularization, which the cell was written after.

    Examples
    --------
    >>> from nblstm import LSTM
    >>> [(kernel.shape, bias.shape) for kernel, bias in to_tensorflow(LSTM(3, 5, num_layers=2))]
    [((8, 20), (20,)), ((10, 20), (20,))]
    """
    tracks, forget_bias = tracks_of(layer), as_number("forget_bias", forget_bias)
    if layer.cell is not lstm.LSTM or layer.bidirectional:
        raise ValueError(f"layer must be an LSTM in one direction and without peepholes, got {layer!r}")
    pairs = []
    for track in tracks:
        bias = track.bias()
        bias[1] -= layer.dtype.type(forget_bias)
        joined = np.concatenate([track.ih, track.hh], axis=2)[GATES]
        pairs.append((np.concatenate(joined).T.copy(), bias[GATES].ravel()))
    return pairs


def from_tensorflow(cells: Sequence[tuple[Any, Any]], forget_bias: float = 1.0) -> LSTM:
    """The layer that computes what a stack of ``BasicLSTMCell`` does.

    Parameters
    ----------
    cells : sequence of (kernel, bias)
        For each cell, from the first layer on: (I + H, 4H) and (4H,).
    forget_bias : float
        That of the cells, of which 1 is the default; it becomes part of the bias.

    Raises
    ------
    ValueError
        Shapes that disagree, no cell at all, or cells of unequal units: convert those one by one,
        ``Sequential(*(from_tensorflow([cell]) for cell in cells))``.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import LSTM
    >>> lstm = LSTM(3, 5, num_layers=2, seed=0)
    >>> again = from_tensorflow(to_tensorflow(lstm))
    >>> x = np.ones((7, 2, 3), "float32")
    >>> bool(np.abs(again(x)[0] - lstm(x)[0]).max() < 1e-6)
    True
    """
    check_kind("cells", cells, Sequence)
    tracks, forget_bias = [], as_number("forget_bias", forget_bias)
    for k, cell in enumerate(cells):
        if not isinstance(cell, Sequence) or len(cell) != 2:
            raise TypeError(
                f"cells[{k}] must be a pair of kernel and bias, as BasicLSTMCell has, without projections and "
                f"peepholes, got {f'{len(cell)} members' if isinstance(cell, Sequence) else type(cell).__name__}"
            )
        kernel, bias = cell
        kernel, bias = as_array(f"cells[{k}][0]", kernel, 2), as_array(f"cells[{k}][1]", bias, 1)
        H, inputs = len(bias) // 4, len(kernel) - len(bias) // 4
        if len(bias) % 4 or kernel.shape[1] != len(bias) or inputs < 1:
            raise ValueError(
                f"cells[{k}] must have a kernel (I + H, 4H) and a bias (4H,), got {kernel.shape} and {bias.shape}"
            )
        joined, bias = kernel.T.reshape(4, H, inputs + H)[GATES], bias.reshape(4, H)[GATES]
        bias[1] += bias.dtype.type(forget_bias)
        tracks.append(Track(joined[:, :, :inputs], joined[:, :, inputs:], bias, np.zeros_like(bias)))
    if not tracks:
        raise ValueError("cells must hold at least one cell, got none")
    layer = layer_of(
        "cells", tracks, one_by_one=f"nblstm.weights.from_tensorflow([cell], {forget_bias}) for cell in cells"
    )
    assert isinstance(layer, LSTM)
    return layer
