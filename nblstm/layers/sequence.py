"""What `LSTM` and `RNN` share: running over sequences, arguments checked and arrays brought to the engine's form."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Generic

import numpy as np

from nblstm.arguments import as_flag, check_array
from nblstm.layers import passes
from nblstm.layers.checks import (
    Given,
    Returned,
    State,
    check_backward,
    check_lengths,
    check_tape,
    join_state,
    read_only,
    state_members,
)
from nblstm.layers.engine import Engine
from nblstm.layers.memory import in_whole_numbers
from nblstm.layers.parameters import Block
from nblstm.layers.tape import Tape


class SequenceLayer(Engine, Generic[Given, Returned]):
    """A recurrent layer over whole sequences: call it, or go forward and backward."""

    def __init__(self, *arguments: Any, batch_first: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.batch_first = as_flag("batch_first", batch_first)
        if self.dropout and self.num_layers == 1:
            message = f"dropout={self.dropout} has no effect with one layer: it acts between layers"
            warnings.warn(message, stacklevel=3)  # where the caller makes the layer

    def __call__(
        self, x: np.ndarray, state: Given | None = None, lengths: Sequence[int] | np.ndarray | None = None
    ) -> tuple[np.ndarray, Returned]:
        """Run over x and keep nothing; never drops.

        Parameters
        ----------
        x : numpy.ndarray, shape (T, B, I), (B, T, I) if `batch_first`, or (T, I) without a batch
            Of the layer's dtype, any strides. T is at least 1, as in PyTorch; B may be 0, and then all results are
            empty.
        state : pair of arrays (LSTM) or array (RNN), each (L * D, B, H), or (L * D, H) without a batch, optional
            Initial state; None, also for one of a pair, is zeros.
        lengths : integers, shape (B,), optional
            Steps of each sequence, 0..T, in any order. Past its end a sequence's x is not read and its y is zero. The
            last state of a sequence without steps is its initial state.

        Returns
        -------
        y : numpy.ndarray, shape (T, B, D * H), in the layout of x
            Hidden states of the last layer at every step, forward direction first: a fresh array in C order.
        state : as the argument
            h_n (and c_n) of every layer and direction at each sequence's own last step, fresh arrays in C order.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind, dtype or shape.
        """
        x, states, steps, unbatched = self._as_taken(x, state, lengths)
        form = self._as_given(x, unbatched).shape[:-1]
        y = (np.empty if steps is None else np.zeros)((*form, self.directions * self.hidden_size), self.dtype)
        members = passes.infer(self, x, states, steps, self._by_time(y))
        return y, join_state([member[:, 0] if unbatched else member for member in members])

    def forward(
        self,
        x: np.ndarray,
        state: Given | None = None,
        lengths: Sequence[int] | np.ndarray | None = None,
        tape: Tape | None = None,
    ) -> tuple[np.ndarray, Returned, Tape]:
        """Run over x in training: with dropout, and with all that `backward` needs kept on the tape.

        Takes what calling the layer takes, and a tape of an earlier forward to reuse. Returns y, the last state (both
        read-only views into the tape, valid until its next forward) and the tape. x is kept by reference and must not
        change before backward.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind, dtype or shape; a tape of another layer.
        """
        if tape is None:
            tape = Tape(self)
        check_tape(self, tape)
        x, states, steps, tape.unbatched = self._as_taken(x, state, lengths)
        y, members = passes.forward(self, x, states, steps, tape), tape.last
        return (
            read_only(self._as_given(y, tape.unbatched)),
            join_state([read_only(member[:, 0] if tape.unbatched else member) for member in members]),
            tape,
        )

    def backward(
        self,
        dy: np.ndarray | None,
        tape: Tape,
        dstate: Given | None = None,
        need_dx: bool = True,
        grads: Block | None = None,
    ) -> tuple[np.ndarray | None, Returned]:
        """Backpropagation through time: from the gradients of y and of the last state to those of all else.

        Parameters
        ----------
        dy : numpy.ndarray in the form of y, or None
            Gradient of the loss with respect to y; None is zeros. Past a sequence's end it is not read.
        tape : Tape
            Of the `forward` to go back through; each forward allows one backward.
        dstate : in the form of the state, optional
            Gradient with respect to the last state; None, also for one of a pair, is zeros.
        need_dx : bool
            False leaves out the gradient of x.
        grads : Block, optional
            What the parameters' gradients are added to: `self.grads`, or a block of `new_grads`.

        Returns
        -------
        dx : numpy.ndarray in the form of x, or None
        dstate : in the form of the state
            Gradients of x and of the initial state; read-only views into the tape.

        Raises
        ------
        RuntimeError
            A second backward on one forward, or parameters written since.
        TypeError, ValueError
            An argument of the wrong kind, dtype or shape; a tape of another layer.
        """
        grads, need_dx = check_backward(self, tape, grads), as_flag("need_dx", need_dx)
        shape = (tape.T, tape.B, self.directions * self.hidden_size)
        if dy is not None:
            expected = shape[::2] if tape.unbatched else (shape[1], shape[0], shape[2]) if self.batch_first else shape
            dy = self._by_time(check_array("dy", dy, self.dtype, expected))
            dy = in_whole_numbers(dy) if dy.strides[2] == dy.itemsize else np.ascontiguousarray(dy)
        dx = passes.backward(self, dy, tape, self._states("dstate", dstate, tape.B, tape.unbatched), need_dx, grads)
        first = tape.gradients.initial
        return (
            None if dx is None else read_only(self._as_given(dx, tape.unbatched)),
            join_state([read_only(member[:, 0] if tape.unbatched else member) for member in first]),
        )

    # --------------------------------------------------------------------------------------------------------- checks

    def _as_taken(
        self, x: np.ndarray, state: State, lengths: Sequence[int] | np.ndarray | None
    ) -> tuple[np.ndarray, list[np.ndarray | None], np.ndarray | None, bool]:
        """The arguments of a forward pass, checked: x (T, B, I), states, lengths, and whether x has no batch."""
        x = check_array("x", x, self.dtype)
        if x.ndim not in (2, 3):
            raise ValueError(f"x must have 2 dimensions (T, I) or 3 with a batch, got {x.ndim}")
        if x.shape[-1] != self.input_size:
            way = "; of one feature take x[..., None]" if self.input_size == 1 and x.ndim == 2 else ""
            raise ValueError(f"x.shape[-1] must equal input_size: expected {self.input_size}, got {x.shape[-1]}{way}")
        if x.shape[self.batch_first and x.ndim == 3] < 1:
            raise ValueError(f"x must have at least one time step, got shape {x.shape}")
        unbatched = x.ndim == 2
        x = in_whole_numbers(self._by_time(x))
        T, B = x.shape[:2]
        if lengths is not None and unbatched:
            raise ValueError("lengths must be None for x without a batch, whose length is its number of steps")
        steps = None if lengths is None else check_lengths(lengths, T, B)
        return x, self._states("state", state, B, unbatched), steps, unbatched

    def _by_time(self, array: np.ndarray) -> np.ndarray:
        """A view (T, B, ...) of an array as the caller gives it, whose form he may change before backward."""
        if array.ndim == 2:
            return array[:, None]
        return array.transpose(1, 0, 2) if self.batch_first else array.view()

    def _as_given(self, array: np.ndarray, unbatched: bool) -> np.ndarray:
        """The reverse of `_by_time`."""
        if unbatched:
            return array[:, 0]
        return array.transpose(1, 0, 2) if self.batch_first else array

    def _states(self, name: str, state: State, B: int, unbatched: bool) -> list[np.ndarray | None]:
        """The members of a state, each None or (L * D, B, H)."""
        count, H = self.num_layers * self.directions, self.hidden_size
        shape = (count, H) if unbatched else (count, B, H)
        members = state_members(name, state, self.cell.states, self.dtype, shape)
        return [member[:, None] if unbatched and member is not None else member for member in members]
