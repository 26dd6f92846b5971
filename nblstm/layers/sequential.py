"""`Sequential`: layers one after the other, each of a size of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_flag, check_array
from nblstm.composed import Composed
from nblstm.layers.checks import AnyTape, State, check_backward, check_lengths, check_tape
from nblstm.layers.embedding import Embedding
from nblstm.layers.linear import Linear
from nblstm.layers.sequence import SequenceLayer

KINDS = (SequenceLayer, Linear, Embedding)


class SequentialTape(AnyTape):
    """What `Sequential.forward` leaves for `backward`: a tape of every layer."""

    def __init__(self, layer: Sequential) -> None:
        self.layer = layer
        self.parts: list[Any] = [None] * len(layer.layers)


class Sequential(Composed):
    r"""Layers one after the other: what one returns for every step is what the next one reads.

    .. math:: x_1 = f_0(x_0), \quad x_2 = f_1(x_1), \quad \dots, \quad y = f_{n-1}(x_{n-1})

    Parameters
    ----------
    *layers : LSTM, GRU, RNN, Recurrent, Linear or Embedding
        Each once, of one dtype, and of one `batch_first` where they have any. An Embedding can only be the first.

    Attributes
    ----------
    layers : list of Layer
        What an optimiser takes; optimisers and `clip_grad_norm` take the whole as well.
    params, grads : dict of str to numpy.ndarray
        Under the names that ``torch.nn.Sequential`` has, ``"0.weight_ih_l0"`` for instance.

    Raises
    ------
    ValueError
        No layer, the same one twice, a width that the next layer does not take, or dtypes or layouts that differ.
    TypeError
        Something else than such a layer.

    Notes
    -----
    A file takes its weights alone, ``weights.save(path, net.state_dict())``, and gives them back to one made of such
    layers, ``net.load_state_dict(weights.load(path))``.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import LSTM, Linear, Sequential
    >>> net = Sequential(LSTM(3, 8, bidirectional=True, seed=0), LSTM(16, 5, seed=1), Linear(5, 2, seed=2))
    >>> x = np.zeros((7, 4, 3), "float32")
    >>> y, states, tape = net.forward(x)
    >>> dx, dstates = net.backward(np.ones_like(y), tape)
    >>> y.shape, dx.shape, states[1][0].shape, states[2]
    ((7, 4, 2), (7, 4, 3), (1, 4, 5), None)
    """

    layers: list[Any]

    def __init__(self, *layers: SequenceLayer | Linear | Embedding) -> None:
        _check_chain(layers)
        super().__init__({str(k): layer for k, layer in enumerate(layers)})

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"

    def __call__(
        self,
        x: np.ndarray,
        states: Sequence[State] | None = None,
        lengths: Sequence[int] | np.ndarray | None = None,
    ) -> tuple[np.ndarray, list[State]]:
        """Run over x and keep nothing; never drops.

        Parameters
        ----------
        x : numpy.ndarray
            What the first layer takes: (T, B, I), (B, T, I) with `batch_first`, or (T, I) without a batch, of the
            layers' dtype; for an Embedding the indices, without the last axis. With Linear layers alone (..., I).
        states : sequence, optional
            For each layer its initial state, None for one without; None is zeros for all.
        lengths : integers, shape (B,), optional
            Steps of each sequence, for the recurrent layers. A Linear reads every step, those past the end as well.

        Returns
        -------
        y : numpy.ndarray
            What the last layer returns for every step.
        states : list
            For each layer its last state, None for one without: what `states` takes.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind, dtype or shape.
        """
        states = self._checked(x, states, lengths)
        for k, layer in enumerate(self.layers):
            if isinstance(layer, SequenceLayer):
                x, states[k] = layer(x, states[k], lengths)
            else:
                x = layer(x)
        return x, states

    def forward(
        self,
        x: np.ndarray,
        states: Sequence[State] | None = None,
        lengths: Sequence[int] | np.ndarray | None = None,
        tape: SequentialTape | None = None,
    ) -> tuple[np.ndarray, list[State], SequentialTape]:
        """Run over x in training: with dropout, and with all that `backward` needs kept on the tape.

        Takes what the call takes, and a tape of an earlier forward to reuse. Returns y, the last states (read-only
        views into the tape, valid until its next forward) and the tape. x is kept by reference and must not change
        before backward.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind, dtype or shape; a tape of other layers. The tape is as it was then.
        """
        tape = SequentialTape(self) if tape is None else tape
        check_tape(self, tape)
        states = self._checked(x, states, lengths)
        for part in filter(None, tape.parts):
            part.awaits_backward = False  # until all have gone forward: no backward may go through old and new ones
        for k, layer in enumerate(self.layers):
            if isinstance(layer, SequenceLayer):
                x, states[k], tape.parts[k] = layer.forward(x, states[k], lengths, tape.parts[k])
            else:
                x, tape.parts[k] = layer.forward(x, tape=tape.parts[k])
        return x, states, tape

    def backward(
        self, dy: np.ndarray, tape: SequentialTape, dstates: Sequence[State] | None = None, need_dx: bool = True
    ) -> tuple[np.ndarray | None, list[State]]:
        """Add the gradients of all parameters to each layer's `grads`.

        Parameters
        ----------
        dy : numpy.ndarray in the form of y
            Gradient of the loss with respect to y.
        tape : SequentialTape
            Of the `forward` to go back through; each forward allows one backward.
        dstates : sequence, optional
            For each layer the gradient with respect to its last state, None for zeros; None is zeros for all.
        need_dx : bool
            False leaves out the gradient of x.

        Returns
        -------
        dx : numpy.ndarray in the form of x, or None
            None for an Embedding's indices too, which have no gradient.
        dstates : list
            For each layer the gradient of its initial state; read-only views into the tape, as dx is.

        Raises
        ------
        RuntimeError
            A second backward on one forward, or parameters written since.
        TypeError, ValueError
            An argument of the wrong kind, dtype or shape; a tape of other layers. No gradient has changed then.
        """
        check_tape(self, tape)
        need_dx = as_flag("need_dx", need_dx)
        for layer, part in zip(self.layers, tape.parts, strict=True):
            check_backward(layer, part, None)
        form = next(((part.B, part.unbatched) for part in tape.parts if hasattr(part, "unbatched")), None)
        given = self._members("dstates", dstates, form)
        gradient: Any = dy
        for k in reversed(range(len(self.layers))):
            layer, part, wanted = self.layers[k], tape.parts[k], need_dx or k > 0
            if isinstance(layer, SequenceLayer):
                gradient, given[k] = layer.backward(gradient, part, given[k], need_dx=wanted)
            elif isinstance(layer, Linear):
                gradient = layer.backward(gradient, part, need_dx=wanted)
            else:
                gradient = layer.backward(gradient, part)
        return gradient, given

    # --------------------------------------------------------------------------------------------------------- checks

    def _checked(
        self, x: np.ndarray, states: Sequence[State] | None, lengths: Sequence[int] | np.ndarray | None
    ) -> list[State]:
        """The states as a list, after a check of all arguments: before the first layer writes to its tape."""
        first = self.layers[0]
        if isinstance(first, Embedding):
            shape = first.check("x", x).shape
        else:
            width = _widths(first)[0]
            shape = check_array("x", x, self.dtype).shape
            if not shape or shape[-1] != width:
                raise ValueError(f"x must have shape (..., {width}), got {shape}")
            shape = shape[:-1]
        recurrent = next((layer for layer in self.layers if isinstance(layer, SequenceLayer)), None)
        if recurrent is None:
            if lengths is not None:
                raise ValueError("lengths must be None for layers none of which reads sequences")
            return self._members("states", states, None)
        order = ("B", "T") if recurrent.batch_first else ("T", "B")
        if len(shape) not in (1, 2):
            more = "" if isinstance(first, Embedding) else ", I"
            raise ValueError(
                f"x must have shape ({', '.join(order)}{more}), or (T{more or ','}) without a batch, got {x.shape}"
            )
        steps, batch = (shape[0], 1) if len(shape) == 1 else (shape[order.index("T")], shape[order.index("B")])
        if steps < 1:
            raise ValueError(f"x must have at least one time step, got shape {x.shape}")
        if lengths is not None and len(shape) == 1:
            raise ValueError("lengths must be None for x without a batch, whose length is its number of steps")
        if lengths is not None:
            check_lengths(lengths, steps, batch)
        return self._members("states", states, (batch, len(shape) == 1))

    def _members(self, name: str, states: Sequence[State] | None, form: tuple[int, bool] | None) -> list[State]:
        """One state for each layer, as it was given; `form` is the batch, and whether x has none."""
        if states is None:
            return [None] * len(self.layers)
        if not isinstance(states, (list, tuple)) or len(states) != len(self.layers):
            got = f"{len(states)} members" if isinstance(states, (list, tuple)) else type(states).__name__
            raise TypeError(
                f"{name} must be a list with one member for each of the {len(self.layers)} layers, got {got}"
            )
        for k, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            if form is not None and isinstance(layer, SequenceLayer):
                layer._states(f"{name}[{k}]", state, *form)
            elif state is not None:
                raise TypeError(f"{name}[{k}] must be None, for a {type(layer).__name__} has no state")
        return list(states)


def _widths(layer: Any) -> tuple[int | None, int]:
    """Of what a layer reads at each step, None where those are indices, and of what it returns."""
    if isinstance(layer, Embedding):
        return None, layer.embedding_dim
    if isinstance(layer, Linear):
        return layer.in_features, layer.out_features
    return layer.input_size, layer.directions * layer.hidden_size


def _check_chain(layers: Sequence[Any]) -> None:
    """Each layer can read what the one before it returns."""
    if not layers:
        raise ValueError("layers must hold at least one layer, got none")
    for k, layer in enumerate(layers):
        if not isinstance(layer, KINDS):
            way = ": unpack it, Sequential(*layers)" if isinstance(layer, (list, tuple)) else ""
            raise TypeError(
                "layers must be LSTM, GRU, RNN, Recurrent, Linear or Embedding, "
                f"got {type(layer).__name__} at position {k}{way}"
            )
        if any(layer is other for other in layers[:k]):
            raise ValueError("layers must hold each layer once, got one of them twice")
        if layer.dtype != layers[0].dtype:
            raise ValueError(
                f"layers must have one dtype, got {layers[0].dtype} in layer 0 and {layer.dtype} in layer {k}"
            )
        if k == 0:
            continue
        width, reads = _widths(layers[k - 1])[1], _widths(layer)[0]
        if reads is None:
            raise ValueError(f"layers must have an Embedding, which reads indices, at position 0 only, got one at {k}")
        if reads != width:
            raise ValueError(
                f"layers must fit together: layer {k} reads {reads} numbers a step, and layer {k - 1} returns {width}"
            )
    recurrent = [(k, layer) for k, layer in enumerate(layers) if isinstance(layer, SequenceLayer)]
    for k, layer in recurrent[1:]:
        first, other = recurrent[0]
        if layer.batch_first != other.batch_first:
            raise ValueError(
                f"layers must have one layout, got batch_first={other.batch_first} in layer {first} and "
                f"batch_first={layer.batch_first} in layer {k}"
            )
