"""The pictures that judge a net or a program: saliency over a text, confusion matrix, roofline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from support.sheets import assert_tidy, contrast, faults, words_of

from nblstm.plot import confusion_matrix, roofline, saliency_over_text
from nblstm.plot.colours import BLUE, VERMILION

# ---- saliency ----


def test_saliency_is_the_ground_of_each_character_and_the_prediction_has_a_frame(ax: Axes) -> None:
    values = [0.0, 0.5, 1.0, 4.0]
    assert saliency_over_text("to b", values, predicted="e", width=3, ax=ax) is ax
    assert {(word.get_position(), word.get_text()) for word in ax.texts} == {
        ((0, 0), "t"), ((1, 0), "o"), ((2, 0), "·"), ((0, 1), "b"), ((1, 1), "e"),
    }  # fmt: skip
    (image,) = ax.get_images()
    np.testing.assert_array_equal(image.get_array().compressed(), values)
    assert (image.norm.vmin, image.norm.vmax) == (0, 4)
    assert to_hex(image.cmap(0.0)) == "#ffffff"
    assert to_hex(image.cmap(1.0)) == to_hex(VERMILION)
    for word, colour in zip(ax.texts, image.to_rgba(values), strict=False):
        assert contrast(to_rgb(word.get_color()), colour[:3]) > 3
    (frame,) = ax.patches
    assert frame.get_bbox().contains(1, 1)
    assert frame.get_bbox().width < 1
    assert_tidy(ax)


def test_logarithmic_saliency_goes_down_to_a_thousandth(ax: Axes) -> None:
    values = np.array([2.0, 0.2, 0.02, 0.002, 1e-9, 0.0, np.nan])
    saliency_over_text("abcdefg", values, log=True, ax=ax)
    (image,) = ax.get_images()
    assert (image.norm.vmin, image.norm.vmax) == (0.002, 2)
    np.testing.assert_allclose(image.norm(image.get_array().compressed()), [1, 2 / 3, 1 / 3, 0, 0, 0], atol=1e-12)
    assert not ax.patches, "nothing was predicted"
    assert_tidy(ax)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[0.0, 0.0], [np.nan, np.nan], [np.nan, 3.0]])
def test_saliency_of_nothing_is_white(ax: Axes, log: bool, values: list[float]) -> None:
    saliency_over_text("a\n", values, log=log, predicted="b", ax=ax)
    (image,) = ax.get_images()
    white = image.to_rgba(image.get_array())[0, 0]
    assert to_hex(white) == "#ffffff" or white[3] == 0
    assert image.norm.vmax == (3 if values[1] == 3 else 1)
    assert_tidy(ax)


def test_a_long_text_of_saliency_is_tidy(pyplot: Any) -> None:
    text = "One cell keeps what another forgets. And so on.\n" * 5
    assert_tidy(saliency_over_text(text, np.geomspace(1e-3, 1, len(text)), predicted="O", title="Far back"))


# ---- confusion matrix ----


def test_confusion_counts_rows_by_truth_and_columns_by_prediction(ax: Axes) -> None:
    truth = [0, 0, 0, 0, 1, 1, 2]
    predicted = [0, 0, 0, 1, 1, 1, 0]
    assert confusion_matrix(truth, predicted, classes=["cat", "dog", "owl"], ax=ax) is ax
    found = {word.get_position(): word.get_text() for word in ax.texts}
    assert found == {(0, 0): "3", (1, 0): "1", (1, 1): "2", (0, 2): "1"}
    right, wrong = ax.get_images()
    np.testing.assert_allclose(right.get_array().compressed(), [3 / 4, 1, 0])
    np.testing.assert_allclose(wrong.get_array().compressed(), [1 / 4, 0, 0, 0, 1, 0])
    assert (right.norm.vmax, wrong.norm.vmax) == (1, 1)
    assert [to_hex(image.cmap(1.0)) for image in (right, wrong)] == [to_hex(BLUE), to_hex(VERMILION)]
    assert ax.get_title() == "71.4 % of 7 right"
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("true class", "taken for")
    for axis in (ax.xaxis, ax.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == ["cat", "dog", "owl"]
    assert ax.yaxis_inverted(), "the first class is at the top"
    assert_tidy(ax)


def test_few_mistakes_are_seen_and_counts_are_readable(ax: Axes) -> None:
    truth = np.repeat(np.arange(10), 100)
    predicted = truth.copy()
    predicted[:2] = 7
    confusion_matrix(truth, predicted, title="Digits", ax=ax)
    right, wrong = ax.get_images()
    assert wrong.norm.vmax == pytest.approx(0.02)
    assert ax.get_title() == "Digits"
    for word in ax.texts:
        column, row = map(int, word.get_position())
        image = right if row == column else wrong
        ground = image.to_rgba(np.asarray([[image.get_array().data[row, column]]]))[0, 0]
        assert contrast(to_rgb(word.get_color()), ground[:3]) > 3
    assert_tidy(ax)


@pytest.mark.parametrize(("classes", "count"), [(1, 5), (2, 5), (26, 5000), (40, 3)])
def test_confusion_of_any_size_is_tidy(pyplot: Any, classes: int, count: int) -> None:
    rng = np.random.default_rng(0)
    names = [chr(0x41 + k) for k in range(classes)]
    ax = confusion_matrix(*rng.integers(0, classes, (2, count), np.uint8), classes=names)
    assert sum(int(word.get_text()) for word in ax.texts) == count
    assert_tidy(ax)


# ---- roofline ----

PEAKS, BANDWIDTHS = {"one core": 100.0, "two cores": 200}, {"memory": 20.0, "cache": 80.0}


def test_the_roof_is_the_least_of_peak_and_bandwidth(ax: Axes) -> None:
    points = {"loops": (0.5, 0.004), "tiles": (16, 199.9), "vectors": (1, 20)}
    assert roofline(points, peaks=PEAKS, bandwidths=BANDWIDTHS, ax=ax) is ax
    one, two, memory, cache, *marks = ax.get_lines()
    assert [set(line.get_ydata()) for line in (one, two)] == [{100}, {200}]
    assert [line.get_xdata()[0] for line in (one, two)] == [100 / 80, 200 / 80]
    for line, rate in ((memory, 20), (cache, 80)):
        np.testing.assert_allclose(line.get_ydata(), rate * line.get_xdata())
        assert line.get_ydata()[1] == pytest.approx(200)
    assert [line.get_linestyle() for line in (one, two, memory, cache)] == ["--", "-", "--", "-"]
    assert [(*mark.get_xdata(), *mark.get_ydata()) for mark in marks] == list(points.values())
    assert len({mark.get_marker() for mark in marks}) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "loops: 0.004 GFLOP/s, 0.01 %",
        "tiles: 200 GFLOP/s, 100 %",
        "vectors: 20 GFLOP/s, 25 %",
    ]
    assert {"two cores: 200 GFLOP/s", "memory: 20 GB/s"} <= set(words_of(ax))
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    upright = [
        fault for fault in faults(ax) if "GB/s' lies over" not in fault
    ]  # the extent of slanted words is a square
    assert upright == []


@pytest.mark.parametrize("points", [{}, {"a": (1e-3, 1e-4)}, {"a": (1e4, 150), "b": (np.float32(2), 3)}])
def test_everything_drawn_lies_within_the_axes(pyplot: Any, points: dict) -> None:
    ax = roofline(points, peaks={"peak": 2350}, bandwidths={"memory": 20}, title="Lesson 24")
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    for line in ax.get_lines():
        assert all(left <= x <= right for x in line.get_xdata())
        assert all(low <= y <= high for y in line.get_ydata())
    assert (ax.get_legend() is None) == (not points)
    assert "peak: 2,350 GFLOP/s" in words_of(ax)
    assert ax.get_title() == "Lesson 24"
    assert_tidy(ax)


def test_the_slopes_have_their_names_along_them(ax: Axes) -> None:
    roofline({}, peaks=PEAKS, bandwidths=BANDWIDTHS, ax=ax)
    figure: Any = ax.figure
    figure.draw_without_rendering()
    cache = ax.get_lines()[3]
    (x0, y0), (x1, y1) = ax.transData.transform(np.transpose([cache.get_xdata(), cache.get_ydata()]))
    (name,) = (word for word in ax.texts if word.get_text().startswith("cache"))
    assert name.get_rotation() == pytest.approx(np.degrees(np.arctan2(y1 - y0, x1 - x0)), abs=0.5)


# ---- all three ----


def test_without_axes_every_picture_makes_a_white_figure_of_its_own(pyplot: Any) -> None:
    pyplot.rcParams["figure.facecolor"] = "black"
    made = [
        saliency_over_text("a", [0.5]),
        confusion_matrix([0], [0]),
        roofline({}, peaks={"peak": 1}, bandwidths={"memory": 1}),
    ]
    assert len({id(ax.figure) for ax in made}) == 3
    assert {to_hex(ax.figure.get_facecolor()) for ax in made} == {"#ffffff"}
    assert all(ax.figure.get_figwidth() <= 10 for ax in made)
    pyplot.rcdefaults()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: saliency_over_text("ab", [1.0]), ValueError, r"saliency must have shape \(2,\).*got \(1,\)"),
        (lambda: saliency_over_text("", []), ValueError, "text must be a string of at least one"),
        (lambda: saliency_over_text("ab", [1, -2]), ValueError, "saliency must be 0 or more, got -2; take absolute"),
        (lambda: saliency_over_text("a", [1], predicted="bc"), ValueError, "predicted must be one character, got 'bc'"),
        (lambda: saliency_over_text("a", [1], predicted=5), ValueError, "predicted must be one character, got 5"),
        (lambda: saliency_over_text(["a"], [1]), ValueError, r"text must be a string .* got \['a'\]"),
        (lambda: saliency_over_text("a", [1], width=0), ValueError, "width must be at least 1, got 0"),
        (lambda: confusion_matrix([], []), ValueError, r"truth and predicted must .* got \(0,\) and \(0,\)"),
        (lambda: confusion_matrix([1], [1, 2]), ValueError, r"truth and predicted must .* got \(1,\) and \(2,\)"),
        (lambda: confusion_matrix([[1]], [[1]]), ValueError, r"truth and predicted must .* got \(1, 1\)"),
        (lambda: confusion_matrix([1, 10**7], [1, 2]), ValueError, r"classes 0\.\.999 to be drawn, got up to 10000000"),
        (lambda: confusion_matrix([0.5], [1]), TypeError, "truth must be integers, got float64"),
        (lambda: confusion_matrix([0], [True]), TypeError, "predicted must be integers, got bool"),
        (lambda: confusion_matrix([0, 1], [0, -1]), ValueError, r"predicted must be classes 0\.\.1, got -1\.\.0"),
        (lambda: confusion_matrix([0, 2], [0, 1], classes="ab"), ValueError, r"truth must be classes 0\.\.1, got 0"),
        (lambda: roofline({}, peaks={}, bandwidths=BANDWIDTHS), ValueError, "peaks must hold at least one name"),
        (lambda: roofline({}, peaks=PEAKS, bandwidths={}), ValueError, "bandwidths must hold at least one name"),
        (lambda: roofline({}, peaks={"a": 0}, bandwidths=BANDWIDTHS), ValueError, r"peaks\['a'\] must be above 0"),
        (lambda: roofline({"a": 1}, peaks=PEAKS, bandwidths=BANDWIDTHS), ValueError, r"points\['a'\] must be a pair"),
        (lambda: roofline({"a": (1, 0)}, peaks=PEAKS, bandwidths=BANDWIDTHS), ValueError, r"points\['a'\] must be abo"),
        (
            lambda: roofline({"a": (1, "2")}, peaks=PEAKS, bandwidths=BANDWIDTHS),
            TypeError,
            r"points\['a'\] must be a n",
        ),
    ],
)
def test_bad_input_is_one_sentence(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
