"""The two formulations side by side: one matrix on the joined [h, x], and one matrix for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nblstm.plot.colours import COLOURS, GREY, INK
from nblstm.plot.drawings.pen import Pen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIDDEN, INPUT = 6.0, 4.0  # widths of h and x, in tenths of an inch
TOP, MIDDLE = 27.0, 15.0  # upper edge and middle of the matrices
GATES = "ifgo"


def draw_two_formulations(ax: Axes | None = None) -> Axes:
    """One function, computed in two ways: as W [h, x] with the joined vector, and as W_ih x + W_hh h.

    Heights and widths are to one scale, so that the wide matrix is seen to be the two narrow ones side by side.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        `ax` that is no Axes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import draw_two_formulations
    >>> ax = draw_two_formulations(Figure().subplots())
    >>> ax.get_title(loc="left")
    'Two formulations, one function (biases left out)'
    """
    pen = Pen(ax, 84, 36.5, "Two formulations, one function (biases left out)")
    pen.words(3, 34.5, '"concat": one matrix', size=10.5, ha="left")
    _matrix(pen, 3, "h", HIDDEN)
    _matrix(pen, 3 + HIDDEN, "x", INPUT)
    _name(pen, 8, "$W$", "(4H, H + I)")
    _sign(pen, 15.5, "·")
    _vector(pen, 18.5, "h", HIDDEN, MIDDLE + INPUT / 2)
    _vector(pen, 18.5, "x", INPUT, MIDDLE - HIDDEN / 2)
    _name(pen, 19.5, r"$[h_{t-1}, x_t]$", "(H + I,)")
    _sign(pen, 24.5, "=")
    _gates(pen, 28)
    pen.line([(36, 2), (36, 35)], GREY, width=1, head=False)
    pen.words(42, 34.5, '"split": one matrix for the input and one for the state', size=10.5, ha="left")
    _matrix(pen, 42, "x", INPUT)
    _name(pen, 44, "$W_{ih}$", "(4H, I)")
    _sign(pen, 49, "·")
    _vector(pen, 51.5, "x", INPUT, MIDDLE)
    _name(pen, 52.5, "$x_t$", "(I,)")
    _sign(pen, 57.5, "+")
    _matrix(pen, 61, "h", HIDDEN)
    _name(pen, 64, "$W_{hh}$", "(4H, H)")
    _sign(pen, 69.5, "·")
    _vector(pen, 72, "h", HIDDEN, MIDDLE)
    _name(pen, 73, "$h_{t-1}$", "(H,)")
    _sign(pen, 76.5, "=")
    _gates(pen, 79.5)
    return pen.ax


def _matrix(pen: Pen, left: float, reads: str, width: float) -> None:
    """Four blocks of rows, one for each gate, under a strip in the colour of what the columns read."""
    for k, gate in enumerate(GATES):
        pen.block(left, TOP - (k + 1) * HIDDEN, width, HIDDEN, COLOURS[gate])
        pen.words(left + width / 2, TOP - (k + 0.5) * HIDDEN, gate, size=11)
    pen.block(left, TOP + 0.4, width, 1.8, COLOURS[reads])
    pen.words(left + width / 2, TOP + 1.3, f"${reads}$", size=9)


def _vector(pen: Pen, left: float, letter: str, height: float, middle: float) -> None:
    """A column vector."""
    pen.block(left, middle - height / 2, 2, height, COLOURS[letter])
    pen.words(left + 1, middle, f"${letter}$", size=11)


def _gates(pen: Pen, left: float) -> None:
    """The weighted sums of the four gates."""
    for k, gate in enumerate(GATES):
        pen.block(left, TOP - (k + 1) * HIDDEN, 2, HIDDEN, COLOURS[gate])
        pen.words(left + 1, TOP - (k + 0.5) * HIDDEN, gate, size=11)
    _name(pen, left + 1, "$z$", "(4H,)")


def _sign(pen: Pen, x: float, sign: str) -> None:
    pen.words(x, MIDDLE, sign, size=16, colour=INK)


def _name(pen: Pen, x: float, name: str, shape: str) -> None:
    pen.words(x, TOP + 4.2, name, size=12)
    pen.words(x, TOP - 4 * HIDDEN - 1.6, shape, size=9, colour=GREY)
