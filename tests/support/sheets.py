"""Checks of a finished picture by the extents that its renderer measures: all words on the sheet, none over another."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Circle, FancyBboxPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SLACK = 1.0  # pixels that a box may reach over another: extents include the air round letters


def _texts(ax: Axes) -> list[Text]:
    titles = [ax.title, ax._left_title, ax._right_title]
    names = [ax.xaxis.label, ax.yaxis.label] if ax.axison else []
    return [text for text in [*ax.texts, *titles, *names, *_tick_labels(ax)] if text.get_text() and text.get_visible()]


def _tick_labels(ax: Axes) -> list[Text]:
    """Those of ticks within the axes' limits: the others are not drawn."""
    inside = []
    for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
        low, high = sorted(axis.get_view_interval())
        inside += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return inside


def words_of(ax: Axes) -> list[str]:
    """All that is written on the axes."""
    return [text.get_text() for text in _texts(ax)]


def faults(ax: Axes) -> list[str]:
    """What is wrong: words off the sheet, words over words, lines and walls through words."""
    figure: Any = ax.figure
    FigureCanvasAgg(figure)  # which measures letters; nothing needs to be painted
    figure.draw_without_rendering()
    texts = _texts(ax)
    extents = {text: text.get_window_extent() for text in texts}
    sheet = figure.bbox.padded(SLACK)
    found = [
        f"{text.get_text()!r} leaves the sheet"
        for text, box in extents.items()
        if not (sheet.x0 <= box.x0 and box.x1 <= sheet.x1 and sheet.y0 <= box.y0 and box.y1 <= sheet.y1)
    ]
    inner = {text: box.padded(-SLACK) for text, box in extents.items()}
    found += [
        f"{texts[one].get_text()!r} lies over {texts[other].get_text()!r}"
        for one, other in _overlapping([inner[text] for text in texts])
    ]
    for patch in ax.patches:
        if patch.get_gid() == "line" or isinstance(patch, FancyBboxPatch):
            path = patch.get_transform().transform_path(patch.get_path())
            found += [
                f"{text.get_text()!r} is crossed by a {'line' if patch.get_gid() else 'wall'}"
                for text in ax.texts
                if path.intersects_bbox(inner[text], filled=False) and not _hidden(ax, patch, extents[text])
            ]
    return found


def _overlapping(boxes: list[Bbox]) -> list[tuple[int, int]]:
    """The pairs of boxes with a point in common, as `Bbox.intersection` finds them one by one."""
    corners = np.array([(box.xmin, box.ymin, box.xmax, box.ymax) for box in boxes]).reshape(-1, 4)
    low = np.maximum(corners[:, None, :2], corners[None, :, :2])
    high = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    return np.argwhere(np.triu((low <= high).all(axis=2), k=1)).tolist()


def _hidden(ax: Axes, patch: Any, box: Bbox) -> bool:
    """Whether a disc or a box above `patch` is the ground of what is written in `box`."""
    middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    return any(
        isinstance(ground, Circle | FancyBboxPatch)
        and ground.get_zorder() > patch.get_zorder()
        and ground.contains_point(middle)
        for ground in ax.patches
    )


def assert_tidy(ax: Axes) -> None:
    """No faults."""
    found = faults(ax)
    assert not found, "; ".join(found)


def contrast(one: Any, other: Any) -> float:
    """The contrast of two colours by the Web Content Accessibility Guidelines: 3 is enough for large letters."""

    def luminance(colour: Any) -> float:
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
