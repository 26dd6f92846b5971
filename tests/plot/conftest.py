"""What the tests of pictures draw on: axes of their own, or pyplot, without a screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure


@pytest.fixture
def ax() -> Axes:
    return Figure(figsize=(8, 4), layout="constrained").subplots()


@pytest.fixture
def pyplot() -> Iterator[Any]:
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    yield pyplot
    pyplot.close("all")
