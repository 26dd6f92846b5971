"""PyTorch's state dicts of `torch.nn.LSTM` and `torch.nn.RNN`, whose names and layouts are ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from nblstm.arguments import as_choice, as_text, check_kind
from nblstm.layers.recurrent import LSTM, NONLINEARITIES, RNN
from nblstm.weights.tracks import Track, as_array, gates_apart, layer_of, tracks_of

NAME = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh)_l(\d+)(_reverse)?")


def to_pytorch(layer: LSTM | RNN) -> dict[str, np.ndarray]:
    """The state dict of the PyTorch layer that computes the same.

    For a layer in the split formulation this is ``layer.state_dict()``; one in the concatenated formulation is
    converted. Whole models have PyTorch's names too: see their ``state_dict``.

    Parameters
    ----------
    layer : LSTM or RNN

    Returns
    -------
    dict of str to numpy.ndarray
        For ``torch_layer.load_state_dict({name: torch.from_numpy(tensor) ...})``; or save it with
        `nblstm.weights.save`, and ``safetensors.torch.load_file`` reads it.

    Raises
    ------
    ValueError
        Peepholes, which PyTorch's LSTM does not have.

    Examples
    --------
    >>> from nblstm import LSTM
    >>> {name: tensor.shape for name, tensor in to_pytorch(LSTM(3, 5, formulation="concat")).items()}
    {'weight_ih_l0': (20, 3), 'weight_hh_l0': (20, 5), 'bias_ih_l0': (20,), 'bias_hh_l0': (20,)}
    """
    tracks_of(layer)  # for its check
    if layer.peephole:
        raise ValueError("layer must be one without peepholes, which PyTorch's LSTM does not have")
    return layer.to_formulation("split").state_dict()


def from_pytorch(state_dict: Mapping[str, Any], *, prefix: str = "", nonlinearity: str = "tanh") -> LSTM | RNN:
    """The layer whose weights a state dict of PyTorch's holds.

    Sizes, layers, directions and biases follow from names and shapes. What a state dict does not hold, ``batch_first``
    and dropout, is at its default.

    Parameters
    ----------
    state_dict : mapping of str to tensor
        In memory, or read from a safetensors file by `nblstm.weights.load`.
    prefix : str
        What stands before the layer's names, ``"encoder.lstm."`` for instance; other names are passed over.
    nonlinearity : {"tanh", "relu"}
        Of an RNN.

    Raises
    ------
    ValueError
        No weights of an LSTM or RNN under this prefix, some missing, shapes that disagree, or projections.

    Examples
    --------
    >>> from nblstm import LSTM
    >>> lstm = LSTM(3, 5, num_layers=2, bidirectional=True, seed=0)
    >>> state_dict = {f"encoder.{name}": tensor for name, tensor in lstm.state_dict().items()}
    >>> found = from_pytorch(state_dict, prefix="encoder.")
    >>> bool((found.flat_params == lstm.flat_params).all())
    True
    """
    check_kind("state_dict", state_dict, Mapping)
    prefix, nonlinearity = as_text("prefix", prefix), as_choice("nonlinearity", nonlinearity, NONLINEARITIES)
    names = [name.removeprefix(prefix) for name in map(str, state_dict) if name.startswith(prefix)]
    if any(name.startswith("weight_hr_l") for name in names):
        raise ValueError("state_dict must be of a layer without projections (weight_hr), which nblstm does not have")
    found = {match[0]: match for match in map(NAME.fullmatch, names) if match}
    if not found:
        raise ValueError(
            f"state_dict must hold names like {prefix}weight_ih_l0, got {', '.join(sorted(map(str, state_dict)))}"
        )
    layers = 1 + max(int(match[2]) for match in found.values())
    bidirectional = any(match[3] for match in found.values())
    bias = any(match[1].startswith("bias") for match in found.values())
    kinds = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if bias else ()))
    checked = min(layers, len(found) + 1)  # of more layers than there are names the first of these lacks something
    suffixes = [f"_l{k}{'_reverse' * d}" for k in range(checked) for d in range(1 + bidirectional)]
    missing = [prefix + kind + suffix for suffix in suffixes for kind in kinds if kind + suffix not in found]
    if missing:
        raise ValueError(f"state_dict lacks {', '.join(missing)}")

    def track(suffix: str) -> Track:
        tensors = {
            kind: as_array(prefix + kind + suffix, state_dict[prefix + kind + suffix], 1 + kind.startswith("weight"))
            for kind in kinds
        }
        units = tensors["weight_hh"].shape[1]
        return Track(*(gates_apart(prefix + kind + suffix, tensor, units, 0) for kind, tensor in tensors.items()))

    return layer_of(
        "state_dict", [track(suffix) for suffix in suffixes], bidirectional=bidirectional, nonlinearity=nonlinearity
    )
