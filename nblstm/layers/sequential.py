"""`Sequential`: layers one after the other, each of a size of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import as_flag
from nblstm.layers.chain import PASSED_ON, READY, check_chain, reads_steps, reads_width
from nblstm.layers.checks import AnyTape, State, check_lengths, check_tape
from nblstm.layers.composed import Composed
from nblstm.layers.embedding import Embedding
from nblstm.layers.features import FeatureLayer, in_dtype_of
from nblstm.layers.layer import Layer
from nblstm.layers.linear import Linear
from nblstm.layers.pooling import Pooling
from nblstm.layers.recording import check_awaits
from nblstm.layers.sequence import SequenceLayer


class SequentialTape(AnyTape):
    """What `Sequential.forward` leaves for `backward`: a tape of every layer."""

    def __init__(self, layer: Sequential) -> None:
        self.layer = layer
        self.parts: list[Any] = [None] * len(layer.parts)
        self.version: float = -1
        self.awaits_backward = False


class Sequential(Composed):
    r"""Layers one after the other: what one returns is what the next one reads.

    .. math:: x_1 = f_0(x_0), \quad x_2 = f_1(x_1), \quad \dots, \quad y = f_{n-1}(x_{n-1})

    Parameters
    ----------
    *layers : LSTM, GRU, RNN, Recurrent, Linear, Embedding, Dropout, MeanOverTime ..., or a layer of one's own
        Each once, of one dtype, and of one `batch_first` where they have any. An Embedding can only be the first, and
        nothing that reads sequences can follow what pools over time.
    **named : likewise
        The same under names of one's own instead: ``Sequential(embed=Embedding(...), lstm=LSTM(...))``.

    Attributes
    ----------
    layers : list of Layer
        The layers in their order; optimisers, `clip_grad_norm` and `gradcheck` take the whole.
    parts : dict of str to Layer
        The same by name; the names are ``"0"``, ``"1"`` and so on where none were given.
    params, grads : dict of str to numpy.ndarray
        Under the names that ``torch.nn.Sequential`` has, ``"0.weight_ih_l0"`` for instance, or ``"lstm.weight_ih_l0"``.

    Raises
    ------
    ValueError
        No layer, the same one twice, a width that the next layer does not take, or dtypes or layouts that differ.
    TypeError
        Something else than such a layer, or layers with and without names.

    Notes
    -----
    A file takes its weights alone, ``weights.save(path, net.state_dict())``, and gives them back to one made of such
    layers, ``net.load_state_dict(weights.load(path))``. A net that is no chain is a `Composed` of one's own.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import LSTM, Dropout, Embedding, Linear, MeanOverTime, Sequential
    >>> net = Sequential(
    ...     embed=Embedding(100, 8, seed=0), lstm=LSTM(8, 5, bidirectional=True, seed=1), mean=MeanOverTime(),
    ...     drop=Dropout(0.5, seed=2), linear=Linear(10, 3, seed=3),
    ... )
    >>> words = np.zeros((7, 4), int)  # 7 steps of 4 sequences
    >>> y, states, tape = net.forward(words, lengths=[7, 2, 0, 5])
    >>> dx, dstates = net.backward(np.ones_like(y), tape)
    >>> y.shape, list(net.grads)[:2], states[1][0].shape, states[0]
    ((4, 3), ['embed.weight', 'lstm.weight_ih_l0'], (2, 4, 5), None)
    """

    def __init__(self, *layers: Layer | Composed, **named: Layer | Composed) -> None:
        if layers and named:
            raise TypeError("layers must all have names or none, got some with and some without")
        parts = named or {str(k): layer for k, layer in enumerate(layers)}
        for name, part in parts.items():
            if isinstance(part, Sequential):
                raise TypeError(
                    f"layers must hold no Sequential, got one at {name}: unpack it, Sequential(*net.layers)"
                )
        check_chain(parts)
        super().__init__(parts)

    def __repr__(self) -> str:
        plain = all(name == str(k) for k, name in enumerate(self.parts))
        return f"Sequential({', '.join(map(repr, self.parts.values()))})" if plain else super().__repr__()

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
        for k, layer in enumerate(self.parts.values()):
            if isinstance(layer, SequenceLayer):
                x, states[k] = layer(x, states[k], lengths)
            else:
                x = layer(x, lengths=lengths) if layer.reads_lengths else layer(x)
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
        tape.awaits_backward = False  # until all have gone forward: no backward may go through old and new ones
        for k, layer in enumerate(self.parts.values()):
            if isinstance(layer, SequenceLayer):
                x, states[k], tape.parts[k] = layer.forward(x, states[k], lengths, tape.parts[k])
            else:
                options = {"lengths": lengths} if layer.reads_lengths else {}
                x, tape.parts[k] = layer.forward(x, tape=tape.parts[k], **options)
        tape.version, tape.awaits_backward = self.version, True
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
        check_awaits(self, tape)
        need_dx = as_flag("need_dx", need_dx)
        layers = list(self.parts.values())
        for layer, part in zip(layers, tape.parts, strict=True):
            check_awaits(layer, part)
        form = next(((part.B, part.unbatched) for part in tape.parts if hasattr(part, "unbatched")), None)
        given = self._members("dstates", dstates, form)
        gradient: Any = dy
        for k in reversed(range(len(layers))):
            layer, part, wanted = layers[k], tape.parts[k], need_dx or k > 0
            if isinstance(layer, SequenceLayer):
                gradient, given[k] = layer.backward(gradient, part, given[k], need_dx=wanted)
            elif isinstance(layer, (Linear, FeatureLayer, Pooling)):
                gradient = layer.backward(gradient, part, need_dx=wanted)
            else:
                gradient = layer.backward(gradient, part)
            tape.awaits_backward = False  # once the last layer has taken dy
        return gradient if need_dx else None, given

    # --------------------------------------------------------------------------------------------------------- checks

    def _checked(
        self, x: np.ndarray, states: Sequence[State] | None, lengths: Sequence[int] | np.ndarray | None
    ) -> list[State]:
        """The states as a list, after a check of all arguments: before the first layer writes to its tape."""
        layers = list(self.parts.values())
        if not isinstance(layers[0], READY):  # which alone knows what it reads
            return self._members("states", states, None)
        if isinstance(layers[0], Embedding):
            shape = layers[0].check("x", x).shape
        else:
            width = next((width for width in map(reads_width, layers) if width is not PASSED_ON), None)
            shape = in_dtype_of(self, "x", x).shape
            if not shape or width not in (None, shape[-1]):
                raise ValueError(f"x must have shape (..., {width or 'F'}), got {shape}")
            shape = shape[:-1]
        timed = next((layer for layer in layers if reads_steps(layer)), None)
        if timed is None:
            if lengths is not None:
                raise ValueError("lengths must be None for layers none of which reads sequences")
            return self._members("states", states, None)
        order = ("B", "T") if getattr(timed, "batch_first", False) else ("T", "B")
        if len(shape) not in (1, 2):
            more = "" if isinstance(layers[0], Embedding) else ", I"
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
        """One state for each layer, as it was given; `form` is the batch, and whether x has none, if known."""
        if states is None:
            return [None] * len(self.parts)
        if not isinstance(states, (list, tuple)) or len(states) != len(self.parts):
            got = f"{len(states)} members" if isinstance(states, (list, tuple)) else type(states).__name__
            raise TypeError(
                f"{name} must be a list with one member for each of the {len(self.parts)} layers, got {got}"
            )
        for k, (layer, state) in enumerate(zip(self.parts.values(), states, strict=True)):
            if isinstance(layer, SequenceLayer):
                if form is not None:
                    layer._states(f"{name}[{k}]", state, *form)
            elif state is not None:
                raise TypeError(f"{name}[{k}] must be None, for a {type(layer).__name__} has no state")
        return list(states)
