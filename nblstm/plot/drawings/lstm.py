"""The LSTM cell, built up in four stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nblstm.arguments import as_size, as_text
from nblstm.plot.colours import COLOURS, GREY, INK
from nblstm.plot.drawings.pen import FADED, Pen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Where things are, in tenths of an inch; `backward` draws at the same places.
WIDTH, HEIGHT = 80, 35.5
LEFT, RIGHT, FLOOR, CEILING = 9, 72, 5.5, 33.5  # the cell's wall
CONVEYOR, BUS, GATES = 28.5, 9.5, 15.0  # heights of c, of h and x, and of the gates' middles
PLACES = {"f": 21.0, "i": 33.5, "g": 46.0, "o": 58.5}
WIDE, TALL = 11.0, 5.4  # a gate's box
JOIN, NEW, OUT = 14.0, 39.75, 67.0  # where x joins h; where i meets g; where o meets tanh(c)
MEET, SHOW = 22.8, 19.8  # heights at which i meets g, and o meets tanh(c)

WORDS = {"f": "forget gate", "i": "input gate", "g": "candidate", "o": "output gate"}
TITLES = {
    1: "1. The conveyor: the forget gate says how much of the old cell state stays",
    2: "2. Something new: the candidate, as far as the input gate lets it in, is added",
    3: "3. What is shown: the cell state, as far as the output gate lets it out",
    4: "One step of an LSTM cell",
}
EQUATIONS = {
    1: r"$c_t = f_t \odot c_{t-1}$",
    2: r"$c_t = f_t \odot c_{t-1} + i_t \odot g_t$",
    3: r"$h_t = o_t \odot \tanh(c_t)$",
    4: r"$c_t = f_t \odot c_{t-1} + i_t \odot g_t$          $h_t = o_t \odot \tanh(c_t)$",
}
PARTS = {1: "cfh", 2: "cfigh", 3: "cfigoh", 4: "cfigoh"}


def draw_lstm(stage: int = 4, *, highlight: str | None = None, ax: Axes | None = None) -> Axes:
    r"""One step of an LSTM cell as a picture that is built up in four stages, all at the same places.

    The cell state c runs along the top; the hidden state h comes in below, x from beneath, and both go to every gate.
    Circles are operations element by element.

    Parameters
    ----------
    stage : int
        1: the conveyor c and the forget gate. 2: with input gate and candidate. 3: with output gate and the new h.
        4: all, with shapes for B sequences, I inputs, H units.
    highlight : {"i", "f", "g", "o", "c", "h"}, optional
        What stays in full colour while the rest fades.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        A stage outside 1..4, or a highlight that the stage does not have.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import draw_lstm
    >>> ax = draw_lstm(1, ax=Figure(figsize=(8, 4)).subplots())
    >>> [text.get_text() for text in ax.texts if "gate" in text.get_text()]
    ['forget gate']
    """
    stage = as_size("stage", stage)
    if stage not in TITLES:
        raise ValueError(f"stage must be 1, 2, 3 or 4, got {stage}")
    if highlight is not None and as_text("highlight", highlight) not in list(PARTS[stage]):
        raise ValueError(f"highlight must be one of {', '.join(PARTS[stage])} at stage {stage}, got {highlight!r}")
    pen = LSTMPen(ax, stage, highlight)
    pen.frame()
    pen.conveyor()
    pen.bus()
    pen.forget()
    if stage >= 2:
        pen.renew()
    if stage >= 3:
        pen.show()
    if stage == 4:
        pen.shapes()
    return pen.ax


class LSTMPen(Pen):
    """A pen that knows the parts of the cell, and fades those that are not in the light."""

    def __init__(self, ax: Axes | None, stage: int, highlight: str | None) -> None:
        super().__init__(ax, WIDTH, HEIGHT, TITLES[stage])
        self.stage, self.highlight = stage, highlight

    def light(self, parts: str) -> None:
        """What is drawn next belongs to these parts."""
        self.strength = 1.0 if self.highlight is None or self.highlight in parts else FADED

    def frame(self) -> None:
        """The cell's wall, and the equation of the stage."""
        self.wall((LEFT + RIGHT) / 2, (FLOOR + CEILING) / 2, RIGHT - LEFT, CEILING - FLOOR)
        self.words(RIGHT - 0.5, 2.6, EQUATIONS[self.stage], size=12, ha="right")

    def conveyor(self) -> None:
        """The cell state, from the step before to the step after."""
        self.light("c")
        self.line([(2, CONVEYOR), (78, CONVEYOR)], COLOURS["c"], width=5)
        self.words(5, CONVEYOR + 2.2, "$c_{t-1}$", size=13)
        self.words(76, CONVEYOR + 2.2, "$c_t$", size=13)
        self.words(LEFT + 2, CONVEYOR + 2.6, "cell state", size=9.5, ha="left")

    def bus(self) -> None:
        """Hidden state and input, on their way to the gates."""
        last = PLACES[PARTS[self.stage].strip("ch")[-1]]
        self.light("h")
        self.line([(2, BUS), (JOIN, BUS)], COLOURS["h"], width=2.6, head=False)
        self.words(5, BUS + 1.9, "$h_{t-1}$", size=13)
        self.light("")
        self.line([(JOIN, 1), (JOIN, BUS)], COLOURS["x"], width=2.6, head=False)
        self.words(JOIN - 1, 2.6, "$x_t$", size=13, ha="right")
        self.line([(JOIN, BUS), (last - 1.2, BUS)], INK, head=False)
        self.dot(JOIN, BUS, radius=0.6)
        self.words(JOIN + 1, BUS - 1.9, "$[h_{t-1}, x_t]$", size=10, ha="left")

    def gate(self, letter: str, activation: str, span: str) -> None:
        """A gate's box, fed from the bus."""
        x, last = PLACES[letter], PARTS[self.stage].strip("ch")[-1] == letter
        self.light(letter)
        start = [(x - 3, BUS), (x, BUS)] if last else [(x, BUS)]
        self.line([*start, (x, GATES - TALL / 2)], INK)
        if not last:
            self.dot(x, BUS)
        self.box(x, GATES, WIDE, TALL, COLOURS[letter], line=2)
        self.words(x, GATES + 1.2, WORDS[letter], size=9.5, bold=True)
        self.words(x, GATES - 1.2, f"{activation}: {span}", size=9.5)

    def forget(self) -> None:
        """What stays of c."""
        self.gate("f", "σ", "0 to 1")
        self.line([(PLACES["f"], GATES + TALL / 2), (PLACES["f"], CONVEYOR - 1.5)], COLOURS["f"], width=2.2)
        self.words(PLACES["f"] + 0.9, MEET, "$f_t$", size=12, ha="left")
        self.light("fc")
        self.disc(PLACES["f"], CONVEYOR, colour=COLOURS["f"], words="×")

    def renew(self) -> None:
        """What is added to c."""
        self.gate("i", "σ", "0 to 1")
        self.line([(PLACES["i"], GATES + TALL / 2), (PLACES["i"], MEET), (NEW - 1.5, MEET)], COLOURS["i"], width=2.2)
        self.words(PLACES["i"] - 0.9, 20.4, "$i_t$", size=12, ha="right")
        self.gate("g", "tanh", "−1 to 1")
        self.line([(PLACES["g"], GATES + TALL / 2), (PLACES["g"], MEET), (NEW + 1.5, MEET)], COLOURS["g"], width=2.2)
        self.words(PLACES["g"] + 0.9, 20.4, "$g_t$", size=12, ha="left")
        self.light("igc")
        self.line([(NEW, MEET + 1.5), (NEW, CONVEYOR - 1.5)], COLOURS["c"], width=2.2)
        self.disc(NEW, MEET, colour=COLOURS["i"], words="×")
        self.disc(NEW, CONVEYOR, colour=COLOURS["c"], words="+")

    def show(self) -> None:
        """What leaves the cell as h."""
        self.gate("o", "σ", "0 to 1")
        self.line([(PLACES["o"], GATES + TALL / 2), (PLACES["o"], SHOW), (OUT - 1.5, SHOW)], COLOURS["o"], width=2.2)
        self.words(PLACES["o"] - 0.9, SHOW + 0.2, "$o_t$", size=12, ha="right")
        self.light("ch")
        self.line([(OUT, CONVEYOR), (OUT, 26)], COLOURS["c"], width=2.2)
        self.box(OUT, 24.6, 6, 2.8, COLOURS["c"])
        self.words(OUT, 24.6, "tanh", size=9.5)
        self.line([(OUT, 23.2), (OUT, SHOW + 1.5)], COLOURS["c"], width=2.2)
        self.light("h")
        self.line([(OUT, SHOW), (OUT, BUS), (78, BUS)], COLOURS["h"], width=2.6)
        self.line([(75.5, BUS), (75.5, 16.5)], COLOURS["h"], width=2.6)
        self.dot(75.5, BUS, COLOURS["h"], 0.5)
        self.words(75.8, 18, "output", size=9.5)
        self.words(77.8, BUS + 2.2, "$h_t$", size=13)
        self.light("oh")
        self.disc(OUT, SHOW, colour=COLOURS["o"], words="×")

    def shapes(self) -> None:
        """The shapes of what comes in and goes out."""
        for part, x, y, ha in (
            ("c", 5, CONVEYOR - 2, "center"), ("c", 76, CONVEYOR - 2, "center"), ("h", 5, BUS - 1.7, "center"),
            ("h", 76, BUS - 1.7, "center"), ("", JOIN + 1, 2.6, "left"),
        ):  # fmt: skip
            self.light(part)
            self.words(x, y, "(B, H)" if part else "(B, I)", size=9, colour=GREY, ha=ha)
