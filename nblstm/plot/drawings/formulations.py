"""The two formulations side by side: one matrix on the joined [h, x], and one matrix for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nblstm.plot.colours import COLOURS, GREY, INK
from nblstm.plot.drawings.pen import Pen, tint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIDDEN, INPUT, TOP = 6.0, 4.0, 27.0  # widths of h and x and the upper edge of the matrices, in tenths of an inch
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

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import draw_two_formulations
    >>> ax = draw_two_formulations(Figure().subplots())
    >>> ax.get_title(loc="left")
    'Two formulations, one function'
    """
    pen = Pen(ax, 84, 37, "Two formulations, one function")
    pen.words(3, 34.5, "joined: one matrix", size=11, ha="left", bold=True)
    pen.words(44, 34.5, "split: two matrices", size=11, ha="left", bold=True)
    _matrix(pen, 3, "h", HIDDEN)
    _matrix(pen, 3 + HIDDEN, "x", INPUT)
    _name(pen, 3 + (HIDDEN + INPUT) / 2, "$W$", "(4H, H + I)")
    _sign(pen, 16, "·")
    _vector(pen, 19, "h", HIDDEN, HIDDEN + INPUT)
    _vector(pen, 19, "x", INPUT, INPUT)
    _name(pen, 20, r"$[h_{t-1}, x_t]$", "(H + I,)")
    _sign(pen, 25, "=")
    _gates(pen, 28)
    _name(pen, 29, "$z$", "(4H,)")
    _matrix(pen, 44, "x", INPUT)
    _name(pen, 46, "$W_{ih}$", "(4H, I)")
    _sign(pen, 50.5, "·")
    _vector(pen, 53, "x", INPUT, INPUT)
    _name(pen, 54, "$x_t$", "(I,)")
    _sign(pen, 58.5, "+")
    _matrix(pen, 61, "h", HIDDEN)
    _name(pen, 64, "$W_{hh}$", "(4H, H)")
    _sign(pen, 69.5, "·")
    _vector(pen, 72, "h", HIDDEN, HIDDEN)
    _name(pen, 73, "$h_{t-1}$", "(H,)")
    _sign(pen, 77, "=")
    _gates(pen, 80)
    _name(pen, 81, "$z$", "(4H,)")
    return pen.ax


def _block(pen: Pen, left: float, low: float, width: float, height: float, colour: str, share: float) -> None:
    from matplotlib.patches import Rectangle

    face = tint(colour, share)
    pen.ax.add_patch(Rectangle((left, low), width, height, facecolor=face, edgecolor="white", linewidth=pen.scale))


def _matrix(pen: Pen, left: float, reads: str, width: float) -> None:
    """Four blocks of rows, one for each gate, under a strip in the colour of what the columns read."""
    for k, gate in enumerate(GATES):
        _block(pen, left, TOP - (k + 1) * HIDDEN, width, HIDDEN, COLOURS[gate], 0.45)
        pen.words(left + width / 2, TOP - (k + 0.5) * HIDDEN, gate, size=11)
    _block(pen, left, TOP, width, 1.2, COLOURS[reads], 1)


def _vector(pen: Pen, left: float, letter: str, height: float, above: float) -> None:
    """A column vector whose upper edge is `above` over the lower end of the joined one."""
    low = TOP - 2 * HIDDEN - (HIDDEN + INPUT) / 2
    low += above - height if height != above else 0 if above == INPUT else (HIDDEN + INPUT - above) / 2
    _block(pen, left, low, 2, height, COLOURS[letter], 0.7)
    pen.words(left + 1, low + height / 2, f"${letter}$", size=11)


def _gates(pen: Pen, left: float) -> None:
    """The weighted sums of the four gates."""
    for k, gate in enumerate(GATES):
        _block(pen, left, TOP - (k + 1) * HIDDEN, 2, HIDDEN, COLOURS[gate], 0.45)
        pen.words(left + 1, TOP - (k + 0.5) * HIDDEN, gate, size=11)


def _sign(pen: Pen, x: float, sign: str) -> None:
    pen.words(x, TOP - 2 * HIDDEN, sign, size=16, colour=INK)


def _name(pen: Pen, x: float, name: str, shape: str) -> None:
    pen.words(x, TOP + 3.8, name, size=12)
    pen.words(x, TOP - 4 * HIDDEN - 1.6, shape, size=9, colour=GREY)
