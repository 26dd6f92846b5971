"""A neuron, and the plain recurrent cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nblstm.plot.colours import COLOURS, GREY, INK
from nblstm.plot.drawings.pen import Pen

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_neuron(ax: Axes | None = None, *, activation: str = "tanh") -> Axes:
    """One neuron: inputs times weights, summed with a bias, through an activation.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    activation : str
        Name of the activation, written into its box.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        `ax` that is no Axes.
    ValueError
        Another activation.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import draw_neuron
    >>> ax = draw_neuron(Figure().subplots())
    >>> ax.get_title(loc="left")
    'One neuron: a weighted sum and an activation'
    """
    pen = Pen(ax, 80, 27, "One neuron: a weighted sum and an activation")
    middle, total, bend, end = 14.5, 34.0, 50.0, 68.0
    for k, y in enumerate((22.0, 14.5, 7.0), start=1):
        pen.line([(10, y), (total, middle)], COLOURS["x"], width=2.2, head=False)
        pen.disc(9, y, 2, COLOURS["x"], f"$x_{k}$")
        weight = middle + (y - middle) * (total - 18.5) / (total - 10)
        pen.disc(18.5, weight, 1.9, words=f"$w_{k}$", size=11.5)
    pen.line([(total, 23), (total, middle + 2)], INK)
    pen.words(total, 24.2, "$b$", size=13)
    pen.line([(total, middle), (bend - 5, middle)], INK, width=2.2)
    pen.disc(total, middle, 2, words="+", size=15)
    pen.words((total + bend) / 2 - 1.5, middle + 1.9, "$z$", size=13)
    pen.line([(bend, middle), (end, middle)], COLOURS["y"], width=2.2)
    pen.box(bend, middle, 10, 5.4, COLOURS["y"])
    pen.words(bend, middle, activation, size=11)
    pen.words(end + 2.2, middle, "$y$", size=13)
    for x, words in (
        (9, "inputs"),
        (18.5, "weights"),
        (total, "sum, with the bias"),
        (bend, "activation"),
        (end, "output"),
    ):
        pen.words(x, 1.8, words, size=9.5, colour=GREY)
    pen.words(78, 22.5, "$z = w_1 x_1 + w_2 x_2 + w_3 x_3 + b$", size=12, ha="right")
    pen.words(78, 19.6, f"$y$ = {activation}$(z)$", size=12, ha="right")
    return pen.ax


def draw_rnn_cell(ax: Axes | None = None) -> Axes:
    """One step of a plain recurrent cell: the old state and the input, each through its matrix, summed, through tanh.

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
    >>> from nblstm.plot import draw_rnn_cell
    >>> ax = draw_rnn_cell(Figure().subplots())
    >>> ax.get_title(loc="left")
    'One step of a plain recurrent cell'
    """
    pen = Pen(ax, 80, 31, "One step of a plain recurrent cell")
    state, join, bend = 17.5, 35.0, 49.0
    pen.wall(40, 16.5, 56, 21)
    pen.line([(2, state), (17.5, state)], COLOURS["h"], width=2.6)
    pen.line([(26.5, state), (join - 1.5, state)], COLOURS["h"], width=2.6)
    pen.box(22, state, 9, 4.6, COLOURS["h"])
    pen.words(22, state, "$W_{hh}$", size=12)
    pen.words(22, state - 3.6, "(H, H)", size=9, colour=GREY)
    pen.line([(join, 1), (join, 7.4)], COLOURS["x"], width=2.6)
    pen.line([(join, 12), (join, state - 1.5)], COLOURS["x"], width=2.6)
    pen.box(join, 9.7, 9, 4.6, COLOURS["x"])
    pen.words(join, 9.7, "$W_{ih}$", size=12)
    pen.words(join + 5.2, 9.7, "(H, I)", size=9, colour=GREY, ha="left")
    pen.line([(join, 23), (join, state + 1.5)], INK)
    pen.words(join, 24.4, "$b$", size=12)
    pen.line([(join, state), (bend - 4.5, state)], INK, width=2.2)
    pen.disc(join, state, words="+")
    pen.words((join + bend - 3) / 2, state + 1.8, "$z_t$", size=12)
    pen.line([(bend, state), (78, state)], COLOURS["h"], width=2.6)
    pen.box(bend, state, 9, 4.6, COLOURS["h"])
    pen.words(bend, state, "tanh", size=10.5)
    pen.line([(61, state), (61, 29.5)], COLOURS["h"], width=2.6)
    pen.dot(61, state, COLOURS["h"], 0.5)
    pen.words(62.2, 29, "output", size=9.5, ha="left")
    for x, y, name, shape in ((6, state, "$h_{t-1}$", "(B, H)"), (74, state, "$h_t$", "(B, H)")):
        pen.words(x, y + 2, name, size=13)
        pen.words(x, y - 1.8, shape, size=9, colour=GREY)
    pen.words(join - 1, 2.6, "$x_t$", size=13, ha="right")
    pen.words(join + 1, 2.6, "(B, I)", size=9, colour=GREY, ha="left")
    pen.words(78, 2.6, r"$h_t = \tanh(W_{ih} x_t + W_{hh} h_{t-1} + b)$", size=12, ha="right")
    return pen.ax
