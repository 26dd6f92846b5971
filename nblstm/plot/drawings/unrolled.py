"""A recurrent net unrolled in time: one cell, drawn once for each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nblstm.arguments import as_choice, as_flag, as_size
from nblstm.plot.colours import COLOURS, GREY, INK
from nblstm.plot.drawings.pen import Pen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDED, FIRST, PITCH = 9.5, 34.0, 12.5  # places of the folded cell and of the first step; distance of two steps
MIDDLE, SIDE, TALL, GAP = 17.5, 8.0, 8.0, 4.5  # height of the cells' middles; a cell's extents; states before the first
LEFT, APART, BESIDE = 16.0, 15.5, 2.75  # both directions: place of the first step; of two steps; cells from the middle
LOW, HIGH, JOINED = 16.5, 28.5, 37.5  # heights of the forward cells, of the backward cells, of the outputs
WEIGHTS = {"rnn": r"$W_{ih}$, $W_{hh}$, $b$", "lstm": "$W_{ih}$, $W_{hh}$, $b$ of all gates"}


def draw_unrolled(
    steps: int = 4, *, cell: str = "rnn", truncate_after: int | None = None, bidirectional: bool = False,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
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
    bidirectional : bool
        Unrolled only: a second cell reads from the last step to the first, and y joins the two by position.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default, as wide as the number of steps asks for.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        No steps, an unknown cell, nothing behind the cut, or a cut in two directions.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import draw_unrolled
    >>> ax = draw_unrolled(3, cell="lstm", ax=Figure().subplots())
    >>> sum(text.get_text() == "LSTM\ncell" for text in ax.texts)
    4
    """
    steps, cell = as_size("steps", steps), as_choice("cell", cell, WEIGHTS)
    if truncate_after is not None and not 1 <= as_size("truncate_after", truncate_after) < steps:
        raise ValueError(f"truncate_after must be in 1..{steps - 1}, one less than steps, got {truncate_after}")
    if as_flag("bidirectional", bidirectional):
        if truncate_after is not None:
            raise ValueError("truncate_after is for one direction, not for bidirectional=True")
        return _draw_both(steps, cell, ax)
    pen = Pen(
        ax, max(81.0, FIRST + (steps - 1) * PITCH + SIDE / 2 + GAP + 1.5), 33, "One cell, used again at every step"
    )
    _draw_folded(pen, cell)
    pen.words(23.5, MIDDLE, "=", size=20)
    _draw_weights(pen, cell, steps)
    for t in range(steps + 1):
        x = FIRST + t * PITCH - SIDE / 2  # where step t + 1 begins
        if t < steps:
            _draw_cell(pen, cell, x + SIDE / 2, str(t + 1))
        start, end = x - (PITCH - SIDE if t else GAP), x if t < steps else x - PITCH + SIDE + GAP
        _draw_states(pen, cell, start, end, str(t))
        if truncate_after is not None and 0 < t < steps:
            _draw_gradient(pen, cell, start, end, cut=t == truncate_after)
    pen.words(FOLDED, 3.6, "the cell", size=9.5)
    left = FIRST - SIDE / 2
    pen.words(left, 3.6, f"the same cell, drawn once for each step, T = {steps}", size=9.5, ha="left")
    if truncate_after is not None:
        note = f"the gradient (dashed) is cut after step {truncate_after}; the value goes on"
        pen.words(left, 1.3, note, size=9.5, ha="left")
    return pen.ax


def _draw_both(steps: int, cell: str, ax: Axes | None) -> Axes:
    """Two cells over one sequence, a row each; at every position their hidden states go side by side into y."""
    rows = [(-BESIDE, LOW, "forward", "right"), (BESIDE, HIGH, "backward", "left")]
    pen = Pen(ax, max(81.0, LEFT + (steps - 1) * APART + 18), 45, "Two directions over one sequence")
    for step in range(1, steps + 1):
        x = LEFT + (step - 1) * APART
        pen.words(x, 5.5, f"$x_{{{step}}}$", size=12)
        pen.words(x, JOINED + 3.4, f"$y_{{{step}}}$", size=12)
        for side, middle, name, arrow in rows:
            pen.line([(x, 7), (x, 9), (x + side, 9), (x + side, middle - TALL / 2)], COLOURS["x"], width=2.4)
            pen.line([(x + side, middle + TALL / 2), (x + side, JOINED - 1.8)], COLOURS["h"], width=2.4)
            pen.box(x + side, middle, SIDE, TALL, INK, fill="#f7f7f7", rounding=1.2, dashes=(0, (3, 1.5)))
            pen.words(x + side, middle, f"{cell.upper()}\n{name}", size=9)
            pen.box(x + side, JOINED, 2 * BESIDE, 3.6, COLOURS["h"], rounding=0.3)
            pen.words(x + side, JOINED, rf"$\over{arrow}arrow{{h}}_{{{step}}}$", size=11)
    for letter, above, width in _states(cell):
        for t in range(steps + 1):  # the gap behind step t
            for side, middle, *_ in rows:
                start, end = (LEFT + (t - 1 + k) * APART + side + (0.5 - k) * SIDE for k in (0, 1))
                start, end = end - 5 if t == 0 else start, start + 5 if t == steps else end
                way = [(start, middle + above), (end, middle + above)]
                pen.line(way if side < 0 else way[::-1], COLOURS[letter], width=width)
        for k, x, y, ha in ((0, LEFT + (steps - 1) * APART + 7, LOW, "left"), (1, LEFT - 7, HIGH, "right")):
            pen.words(x, y + above, f"{letter}_n[{k}]", size=9.5, ha=ha)
    note = "two cells with weights of their own; y joins their hidden states position by position"
    pen.words(2, 1.8, note, size=9.5, ha="left")
    return pen.ax


def _states(cell: str) -> list[tuple[str, float, float]]:
    """The states that the cell passes on, their height above its middle and their thickness."""
    return [("c", 2.5, 4.0), ("h", -2.5, 2.4)] if cell == "lstm" else [("h", 0.0, 2.4)]


def _draw_cell(pen: Pen, cell: str, x: float, step: str) -> None:
    """The cell at one step, with its input and its output; dashed, as it is the one cell again."""
    pen.box(x, MIDDLE, SIDE, TALL, INK, fill="#f7f7f7", rounding=1.2, dashes="-" if step == "t" else (0, (3, 1.5)))
    pen.words(x, MIDDLE, f"{cell.upper()}\ncell", size=10)
    pen.line([(x, MIDDLE - TALL / 2 - 5), (x, MIDDLE - TALL / 2)], COLOURS["x"], width=2.4)
    pen.words(x, MIDDLE - TALL / 2 - 6.5, f"$x_{{{step}}}$", size=12)
    if step != "t":
        pen.line([(x + 2, MIDDLE + TALL / 2), (x + 2, MIDDLE + TALL / 2 + 4.2)], COLOURS["h"], width=2.4)
        pen.words(x + 3, MIDDLE + TALL / 2 + 2.2, f"$h_{{{step}}}$", size=12, ha="left")


def _draw_states(pen: Pen, cell: str, start: float, end: float, step: str) -> None:
    """The states on their way to the next step."""
    for letter, above, width in _states(cell):
        pen.line([(start, MIDDLE + above), (end, MIDDLE + above)], COLOURS[letter], width=width)
        side = -2 if above < 0 else 2
        pen.words((start + end) / 2, MIDDLE + above + side, f"${letter}_{{{step}}}$", size=11)


def _draw_folded(pen: Pen, cell: str) -> None:
    """The one cell there is, with its states coming back to it."""
    _draw_cell(pen, cell, FOLDED, "t")
    left, right, top = FOLDED - SIDE / 2, FOLDED + SIDE / 2, MIDDLE + TALL / 2
    for letter, above, width in _states(cell):
        far, y = 2.6 if letter == "c" else 4.4, MIDDLE + above
        back = [(right + far, y), (right + far, top + far), (left - far, top + far), (left - far, y), (left, y)]
        pen.line([(right, y), *back] if letter == "c" else back, COLOURS[letter], width=width)
    pen.line([(right, y), (right + 8, y)], COLOURS["h"], width=2.4)
    pen.dot(right + far, y, COLOURS["h"], 0.5)
    pen.words(right + 6.6, y + 2, "$h_t$", size=12)
    pen.words(FOLDED, top + far + 1.8, "back at the next step", size=9.5)


def _draw_weights(pen: Pen, cell: str, steps: int) -> None:
    """The one set of weights, and a thread from it to every use."""
    left, wide = FIRST - SIDE / 2, max((steps - 1) * PITCH + SIDE, 45 if cell == "lstm" else 36)
    y = MIDDLE + TALL / 2 + 9
    pen.box(left + wide / 2, y, wide, 3.6, GREY)
    pen.words(left + wide / 2, y, f"the same weights at every step: {WEIGHTS[cell]}", size=9.5)
    for t in range(steps):
        x = FIRST + t * PITCH - 2
        pen.line([(x, y - 1.8), (x, MIDDLE + TALL / 2)], GREY, width=1, dashes=(0, (2, 2)), head=False)


def _draw_gradient(pen: Pen, cell: str, start: float, end: float, cut: bool) -> None:
    """The gradient on its way from one step to the one before, or stopped by a bar."""
    y, middle = MIDDLE - (0 if cell == "lstm" else 2.5), (start + end) / 2
    pen.line([(end, y), (middle + 0.4 if cut else start, y)], INK, dashes=(0, (3, 1.5)))
    if cut:
        pen.line([(middle, y - 1.4), (middle, y + 1.4)], INK, width=4, head=False)
