"""`Cell`: the declaration of a recurrent cell, which is all that layers, kernels and files need to know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from nblstm.arguments import as_flag, as_text
from nblstm.cells.columns import SLOTS, columns_of, slots_of
from nblstm.cells.declaration import (
    arguments_of,
    as_function,
    as_names,
    as_peepholes,
    called,
    check_distinct,
    check_parts,
    check_taken,
    check_values,
    names_read_by,
)  # fmt: skip
from nblstm.cells.derivative import derive, leaving, symbols
from nblstm.cells.differences import check_backward
from nblstm.cells.digest import digest
from nblstm.cells.initial import as_draw
from nblstm.cells.reading import Reading, as_reads, reading_of

CELLS: dict[str, Cell] = {}
"""Cells by the names that layers, settings and files have for them: those that come with the package."""


class Cell:
    r"""A recurrent cell: what one unit computes in one time step, and the way back.

    For every unit and each of its weighted sums

    .. math:: s_t = W_s x_t + U_s h_{t-1} + b_s

    `forward` takes the sums and the states of the step before, :math:`(s_t, \dots, c_{t-1}, \dots)`, to the new states;
    `backward` is its chain rule. The products, and the gradient that goes to :math:`h_{t-1}` through U, are the
    library's matter. Both are ordinary functions of one unit's numbers: in plain Python they run on NumPy's arrays, and
    a layer compiles them on vectors of units.

    Parameters
    ----------
    name : str
        Stands in `repr`, in errors and in files.
    sums : sequence of str
        The weighted sums, in the order of their blocks of rows in ``weight_ih_l{k}`` and ``weight_hh_l{k}``.
    states : sequence of str
        The states, first the one that the sums read and that is the layer's output, "h".
    forward : function
        Returns two tuples: what `backward` needs of this step, and the new states. Its arguments are, by their names,
        the sums; for a state c of the step before ``c_prev``; for a sum s in `apart` its two parts ``s_x`` and
        ``s_h``; and the weights in `peepholes`.
    backward : function, optional
        Returns two tuples: the gradients of the sums, in the order of `forward`'s arguments, and those of the states
        of the step before that `forward` takes, in the order of `states`. Its arguments are, by their names, what
        `forward` left, in that order; ``c_prev`` and ``c`` for a state before and after the step; ``dc`` for the
        gradient of the new one; and the weights in `peepholes`. A gradient of a state holds all that comes from later.
        Where it is left out it is derived from `forward`: as exact as one of your own, but it keeps the sums, whatever
        `forward` leaves, and computes again what it needs of the step, which takes longer.
    apart : sequence of str
        Sums whose parts :math:`W_s x_t + b` and :math:`U_s h_{t-1} + b'` stay apart, as in the candidate of a GRU.
    inputs_only, hidden_only : sequence of str
        Sums that are but the one part or the other: without a row in ``weight_hh_l{k}``, or in ``weight_ih_l{k}``.
    peepholes : mapping of str to (str, str)
        Weights of one number per unit, which `forward` multiplies with a state before it adds them to a sum: for each
        its name, that of the sum, and ``h_prev``, ``c_prev`` or ``c``. Together they are ``weight_peephole_l{k}``.
    reads : mapping of str to function
        Sums that read something else than h: s = W x + U m + b, where m is what the function makes of other sums, of
        states of the step before and of `peepholes`, its arguments by their names; one number for each unit. It is the
        same function for all of them. `forward` need not take sums that it takes. Its derivative is derived.
    forget : str, optional
        The sum that `forget_bias` of a layer is added to.
    draw : mapping of str to function, optional
        What biases of sums and peepholes begin with in a new layer: for each, by its name, a function of a generator of
        random numbers and H that returns an array (H,). A sum that is not named, and all matrices, are drawn as in
        `LSTM`.
    check : bool
        Whether `backward` is compared with differences of `forward`, at once, on a few random numbers.

    Attributes
    ----------
    sums_of_x, sums_of_h : tuple of str
        Those that have a part from x, and those that have one from h, or from what they read in place of it, in the
        order of their blocks of rows.
    columns : list of Column
        The weighted sums as the kernels take them: of one that is apart its part from x and its part from h.
    given : (function, function or None)
        `forward` and `backward` as they were declared; the attributes of these names are what is compiled.
    backward_source : str or None
        The text of a `backward` that was derived.
    saved, taken, carried : tuple of str
        What `forward` leaves for `backward`; those of the weighted sums that `forward` takes, and the states whose
        value before the step it takes.
    reading : Reading or None
        The first stage of a step, if it has two.
    kept : dict of str to int
        The sums that its way back needs, each with the slot that holds it meanwhile.
    arrays, gradient_arrays : int
        How many numbers of a unit are kept of a step beside h and the slots: the other states and what is read; and how
        many go back from step to step or from stage to stage.
    slots : int
        Numbers per unit and step that training keeps room for: the sums, or what `backward` needs in their place. A
        tile takes 1, 2 or 4 vectors of one block of units.
    slot_of : tuple of int
        The slot of each of the columns.
    rows : numpy.ndarray, shape (slots, 3)
        For every slot the block of rows of the weights for x, that for h and that for what is read in place of h, which
        is among the rows for h; -1 for none.
    rows_of_reading : numpy.ndarray, shape (slots, 3)
        Those for what is read as if it were h, and no others.
    returns_h, reads_more_than_h : bool
        Whether `backward` has a gradient for h of the step before, beside the one through the product; and whether it
        reads anything of a step but h: to go back from h alone, that is computed again.
    key : str
        The name, and a digest of all that the machine code depends on.

    Raises
    ------
    TypeError, ValueError
        Names that repeat or that nothing is known of; functions that do not return what is said above; a gradient that
        is not the derivative.

    Examples
    --------
    >>> from nblstm import Cell, Recurrent
    >>> from nblstm.cells import sigmoid, tanh
    >>> def coupled_forward(f, g, o, c_prev):
    ...     f, g, o = sigmoid(f), tanh(g), sigmoid(o)
    ...     c = f * c_prev + (1 - f) * g
    ...     return (f, g, o), (o * tanh(c), c)
    >>> def coupled_backward(f, g, o, c_prev, c, dh, dc):
    ...     tanh_c = tanh(c)
    ...     dc = dc + dh * o * (1 - tanh_c * tanh_c)
    ...     df, dg, do = dc * (c_prev - g), dc * (1 - f), dh * tanh_c
    ...     return (df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)), (dc * f,)
    >>> Coupled = Cell(
    ...     "coupled", sums=("f", "g", "o"), states=("h", "c"), forward=coupled_forward, backward=coupled_backward
    ... )
    >>> Recurrent(Coupled, 64, 128, num_layers=2).num_parameters
    173568

    An idea can be tried before its derivative is written:

    >>> def leaky_forward(z, h_prev):
    ...     return (), (0.9 * h_prev + 0.1 * tanh(z),)
    >>> print(Cell("leaky", sums=("z",), forward=leaky_forward).backward_source)
    def backward(z, dh):
        d1 = dh * 0.1
        a1 = tanh(z)
        dz = d1 * (1 - a1 * a1)
        dh_prev = dh * 0.9
        return (dz,), (dh_prev,)
    <BLANKLINE>
    """

    def __init__(
        self,
        name: str,
        *,
        sums: Sequence[str],
        states: Sequence[str] = ("h",),
        forward: Callable[..., Any],
        backward: Callable[..., Any] | None = None,
        apart: Sequence[str] = (),
        inputs_only: Sequence[str] = (),
        hidden_only: Sequence[str] = (),
        peepholes: Mapping[str, tuple[str, str]] | None = None,
        reads: Mapping[str, Callable[..., Any]] | None = None,
        forget: str | None = None,
        draw: Mapping[str, Callable[[np.random.Generator, int], np.ndarray]] | None = None,
        check: bool = True,
    ) -> None:
        self.name = as_text("name", name)
        self.sums, self.states = as_names("sums", sums), as_names("states", states)
        self.apart = as_names("apart", apart, 0)
        self.inputs_only, self.hidden_only = (
            as_names("inputs_only", inputs_only, 0),
            as_names("hidden_only", hidden_only, 0),
        )
        self.peepholes = as_peepholes(peepholes)
        self.forget = None if forget is None else as_text("forget", forget)
        self.given = as_function("forward", forward), None if backward is None else as_function("backward", backward)
        if self.states[0] != "h":
            raise ValueError(f"states must begin with 'h', which the sums read, got {self.states[0]!r}")
        parts = {"apart": self.apart, "inputs_only": self.inputs_only, "hidden_only": self.hidden_only}
        check_parts(self.sums, parts, self.forget)
        self.draw = as_draw(draw, (*self.sums, *self.peepholes))
        self.sums_of_x = tuple(each for each in self.sums if each not in self.hidden_only)
        self.sums_of_h = tuple(each for each in self.sums if each not in self.inputs_only)
        self.reads = as_reads(reads, self.sums_of_h)
        self.forward_arguments = arguments_of(self.given[0])
        previous = [f"{state}_prev" for state in self.states]
        self._check_peepholes(previous)
        self.columns = columns_of(self.sums, self.sums_of_x, self.sums_of_h, self.apart, self.reads)
        known = [column.name for column in self.columns]
        gradients = [f"d{state}" for state in self.states]
        check_distinct([*known, *self.states, *previous, *gradients, *self.peepholes])
        check_taken("forward", self.forward_arguments, [*known, *previous, *self.peepholes])
        self.reading = self._reading([*previous, *self.peepholes])
        self.taken = tuple(each for each in known if each in self.forward_arguments)
        missing = [each for each in known if each not in (*self.taken, *(self.reading.columns if self.reading else ()))]
        if missing:
            functions = " or ".join(["forward", *(each.__name__ for each in {*self.reads.values()})])
            raise ValueError(f"{functions} must take every sum, got none named {missing[0]!r}")
        self.carried = tuple(state for state in self.states if f"{state}_prev" in self.forward_arguments)
        self.forward, self.backward, self.backward_source = self._functions()
        self.backward_arguments = arguments_of(self.backward)
        given_states = {*previous, *self.states, *gradients, *self.peepholes}
        self.saved = tuple(each for each in self.backward_arguments if each not in given_states)
        kept = self.reading.kept if self.reading else ()
        # A derived backward has sums as they are among what is saved for it.
        left = [*(self.saved if self.backward_source else (None,) * len(self.saved))]
        left += [each for each in kept if each not in left]
        self.kept = {each: left.index(each) for each in kept}
        for what, count in (
            ("sums, parts of one counted apart,", len(known)),
            ("values for backward", len(left)),
        ):
            if count > SLOTS[-1]:
                raise ValueError(f"a cell may have {SLOTS[-1]} {what} at most, got {count}")
        self.slot_of, self.rows = slots_of(self.columns, len(left))
        self.slots = len(self.rows)
        self.rows_of_reading = np.array([(-1, of_read, -1) for _, _, of_read in self.rows.tolist()])
        self.arrays = len(self.states) - 1 + bool(self.reads)
        self.gradient_arrays = self.arrays + len(self.kept)
        self.returns_h = "h" in (*self.carried, *(self.reading.carried if self.reading else ()))
        more = (*self.saved, *self.states[1:], *previous[1:])
        seen = {state for _, state in self.peepholes.values()} - {"h_prev"}  # which their own gradient needs
        self.reads_more_than_h = bool(seen or self.reads) or not names_read_by(self.backward).isdisjoint(more)
        self.key = self._key()
        self._check_results()
        if as_flag("check", check):
            check_backward(self)

    def __repr__(self) -> str:
        return f"Cell({self.name!r})"

    def __copy__(self) -> Cell:
        """Itself: nothing of a cell changes."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Cell:
        """Itself: nothing of a cell changes."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """One that comes with the package by its name, which is one object in every process; any other by its parts."""
        if CELLS.get(self.name) is self:
            return _named, (self.name,)
        arguments: dict[str, Any] = {
            each: getattr(self, each)
            for each in (
                "sums",
                "states",
                "apart",
                "inputs_only",
                "hidden_only",
                "peepholes",
                "reads",
                "forget",
                "draw",
            )
        }
        arguments |= dict(zip(("forward", "backward"), self.given, strict=True))
        arguments["check"] = False  # which was looked at when it was declared
        return _made, (self.name, arguments)

    def _key(self) -> str:
        parts = self.apart, self.inputs_only, self.hidden_only
        declared = (self.sums, self.states, *parts, list(self.peepholes.items()), self.forget, *self.reads)
        functions = [self.forward, self.backward, *([self.reading.functions[0]] if self.reading else [])]
        return f"{self.name}-{digest(repr(declared), *functions)}"

    def _reading(self, others: list[str]) -> Reading | None:
        before = [column.name for column in self.columns if column.of_read < 0]
        return reading_of(self.name, self.reads, self.states, before, others) if self.reads else None

    # --------------------------------------------------------------------------------------------------------- checks

    def check_unchanged(self) -> None:
        """Refuse a cell whose functions are no longer what its key says, as they are about to be compiled.

        Raises
        ------
        ValueError
            Something that they use has been given another value.
        """
        if self._key() != self.key:
            raise ValueError(
                f"cell {self.name!r} must be declared anew: what its functions use has changed since it was declared"
            )

    def _check_peepholes(self, previous: list[str]) -> None:
        for each, target in self.peepholes.items():
            if target[0] not in self.sums or target[0] in self.apart:
                raise ValueError(f"peepholes[{each!r}] must name a sum that is not apart, got {target[0]!r}")
            if target[1] not in (*previous, *self.states[1:]):
                raise ValueError(f"peepholes[{each!r}] must name a state, as h_prev, c_prev or c, got {target[1]!r}")

    def _functions(self) -> tuple[FunctionType, FunctionType, str | None]:
        """Both as they were given; or a forward that leaves the sums, the backward that is derived, and its text."""
        forward, backward = self.given
        if backward is not None:
            return forward, backward, None
        _, states = self._pair("forward", forward, [np.full(2, 0.25) for _ in self.forward_arguments])
        check_values("forward", "the new states", states, self.states)
        _, values = self._pair("forward", forward, symbols(self.forward_arguments))
        new = dict(zip(self.states, values, strict=True))
        derived, source, saved = derive(forward, self.forward_arguments, self.taken, self.carried, new)
        return leaving(forward, self.forward_arguments, saved), derived, source

    def _check_results(self) -> None:
        """Run both on a few numbers in plain Python, and look at how many come back."""
        numbers = {each: np.full(2, 0.25) for each in (*self.forward_arguments, *self.backward_arguments)}
        saved, states = self._pair("forward", self.forward, [numbers[each] for each in self.forward_arguments])
        check_values("forward", "what backward takes besides states", saved, self.saved)
        check_values("forward", "the new states", states, self.states)
        sums, before = self._pair("backward", self.backward, [numbers[each] for each in self.backward_arguments])
        check_values("backward", "gradients of the sums", sums, self.taken)
        check_values("backward", "gradients of the states before that forward takes", before, self.carried)

    def _pair(self, label: str, function: FunctionType, arguments: Sequence[Any]) -> tuple[tuple, tuple]:
        found = called(f"{label} of cell {self.name!r}", function, arguments)
        if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(each, tuple) for each in found)):
            raise TypeError(f"{label} must return two tuples, got {found!r}")
        return found


def _named(name: str) -> Cell:
    return CELLS[name]


def _made(name: str, arguments: dict[str, Any]) -> Cell:
    """One of these parts, for pickle, which hands over no arguments by name."""
    return Cell(name, **arguments)
