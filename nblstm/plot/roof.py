"""The roofline: how fast programs are beside what the machine allows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.arguments import as_number, check_kind
from nblstm.plot.colours import GREY, INK
from nblstm.plot.curves import MARKERS, PALETTE
from nblstm.plot.sheet import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def roofline(
    points: Mapping[str, tuple[float, float]],
    *,
    peaks: Mapping[str, float],
    bandwidths: Mapping[str, float],
    title: str = "How fast, and how fast at most",
    ax: Axes | None = None,
) -> Axes:
    """Programs by what they compute and how fast, under the roof that arithmetic and memory put over them.

    A program that does I operations for each byte it moves cannot be faster than

        min(peak, I * bandwidth)

    with the highest of the peaks and of the bandwidths: a slope and a flat part on logarithmic axes. To the left of
    where they meet the memory holds it up, to the right the arithmetic. The lower peaks and bandwidths are drawn dashed
    below. The legend gives each program's rate and its share of the roof above it.

    Parameters
    ----------
    points : mapping of str to pair of float
        By name: arithmetic intensity in floating-point operations per byte, rate in GFLOP/s.
    peaks : mapping of str to float
        GFLOP/s by name, such as of one thread and of all of them, each at least one.
    bandwidths : mapping of str to float
        GB/s by name, such as of the memory and of a cache, each at least one.
    title : str
        In place of the general one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        What is no number.
    ValueError
        No peak or no bandwidth, or a number that is not above 0 and finite.

    References
    ----------
    Williams, Waterman & Patterson (2009), Roofline: an insightful visual performance model for multicore architectures.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from nblstm.plot import roofline
    >>> ax = roofline({"loops": (2, 0.01), "tiles": (8, 100)}, peaks={"2 threads": 200}, bandwidths={"memory": 20},
    ...     ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['loops: 0.01 GFLOP/s, 0.025 %', 'tiles: 100 GFLOP/s, 62 %']
    """
    peaks, bandwidths = _as_rates("peaks", peaks), _as_rates("bandwidths", bandwidths)
    check_kind("points", points, Mapping)
    for label, pair in points.items():
        if not isinstance(pair, Sequence | np.ndarray) or len(pair) != 2:
            raise ValueError(f"points[{label!r}] must be a pair of intensity and rate, got {pair!r}")
    pairs = {
        label: tuple(as_number(f"points[{label!r}]", number, positive=True) for number in pair)
        for label, pair in points.items()
    }
    peak, bandwidth = max(peaks.values()), max(bandwidths.values())
    ridges = [peak / least for least in (bandwidth, min(bandwidths.values()))]
    intensities = [*ridges, *(intensity for intensity, _ in pairs.values())]
    left, right = min(intensities) / 6, max(intensities) * 40  # to the right of all points the peaks have their names
    ax = axes_or_new(ax, 9, 4.5)
    ax.set(xscale="log", yscale="log", xlim=(left, right))
    words: dict[str, Any] = {"size": 9, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}, "zorder": 2.1}
    for name, rate in peaks.items():
        top = rate == peak
        ax.plot([rate / bandwidth, right], [rate, rate], **_look(top))
        ax.annotate(
            f"{name}: {_brief(rate)} GFLOP/s", (right, rate), (-3, 3), textcoords="offset points", ha="right",
            color=INK if top else GREY, **words,
        )  # fmt: skip
    for name, rate in bandwidths.items():
        top = rate == bandwidth
        ax.plot([left, peak / rate], [left * rate, peak], **_look(top))
        beside = (1.25 if top else 0.8) * rate  # the words' own line, parallel to this one
        ax.text(
            left * 1.15, left * 1.15 * beside, f"{name}: {_brief(rate)} GB/s", color=INK if top else GREY,
            va="bottom" if top else "top", rotation=float(np.degrees(np.arctan(beside))), rotation_mode="anchor",
            transform_rotates_text=True, **words,
        )  # fmt: skip
    for (name, (intensity, rate)), colour, marker in zip(
        pairs.items(), itertools.cycle(PALETTE), itertools.cycle(MARKERS), strict=False
    ):
        share = 100 * rate / min(peak, intensity * bandwidth)
        ax.plot(
            intensity, rate, marker, color=colour, markersize=8, zorder=3,
            label=f"{name}: {_brief(rate)} GFLOP/s, {_brief(share, 2)} %",
        )  # fmt: skip
    lowest = min(left * min(bandwidths.values()) / 3, *(rate for _, rate in pairs.values()), *peaks.values())
    ax.set_ylim(lowest / 2, peak * 2.5)
    ax.set(xlabel="arithmetic intensity (operations per byte)", ylabel="rate (GFLOP/s)", title=title)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    if points:
        ax.legend(
            title="program: rate, share of the roof", loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False,
            alignment="left", fontsize=9.5, title_fontsize=9.5, handletextpad=0.2,
        )  # fmt: skip
    return ax


def _as_rates(name: str, rates: Mapping[str, float]) -> dict[str, float]:
    """Rates by name, at least one."""
    check_kind(name, rates, Mapping)
    if not rates:
        raise ValueError(f"{name} must hold at least one name with its rate, got none")
    return {label: as_number(f"{name}[{label!r}]", rate, positive=True) for label, rate in rates.items()}


def _look(top: bool) -> dict[str, Any]:
    """The roof itself, or a line below it."""
    if top:
        return {"color": INK, "linewidth": 1.8, "zorder": 2.2}
    return {"color": GREY, "linewidth": 1, "linestyle": "--", "zorder": 1.9}


def _brief(number: float, digits: int = 3) -> str:
    """So many significant digits, but no fewer than stand before the decimal point, and no powers of ten."""
    return f"{number:,.0f}" if number >= 10 ** (digits - 1) else f"{number:.{digits}g}"
