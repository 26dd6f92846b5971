"""The `.nam` files of Neural Amp Modeler, as far as they hold LSTMs: all numbers in one list, state and all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_dtype, shown
from nblstm.cells import lstm
from nblstm.layers.checks import State, state_members
from nblstm.layers.linear import Linear
from nblstm.layers.recurrent import LSTM
from nblstm.layers.sequence import SequenceLayer
from nblstm.layers.sequential import Sequential
from nblstm.weights.json_files import as_numbers, read_json, write_json
from nblstm.weights.tracks import Track, layer_of, tracks_of

KIND = "a .nam file"
VERSION = "0.5.2"  # of the format; that of LSTMs is the same in all of 0.5


def to_nam(model: Sequential, path: str | os.PathLike[str], states: Sequence[State] | None = None) -> None:
    """Write LSTMs and the Linear after them to a file that `NAM <https://www.neuralampmodeler.com>`_'s players load.

    The format has of each layer one matrix for [x, h], the concatenated formulation, one bias, and the state to begin
    with; then the Linear, called the head.

    Parameters
    ----------
    model : Sequential of one LSTM or several, and a Linear
        All of the same `hidden_size`; a guitar's amplifier has one input and one output.
    path : str or os.PathLike
    states : sequence, optional
        What the player begins with, in the form in which `model` takes states of x without a batch: for each layer None
        or (h, c), each (num_layers, hidden_size). None is zeros. NAM's own exporter gives the states after a second of
        silence: ``model(np.zeros((48000, 1), "float32"))[1]``.

    Raises
    ------
    ValueError
        What the format does not have: another cell, a second direction, peepholes, another number of units in one
        layer; states of the wrong shape; weights that are not finite.
    TypeError
        `model` is something else, states of another kind or dtype.
    OSError
        `path` cannot be written.

    Notes
    -----
    The file says no sample rate; players then take 48 kHz. A net with more than one input or output is written with
    ``in_channels`` and ``out_channels``, which players of before 2026 do not know.

    Examples
    --------
    >>> import nblstm
    >>> net = nblstm.Sequential(nblstm.LSTM(1, 16, num_layers=2, seed=0), nblstm.Linear(16, 1, seed=0))
    >>> to_nam(net, "amp.nam")
    >>> again, states = from_nam("amp.nam")
    >>> again.layers[0], states[0][0].shape
    (LSTM(1, 16, num_layers=2), (2, 16))
    >>> os.remove("amp.nam")
    """
    layers, head = _parts(model)
    I, H = layers[0].input_size, layers[0].hidden_size
    states = [None] * len(model.parts) if states is None else states
    if not isinstance(states, (list, tuple)) or len(states) != len(model.parts):
        raise TypeError(f"states must be a list with one member for each of the {len(model.parts)} layers")
    if states[-1] is not None:
        raise TypeError(f"states[{len(layers)}] must be None, for a Linear has no state")
    pieces: list[np.ndarray] = []
    for k, (layer, state) in enumerate(zip(layers, states[:-1], strict=True)):
        L = layer.num_layers
        members = state_members(f"states[{k}]", state, layer.cell.states, layer.dtype, (L, H))
        h, c = (np.zeros((L, H)) if member is None else member for member in members)
        for n, track in enumerate(tracks_of(layer)):
            joined = np.concatenate([track.ih, track.hh], axis=2)
            pieces += [joined, track.bias(), h[n], c[n]]
    pieces += [head.params["weight"], head.params.get("bias", np.zeros(head.out_features))]
    config = {"input_size": I, "hidden_size": H, "num_layers": sum(layer.num_layers for layer in layers)}
    if I != 1:
        config["in_channels"] = I
    if head.out_features != 1:
        config["out_channels"] = head.out_features
    numbers = np.concatenate([piece.ravel() for piece in pieces]).tolist()
    write_json(path, {"version": VERSION, "architecture": "LSTM", "config": config, "weights": numbers})


def from_nam(
    path: str | os.PathLike[str], *, dtype: str = "float32"
) -> tuple[Sequential, list[tuple[np.ndarray, np.ndarray] | None]]:
    """The net in a ``.nam`` file, and the states that it begins with.

    Parameters
    ----------
    path : str or os.PathLike
    dtype : {"float32", "float64"}
        Of the layers; the file has decimal numbers.

    Returns
    -------
    net : Sequential
        Of an LSTM and a Linear.
    states : list
        For x without a batch: ``y, states = net(x, states)``, and ``net.layers[0].stream(states[0])``. Of the LSTM
        (h, c), each (num_layers, hidden_size), of the Linear None.

    Raises
    ------
    ValueError
        No such file, another architecture (a WaveNet, say), or numbers that are not those of the sizes told.
    OSError
        `path` is missing, or not readable.

    Examples
    --------
    >>> from nblstm import LSTM, Linear, Sequential, weights
    >>> weights.to_nam(Sequential(LSTM(1, 8, seed=0), Linear(8, 1, seed=1)), "amp.nam")
    >>> net, states = weights.from_nam("amp.nam")
    >>> net, states[0][0].shape
    (Sequential(LSTM(1, 8), Linear(8, 1, bias=True)), (1, 8))
    >>> os.remove("amp.nam")
    """
    content, kind = read_json(path, KIND), as_dtype(dtype)
    if content.get("architecture") != "LSTM":
        raise ValueError(f"{path} must be of the architecture 'LSTM', got {shown(content.get('architecture'))}")
    config = content.get("config")
    if not isinstance(config, dict):
        raise ValueError(f"{path} must have a config, an object with sizes, got {shown(config)}")
    I, H, L = (_size(config, name) for name in ("input_size", "hidden_size", "num_layers"))
    outputs = _size(config, "out_channels") if "out_channels" in config else 1
    numbers = as_numbers("weights", content.get("weights"), kind, 1)
    expected = 4 * H * (I + H + 1) + 2 * H + (L - 1) * (4 * H * (2 * H + 1) + 2 * H) + outputs * (H + 1)
    if len(numbers) != expected:
        raise ValueError(
            f"weights must be {expected:,} numbers for {L} layers of {H} units, {I} inputs and {outputs} outputs, "
            f"got {len(numbers):,}"
        )
    place = 0

    def taken(*shape: int) -> np.ndarray:
        nonlocal place
        begin, place = place, place + int(np.prod(shape))
        return numbers[begin:place].reshape(shape)

    tracks: list[Track] = []
    first: list[np.ndarray] = []
    for k in range(L):
        width = H if k else I
        joined, bias = taken(4, H, width + H), taken(4, H)
        tracks.append(Track(joined[:, :, :width], joined[:, :, width:], bias, np.zeros_like(bias)))
        first.append(taken(2, H))
    head = Linear(H, outputs, dtype=str(kind), seed=0)
    head.load_state_dict({"weight": taken(outputs, H), "bias": taken(outputs)})
    h, c = (np.ascontiguousarray(state) for state in np.stack(first, axis=1))
    return Sequential(layer_of("weights", tracks), head), [(h, c), None]


def _parts(model: Any) -> tuple[list[LSTM], Linear]:
    """The LSTMs and the head of a net that the format has."""
    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a Sequential of LSTMs and a Linear, got {type(model).__name__}")
    *layers, head = model.parts.values()
    names = ", ".join(type(layer).__name__ for layer in model.parts.values())
    if not layers or not isinstance(head, Linear) or not all(isinstance(layer, SequenceLayer) for layer in layers):
        raise TypeError(f"model must be a Sequential of LSTMs and a Linear, got one of {names}")
    for layer in layers:
        if layer.cell is not lstm.LSTM or layer.bidirectional or layer.hidden_size != layers[0].hidden_size:
            raise ValueError(
                "model must have LSTMs in one direction, without peepholes and all of as many units, as .nam files do, "
                f"got {', '.join(map(repr, layers))}"
            )
    return layers, head


def _size(config: dict[str, Any], name: str) -> int:
    """A size that the file tells."""
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise ValueError(f"config must have {name}, a whole number of 1 or more, got {shown(value)}")
    return value
