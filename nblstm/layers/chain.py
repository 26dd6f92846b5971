"""What may follow what in a `Sequential`: widths, layouts, and where sequences end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nblstm.layers.attention import Attention
from nblstm.layers.composed import Composed
from nblstm.layers.embedding import Embedding
from nblstm.layers.features import FeatureLayer
from nblstm.layers.layer import Layer
from nblstm.layers.linear import Linear
from nblstm.layers.pooling import Pooling
from nblstm.layers.sequence import SequenceLayer
from nblstm.layers.single_step import CellLayer

READY = (SequenceLayer, Linear, Embedding, FeatureLayer, Pooling)
"""Those of this library, of which is known what they read."""

PASSED_ON = -1
"""In place of a width: the layer reads any, and returns the same."""


def reads_steps(layer: Layer | Composed) -> bool:
    """Whether the layer must know which axis is time."""
    return isinstance(layer, SequenceLayer) or layer.reads_lengths


def reads_width(layer: Any) -> int | None:
    """The width of what a layer reads at each step, None where that is not known, or `PASSED_ON`."""
    if isinstance(layer, SequenceLayer):
        return layer.input_size
    width: int | None = getattr(layer, "in_features", None)
    return PASSED_ON if width is None and isinstance(layer, (FeatureLayer, Pooling)) else width


def _returns(layer: Any, width: int | None) -> int | None:
    """The width of what it returns, where what comes in has `width`; None where that is not known."""
    if isinstance(layer, SequenceLayer):
        return layer.directions * layer.hidden_size
    if isinstance(layer, Embedding):
        return layer.embedding_dim
    if isinstance(layer, (FeatureLayer, Pooling)):
        return width if layer.in_features is None else layer.in_features
    found: int | None = getattr(layer, "out_features", None)
    return found


def check_chain(parts: Mapping[str, Any]) -> None:
    """Each layer can read what the one before it returns."""
    if not parts:
        raise ValueError("layers must hold at least one layer, got none")
    width, before, pooled = None, "", None
    for k, (name, layer) in enumerate(parts.items()):
        _check_kind(k, name, layer)
        if isinstance(layer, Embedding) and k > 0:
            raise ValueError(f"layers must have an Embedding, which reads indices, at position 0 only, got one at {k}")
        reads = reads_width(layer)
        if width is not None and reads not in (None, PASSED_ON, width):
            raise ValueError(
                f"layers must fit together: layer {name} reads {reads} numbers a step, and layer {before} returns "
                f"{width}"
            )
        if pooled is not None and reads_steps(layer):
            raise ValueError(
                f"layers must not read sequences once layer {pooled} has pooled them, got {type(layer).__name__} in "
                f"layer {name}"
            )
        width, before, pooled = _returns(layer, width), name, name if layer.pools else pooled
    timed = [(name, layer) for name, layer in parts.items() if reads_steps(layer) and hasattr(layer, "batch_first")]
    for name, layer in timed[1:]:
        first, other = timed[0]
        if layer.batch_first != other.batch_first:
            raise ValueError(
                f"layers must have one layout, got batch_first={other.batch_first} in layer {first} and "
                f"batch_first={layer.batch_first} in layer {name}"
            )


def _check_kind(k: int, name: str, layer: Any) -> None:
    """A layer that reads one array and returns one."""
    if isinstance(layer, (Layer, Composed)) and not isinstance(layer, (CellLayer, Attention)):
        return
    way = ": unpack it, Sequential(*layers)" if isinstance(layer, (list, tuple)) else ""
    if isinstance(layer, Attention):
        way = ", which reads two: write a Composed"
    where = f"position {k}" if name == str(k) else repr(name)
    raise TypeError(
        "layers must be LSTM, GRU, RNN, Recurrent, Linear, Embedding or others that read one array, "
        f"got {type(layer).__name__} at {where}{way}"
    )
