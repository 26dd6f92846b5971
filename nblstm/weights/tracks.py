"""What every exchange goes through: the weights of one layer in one direction, gate by gate in the cell's order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nblstm.arguments import DTYPES
from nblstm.cells import gru, lstm, rnn
from nblstm.layers.composed import Composed
from nblstm.layers.parameters import as_found
from nblstm.layers.recurrent import GRU, LSTM, RNN, Recurrent
from nblstm.layers.sequence import SequenceLayer

SHARED = (lstm.LSTM, lstm.PEEPHOLE, gru.GRU, gru.GRU_ORIGINAL, rnn.RNN_TANH, rnn.RNN_RELU)  # which others have too
KINDS: dict[int, type[LSTM | GRU | RNN]] = {4: LSTM, 3: GRU, 1: RNN}  # by the number of their gates


class Track(NamedTuple):
    """One layer in one direction; K gates, 4 of an LSTM (i, f, g, o), 3 of a GRU (r, z, n) or 1 of an RNN, H units.

    `ih` (K, H, I) for I inputs, `hh` (K, H, H), `bias_ih` and `bias_hh` (K, H) or None for none, `peephole` (3, H) for
    i, f, o or None.
    """

    ih: np.ndarray
    hh: np.ndarray
    bias_ih: np.ndarray | None = None
    bias_hh: np.ndarray | None = None
    peephole: np.ndarray | None = None

    def bias(self) -> np.ndarray:
        """Both biases in one, (K, H), for libraries that have one; zeros where there are none. A GRU needs both."""
        return sum((bias for bias in (self.bias_ih, self.bias_hh) if bias is not None), np.zeros_like(self.ih[:, :, 0]))


def tracks_of(layer: LSTM | GRU | RNN | Recurrent) -> list[Track]:
    """The tracks of a layer, in PyTorch's order: by layer, the forward direction first."""
    if not isinstance(layer, SequenceLayer):
        raise TypeError(
            f"layer must be an LSTM, GRU or RNN, got {type(layer).__name__}"
            + ": convert its layers one by one, those in .layers" * isinstance(layer, Composed)
        )
    if layer.cell not in SHARED:
        raise ValueError(
            f"layer must be of a cell that other libraries have, {', '.join(cell.name for cell in SHARED)}, "
            f"got {layer.cell!r}"
        )
    if layer.heads > 1:
        raise ValueError(f"layer must be one without heads, which other libraries do not have, got {layer!r}")
    if layer.layer_norm:
        raise ValueError(f"layer must be one without layer norm, which other libraries do not have, got {layer!r}")
    split = layer.to_formulation("split")
    K, H = len(layer.cell.sums), layer.hidden_size

    def of(name: str, suffix: str, *shape: int) -> np.ndarray | None:
        return split.params[name + suffix].reshape(shape).copy() if name + suffix in split.params else None

    return [
        Track(
            split.params["weight_ih" + suffix].reshape(K, H, -1).copy(),
            split.params["weight_hh" + suffix].reshape(K, H, H).copy(),
            of("bias_ih", suffix, K, H),
            of("bias_hh", suffix, K, H),
            of("weight_peephole", suffix, 3, H),
        )
        for suffix, _ in layer.tracks
    ]


def layer_of(
    name: str, tracks: Sequence[Track], *, bidirectional: bool = False, batch_first: bool = False,
    dropout: float = 0.0, nonlinearity: str = "tanh", reset_after: bool = True, one_by_one: str = "",
) -> LSTM | GRU | RNN:  # fmt: skip
    """A layer with these weights, which must agree about gates, units, biases, peepholes and dtype.

    `name` is what the caller has them from, and `one_by_one` the expression that makes a layer of each of them.
    """
    first, directions = tracks[0], 1 + bidirectional
    K, H, inputs = first.ih.shape
    check_gates(name, K)
    if len(tracks) % directions:
        raise ValueError(
            f"{name} must hold both directions of every layer, got weights of {len(tracks)} directions in all"
        )
    own: dict[int, dict[str, Any]] = {
        4: {"peephole": first.peephole is not None}, 3: {"reset_after": reset_after}, 1: {"nonlinearity": nonlinearity},
    }  # fmt: skip
    way = one_by_one and f": convert them one by one, nblstm.Sequential(*({one_by_one}))"
    for n, track in enumerate(tracks):
        k, (gates, units, _) = n // directions, track.ih.shape
        if gates != K:
            raise ValueError(
                f"{name} must have as many gates in every layer, got {K} in layer 0 and {gates} in layer {k}{way}"
            )
        if units != H:
            raise ValueError(
                f"{name} must have as many units in every layer, got {H} in layer 0 and {units} in layer {k}{way}"
            )
        if track.hh.shape != (K, H, H):
            rows = track.hh.shape[0] * track.hh.shape[1]
            raise ValueError(
                f"{name} must have weights ({K * H}, {H}) for the state of {H} units, got ({rows}, {track.hh.shape[2]})"
            )
        for bias in (track.bias_ih, track.bias_hh):
            if bias is not None and bias.size != K * H:
                raise ValueError(f"{name} must have biases of {K * H} numbers, got {bias.size} in layer {k}")
    layer = KINDS[K](
        inputs, H, len(tracks) // directions, bias=first.bias_ih is not None, batch_first=batch_first,
        dropout=dropout, bidirectional=bidirectional, dtype=str(first.ih.dtype), seed=0, **own[K],
    )  # fmt: skip
    state = {}
    for track, (suffix, _) in zip(tracks, layer.tracks, strict=True):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_peephole")
        for part, tensor in zip(names, track, strict=True):
            if tensor is not None:
                state[part + suffix] = tensor if part == "weight_peephole" else tensor.reshape(K * H, *tensor.shape[2:])
    try:
        layer.load_state_dict(state)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} must hold weights that fit together: {error}") from None
    return layer


def check_gates(name: str, K: int) -> None:
    """`name` holds weights of a cell that nblstm has, by the number of its gates."""
    if K not in KINDS:
        raise ValueError(f"{name} must hold the weights of an LSTM, 4 gates, of a GRU, 3, or of an RNN, 1; got {K}")


def as_array(name: str, tensor: Any, dimensions: int) -> np.ndarray:
    """A tensor of any library that NumPy can read, float32 or float64, with so many dimensions."""
    if isinstance(tensor, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked array")
    array = as_found(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor)
    if array.dtype.newbyteorder("=") not in DTYPES:
        # PyTorch's bfloat16 is none that NumPy can read, which makes an object of it.
        dtype = str(tensor.dtype).removeprefix("torch.") if hasattr(tensor, "detach") else array.dtype
        raise TypeError(f"{name} must be float32 or float64, got {dtype}; convert it first")
    if array.ndim != dimensions or not array.size:
        raise ValueError(f"{name} must have {dimensions} dimensions, none of them 0, got shape {array.shape}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def gates_apart(name: str, array: np.ndarray, units: int, axis: int) -> np.ndarray:
    """`array` with its gates, blocks of `units` along `axis`, on an axis of their own before it."""
    gates, rest = divmod(array.shape[axis], units)
    if rest or not gates:
        raise ValueError(f"{name} must have a whole number of blocks of {units} units, got shape {array.shape}")
    shape = array.shape
    return array.reshape(*shape[:axis], gates, units, *shape[axis + 1 :])
