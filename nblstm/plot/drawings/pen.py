"""The pen that all drawings share: boxes, round operations, arrows with rounded corners, words; one look for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.plot.colours import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch
    from matplotlib.text import Text

Point = tuple[float, float]
UNITS = 10  # of a drawing in an inch, where the drawing has its natural size
TITLE = 3  # height of the strip above a drawing for its title
FADED = 0.22  # opacity of what is not in the light


class Pen:
    """Draws on axes whose unit is a tenth of an inch; on smaller axes all of it, words and lines too, is smaller.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a figure of the natural size, white and without frame.
    width, height : float
        Size of the drawing in tenths of an inch. The origin is at the lower left.
    title : str
        Stands above the drawing.

    Attributes
    ----------
    ax : matplotlib.axes.Axes
    opacity : float
        Of what is drawn from now on, 0..1.
    """

    def __init__(self, ax: Axes | None, width: float, height: float, title: str = "") -> None:
        if ax is None:
            from matplotlib import pyplot

            whole = height + TITLE * bool(title)
            sheet = pyplot.figure(figsize=(width / UNITS, whole / UNITS), layout="none", facecolor="white")
            ax = sheet.add_axes((0, 0, 1, height / whole))
        self.ax = ax
        self.opacity = 1.0
        ax.set(xlim=(0, width), ylim=(0, height), aspect="equal", xticks=[], yticks=[], facecolor="white")
        ax.grid(False)
        ax.set_axis_off()
        figure: Any = ax.get_figure(root=True)
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()  # so that the layout has given the axes their place
        box = ax.get_position()
        inches = min(box.width * figure.get_figwidth() / width, box.height * figure.get_figheight() / height)
        self.scale = float(inches * UNITS)
        ax.set_title(title, size=12 * self.scale, weight="bold", loc="left", color=INK, pad=4 * self.scale)

    def words(
        self, x: float, y: float, words: str, size: float = 10.5, colour: str = INK, ha: str = "center",
        va: str = "center", bold: bool = False, **more: Any,
    ) -> Text:  # fmt: skip
        """Text at a point, `size` in points at the natural size; mathematics between dollar signs."""
        return self.ax.text(
            x, y, words, size=size * self.scale, color=colour, ha=ha, va=va, weight="bold" if bold else "normal",
            alpha=self.opacity, linespacing=1.25, zorder=5, **more,
        )  # fmt: skip

    def box(
        self, x: float, y: float, width: float, height: float, colour: str, *, fill: str | None = None,
        rounding: float = 1.0, line: float = 1.6, dashes: Any = "-", zorder: float = 3,
    ) -> Patch:  # fmt: skip
        """A rounded box about the point (x, y), filled with a light tint of its edge's colour."""
        from matplotlib.patches import FancyBboxPatch

        patch = FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height, boxstyle=f"round,pad=0,rounding_size={rounding}",
            facecolor=tint(colour) if fill is None else fill, edgecolor=colour, linewidth=line * self.scale,
            linestyle=dashes, alpha=self.opacity, zorder=zorder,
        )  # fmt: skip
        self.ax.add_patch(patch)
        return patch

    def operation(self, x: float, y: float, sign: str, colour: str = INK, radius: float = 1.5) -> None:
        """A circle with the sign of an element-wise operation: "×", "+"."""
        from matplotlib.patches import Circle

        self.ax.add_patch(
            Circle(
                (x, y), radius, facecolor="white", edgecolor=colour, linewidth=1.6 * self.scale, alpha=self.opacity,
                zorder=4,
            )
        )  # fmt: skip
        self.words(x, y, sign, size=13, va="center_baseline" if sign not in "×+" else "center")

    def line(
        self, points: Sequence[Point], colour: str = INK, *, width: float = 1.6, head: bool = True, dashes: Any = "-",
        bend: float = 1.2, zorder: float = 2,
    ) -> None:  # fmt: skip
        """A line through the points with rounded corners, `width` in points, and a head at its end."""
        from matplotlib.patches import PathPatch, Polygon

        corners = np.asarray(points, float)
        step = (corners[-1] - corners[-2]) / np.hypot(*(corners[-1] - corners[-2]))
        length = 0.9 + 0.18 * width
        if head:
            tip, side = corners[-1].copy(), np.array([-step[1], step[0]]) * (0.42 * length)
            corners[-1] = tip - step * length
            wings = [tip, corners[-1] + side, corners[-1] - side]
            self.ax.add_patch(Polygon(wings, closed=True, color=colour, linewidth=0, alpha=self.opacity, zorder=zorder))
            corners[-1] += 0.15 * step * length
        patch = PathPatch(
            rounded(corners, bend), facecolor="none", edgecolor=colour, linewidth=width * self.scale, linestyle=dashes,
            alpha=self.opacity, zorder=zorder, capstyle="butt", gid="line",
        )  # fmt: skip
        self.ax.add_patch(patch)

    def disc(self, x: float, y: float, radius: float, colour: str) -> None:
        """A circle for a number: an input, a weight, a sum."""
        from matplotlib.patches import Circle

        self.ax.add_patch(
            Circle((x, y), radius, facecolor="white", edgecolor=colour, linewidth=1.6 * self.scale, zorder=4)
        )

    def dot(self, x: float, y: float, colour: str = INK, radius: float = 0.4) -> None:
        """A point at which a line branches."""
        from matplotlib.patches import Circle

        self.ax.add_patch(Circle((x, y), radius, color=colour, linewidth=0, alpha=self.opacity, zorder=3))


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
