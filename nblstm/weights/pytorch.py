"""PyTorch's state dicts of `torch.nn.LSTM`, `GRU` and `RNN`, whose names and layouts are ours."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from nblstm.arguments import as_choice, as_flag, as_text
from nblstm.cells.gru import GRU_ORIGINAL
from nblstm.layers.recurrent import GRU, LSTM, NONLINEARITIES, RNN, Recurrent
from nblstm.weights.tracks import Track, as_array, gates_apart, layer_of, tracks_of

NAME = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh)_l(\d+)(_reverse)?")


class Module(Protocol):
    """A `torch.nn.Module`, as far as it is needed here."""

    def state_dict(self) -> Mapping[str, Any]:
        """Its weights by name."""


def to_pytorch(layer: LSTM | GRU | RNN | Recurrent) -> dict[str, np.ndarray]:
    """The state dict of the PyTorch layer that computes the same.

    For a layer in the split formulation this is ``layer.state_dict()``; one in the concatenated formulation is
    converted. Whole models have PyTorch's names too: see their ``state_dict``.

    Parameters
    ----------
    layer : LSTM, GRU or RNN
        Or a `Recurrent` of one of their cells.

    Returns
    -------
    dict of str to numpy.ndarray
        For ``torch_layer.load_state_dict({name: torch.from_numpy(tensor) ...})``; or save it with
        `nblstm.weights.save`, and ``safetensors.torch.load_file`` reads it.

    Raises
    ------
    ValueError
        Peepholes, which PyTorch's LSTM does not have, a GRU with ``reset_after=False``, or another cell.

    Examples
    --------
    >>> from nblstm import LSTM
    >>> {name: tensor.shape for name, tensor in to_pytorch(LSTM(3, 5, formulation="concat")).items()}
    {'weight_ih_l0': (20, 3), 'weight_hh_l0': (20, 5), 'bias_ih_l0': (20,), 'bias_hh_l0': (20,)}
    """
    tracks_of(layer)  # for its check
    if layer.cell.peepholes:
        raise ValueError("layer must be one without peepholes, which PyTorch's LSTM does not have")
    if layer.cell is GRU_ORIGINAL:
        raise ValueError("layer must be a GRU with reset_after=True, PyTorch's only form, got one with False")
    return layer.to_formulation("split").state_dict()


def from_pytorch(
    state_dict: Mapping[str, Any] | Module, *, prefix: str = "", batch_first: bool | None = None,
    nonlinearity: str | None = None,
) -> LSTM | GRU | RNN:  # fmt: skip
    """The layer whose weights a state dict of PyTorch's, or a module, holds.

    Sizes, layers, directions and biases follow from names and shapes. A state dict says nothing of `batch_first`, of an
    RNN's `nonlinearity` and of dropout; a module does, and the layer has what the module has.

    Parameters
    ----------
    state_dict : mapping of str to tensor, or torch.nn.Module
        A state dict in memory, or read from a safetensors file by `nblstm.weights.load`; or the module itself.
    prefix : str
        What stands before the layer's names, ``"encoder.lstm."`` for instance; other names are passed over.
    batch_first : bool, optional
        Whether the layer takes (B, T, I). None is what the module has, and False for a state dict.
    nonlinearity : {"tanh", "relu"}, optional
        Of an RNN. None is what the module has, and "tanh" for a state dict.

    Raises
    ------
    ValueError
        No weights of an LSTM, GRU or RNN under this prefix (the message lists the others), some missing, shapes that
        disagree, projections, or peepholes, which are none of PyTorch's.
    TypeError
        Weights that are neither float32 nor float64.

    Examples
    --------
    >>> from nblstm import LSTM
    >>> lstm = LSTM(3, 5, num_layers=2, bidirectional=True, seed=0)
    >>> state_dict = {f"encoder.{name}": tensor for name, tensor in lstm.state_dict().items()}
    >>> found = from_pytorch(state_dict, prefix="encoder.")
    >>> bool((found.flat_params == lstm.flat_params).all())
    True
    """
    prefix = as_text("prefix", prefix)
    state_dict, said = _opened(state_dict, prefix)
    said["batch_first"] = as_flag("batch_first", said["batch_first"] if batch_first is None else batch_first)
    activation = said["nonlinearity"] if nonlinearity is None else nonlinearity
    said["nonlinearity"] = as_choice("nonlinearity", activation, NONLINEARITIES)
    names = [name.removeprefix(prefix) for name in map(str, state_dict) if name.startswith(prefix)]
    if any(name.startswith("weight_hr_l") for name in names):
        raise ValueError("state_dict must be of a layer without projections (weight_hr), which nblstm does not have")
    if any(name.startswith("weight_peephole_l") for name in names):
        raise ValueError("state_dict must be PyTorch's, which has no peepholes (weight_peephole): use load_state_dict")
    found = {match[0]: match for match in map(NAME.fullmatch, names) if match}
    if not found:
        raise ValueError(
            f"state_dict must hold names like {prefix}weight_ih_l0, {_instead(map(str, state_dict), prefix)}"
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

    if layers == 1:
        said["dropout"] = 0.0  # it acts between layers
    return layer_of("state_dict", [track(suffix) for suffix in suffixes], bidirectional=bidirectional, **said)


def _opened(source: Mapping[str, Any] | Module, prefix: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The state dict, and what it does not say: by the module whose names begin with `prefix`, or the defaults."""
    said = {"batch_first": False, "nonlinearity": "tanh", "dropout": 0.0}
    if isinstance(source, Mapping):
        return source, said
    torch = sys.modules.get("torch")  # who hands in a module has imported it
    if torch is None or not isinstance(source, torch.nn.Module):
        raise TypeError(f"state_dict must be a mapping or a module of PyTorch's, got {type(source).__name__}")
    owner = dict(source.named_modules()).get(prefix.removesuffix("."))
    if isinstance(owner, torch.nn.RNNBase):
        said |= {name: getattr(owner, name) for name in said if hasattr(owner, name)}
    return source.state_dict(), said


def _instead(names: Iterable[str], prefix: str) -> str:
    """What a state dict has where the names looked for are not: the layer under other prefixes, or other names."""
    names = sorted(names)
    prefixes = [name.removesuffix("weight_ih_l0") for name in names if name.endswith("weight_ih_l0")]
    if not prefixes:
        return f"got {', '.join(names[:9])}{', ...' * (len(names) > 9)}"
    if f"{prefix}." in prefixes:
        return f"the dot is part of the prefix: prefix={prefix + '.'!r}"
    if len(prefixes) > 1:
        return f"found under several prefixes, {', '.join(map(repr, prefixes))}: choose one, prefix={prefixes[0]!r} say"
    return f"found under the prefix {prefixes[0]!r}: prefix={prefixes[0]!r}"
