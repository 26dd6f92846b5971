"""The loss picture."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from nblstm.plot import loss_curves

BASELINES = {"uniform": 6.69, "unigram": 4.67, "bigram": 3.34}


def test_loss_curves_draws_what_it_is_given() -> None:
    ax = Figure().subplots()
    steps, training, validation = np.array([0, 100, 200]), np.array([np.nan, 3.0, 2.0]), np.array([6.7, 3.1, 2.2])
    assert loss_curves(steps, training, validation, BASELINES, ax) is ax
    train_line, validation_line, *levels = ax.get_lines()
    np.testing.assert_array_equal(train_line.get_ydata(), training)
    np.testing.assert_array_equal(validation_line.get_xdata(), steps)
    np.testing.assert_array_equal(validation_line.get_ydata(), validation)
    assert [line.get_ydata()[0] for line in levels] == list(BASELINES.values())
    assert [text.get_text() for text in ax.texts] == ["uniform 6.69", "unigram 4.67", "bigram 3.34"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "training, mean since the point before",
        "validation, last 2.20",
    ]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "bits per character")


def test_loss_curves_makes_its_own_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    ax = loss_curves([0], [6.0], [6.0], {})
    assert ax.figure in map(pyplot.figure, pyplot.get_fignums())
    pyplot.close(ax.figure)


@pytest.mark.parametrize("steps", [[], [1, 2], [[1]]])
def test_loss_curves_refuses_arrays_that_do_not_match(steps: list) -> None:
    with pytest.raises(ValueError, match="must have one common shape"):
        loss_curves(steps, [1.0] * (len(steps) == 1), [1.0] * (len(steps) == 1), BASELINES)
