"""Tapes: what a forward pass leaves for its backward, how a layer or a net of one's own keeps it and takes it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np

from nblstm.arguments import as_size, as_text, check_array, check_kind

Outputs = TypeVar("Outputs", np.ndarray, tuple[np.ndarray, ...])
"""What a forward pass returns: one array, or several."""


class AnyTape:
    """What every tape knows of the forward pass that wrote it."""

    layer: Any
    version: float
    forwards = 0
    """Forward passes that have ended on this tape."""
    _awaits_backward = False

    @property
    def awaits_backward(self) -> bool:
        """Whether a forward has ended through which no backward has gone yet."""
        return self._awaits_backward

    @awaits_backward.setter
    def awaits_backward(self, awaits: bool) -> None:
        self._awaits_backward = awaits
        self.forwards += awaits

    def __reduce__(self) -> NoReturn:
        """For the copy's backward would use up what it has in common with the original."""
        raise TypeError("a tape cannot be copied or pickled: it belongs to one forward of its layer, run another")


class Record(AnyTape):
    """The tape that `Recorder.record` makes: the form of what forward returned, and what backward needs.

    Attributes
    ----------
    kept : object
        As `record` was given it.
    """

    def __init__(self, layer: Recorder) -> None:
        self.layer = layer
        self.version: float = -1
        self.forms: list[tuple[tuple[int, ...], np.dtype]] = []
        self.several = False
        self.kept: Any = None
        self.parts: list[tuple[AnyTape, int]] = []  # tapes of parts among what is kept, and their count of forwards


def check_tape(layer: object, tape: AnyTape) -> None:
    """`tape` is one that a forward of `layer`, which may be layers composed, made."""
    if not isinstance(tape, AnyTape):
        raise TypeError(f"tape must be a tape that forward returned, got {type(tape).__name__}")
    if tape.layer is not layer:
        raise ValueError("tape must be one of this layer's, got another layer's")


def check_awaits(layer: Any, tape: AnyTape) -> None:
    """A backward may run on `tape` now: a tape of the layer's, after a forward, and no parameter was written since."""
    check_tape(layer, tape)
    if not tape.awaits_backward:
        raise RuntimeError("backward has already run on this forward: run forward again, each allows one backward")
    if tape.version != layer.version:
        raise RuntimeError("the parameters were written between forward and backward: run forward again")


class Recorder:
    """What `Layer` and `Composed` have for those who write a forward and a backward of their own.

    Attributes
    ----------
    reads_lengths : bool
        Whether `Sequential` hands ``lengths`` to its forward. A subclass says so.
    pools : bool
        Whether what it returns has no axis of steps any more, so that nothing that reads sequences can follow.
    """

    reads_lengths = False
    pools = False

    @property
    def version(self) -> float:
        """Goes up with every write to the parameters."""
        raise NotImplementedError

    def record(self, tape: Record | None, y: Outputs, kept: Any = None) -> tuple[Outputs, Record]:
        """The end of a forward: y as read-only views, and the tape that its backward will take.

        Parameters
        ----------
        tape : Record or None
            As forward was given it: one of an earlier forward to write over, or None for a new one.
        y : numpy.ndarray or tuple of numpy.ndarray
            What forward returns, float32 or float64.
        kept : object
            What backward needs. Tapes of parts among it, or in a tuple, are checked before backward begins.

        Raises
        ------
        TypeError, ValueError
            No tape, or another layer's.
        """
        tape = Record(self) if tape is None else tape
        check_tape(self, tape)
        check_kind("tape", tape, Record)
        outputs = [_output(array) for array in (y if isinstance(y, tuple) else (y,))]
        tape.forms, tape.several = [(array.shape, array.dtype) for array in outputs], isinstance(y, tuple)
        tape.kept, tape.version, tape.awaits_backward = kept, self.version, True
        among = kept if isinstance(kept, (tuple, list)) else [kept]
        tape.parts = [(part, part.forwards) for part in among if isinstance(part, AnyTape)]
        found: Any = tuple(outputs) if tape.several else outputs[0]
        return found, tape

    def replay(self, tape: Record, dy: Outputs, name: str = "dy") -> tuple[Outputs, Any]:
        """The begin of a backward: dy after its check, and what forward kept; the tape is used up then.

        Parameters
        ----------
        tape : Record
            Of the forward to go back through; each forward allows one backward.
        dy : numpy.ndarray or tuple of numpy.ndarray
            The gradient by y, in its form.
        name : str
            What the caller calls it.

        Raises
        ------
        RuntimeError
            A second backward on one forward, or parameters written since, also those of a part.
        TypeError, ValueError
            dy of another dtype or shape; a tape of another layer. The tape is as it was then.
        """
        name = as_text("name", name)
        check_awaits(self, tape)
        check_kind("tape", tape, Record)
        for part, forwards in tape.parts:
            check_awaits(part.layer, part)
            if part.forwards != forwards:
                raise RuntimeError("a part has run forward since on the tape that it had: run forward again")
        given: Sequence[Any] = [dy]
        if tape.several:
            if not isinstance(dy, (tuple, list)) or len(dy) != len(tape.forms):
                raise TypeError(f"{name} must be a tuple of {len(tape.forms)} arrays, as y is, got {type(dy).__name__}")
            given = dy
        checked = [
            check_array(f"{name}[{k}]" if tape.several else name, array, dtype, shape)
            for k, (array, (shape, dtype)) in enumerate(zip(given, tape.forms, strict=True))
        ]
        tape.awaits_backward = False
        found: Any = tuple(checked) if tape.several else checked[0]
        return found, tape.kept

    def rewind(self, tape: Record | None, count: int) -> list[Any]:
        """The begin of a forward that goes through `count` parts: their tapes of an earlier pass, or None for each.

        If the forward ends by an error after a part has run, no backward goes through `tape`; if before, that of the
        earlier pass still may.

        Parameters
        ----------
        tape : Record or None
            As forward was given it.
        count : int
            How many tapes stand at the beginning of what `record` keeps.

        Raises
        ------
        TypeError, ValueError
            No tape, or another layer's; a tape that keeps fewer.
        """
        count = as_size("count", count, least=0)
        if tape is None:
            return [None] * count
        check_tape(self, tape)
        check_kind("tape", tape, Record)
        if not isinstance(tape.kept, (tuple, list)) or len(tape.kept) < count:
            raise ValueError(f"count must be the number of tapes that record keeps, a tuple of them first, got {count}")
        return list(tape.kept[:count])


def _output(y: np.ndarray) -> np.ndarray:
    """A read-only view of an array that a forward returns."""
    double = getattr(y, "dtype", None) == np.float64
    view = check_array("y", y, np.dtype("float64") if double else np.dtype("float32")).view()
    view.flags.writeable = False
    return view
