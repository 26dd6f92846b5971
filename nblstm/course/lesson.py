"""The first cell of every lesson: versions, the seed, and figures as vector graphics in one style."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version

import numpy as np

FIT = "<style>.jp-RenderedSVG img { max-width: 100%; height: auto; }</style>"
"""JupyterLab lets other pictures shrink with the window; SVG, which it shows as an image, it forgot."""


def begin(seed: int) -> np.random.Generator:
    """Print the versions at work, set the style of the figures, and return this lesson's random numbers.

    Parameters
    ----------
    seed : int
        Seed of the generator; each lesson has its own.

    Returns
    -------
    numpy.random.Generator

    Examples
    --------
    >>> from nblstm.course import begin
    >>> rng = begin(seed=0)  # doctest: +SKIP
    Python 3.11.7, numpy 2.4.6, numba 0.68.1, matplotlib 3.11.2, seed 0
    """
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "matplotlib"))
    print(f"Python {platform.python_version()}, {versions}, seed {seed}")
    _set_up_figures()
    return np.random.default_rng(seed)


def _set_up_figures() -> None:
    """Use the style of the course; inside a notebook, draw as SVG."""
    from matplotlib import pyplot

    pyplot.style.use("nblstm.plot.course")
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        shell.run_line_magic("config", "InlineBackend.figure_formats = ['svg']")
        shell.run_cell_magic("html", "", FIT)
