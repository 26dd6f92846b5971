"""RTNeural's JSON: nets for audio effects that a C++ library runs sample by sample."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_dtype, shown
from nblstm.layers.linear import Linear
from nblstm.layers.recurrent import GRU, LSTM, RNN, Recurrent
from nblstm.layers.sequential import Sequential
from nblstm.weights.json_files import as_numbers, read_json, write_json
from nblstm.weights.keras import arrays_of, track_of
from nblstm.weights.tracks import layer_of, tracks_of

KIND = "a file of RTNeural's"
RECURRENT = {4: "lstm", 3: "gru"}  # by the number of their gates
DENSE = ("dense", "time-distributed-dense")
OUTSIDE = {"in_skip": "adds the input to the output", "in_gain": "scales the input", "out_gain": "scales the output"}


def to_rtneural(model: LSTM | GRU | Recurrent | Linear | Sequential, path: str | os.PathLike[str]) -> None:
    """Write a net to a JSON file that `RTNeural <https://github.com/jatinchowdhury18/RTNeural>`_ loads; atomically.

    Each layer has an entry of its own, also those within a stack. The weights are those of `to_keras`: transposed, one
    bias for an LSTM, two for a GRU, whose gates are z, r, h.

    Parameters
    ----------
    model : LSTM, GRU, Linear, or Sequential of them
        A `Recurrent` of such a cell likewise. Nothing is dropped, and `batch_first` says nothing here.
    path : str or os.PathLike

    Raises
    ------
    ValueError
        What RTNeural does not have: a second direction, peepholes, another cell. Or weights that are not finite.
    TypeError
        `model` is something else, or has a layer of another kind.
    OSError
        `path` cannot be written.

    Examples
    --------
    >>> import nblstm
    >>> net = nblstm.Sequential(nblstm.LSTM(1, 16, seed=0), nblstm.Linear(16, 1, seed=0))
    >>> to_rtneural(net, "amp.json")
    >>> [type(layer).__name__ for layer in from_rtneural("amp.json").layers]
    ['LSTM', 'Linear']
    >>> os.remove("amp.json")
    """
    layers = list(model.parts.values()) if isinstance(model, Sequential) else [model]
    entries = [entry for layer in layers for entry in _entries(layer)]
    write_json(path, {"in_shape": [None, None, len(entries[0]["weights"][0])], "layers": entries})


def from_rtneural(path: str | os.PathLike[str], *, dtype: str = "float32") -> Sequential:
    """The net in a JSON file of RTNeural's, a layer for each entry.

    Parameters
    ----------
    path : str or os.PathLike
    dtype : {"float32", "float64"}
        Of the layers; the file has decimal numbers.

    Examples
    --------
    >>> from nblstm import LSTM, Linear, Sequential, weights
    >>> weights.to_rtneural(Sequential(LSTM(1, 8, seed=0), Linear(8, 1, seed=1)), "amp.json")
    >>> weights.from_rtneural("amp.json")
    Sequential(LSTM(1, 8), Linear(8, 1, bias=True))
    >>> os.remove("amp.json")

    Warns
    -----
    UserWarning
        The file tells a player to add the input to the output, or to scale one of them (``in_skip``, ``in_gain`` and
        ``out_gain``, as AIDA-X writes them). The net does not do that; its caller may.

    Raises
    ------
    ValueError
        No such file, weights that do not fit together, or a layer that nblstm does not have: convolutions, batch norm,
        activations of dense layers. The entry is named.
    OSError
        `path` is missing, or not readable.
    """
    content, kind = read_json(path, KIND), as_dtype(dtype)
    entries = content.get("layers")
    if not isinstance(entries, list) or not entries:
        way = ", weights under PyTorch's names, which from_pytorch takes as arrays" if "state_dict" in content else ""
        raise ValueError(
            f"{path} must have a list of layers, {KIND} does; got {', '.join(map(str, content)) or 'nothing'}{way}"
        )
    net = Sequential(*(_layer(f"layers[{k}]", entry, kind) for k, entry in enumerate(entries)))
    _check_width("in_shape", content.get("in_shape"), len(entries[0]["weights"][0]))
    if outside := [f"{words} ({key})" for key, words in OUTSIDE.items() if content.get(key)]:
        warnings.warn(
            f"{path} is of an effect that {' and '.join(outside)} besides; the net leaves that to its caller",
            stacklevel=2,
        )
    return net


def _entries(layer: Any) -> list[dict[str, Any]]:
    """What the file says of a layer: an entry for each of its `num_layers`."""
    if isinstance(layer, Linear):
        bias = layer.params.get("bias", np.zeros(layer.out_features))
        return [_entry("dense", layer.out_features, [layer.params["weight"].T, bias])]
    if not isinstance(layer, LSTM | GRU | RNN | Recurrent):
        raise TypeError(f"model must be an LSTM, GRU, Linear or Sequential of them, got {type(layer).__name__}")
    tracks = tracks_of(layer)
    if layer.bidirectional or layer.cell.peepholes or layer.cell.reads or len(layer.cell.sums) not in RECURRENT:
        raise ValueError(
            "model must have LSTMs without peepholes and GRUs with reset_after=True, in one direction, as RTNeural "
            f"does, got {layer!r}"
        )
    entries = []
    for track in tracks:
        K, H, _ = track.ih.shape
        if track.bias_ih is None:
            zeros = np.zeros((K, H))
            track = track._replace(bias_ih=zeros, bias_hh=zeros)
        entries.append(_entry(RECURRENT[K], H, arrays_of(track)))
    return entries


def _entry(kind: str, units: int, arrays: Sequence[np.ndarray]) -> dict[str, Any]:
    weights = [array.tolist() for array in arrays]
    return {"type": kind, "activation": "", "shape": [None, None, units], "weights": weights}


def _layer(name: str, entry: Any, dtype: np.dtype) -> LSTM | GRU | RNN | Linear:
    """The layer that an entry is."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    arrays = entry.get("weights") if isinstance(entry, dict) else None
    dense = kind in DENSE
    if not dense and kind not in RECURRENT.values():
        raise ValueError(f"{name} must be an lstm, a gru or dense, got {shown(kind)}, which nblstm does not have")
    activation = entry.get("activation") or ""
    if activation not in (("", "linear") if dense else ("", "tanh")):
        raise ValueError(f"{name} has the activation {shown(activation)}, which nblstm does not have in a layer {kind}")
    count = 2 if dense else 3
    if not isinstance(arrays, list) or len(arrays) != count:
        raise ValueError(f"{name} must have a list of {count} weights")
    dimensions = (2, 1) if dense else (2, 2, 2 if kind == "gru" else 1)
    names = [f"{name}.weights[{n}]" for n in range(count)]
    found = [as_numbers(*each[:2], dtype, each[2]) for each in zip(names, arrays, dimensions, strict=True)]
    _check_width(f"{name}.shape", entry.get("shape"), len(found[1]))
    if not dense:
        track = track_of(names, found)
        if RECURRENT.get(len(track.ih)) != kind:
            raise ValueError(f"{name} must have the weights of a layer {kind}, got shape {found[0].shape}")
        return layer_of(name, [track])
    weight, bias = found
    layer = Linear(*weight.shape, dtype=str(dtype), seed=0)
    if bias.shape != layer.params["bias"].shape:
        raise ValueError(f"{names[1]} must have {weight.shape[1]} numbers, got shape {bias.shape}")
    layer.load_state_dict({"weight": weight.T, "bias": bias})
    return layer


def _check_width(name: str, shape: Any, width: int) -> None:
    """A shape that the file tells ends in the width that the weights have."""
    if not isinstance(shape, list) or not shape or shape[-1] != width:
        raise ValueError(f"{name} must be a list that ends in {width}, as the weights say, got {shown(shape)}")
