"""What a net's units do while it reads, and what moved its prediction: colours over the characters of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.arguments import as_flag, as_size, as_text
from nblstm.plot.colours import INK, VERMILION
from nblstm.plot.sheet import NAMES, as_numbers, axes_or_new, ink_on, letter_of, scale_of, sequential, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def gates_over_text(
    text: str,
    gates: ArrayLike,
    *,
    name: str,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One gate, or state, of every unit at every character: time to the right, a row for each unit.

    Gates lie in 0..1 and are drawn from white to the gate's own colour; candidate and states have a sign and
    are drawn in blue below zero, white at zero, red above it.

    Parameters
    ----------
    text : str
        What the net read, T characters; up to about 80 are readable. A space shows as a middle dot.
    gates : array, shape (T, units)
        The values, one row for each character; NaN leaves a white cell.
    name : str
        A letter, "i", "f", "g", "o", "c" or "h", of a GRU "r", "z" or "n", or words, such as "forget gate, layer 1";
        which of them it is decides about the colours.
    title : str, optional
        In place of the one that is made from `name`.
    limits : pair of float, optional
        Ends of the colour scale. By default 0 and 1 for gates, -1 and 1 for the others, further out if a value is.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        An empty text, gates of another shape than (T, units), or limits the wrong way round.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import gates_over_text
    >>> ax = gates_over_text("a b", np.full((3, 5), 0.9), name="f", ax=Figure().subplots())
    >>> ax.get_title(), [label.get_text() for label in ax.get_xticklabels()]
    ('forget gate f at every character', ['a', '·', 'b'])
    """
    _check_text(text)
    values = as_numbers("gates", gates)
    if values.ndim != 2 or len(values) != len(text) or not values.size:
        raise ValueError(
            f"gates must have shape ({len(text)}, units), a row for each of the {len(text)} characters of text, "
            f"got {values.shape}"
        )
    from matplotlib.ticker import MaxNLocator

    letter = letter_of(as_text("name", name))
    full = NAMES.get(name, name)
    colours, (low, high) = scale_of(values, letter, limits)
    ax = axes_or_new(ax)
    image = ax.imshow(values.T, aspect="auto", interpolation="none", cmap=colours, vmin=low, vmax=high)
    if values.shape[1] <= 40:
        _part_rows(ax, values.shape[1], width=1)
    size = float(np.clip(_width_in_points(ax) / len(text) * 1.4, 3, 11))
    ax.set_xticks(range(len(text)), visible(text), family="monospace", size=size)
    ax.tick_params(axis="x", length=0, pad=3)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(False)
    ax.set(xlabel="character read", ylabel="unit", title=f"{full} at every character" if title is None else title)
    ax.spines[["top", "right"]].set_visible(True)
    ax.figure.colorbar(image, ax=ax, label=full, pad=0.015)
    return ax


def activation_over_text(
    text: str,
    values: ArrayLike,
    *,
    title: str,
    width: int = 60,
    limits: tuple[float, float] | None = None,
    label: str = "value of the unit",
    ax: Axes | None = None,
) -> Axes:
    """A text to be read, each character on the colour of one unit's value when the net had just read it.

    Parameters
    ----------
    text : str
        What the net read, T characters. A space shows as a middle dot, a line feed as an arrow that ends the row.
    values : array, shape (T,)
        One number for each character; NaN leaves a white cell.
    title : str
        Says which unit of which net it is.
    width : int
        Characters in a row.
    limits : pair of float, optional
        Ends of the colour scale. By default 0 and 1 if no value is outside them, else -1 and 1, or further out if a
        value is.
    label : str
        At the colour bar.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure, as high as the text asks for, by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        An empty text, values of another shape than (T,), a width below 1, or limits the wrong way round.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import activation_over_text
    >>> ax = activation_over_text("to be", [0.1, 0.9, 0.5, 1, 0], title="unit 3", width=3, ax=Figure().subplots())
    >>> [character.get_text() for character in ax.texts]
    ['t', 'o', '·', 'b', 'e']
    """
    _check_text(text)
    values, width = as_numbers("values", values), as_size("width", width)
    if values.shape != (len(text),):
        raise ValueError(
            f"values must have shape ({len(text)},), one for each of the {len(text)} characters of text, "
            f"got {values.shape}"
        )
    colours, (low, high) = scale_of(values, None, limits)
    ax, _ = _draw_text(text, values, width, ax, title, label, cmap=colours, vmin=low, vmax=high)
    return ax


def saliency_over_text(
    text: str,
    saliency: ArrayLike,
    *,
    predicted: str = "",
    title: str = "How much each character moves the prediction",
    width: int = 60,
    log: bool = False,
    label: str = "|d logit / d input|",
    ax: Axes | None = None,
) -> Axes:
    """A text to be read, each character on a ground that is the stronger the more it moved one prediction.

    Parameters
    ----------
    text : str
        What the net read before it predicted, T characters. A space shows as a middle dot, a line feed as an arrow that
        ends the row.
    saliency : array, shape (T,)
        One number of at least 0 for each character, such as the norm of the gradient of one logit by the character's
        input; NaN leaves a white cell.
    predicted : str
        The character whose logit it was; it follows the text in a frame. None by default.
    title : str
        In place of the general one.
    width : int
        Characters in a row.
    log : bool
        Whether the colours are logarithmic, from a thousandth of the largest value to the largest. What lies below is
        white.
    label : str
        At the colour bar.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure, as high as the text asks for, by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        An empty text, saliency of another shape than (T,) or below 0, more than one character predicted, or a width
        below 1.

    References
    ----------
    Simonyan, Vedaldi & Zisserman (2014), Deep inside convolutional networks: visualising image classification models
    and saliency maps.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import saliency_over_text
    >>> ax = saliency_over_text("to b", [0.1, 0.2, 0.5, 2], predicted="e", ax=Figure().subplots())
    >>> [character.get_text() for character in ax.texts]
    ['t', 'o', '·', 'b', 'e']
    """
    _check_text(text)
    values, width, log = as_numbers("saliency", saliency), as_size("width", width), as_flag("log", log)
    if values.shape != (len(text),):
        raise ValueError(
            f"saliency must have shape ({len(text)},), one for each of the {len(text)} characters of text, "
            f"got {values.shape}"
        )
    if (values < 0).any():
        raise ValueError(f"saliency must be 0 or more, got {np.nanmin(values):g}; take absolute values or a norm")
    if not isinstance(predicted, str) or len(predicted) > 1:
        raise ValueError(f"predicted must be one character, got {predicted!r}")
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.patches import Rectangle

    most = float(values[np.isfinite(values)].max(initial=0)) or 1.0
    norm = LogNorm(most / 1000, most, clip=True) if log else Normalize(0, most)
    shown = np.append(np.maximum(values, most / 1000) if log else values, [np.nan] * len(predicted))
    ax, places = _draw_text(text + predicted, shown, width, ax, title, label, cmap=sequential(VERMILION), norm=norm)
    if predicted:
        row, column = places[-1]
        frame = Rectangle((column - 0.45, row - 0.42), 0.9, 0.84, fill=False, edgecolor=INK, linewidth=1.2)
        frame.set_clip_on(False)
        ax.add_patch(frame)
    return ax


def _check_text(text: str) -> None:
    """`text` is one, of at least a character."""
    if not isinstance(text, str) or not text:
        raise ValueError(f"text must be a string of at least one character, got {text!r}")


def _draw_text(
    text: str, values: np.ndarray, width: int, ax: Axes | None, title: str, label: str, **scale: Any
) -> tuple[Axes, list[tuple[int, int]]]:
    """Each character on the colour of its value; `scale` goes to imshow. Also every character's row and column."""
    places = _places(text, width)
    rows = places[-1][0] + 1
    width = min(width, max(column for _, column in places) + 1)
    ax = axes_or_new(ax, 8, 0.75 + 0.27 * max(rows, 3))
    grid = np.full((rows, width), np.nan)
    grid[tuple(np.transpose(places))] = values
    image = ax.imshow(grid, aspect="auto", interpolation="none", **scale)
    _part_rows(ax, rows, width=4)
    size = float(np.clip(_width_in_points(ax) / width * 1.45, 3, 12))
    grounds = image.to_rgba(np.ma.masked_invalid(values))
    for character, (row, column), ground in zip(visible(text), places, grounds, strict=True):
        ink = ink_on(ground)
        ax.text(column, row, character, color=ink, family="monospace", size=size, ha="center", va="center_baseline")
    ax.set(xticks=[], yticks=[], title=title)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.015)
    return ax, places


def _places(text: str, width: int) -> list[tuple[int, int]]:
    """Row and column of every character, with a new row after `width` of them and after a line feed."""
    places, row, column = [], 0, 0
    for character in text:
        if column == width:
            row, column = row + 1, 0
        places.append((row, column))
        row, column = (row + 1, 0) if character == "\n" else (row, column + 1)
    return places


def _part_rows(ax: Axes, rows: int, width: float) -> None:
    """White lines between the rows of an image."""
    for row in range(1, rows):
        ax.axhline(row - 0.5, color="white", linewidth=width)


def _width_in_points(ax: Axes) -> float:
    return float(ax.get_position().width * ax.figure.get_figwidth() * 72)  # type: ignore[union-attr]
