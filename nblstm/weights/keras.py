"""The weights of Keras: of `LSTM`, `GRU`, `SimpleRNN`, the old `CuDNNLSTM` and `CuDNNGRU`, and in `Bidirectional`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_choice, as_flag, as_text, check_kind
from nblstm.cells.gru import GRU_ORIGINAL
from nblstm.layers.parameters import as_found
from nblstm.layers.recurrent import GRU, LSTM, NONLINEARITIES, RNN, Recurrent
from nblstm.weights.tracks import Track, as_array, check_gates, gates_apart, layer_of, tracks_of

GATES = {4: [0, 1, 2, 3], 3: [1, 0, 2], 1: [0]}  # z, r, h of a GRU from r, z, n, and back: h is our n


def to_keras(layer: LSTM | GRU | RNN | Recurrent) -> list[list[np.ndarray]]:
    """The arrays for ``set_weights`` of the Keras layers that compute the same, one list for each layer.

    Keras has one layer object for each of ours' `num_layers`, and joins a pair of directions by ``Bidirectional``, of
    which this is ``set_weights``: kernel, recurrent_kernel and bias forward, then backward. Its gates are i, f, c, o,
    where c is our g, and of a GRU z, r, h, where h is our n; its matrices are transposed; its one bias is the sum of
    our two. A ``GRU`` has our layer's ``reset_after``; with True, the default, it has both biases.

    Parameters
    ----------
    layer : LSTM, GRU or RNN
        Or a `Recurrent` of one of their cells.

    Returns
    -------
    list of list of numpy.ndarray
        For each layer and direction kernel (I, 4H), recurrent_kernel (H, 4H) and, with biases, bias (4H,); (I, 3H),
        (H, 3H) and (2, 3H) for a GRU, (3H,) if it resets before the product; (I, H), (H, H) and (H,) for an RNN.

    Raises
    ------
    ValueError
        Peepholes, which Keras does not have, or another cell.

    Examples
    --------
    >>> from nblstm import LSTM
    >>> [[array.shape for array in arrays] for arrays in to_keras(LSTM(3, 5, num_layers=2))]
    [[(3, 20), (5, 20), (20,)], [(5, 20), (5, 20), (20,)]]
    """
    tracks = tracks_of(layer)
    if layer.cell.peepholes:
        raise ValueError("layer must be one without peepholes, which Keras does not have")
    directions = [arrays_of(track, layer.cell is not GRU_ORIGINAL) for track in tracks]
    D = layer.directions
    return [[array for arrays in directions[k : k + D] for array in arrays] for k in range(0, len(directions), D)]


def from_keras(
    layers: Sequence[Sequence[Any]], *, bidirectional: bool = False, batch_first: bool = True,
    activation: str = "tanh", recurrent_activation: str = "sigmoid", reset_after: bool | None = None,
) -> LSTM | GRU | RNN:  # fmt: skip
    """The layer that computes what a stack of Keras layers does.

    The weights do not say which activations they were trained with. Since Keras 2.3, and in the ``tf.keras`` of
    TensorFlow 2, the gates of an ``LSTM`` have ``recurrent_activation="sigmoid"`` by default, those of nblstm; before,
    and in TensorFlow 1, they had "hard_sigmoid", which is another function. A ``CuDNNLSTM`` always had "sigmoid".
    Likewise a ``GRU`` has ``reset_after=True`` by default, and had False before; its bias, (2, 3H) or (3H,), tells
    which, and one without biases is taken to have True.

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
        That of ``LSTM`` and ``GRU`` layers; any other is refused.
    reset_after : bool, optional
        That of ``GRU`` layers, where they have no bias that tells.

    Raises
    ------
    ValueError
        Lists of another length, shapes that disagree, activations that nblstm does not have, GRUs of both forms, or
        layers of unequal units: convert those one by one,
        ``Sequential(*(from_keras([arrays]) for arrays in layers))``.

    Notes
    -----
    The weights of ``CuDNNLSTM`` are known by their bias of 8H, those of ``CuDNNGRU`` by 6H: two halves, for x and for
    h. cuDNN reads each gate's part of a kernel as a matrix (H, I), row by row, where the array's own shape is (I, H).

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
    tracks, told, D = [], set(), 1 + bidirectional
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
            own = arrays[d * count : (d + 1) * count]
            tracks.append(track_of(names, own))
            if len(tracks[-1].ih) == 3 and count == 3:
                told.add(np.size(own[2]) > tracks[-1].ih[:, :, 0].size)
    if not tracks:
        raise ValueError("layers must hold the weights of at least one layer, got none")
    if activation != "tanh" and len(tracks[0].ih) > 1:
        raise ValueError(
            f"activation must be 'tanh' for an LSTM or GRU, got {activation!r}, which nblstm has for an RNN only"
        )
    if reset_after is not None:
        told.add(as_flag("reset_after", reset_after))
        if len(tracks[0].ih) != 3:
            raise ValueError(f"reset_after must be left out but for a GRU, got {reset_after!r}")
    if len(told) > 1:
        raise ValueError(
            "layers must hold GRUs of one form, the one that reset_after says, got biases of (2, 3H) or 6H, of a GRU "
            f"with reset_after=True, and of (3H,), of one with False; reset_after={reset_after!r}"
        )
    options = ", bidirectional=True" * bidirectional + ", batch_first=False" * (not batch_first)
    return layer_of(
        "layers", tracks, bidirectional=bidirectional, batch_first=batch_first, nonlinearity=activation,
        reset_after=told != {False},
        one_by_one=f"nblstm.weights.from_keras([arrays]{options}) for arrays in layers",
    )  # fmt: skip


def arrays_of(track: Track, reset_after: bool = True) -> list[np.ndarray]:
    """Kernel, recurrent_kernel and bias, if there is one, of one layer in one direction."""
    order = GATES[len(track.ih)]
    found = [np.concatenate(track.ih[order]).T.copy(), np.concatenate(track.hh[order]).T.copy()]
    if track.bias_ih is None or track.bias_hh is None:
        return found
    if len(order) == 3 and reset_after:
        return [*found, np.stack([bias[order].ravel() for bias in (track.bias_ih, track.bias_hh)])]
    return [*found, track.bias()[order].ravel()]


def track_of(names: Sequence[str], arrays: Sequence[Any]) -> Track:
    """The way back from `arrays_of`, of cuDNN's layers too."""
    kernel, recurrent_kernel = (as_array(name, array, 2) for name, array in zip(names[:2], arrays, strict=False))
    H = len(recurrent_kernel)
    ih, hh = (gates_apart(name, array.T, H, 0) for name, array in zip(names, (kernel, recurrent_kernel), strict=False))
    K = len(ih)
    check_gates(names[0], K)
    if len(hh) != K:
        raise ValueError(f"{names[1]} must be ({H}, {K * H}), {K} x {H} units, got shape {recurrent_kernel.shape}")
    order = GATES[K]
    if len(arrays) == 2:
        return Track(ih[order], hh[order])
    dimensions = arrays[2].ndim if hasattr(arrays[2], "ndim") else as_found(arrays[2]).ndim
    bias = as_array(names[2], arrays[2], 2 if K == 3 and dimensions == 2 else 1)
    if K > 1 and bias.shape == (2 * K * H,):
        ih, hh = (gates.swapaxes(1, 2).reshape(gates.shape) for gates in (ih, hh))
        bias_ih, bias_hh = bias.reshape(2, K, H)
    elif K == 3 and bias.shape == (2, K * H):
        bias_ih, bias_hh = bias.reshape(2, K, H)
    elif bias.shape == (K * H,):
        bias_ih, bias_hh = bias.reshape(K, H), np.zeros((K, H), bias.dtype)
    else:
        shape = f"(2, {K * H}) or ({K * H},)" if K == 3 else f"{K * H} numbers"
        raise ValueError(f"{names[2]} must be a bias of {shape}, {K} x {H} units, got shape {bias.shape}")
    return Track(ih[order], hh[order], bias_ih[order], bias_hh[order])
