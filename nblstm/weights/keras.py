"""The weights of Keras: of `LSTM`, `SimpleRNN` and the old `CuDNNLSTM`, stacked, and in `Bidirectional`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_choice, as_flag, as_text, check_kind
from nblstm.layers.recurrent import LSTM, NONLINEARITIES, RNN
from nblstm.weights.tracks import Track, as_array, check_gates, gates_apart, layer_of, tracks_of


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
    layers: Sequence[Sequence[Any]], *, bidirectional: bool = False, batch_first: bool = True,
    activation: str = "tanh", recurrent_activation: str = "sigmoid",
) -> LSTM | RNN:  # fmt: skip
    """The layer that computes what a stack of Keras layers does.

    The weights do not say which activations they were trained with. Since Keras 2.3, and in the ``tf.keras`` of
    TensorFlow 2, the gates of an ``LSTM`` have ``recurrent_activation="sigmoid"`` by default, those of nblstm; before,
    and in TensorFlow 1, they had "hard_sigmoid", which is another function. A ``CuDNNLSTM`` always had "sigmoid".

    Parameters
    ----------
    layers : sequence of sequences of arrays
        ``[layer.get_weights() for layer in stack]``: of each layer kernel, recurrent_kernel and bias, if it has one;
        of a ``Bidirectional`` those of the forward direction, then those of the backward one.
    bidirectional : bool
        Whether the layers are ``Bidirectional`` with ``merge_mode="concat"``, the default.
    batch_first : bool
        Whether the layer takes (B, T, I), as Keras does, or (T, B, I).
    activation : {"tanh", "relu"}
        That of the Keras layers; "relu" of a ``SimpleRNN`` only.
    recurrent_activation : {"sigmoid"}
        That of ``LSTM`` layers; any other is refused.

    Raises
    ------
    ValueError
        Lists of another length, shapes that disagree, a GRU's weights, activations that nblstm does not have, or layers
        of unequal units: convert those one by one, ``Sequential(*(from_keras([arrays]) for arrays in layers))``.

    Notes
    -----
    The weights of ``CuDNNLSTM`` are known by their bias of 8H: two halves, which are added. cuDNN reads each gate's
    part of a kernel as a matrix (H, I), row by row, where the array's own shape is (I, H).

    Examples
    --------
    >>> from nblstm import LSTM
    >>> lstm = LSTM(3, 5, num_layers=2, bidirectional=True, seed=0)
    >>> again = from_keras(to_keras(lstm), bidirectional=True)
    >>> again
    LSTM(3, 5, num_layers=2, batch_first=True, bidirectional=True)
    >>> again.params["bias_ih_l1"] - lstm.params["bias_ih_l1"] - lstm.params["bias_hh_l1"] == 0  # doctest: +ELLIPSIS
    array([ True, ...])
    """
    check_kind("layers", layers, Sequence)
    activation, batch_first = as_choice("activation", activation, NONLINEARITIES), as_flag("batch_first", batch_first)
    if as_text("recurrent_activation", recurrent_activation) != "sigmoid":
        raise ValueError(
            f"recurrent_activation must be 'sigmoid', the only one that nblstm has, got {recurrent_activation!r}"
        )
    bidirectional = as_flag("bidirectional", bidirectional)
    tracks, D = [], 1 + bidirectional
    if any(hasattr(arrays, "shape") for arrays in layers):
        raise TypeError(
            "layers must hold a list of arrays for each layer, got arrays: of a single layer, wrap it in a list, "
            "[layer.get_weights()]"
        )
    for k, arrays in enumerate(layers):
        check_kind(f"layers[{k}]", arrays, Sequence)
        count, rest = divmod(len(arrays), D)
        if rest or count not in (2, 3):
            expected = "kernel, recurrent_kernel and, if there is one, bias"
            raise ValueError(f"layers[{k}] must hold {expected}, {D} times over, got {len(arrays)} arrays")
        for d in range(D):
            names = [f"layers[{k}][{d * count + n}]" for n in range(count)]
            tracks.append(_track(names, arrays[d * count : (d + 1) * count]))
    if not tracks:
        raise ValueError("layers must hold the weights of at least one layer, got none")
    if activation != "tanh" and len(tracks[0].ih) == 4:
        raise ValueError(f"activation must be 'tanh' for an LSTM, got {activation!r}, which nblstm has for an RNN only")
    options = ", bidirectional=True" * bidirectional + ", batch_first=False" * (not batch_first)
    return layer_of(
        "layers", tracks, bidirectional=bidirectional, batch_first=batch_first, nonlinearity=activation,
        one_by_one=f"nblstm.weights.from_keras([arrays]{options}) for arrays in layers",
    )  # fmt: skip


def _track(names: Sequence[str], arrays: Sequence[Any]) -> Track:
    """Kernel, recurrent_kernel and bias, if there is one, of one layer in one direction."""
    kernel, recurrent_kernel = (as_array(name, array, 2) for name, array in zip(names[:2], arrays, strict=False))
    H = len(recurrent_kernel)
    ih, hh = (gates_apart(name, array.T, H, 0) for name, array in zip(names, (kernel, recurrent_kernel), strict=False))
    K = len(ih)
    check_gates(names[0], K)  # before the bias, of which a GRU has two in one array
    if len(arrays) == 2:
        return Track(ih, hh)
    bias = as_array(names[2], arrays[2], 1)
    if K == 4 and len(bias) == 8 * H:  # of CuDNNLSTM
        ih, hh = (gates.swapaxes(1, 2).reshape(gates.shape) for gates in (ih, hh))
        bias = bias[: 4 * H] + bias[4 * H :]
    if len(bias) != K * H:
        raise ValueError(f"{names[2]} must be a bias of {K * H} numbers, {K} x {H} units, got shape {bias.shape}")
    bias = bias.reshape(K, H)
    return Track(ih, hh, bias, np.zeros_like(bias))
