"""What every picture needs: axes to draw on, names and colours of the gates and states, colour scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.arguments import as_float, check_kind
from nblstm.plot.colours import COLOURS, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from numpy.typing import ArrayLike

#: What a letter stands for.
NAMES = {
    "i": "input gate i",
    "f": "forget gate f",
    "g": "candidate g",
    "o": "output gate o",
    "c": "cell state c",
    "h": "hidden state h",
    "r": "reset gate r",
    "z": "update gate z",
    "n": "candidate n",
}


def axes_or_new(ax: Axes | None, width: float = 8, height: float = 4) -> Axes:
    """`ax`, or the axes of a new figure of so many inches on a white sheet."""
    if ax is not None:
        return check_axes(ax)
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained", facecolor="white")[1]


def check_axes(ax: Axes) -> Axes:
    """`ax`, which must be axes of Matplotlib's."""
    from matplotlib.axes import Axes

    check_kind("ax", ax, Axes)
    return ax


def has_layout(ax: Axes) -> bool:
    """Whether the figure moves its axes so that all words beside them find room."""
    figure: Any = ax.get_figure(root=True)
    return figure.get_layout_engine() is not None


def letter_of(name: str) -> str | None:
    """The letter in `NAMES` that `name` is, or whose word it holds: "f", "forget gate", "forget gate, layer 2"."""
    if name in NAMES:
        return name
    words = name.lower()
    return next((letter for letter, full in NAMES.items() if full.split()[0] in words), None)


def as_numbers(name: str, values: ArrayLike) -> np.ndarray:
    """`values`, anything like an array of numbers, as float64; what is masked is NaN."""
    try:
        array = np.asanyarray(values)
        if array.dtype.kind in "biufO":
            return np.asarray(np.ma.filled(np.ma.asanyarray(array, float), np.nan))
    except (OverflowError, TypeError, ValueError):
        pass
    raise TypeError(f"{name} must be numbers, got {getattr(values, 'dtype', type(values).__name__)}")


def as_rates(name: str, rates: Mapping[str, float]) -> dict[str, float]:
    """Numbers by name."""
    check_kind(name, rates, Mapping)
    found = {str(key): as_float(f"{name}[{key!r}]", rate) for key, rate in rates.items()}
    for key, rate in found.items():
        if not np.isfinite(rate):
            raise ValueError(f"{name}[{key!r}] must be finite, got {rate}")
    return found


def sequential(colour: str) -> Colormap:
    """From white to `colour`: the stronger, the larger."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(f"white to {colour}", ["white", colour])


def scale_of(
    values: np.ndarray, letter: str | None, limits: tuple[float, float] | None
) -> tuple[Colormap, tuple[float, float]]:
    """Colours and limits: sequential from 0 to 1 for gates, diverging about 0 for what has a sign."""
    from matplotlib import colormaps

    if limits is not None:
        if not isinstance(limits, Sequence | np.ndarray) or len(limits) != 2:
            raise TypeError(f"limits must be a pair of numbers, got {limits!r}")
        low, high = (as_float("limits", limit) for limit in limits)
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"limits must be a lower number and a higher one, got {limits}")
        limits = low, high
    if limits is None:
        finite = values[np.isfinite(values)]
        lowest, highest = float(finite.min(initial=0)), float(finite.max(initial=0))
        furthest = max(-lowest, highest)
        if letter in ("i", "f", "o", "r", "z") or (letter is None and lowest >= 0 and highest <= 1):
            limits = 0.0, 1.0
        else:
            limits = (-1.0, 1.0) if furthest <= 1 else (-furthest, furthest)
    if limits[0] < 0 < limits[1]:
        return colormaps["RdBu_r"], limits
    return sequential(COLOURS[letter] if letter else INK), limits


def visible(text: Sequence[str]) -> list[str]:
    """The characters of `text` with marks for those that leave no ink."""
    return [{" ": "·", "\n": "↵", "\t": "⇥"}.get(character, character) for character in text]


def brief(number: float, decimals: int) -> str:
    """A number with so many decimals, or with two significant digits where these are more."""
    return f"{number:.{decimals}f}" if abs(number) >= 10 ** (1 - decimals) or number == 0 else f"{number:.2g}"


def ink_on(ground: Sequence[float]) -> str:
    """White on a dark ground (red, green, blue, opacity), the ink on a light one and where there is none."""
    lightness = float(np.dot(ground[:3], (0.299, 0.587, 0.114)))  # how light they look together: the luma of BT.601
    return "white" if ground[3] and lightness < 0.5 else INK
