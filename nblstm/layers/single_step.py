"""`LSTMCell`, `GRUCell` and `RNNCell`: one time step, for loops that the sequence layers cannot express."""

from __future__ import annotations

from typing import Any, ClassVar, Generic

import numpy as np

from nblstm.arguments import as_choice, as_flag, check_array
from nblstm.cells import gru, lstm
from nblstm.layers import passes
from nblstm.layers.checks import (
    Given,
    GivenPair,
    Pair,
    Returned,
    State,
    check_backward,
    check_tape,
    join_state,
    read_only,
    state_members,
)
from nblstm.layers.engine import Engine
from nblstm.layers.parameters import Block
from nblstm.layers.recurrent import NONLINEARITIES
from nblstm.layers.tape import Tape


class CellLayer(Engine, Generic[Given, Returned]):
    """One step of a recurrent layer: call it, or go forward and backward."""

    def __call__(self, x: np.ndarray, state: Given | None = None) -> Returned:
        """The state after one step, as fresh arrays; keeps nothing.

        Parameters
        ----------
        x : numpy.ndarray, shape (B, I), or (I,) without a batch
        state : pair of arrays (LSTMCell) or array (RNNCell), each (B, H), or (H,) without a batch, optional
            None, also for one of a pair, is zeros.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind, dtype or shape.
        """
        rows, states, unbatched = self._as_taken(x, state)
        last = passes.infer(self, rows, states, None, np.empty((*rows.shape[:2], self.hidden_size), self.dtype))
        return self._as_given(last, unbatched)

    def forward(self, x: np.ndarray, state: Given | None = None, tape: Tape | None = None) -> tuple[Returned, Tape]:
        """One step in training: the new state, as read-only views into the tape, and the tape for `backward`."""
        if tape is None:
            tape = Tape(self)
        check_tape(self, tape)
        rows, states, tape.unbatched = self._as_taken(x, state)
        passes.forward(self, rows, states, None, tape)
        last = [read_only(member) for member in tape.last]
        return self._as_given(last, tape.unbatched), tape

    def backward(
        self, dstate: Given | None, tape: Tape, need_dx: bool = True, grads: Block | None = None
    ) -> tuple[np.ndarray | None, Returned]:
        """From the gradient of the new state to those of x and of the old state; the parameters' are added to `grads`.

        Raises
        ------
        RuntimeError
            A second backward on one forward, or parameters written since.
        TypeError, ValueError
            An argument of the wrong kind, dtype or shape; a tape of another layer.
        """
        grads, need_dx = check_backward(self, tape, grads), as_flag("need_dx", need_dx)
        dx = passes.backward(self, None, tape, self._states("dstate", dstate, tape.B, tape.unbatched), need_dx, grads)
        first = [read_only(member) for member in tape.gradients.initial]
        dx = None if dx is None else read_only(dx[0, 0] if tape.unbatched else dx[0])
        return dx, self._as_given(first, tape.unbatched)

    def _as_taken(self, x: np.ndarray, state: State) -> tuple[np.ndarray, list[np.ndarray | None], bool]:
        """The arguments of a step, checked: x (1, B, I), the members of the state, and whether x has no batch."""
        x = check_array("x", x, self.dtype)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(f"x must have shape (B, {self.input_size}) or ({self.input_size},), got {x.shape}")
        rows = np.ascontiguousarray(x).reshape(1, -1, self.input_size)
        return rows, self._states("state", state, rows.shape[1], x.ndim == 1), x.ndim == 1

    def _as_given(self, members: list[np.ndarray], unbatched: bool) -> Returned:
        """A state in the caller's form, from members (1, B, H)."""
        return join_state([member[0, 0] if unbatched else member[0] for member in members])

    def _states(self, name: str, state: State, B: int, unbatched: bool) -> list[np.ndarray | None]:
        """The members of a state, each None or (1, B, H)."""
        H = self.hidden_size
        members = state_members(name, state, self.cell.states, self.dtype, (H,) if unbatched else (B, H))
        return [None if member is None else member.reshape(1, -1, H) for member in members]


class LSTMCell(CellLayer[GivenPair, Pair]):
    """One step of an LSTM: the equations and parameters of `LSTM`, names without suffix.

    Raises
    ------
    TypeError, ValueError
        As for `LSTM`; x is (B, I) or (I,).

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import LSTMCell
    >>> cell = LSTMCell(100, 20, seed=0)
    >>> h, c = cell(np.zeros((3, 100), "float32"))
    >>> h.shape, c.shape, cell.params["weight_ih"].shape
    ((3, 20), (3, 20), (80, 100))
    """

    own_settings: ClassVar[dict[str, Any]] = {"peephole": False}

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, peephole: bool = False, formulation: str =
        "split", forget_bias: float = 0.0, dtype: str = "float32", seed: int | None = None, layer_norm: bool = False,
    ) -> None:  # fmt: skip
        self.peephole = as_flag("peephole", peephole)
        super().__init__(
            lstm.PEEPHOLE if self.peephole else lstm.LSTM, input_size, hidden_size, 1, bias=bias, dropout=0.0,
            bidirectional=False, formulation=formulation, forget_bias=forget_bias, dtype=dtype, seed=seed,
            layer_norm=layer_norm, suffixes=False,
        )  # fmt: skip


class GRUCell(CellLayer[np.ndarray, np.ndarray]):
    """One step of a GRU: the equations and parameters of `GRU`, names without suffix.

    Raises
    ------
    TypeError, ValueError
        As for `LSTMCell`.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import GRUCell
    >>> cell = GRUCell(100, 20, seed=0)
    >>> cell(np.zeros((3, 100), "float32")).shape, cell.params["weight_ih"].shape
    ((3, 20), (60, 100))
    """

    own_settings: ClassVar[dict[str, Any]] = {"reset_after": True}

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, reset_after: bool = True,
        dtype: str = "float32", seed: int | None = None, layer_norm: bool = False,
    ) -> None:  # fmt: skip
        self.reset_after = as_flag("reset_after", reset_after)
        super().__init__(
            gru.GRU if self.reset_after else gru.GRU_ORIGINAL, input_size, hidden_size, 1, bias=bias, dropout=0.0,
            bidirectional=False, formulation="split", forget_bias=0.0, dtype=dtype, seed=seed,
            layer_norm=layer_norm, suffixes=False,
        )  # fmt: skip


class RNNCell(CellLayer[np.ndarray, np.ndarray]):
    """One step of a plain recurrent network: the equation and parameters of `RNN`, names without suffix.

    Raises
    ------
    TypeError, ValueError
        As for `LSTMCell`; another `nonlinearity`.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import RNNCell
    >>> cell = RNNCell(100, 20, seed=0)
    >>> cell(np.zeros((3, 100), "float32")).shape, cell.params["weight_ih"].shape
    ((3, 20), (20, 100))
    """

    own_settings: ClassVar[dict[str, Any]] = {"nonlinearity": "tanh"}

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", *, formulation: str =
        "split", dtype: str = "float32", seed: int | None = None, layer_norm: bool = False,
    ) -> None:  # fmt: skip
        self.nonlinearity = as_choice("nonlinearity", nonlinearity, NONLINEARITIES)
        super().__init__(
            NONLINEARITIES[self.nonlinearity], input_size, hidden_size, 1, bias=bias, dropout=0.0, bidirectional=False,
            formulation=formulation, forget_bias=0.0, dtype=dtype, seed=seed, layer_norm=layer_norm, suffixes=False,
        )  # fmt: skip
