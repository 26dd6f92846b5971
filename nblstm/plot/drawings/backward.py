"""One backward step as a flow of gradients: the forward pictures with every arrow turned round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nblstm.arguments import as_choice
from nblstm.plot.colours import COLOURS, GREY, INK
from nblstm.plot.drawings.lstm import BUS, CONVEYOR, GATES, JOIN, MEET, NEW, OUT, PLACES, SHOW, TALL, WIDE, WORDS
from nblstm.plot.drawings.pen import Pen

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_backward(kind: str = "lstm", *, ax: Axes | None = None) -> Axes:
    r"""The data flow of one step backward: which gradient comes from where, and what multiplies it on its way.

    d stands for the gradient of the loss with respect to what follows: dc for that of c. As in `nblstm.cells.lstm`, di,
    df, dg, do are the gradients of the gates' weighted sums, below the boxes; above a box stands the gradient of its
    output, and in it the derivative of its activation. All is written for one sequence, with x and h as columns; over a
    batch the gradients of the weights add up.

    Parameters
    ----------
    kind : {"lstm", "rnn"}
        The cell.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Another kind.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import draw_backward
    >>> ax = draw_backward("rnn", ax=Figure().subplots())
    >>> ax.get_title(loc="left")
    'One step of a plain recurrent cell, backward'
    """
    return _draw_lstm(ax) if as_choice("kind", kind, ("lstm", "rnn")) == "lstm" else _draw_rnn(ax)


def _draw_lstm(ax: Axes | None) -> Axes:
    pen = Pen(ax, 88, 37, "One step of an LSTM cell, backward")
    pen.wall(42, 20, 64, 29)
    # dc along the conveyor
    pen.line([(86, CONVEYOR), (2, CONVEYOR)], COLOURS["c"], width=5)
    pen.words(81, CONVEYOR + 2.4, "$dc$", size=13)
    pen.words(81, CONVEYOR - 2.2, "from step $t+1$", size=9, colour=GREY)
    pen.words(5, CONVEYOR + 2.4, "$dc_{t-1}$", size=13)
    pen.words(5, CONVEYOR - 2.2, r"$dc \odot f$", size=10.5)
    pen.words(54, CONVEYOR + 2.4, "$dc$, complete", size=10.5)
    # dh from the next step and from the loss
    pen.line([(86, BUS), (80.5, BUS)], COLOURS["h"], width=2.6)
    pen.line([(79, 17), (79, BUS + 1.5)], COLOURS["h"], width=2.6)
    pen.line([(77.5, BUS), (OUT, BUS), (OUT, SHOW - 1.5)], COLOURS["h"], width=2.6)
    pen.disc(79, BUS, colour=COLOURS["h"], words="+")
    pen.words(79, 20.6, "$dy$", size=13)
    pen.words(79.5, 18.3, "from the loss", size=9, colour=GREY)
    pen.words(84, BUS + 2.2, "$dh$", size=13)
    pen.words(81.5, BUS - 2.6, "from step $t+1$", size=9, colour=GREY)
    pen.words(OUT + 1, 12.5, "$dh$", size=12, ha="left")
    # where o met tanh(c)
    pen.disc(OUT, SHOW, colour=COLOURS["o"], words="×")
    pen.line([(OUT, SHOW + 1.5), (OUT, 22.9)], COLOURS["c"], width=2.2)
    pen.box(OUT, 24.2, 11, 2.6, COLOURS["c"])
    pen.words(OUT, 24.2, r"$o\,(1 - \tanh^2 c)$", size=9.5)
    pen.line([(OUT, 25.5), (OUT, CONVEYOR - 1.5)], COLOURS["c"], width=2.2)
    pen.disc(OUT, CONVEYOR, colour=COLOURS["c"], words="+")
    pen.line([(OUT - 1.5, SHOW), (PLACES["o"], SHOW), (PLACES["o"], GATES + TALL / 2)], COLOURS["o"], width=2.2)
    pen.words(61.5, SHOW + 1.8, r"$dh \odot \tanh c$", size=10)
    # where i met g
    pen.line([(NEW, CONVEYOR), (NEW, MEET + 1.5)], COLOURS["c"], width=2.2)
    pen.words(NEW + 1, 26, "$dc$", size=11, ha="left")
    pen.disc(NEW, MEET, colour=COLOURS["i"], words="×")
    pen.line([(NEW - 1.5, MEET), (PLACES["i"], MEET), (PLACES["i"], GATES + TALL / 2)], COLOURS["i"], width=2.2)
    pen.line([(NEW + 1.5, MEET), (PLACES["g"], MEET), (PLACES["g"], GATES + TALL / 2)], COLOURS["g"], width=2.2)
    pen.words(PLACES["i"] - 0.9, 20.4, r"$dc \odot g$", size=10.5, ha="right")
    pen.words(PLACES["g"] + 0.9, 20.4, r"$dc \odot i$", size=10.5, ha="left")
    # where f met the old c
    pen.line([(PLACES["f"], CONVEYOR - 1.5), (PLACES["f"], GATES + TALL / 2)], COLOURS["f"], width=2.2)
    pen.disc(PLACES["f"], CONVEYOR, colour=COLOURS["f"], words="×")
    pen.words(PLACES["f"] + 0.9, 24, r"$dc \odot c_{t-1}$", size=10.5, ha="left")
    # through the gates, and through the weights
    for letter, slope in {"f": "$f\\,(1 - f)$", "i": "$i\\,(1 - i)$", "g": "$1 - g^2$", "o": "$o\\,(1 - o)$"}.items():
        x = PLACES[letter]
        pen.box(x, GATES, WIDE, TALL, COLOURS[letter], line=2)
        pen.words(x, GATES + 1.2, WORDS[letter], size=9.5, bold=True)
        pen.words(x, GATES - 1.2, slope, size=9.5)
        corner = [(x, GATES - TALL / 2), (x, BUS), (JOIN + 3, BUS)]
        pen.line(corner, INK, head=letter == "f")
        pen.words(x + 0.8, BUS + 1.7, f"$d{letter}$", size=11, ha="left")
    pen.box(JOIN, BUS, 6, 3.6, INK, fill="white")
    pen.words(JOIN, BUS, r"$W^\top$", size=11)
    pen.line([(JOIN - 3, BUS), (2, BUS)], COLOURS["h"], width=2.6)
    pen.words(5.5, BUS + 2, "$dh_{t-1}$", size=13)
    pen.words(5, BUS - 2.2, r"$W_{hh}^\top d$", size=10)
    pen.line([(JOIN, BUS - 1.8), (JOIN, 1)], COLOURS["x"], width=2.6)
    pen.words(JOIN + 1, 2.6, r"$dx_t = W_{ih}^\top d$", size=11, ha="left")
    pen.words(
        86, 2.6,
        r"with $d = (di, df, dg, do)$:   $dW_{ih}$ += $d\,x_t^\top$,   $dW_{hh}$ += $d\,h_{t-1}^\top$,   $db$ += $d$",
        size=10.5, ha="right",
    )  # fmt: skip
    return pen.ax


def _draw_rnn(ax: Axes | None) -> Axes:
    pen = Pen(ax, 80, 31, "One step of a plain recurrent cell, backward")
    state, join, bend = 17.5, 35.0, 49.0
    pen.wall(40, 16.5, 56, 21)
    pen.line([(78, state), (62.5, state)], COLOURS["h"], width=2.6)
    pen.line([(61, 29.5), (61, state + 1.5)], COLOURS["h"], width=2.6)
    pen.disc(61, state, colour=COLOURS["h"], words="+")
    pen.words(62.2, 29, "$dy_t$: from the loss", size=9.5, ha="left")
    pen.words(74, state + 2, "$dh$", size=13)
    pen.words(74, state - 1.8, "from step $t+1$", size=9, colour=GREY)
    pen.line([(59.5, state), (bend + 5, state)], COLOURS["h"], width=2.6)
    pen.words(56.8, state + 1.9, "$dh_t$", size=11.5)
    pen.box(bend, state, 10, 4.6, COLOURS["h"])
    pen.words(bend, state, "$1 - h_t^2$", size=11)
    pen.words(bend, state - 3.6, "tanh", size=9, colour=GREY)
    pen.line([(bend - 5, state), (join + 0.6, state)], INK, width=2.2)
    pen.dot(join, state, radius=0.6)
    pen.words((join + bend - 4.4) / 2, state + 1.8, "$dz_t$", size=12)
    pen.line([(join, state), (join, 23)], INK)
    pen.words(join, 24.4, "$db$ += $dz_t$", size=11)
    pen.line([(join, state), (26.5, state)], COLOURS["h"], width=2.6)
    pen.box(22, state, 9, 4.6, COLOURS["h"])
    pen.words(22, state, r"$W_{hh}^\top$", size=12)
    pen.line([(17.5, state), (2, state)], COLOURS["h"], width=2.6)
    pen.words(6, state + 2, "$dh_{t-1}$", size=13)
    pen.words(22, state - 3.9, r"$dW_{hh}$ += $dz_t\,h_{t-1}^\top$", size=10)
    pen.line([(join, state), (join, 12)], COLOURS["x"], width=2.6)
    pen.box(join, 9.7, 9, 4.6, COLOURS["x"])
    pen.words(join, 9.7, r"$W_{ih}^\top$", size=12)
    pen.words(join + 5.2, 9.7, r"$dW_{ih}$ += $dz_t\,x_t^\top$", size=10, ha="left")
    pen.line([(join, 7.4), (join, 1)], COLOURS["x"], width=2.6)
    pen.words(join - 1, 2.6, "$dx_t$", size=13, ha="right")
    return pen.ax
