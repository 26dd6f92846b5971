"""The pen that all drawings share: boxes, round operations, arrows with rounded corners, words; one look for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.plot.colours import GREY, INK
from nblstm.plot.sheet import check_axes, has_layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

Point = tuple[float, float]
UNITS = 10  # of a drawing in an inch, where the drawing has its natural size
WIDEST = 10  # inches: a drawing that is wider by nature is drawn smaller
TITLE = 3  # height of the strip above a drawing for its title
FADED = 0.25  # share of its colour that a thing keeps out of the light


class Pen:
    """Draws on axes whose unit is a tenth of an inch; on smaller axes all of it, words and lines too, is smaller.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a figure of the natural size, or as wide as `WIDEST`, white and without frame.
    width, height : float
        Size of the drawing in tenths of an inch. The origin is at the lower left.
    title : str
        Stands above the drawing.

    Attributes
    ----------
    ax : matplotlib.axes.Axes
    strength : float
        Share of its colour that what is drawn from now on has, 0..1; the rest is white.
    """

    def __init__(self, ax: Axes | None, width: float, height: float, title: str) -> None:
        from matplotlib.patches import Rectangle

        if ax is None:
            from matplotlib import pyplot

            whole = height + TITLE
            inch = max(UNITS, width / WIDEST)
            sheet = pyplot.figure(figsize=(width / inch, whole / inch), layout="none", facecolor="white")
            ax = sheet.add_axes((0, 0, 1, height / whole))
        self.ax = check_axes(ax)
        self.strength = 1.0
        ax.set(xlim=(0, width), ylim=(0, height), aspect="equal", xticks=[], yticks=[], facecolor="white")
        ax.grid(False)
        ax.set_axis_off()
        figure: Any = ax.get_figure(root=True)
        if has_layout(ax):
            figure.draw_without_rendering()  # so that the layout has given the axes their place
        box = ax.get_position()
        inches = min(box.width * figure.get_figwidth() / width, box.height * figure.get_figheight() / height)
        self.scale = float(inches * UNITS)
        ax.add_patch(Rectangle((0, 0), width, height, facecolor="white", linewidth=0, zorder=0))
        ax.set_title(
            title, size=12 * self.scale, weight="bold", loc="left", color=INK, pad=4 * self.scale, x=1.5 / width
        )

    def words(
        self, x: float, y: float, words: str, size: float = 10.5, colour: str = INK, ha: str = "center",
        va: str = "center", bold: bool = False,
    ) -> None:  # fmt: skip
        """Text at a point, `size` in points at the natural size; mathematics between dollar signs."""
        self.ax.text(
            x, y, words, size=size * self.scale, color=self.mixed(colour), ha=ha, va=va, linespacing=1.25, zorder=6,
            weight="bold" if bold else "normal",
        )  # fmt: skip

    def box(
        self, x: float, y: float, width: float, height: float, colour: str, *, fill: str | None = None,
        rounding: float = 1.0, line: float = 1.6, dashes: Any = "-", zorder: float = 4,
    ) -> None:  # fmt: skip
        """A rounded box about the point (x, y), filled with a light tint of its edge's colour."""
        from matplotlib.patches import FancyBboxPatch

        corner, form = (x - width / 2, y - height / 2), f"round,pad=0,rounding_size={rounding}"
        fill = tint(colour) if fill is None else fill
        self._add(FancyBboxPatch(corner, width, height, boxstyle=form), fill, colour, line, zorder, linestyle=dashes)

    def wall(self, x: float, y: float, width: float, height: float) -> None:
        """The outline of a cell, behind all else."""
        self.box(x, y, width, height, GREY, fill="#f7f7f7", rounding=2, line=1.2, zorder=1)

    def block(self, left: float, low: float, width: float, height: float, colour: str, share: float = 0.45) -> None:
        """A part of a matrix: a rectangle in a tint of its colour."""
        from matplotlib.patches import Rectangle

        self._add(Rectangle((left, low), width, height), tint(colour, share), "white", 1, 4)

    def disc(
        self, x: float, y: float, radius: float = 1.5, colour: str = INK, words: str = "", size: float = 13
    ) -> None:
        """A circle for a number, or for an operation element by element: "×", "+"."""
        from matplotlib.patches import Circle

        self._add(Circle((x, y), radius), "white", colour, 1.6, 5)
        if words:
            self.words(x, y, words, size=size)

    def dot(self, x: float, y: float, colour: str = INK, radius: float = 0.4) -> None:
        """A point at which a line branches."""
        from matplotlib.patches import Circle

        self._add(Circle((x, y), radius), colour, colour, 0, 3)

    def line(
        self, points: Sequence[Point], colour: str = INK, *, width: float = 1.6, head: bool = True, dashes: Any = "-",
        bend: float = 1.2,
    ) -> None:  # fmt: skip
        """A line through the points with rounded corners, `width` in points, and a head at its end."""
        from matplotlib.patches import PathPatch, Polygon

        corners = np.array(points, float)
        if head:
            tip, step = corners[-1].copy(), corners[-1] - corners[-2]
            step *= (0.9 + 0.18 * width) / np.hypot(*step)
            side = np.array([-step[1], step[0]]) * 0.42
            self._add(Polygon([tip, tip - step + side, tip - step - side]), colour, colour, 0, 2)
            corners[-1] -= 0.85 * step
        path = PathPatch(rounded(corners, bend), capstyle="butt", gid="line")
        self._add(path, "none", colour, width, 2, linestyle=dashes)

    def mixed(self, colour: str) -> str:
        """`colour` as strong as things are at present."""
        return colour if colour == "none" else tint(colour, self.strength)

    def _add(self, patch: Patch, fill: str, edge: str, line: float, zorder: float, **more: Any) -> None:
        look = {"facecolor": self.mixed(fill), "edgecolor": self.mixed(edge), "linewidth": line * self.scale}
        patch.set(**look, **more, zorder=zorder - (self.strength < 1) * 0.5)
        self.ax.add_patch(patch)


def rounded(corners: np.ndarray, bend: float) -> Any:
    """A path along `corners` that rounds each inner one, at most half of the way to its neighbours."""
    from matplotlib.path import Path

    vertices, codes = [corners[0]], [Path.MOVETO]
    for before, corner, after in zip(corners[:-2], corners[1:-1], corners[2:], strict=True):
        for neighbour, code in ((before, Path.LINETO), (after, Path.CURVE3)):
            way = neighbour - corner
            length = np.hypot(*way)
            point = corner + way * min(bend / length, 0.5) if length else corner
            vertices += [point] if code == Path.LINETO else [corner, point]
            codes += [code] if code == Path.LINETO else [code, code]
    return Path([*vertices, corners[-1]], [*codes, Path.LINETO])


def tint(colour: str, share: float = 0.16) -> str:
    """`colour` mixed with white, of which 1 - `share`."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = (1 - share * (1 - part) for part in to_rgb(colour))
    return str(to_hex((red, green, blue)))
