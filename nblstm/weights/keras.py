"""The weights of Keras 3: of `LSTM` and `SimpleRNN`, stacked, and in `Bidirectional`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_choice, as_flag, check_kind
from nblstm.layers.recurrent import LSTM, NONLINEARITIES, RNN
from nblstm.weights.tracks import Track, as_array, gates_apart, layer_of, tracks_of


def to_keras(layer: LSTM | RNN) -> list[list[np.ndarray]]:
    """The arrays for ``set_weights`` of the Keras layers that compute the same, one list for each layer.

    Keras has one layer object for each of ours' `num_layers`, and joins a pair of directions by ``Bidirectional``, of
    which this is ``set_weights``: kernel, recurrent_kernel and bias forward, then backward. Its gates are i, f, c, o,
    where c is our g; its matrices are transposed; its one bias is the sum of our two.

    Parameters
    ----------
    layer : LSTM or RNN

    Returns
    -------
    list of list of numpy.ndarray
        For each layer and direction kernel (I, 4H), recurrent_kernel (H, 4H) and, with biases, bias (4H,); (I, H),
        (H, H) and (H,) for an RNN.

    Raises
    ------
    ValueError
        Peepholes, which Keras does not have.

    Examples
    --------
    >>> from nblstm import LSTM
    >>> [[array.shape for array in arrays] for arrays in to_keras(LSTM(3, 5, num_layers=2))]
    [[(3, 20), (5, 20), (20,)], [(5, 20), (5, 20), (20,)]]
    """
    tracks = tracks_of(layer)
    if layer.peephole:
        raise ValueError("layer must be one without peepholes, which Keras does not have")
    directions = [
        [np.concatenate(track.ih).T.copy(), np.concatenate(track.hh).T.copy()]
        + ([track.bias().ravel()] if layer.bias else [])
        for track in tracks
    ]
    D = layer.directions
    return [[array for arrays in directions[k : k + D] for array in arrays] for k in range(0, len(directions), D)]


def from_keras(
    layers: Sequence[Sequence[Any]], *, bidirectional: bool = False, nonlinearity: str = "tanh"
) -> LSTM | RNN:
    """The layer that computes what a stack of Keras layers does.

    Parameters
    ----------
    layers : sequence of sequences of arrays
        ``[layer.get_weights() for layer in stack]``: of each layer kernel, recurrent_kernel and bias, if it has one;
        of a ``Bidirectional`` those of the forward direction, then those of the backward one.
    bidirectional : bool
        Whether the layers are ``Bidirectional`` with ``merge_mode="concat"``, the default.
    nonlinearity : {"tanh", "relu"}
        Of a ``SimpleRNN``, its `activation`. An ``LSTM`` must have its default activations.

    Raises
    ------
    ValueError
        Lists of another length, or shapes that disagree.

    Examples
    --------
    >>> from nblstm import LSTM
    >>> lstm = LSTM(3, 5, num_layers=2, bidirectional=True, seed=0)
    >>> again = from_keras(to_keras(lstm), bidirectional=True)
    >>> again.params["bias_ih_l1"] - lstm.params["bias_ih_l1"] - lstm.params["bias_hh_l1"] == 0  # doctest: +ELLIPSIS
    array([ True, ...])
    """
    check_kind("layers", layers, Sequence)
    nonlinearity = as_choice("nonlinearity", nonlinearity, NONLINEARITIES)
    tracks, D = [], 1 + as_flag("bidirectional", bidirectional)
    for k, arrays in enumerate(layers):
        check_kind(f"layers[{k}]", arrays, Sequence)
        count, rest = divmod(len(arrays), D)
        if rest or count not in (2, 3):
            expected = "kernel, recurrent_kernel and, if there is one, bias"
            raise ValueError(f"layers[{k}] must hold {expected}, {D} times over, got {len(arrays)} arrays")
        for d in range(D):
            name = f"layers[{k}][{{}}]"
            ih, hh = (as_array(name.format(d * count + n), arrays[d * count + n], 2).T for n in (0, 1))
            H = hh.shape[1]
            parts = [gates_apart(name.format(d * count + n), array, H, 0) for n, array in enumerate((ih, hh))]
            if count == 3:
                bias = gates_apart(name.format(d * 3 + 2), as_array(name.format(d * 3 + 2), arrays[d * 3 + 2], 1), H, 0)
                parts += [bias, np.zeros_like(bias)]
            tracks.append(Track(*parts))
    if not tracks:
        raise ValueError("layers must hold the weights of at least one layer, got none")
    return layer_of("layers", tracks, bidirectional=bidirectional, nonlinearity=nonlinearity)
