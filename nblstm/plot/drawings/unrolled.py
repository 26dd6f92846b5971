"""A recurrent net unrolled in time: one cell, drawn once for each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nblstm.arguments import as_size
from nblstm.plot.colours import COLOURS, GREY, INK
from nblstm.plot.drawings.pen import Pen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDED, FIRST, PITCH = 9.0, 30.0, 13.0  # places of the folded cell and of the first step; least distance of two steps
MIDDLE, SIDE, TALL = 17.0, 8.0, 8.0  # height of the cells' middles, their width and height
WEIGHTS = {"rnn": r"$W_{ih}$, $W_{hh}$, $b$", "lstm": r"$W_{ih}$, $W_{hh}$, $b$ of all four gates"}


def draw_unrolled(
    steps: int = 4, *, cell: str = "rnn", truncate_after: int | None = None, ax: Axes | None = None
) -> Axes:
    r"""One cell that is used again at every step, folded on the left and unrolled in time on the right.

    Parameters
    ----------
    steps : int
        How many steps are drawn, T.
    cell : {"rnn", "lstm"}
        An LSTM passes on two states, c and h, an RNN h alone.
    truncate_after : int, optional
        The gradient that flows back is drawn too, and cut after this step, 1..T - 1: the value of the state goes on
        to the next step, its gradient does not come back.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default, wider for more than 4 steps.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        No steps, an unknown cell, or nothing behind the cut.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import draw_unrolled
    >>> ax = draw_unrolled(3, cell="lstm", ax=Figure().subplots())
    >>> sum(text.get_text() == "LSTM\ncell" for text in ax.texts)
    4
    """
    steps = as_size("steps", steps)
    if cell not in WEIGHTS:
        raise ValueError(f"cell must be 'rnn' or 'lstm', got {cell!r}")
    if truncate_after is not None and not 1 <= as_size("truncate_after", truncate_after) < steps:
        raise ValueError(f"truncate_after must be in 1..{steps - 1}, one less than steps, got {truncate_after}")
    end = FIRST + (steps - 1) * PITCH + SIDE / 2 + 6.5
    pen = Pen(ax, max(80.0, end + 2), 33, "One cell, used again at every step")
    _draw_folded(pen, cell)
    pen.words(18.8, MIDDLE, "=", size=20)
    _draw_weights(pen, cell, steps)
    for t in range(1, steps + 1):
        x = FIRST + (t - 1) * PITCH
        _draw_copy(pen, cell, x, f"{t}")
        _draw_states(pen, cell, x - PITCH + SIDE / 2 if t > 1 else x - SIDE / 2 - 5, x - SIDE / 2, f"{t - 1}")
    last = FIRST + (steps - 1) * PITCH + SIDE / 2
    _draw_states(pen, cell, last, last + 5, f"{steps}")
    if truncate_after is not None:
        _draw_gradient(pen, steps, truncate_after)
    return pen.ax


def _states(cell: str) -> list[tuple[str, float]]:
    """The states that the cell passes on, and their height above its middle."""
    return [("c", 2.2), ("h", -2.2)] if cell == "lstm" else [("h", 0.0)]


def _draw_copy(pen: Pen, cell: str, x: float, step: str, dashes: object = (0, (3, 1.5))) -> None:
    """The cell at one step, with its input and its output."""
    pen.box(x, MIDDLE, SIDE, TALL, INK, fill="#f7f7f7", rounding=1.2, dashes=dashes)
    pen.words(x, MIDDLE, f"{cell.upper()}\ncell", size=10)
    pen.line([(x, MIDDLE - TALL / 2 - 4.5), (x, MIDDLE - TALL / 2)], COLOURS["x"], width=2.4)
    pen.words(x, MIDDLE - TALL / 2 - 6, f"$x_{{{step}}}$", size=12)
    pen.line([(x + 2, MIDDLE + TALL / 2), (x + 2, MIDDLE + TALL / 2 + 4)], COLOURS["h"], width=2.4)
    pen.words(x + 3, MIDDLE + TALL / 2 + 2.4, f"$h_{{{step}}}$", size=12, ha="left")


def _draw_states(pen: Pen, cell: str, start: float, end: float, step: str) -> None:
    """The states on their way to the next step."""
    for letter, above in _states(cell):
        pen.line([(start, MIDDLE + above), (end, MIDDLE + above)], COLOURS[letter], width=4 if letter == "c" else 2.4)
        side = -1.7 if letter == "h" and cell == "lstm" else 1.8
        pen.words((start + end) / 2, MIDDLE + above + side, f"${letter}_{{{step}}}$", size=11)


def _draw_folded(pen: Pen, cell: str) -> None:
    """The one cell there is, with its state coming back to it."""
    _draw_copy(pen, cell, FOLDED, "t", dashes="-")
    low = MIDDLE - TALL / 2
    for letter, above in _states(cell):
        far = 3.4 if letter == "c" else 1.8
        pen.line(
            [
                (FOLDED + SIDE / 2, MIDDLE + above), (FOLDED + SIDE / 2 + far, MIDDLE + above),
                (FOLDED + SIDE / 2 + far, low - far), (FOLDED - SIDE / 2 - far, low - far),
                (FOLDED - SIDE / 2 - far, MIDDLE + above), (FOLDED - SIDE / 2, MIDDLE + above),
            ],
            COLOURS[letter], width=4 if letter == "c" else 2.4,
        )  # fmt: skip


def _draw_weights(pen: Pen, cell: str, steps: int) -> None:
    """The one set of weights, and a thread from it to every use."""
    first, last = FIRST - SIDE / 2, FIRST + (steps - 1) * PITCH + SIDE / 2
    y, middle = MIDDLE + TALL / 2 + 9, max((first + last) / 2, first + 17)
    pen.box(middle, y, max(last - first, 34), 3.6, GREY, rounding=1)
    pen.words(middle, y, f"the same weights at every step: {WEIGHTS[cell]}", size=9.5)
    for t in range(steps):
        x = FIRST + t * PITCH - 2
        pen.line([(x, y - 1.8), (x, MIDDLE + TALL / 2)], GREY, width=1, dashes=(0, (2, 2)), head=False)


def _draw_gradient(pen: Pen, steps: int, cut: int) -> None:
    """The gradient, flowing back below the cells until the cut."""
    y = 3.4
    last = FIRST + (steps - 1) * PITCH
    edge = FIRST + (cut - 1) * PITCH + PITCH / 2
    pen.line([(last + 4, y), (edge + 0.8, y)], INK, dashes=(0, (4, 2)))
    pen.line([(edge - 0.8, y), (FIRST - 4, y)], INK, dashes=(0, (4, 2)))
    pen.line([(edge, y - 2), (edge, y + 2)], INK, width=4, head=False)
    pen.words(edge, 0.6, "cut: the value goes on, the gradient does not come back", size=9.5)
