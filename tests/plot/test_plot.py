"""The pictures of numbers: what they show, how they say no, and that their words stay on the sheet."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from support.processes import run_python
from support.sheets import assert_tidy, contrast, words_of

import nblstm
from nblstm.plot import (
    COLOURS,
    activation_over_text,
    curves,
    gates_over_text,
    gradient_over_lag,
    loss_curves,
    weight_blocks,
)
from nblstm.plot.drawings.pen import tint

BASELINES = {"uniform": 6.69, "unigram": 4.67, "bigram": 3.34, "5-gram": 1.90}
NAMES = {"xlabel": "step", "ylabel": "accuracy", "title": "Three nets"}


def test_importing_the_pictures_does_not_import_matplotlib() -> None:
    code = "import sys, nblstm.plot; assert 'matplotlib' not in sys.modules"
    run_python("-c", code)


def test_loss_curves_draws_what_it_is_given(ax: Axes) -> None:
    steps, training, validation = np.array([0, 100, 200]), np.array([np.nan, 3.0, 2.0]), np.array([6.7, 3.1, 2.2])
    assert loss_curves(steps, training, validation, BASELINES, ax) is ax
    train_line, validation_line, *levels = ax.get_lines()
    np.testing.assert_array_equal(train_line.get_ydata(), training)
    np.testing.assert_array_equal(validation_line.get_xdata(), steps)
    np.testing.assert_array_equal(validation_line.get_ydata(), validation)
    assert [line.get_ydata()[0] for line in levels] == list(BASELINES.values())
    assert [text.get_text() for text in ax.texts] == ["uniform 6.69", "unigram 4.67", "bigram 3.34", "5-gram 1.90"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "training, mean since the point before",
        "validation, last 2.20",
    ]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "bits per character")


def test_small_losses_keep_their_digits(ax: Axes) -> None:
    loss_curves([0, 1], [np.nan, 0.01], [0.2, 0.000123], {"mean": 0.042, "zero": 0.0}, ax, measure="squared error")
    assert [text.get_text() for text in ax.texts] == ["mean 0.042", "zero 0.00"]
    assert ax.get_legend().get_texts()[1].get_text() == "validation, last 0.00012"


def test_no_curve_crosses_the_label_of_a_level_and_no_label_another() -> None:
    figure = Figure(figsize=(8, 5), layout="constrained")
    steps, losses = np.arange(0, 1001, 50), 4.7 * np.exp(-np.arange(0, 1001, 50) / 200) + 0.33
    levels = {"uniform": 4.7, "unigram": 4.6, "3-gram": 0.34, "5-gram": 0.33}
    ax = loss_curves(steps, losses, losses, levels, figure.subplots())
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert all(box.x0 > ax.get_window_extent().x1 for box in boxes)
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("steps", [[], [1, 2], [[1]]])
def test_loss_curves_refuses_arrays_that_do_not_match(steps: list) -> None:
    with pytest.raises(ValueError, match="must have one common shape"):
        loss_curves(steps, [1.0] * (len(steps) == 1), [1.0] * (len(steps) == 1), BASELINES)


def test_curves_draws_medians_over_the_range_of_the_runs(ax: Axes) -> None:
    x, runs = np.arange(3), np.array([[0.1, 0.2, 0.9], [0.3, 0.1, 0.4], [0.2, 0.3, 0.5]])
    assert curves(x, {"many": runs, "one": [1, 2, 3]}, **NAMES, baselines={"chance": 0.125}, ax=ax) is ax
    many, one, chance = ax.get_lines()
    np.testing.assert_array_equal(many.get_ydata(), [0.2, 0.2, 0.5])
    np.testing.assert_array_equal(one.get_ydata(), [1, 2, 3])
    assert set(chance.get_ydata()) == {0.125}
    (band,) = ax.collections
    corners = {(float(x), float(y)) for x, y in band.get_paths()[0].vertices}
    assert corners == {(k, y) for k in range(3) for y in (runs[:, k].min(), runs[:, k].max())}
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == tuple(NAMES.values())
    assert ax.get_legend().get_title().get_text() == "line: median, band: range of 3 runs"
    assert [text.get_text() for text in ax.texts] == ["chance\n0.125"]
    assert_tidy(ax)


def test_lines_differ_by_more_than_colour_and_letters_have_their_own(ax: Axes) -> None:
    labels = ["f", "i", "net 1", "net 2", "net 3", "net 4"]
    curves([1, 2], {label: [1, 2] for label in labels}, **NAMES, colours={"net 4": "#123456"}, ax=ax)
    lines = ax.get_lines()
    assert len({(line.get_marker(), str(line._dash_pattern)) for line in lines}) == 6
    assert [lines[k].get_color() for k in (0, 1, 5)] == [COLOURS["f"], COLOURS["i"], "#123456"]


def test_a_single_point_a_gap_and_a_logarithm_are_drawn(ax: Axes) -> None:
    curves([0], {"a": [1.0]}, **NAMES, ax=ax)
    curves([0, 1, 2], {"b": [1.0, np.nan, 2.0], "c": [[1, np.nan, 2], [1, 1, 1]]}, **NAMES, ax=ax)
    gradient_over_lag([0, 1, 2, 3], {"underflow": [1.0, 1e-200, 0.0, 0.0]}, ax)
    assert (ax.get_yscale(), ax.get_xlabel()) == ("log", "lag (steps back in time)")
    assert_tidy(ax)


@pytest.mark.parametrize(("letter", "low"), [("f", 0), ("i", 0), ("o", 0), ("g", -1), ("h", -1), ("c", -1)])
def test_gates_over_text_has_a_row_for_each_unit_and_the_gates_own_colour(ax: Axes, letter: str, low: float) -> None:
    values = np.random.default_rng(0).uniform(low, 1, (7, 3))
    assert gates_over_text("to\tbe \n", values, name=letter, ax=ax) is ax
    (image,) = ax.get_images()
    np.testing.assert_array_equal(image.get_array(), values.T)
    assert (image.norm.vmin, image.norm.vmax) == (low, 1)
    if low == 0:
        assert to_hex(image.cmap(1.0)) == to_hex(COLOURS[letter])
    assert to_hex(image.cmap(image.norm(0.0))) in ("#ffffff", "#f6f7f7", "#f7f6f6")  # nothing is white
    assert [label.get_text() for label in ax.get_xticklabels()] == ["t", "o", "⇥", "b", "e", "·", "↵"]
    assert letter in ax.get_title().split()
    assert_tidy(ax)


@pytest.mark.parametrize(
    ("name", "scale"),
    [("forget gate, layer 2", (0, 1)), ("the cell state", (-3, 3)), ("o", (0, 1)), ("noise", (-3, 3))],
)
def test_the_name_decides_about_the_colours(ax: Axes, name: str, scale: tuple) -> None:
    gates_over_text("ab", [[0.5, 3.0], [1.0, 0.0]], name=name, ax=ax)
    norm = ax.get_images()[0].norm
    assert (norm.vmin, norm.vmax) == scale


@pytest.mark.parametrize(("size", "units"), [(1, 1), (80, 5), (40, 129)])
def test_odd_sizes_of_gates(ax: Axes, size: int, units: int) -> None:
    gates_over_text("x" * size, np.zeros((size, units)), name="f", title="Shut", limits=(0, 0.5), ax=ax)
    assert (ax.get_title(), ax.get_images()[0].norm.vmax) == ("Shut", 0.5)
    assert_tidy(ax)


def test_activation_over_text_wraps_and_stays_readable(ax: Axes) -> None:
    text, values = "abc de\nfg", np.linspace(-1, 1, 9)
    assert activation_over_text(text, values, title="unit 3", width=4, ax=ax) is ax
    found = {(word.get_position(), word.get_text()) for word in ax.texts}
    rows = ["abc·", "de↵", "fg"]
    assert found == {((k, r), character) for r, row in enumerate(rows) for k, character in enumerate(row)}
    (image,) = ax.get_images()
    grid = image.get_array().filled(np.nan)
    np.testing.assert_array_equal(grid[~np.isnan(grid)], values)
    for word, colour in zip(ax.texts, image.to_rgba(values), strict=True):
        assert contrast(to_rgb(word.get_color()), colour[:3]) > 3
    assert ax.get_title() == "unit 3"
    assert_tidy(ax)


def test_what_is_not_a_number_leaves_a_white_cell(ax: Axes) -> None:
    activation_over_text("abc", [np.nan, -1, 0.5], title="unit 3", ax=ax)
    image, first = ax.get_images()[0], ax.texts[0]
    assert (image.norm.vmin, image.norm.vmax) == (-1, 1)
    assert to_hex(first.get_color()) != "#ffffff"
    gates_over_text("ab", [[np.nan], [0.5]], name="h", ax=ax)
    assert_tidy(ax)


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 1, (0, 1)), (-0.1, 0.2, (-1, 1)), (-4, 2, (-4, 4))])
def test_the_values_decide_about_the_colours_of_a_unit(ax: Axes, low: float, high: float, expected: tuple) -> None:
    activation_over_text("ab", [low, high], title="unit 3", ax=ax)
    norm = ax.get_images()[0].norm
    assert (norm.vmin, norm.vmax) == expected


def test_weight_blocks_are_to_scale_and_in_the_gates_colours(ax: Axes) -> None:
    assert weight_blocks(nblstm.LSTM(30, 20), ax) is ax
    blocks = {}
    for patch in ax.patches[1:]:
        blocks.setdefault(to_hex(patch.get_facecolor()), []).append((patch.get_height(), patch.get_width()))
    gates = [to_hex(tint(COLOURS[gate], 0.45)) for gate in "ifgo"]
    assert list(blocks)[:4] == gates
    for gate in gates:
        (height, width), (height_again, width_hh) = blocks[gate]
        assert height == height_again
        assert width / height == pytest.approx(30 / 20)
        assert width_hh / height == pytest.approx(20 / 20)
    words = words_of(ax)
    assert {"weight_ih_l0\n(80, 30)\n2,400", "weight_hh_l0\n(80, 20)\n1,600", "bias_ih_l0\n(80,)\n80"} <= set(words)
    assert "LSTM(30, 20): 4,160 parameters" in words


LAYERS: dict[str, Callable[[], nblstm.Layer]] = {
    "lstm": lambda: nblstm.LSTM(28, 128),
    "wide": lambda: nblstm.LSTM(200, 1000, formulation="concat", peephole=True),
    "deep": lambda: nblstm.LSTM(7, 3, num_layers=2, bidirectional=True),
    "tiny": lambda: nblstm.LSTM(1, 1, bias=False),
    "rnn": lambda: nblstm.RNN(5, 7),
    "gru": lambda: nblstm.GRU(28, 128),
    "ran": lambda: nblstm.Recurrent("ran", 28, 128),
    "normed": lambda: nblstm.LSTM(28, 128, num_layers=2, layer_norm=True),
    "linear": lambda: nblstm.Linear(128, 10),
    "thin": lambda: nblstm.Linear(1, 300, bias=False),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_weight_blocks_of_any_layer_are_tidy(pyplot: Any, layer: str) -> None:
    net = LAYERS[layer]()
    ax = weight_blocks(net)
    assert_tidy(ax)
    assert len([word for word in words_of(ax) if word.startswith(("weight", "bias", "gain"))]) == len(net.params)


def test_a_grus_rows_have_its_gates_names(ax: Axes) -> None:
    weight_blocks(nblstm.GRU(28, 128), ax)
    assert {"reset gate r", "update gate z", "candidate n"} <= set(words_of(ax))


def test_rows_are_those_of_the_sums_that_have_them(ax: Axes) -> None:
    weight_blocks(nblstm.Recurrent("ran", 128, 128), ax)
    count = words_of(ax).count
    assert (count("g\n16,384"), count("i\n16,384"), count("f\n16,384")) == (1, 2, 2)


def test_gains_have_the_rows_of_the_product_that_they_stand_before(ax: Axes) -> None:
    weight_blocks(nblstm.Recurrent("ran", 128, 128, layer_norm=True), ax)
    blocks = [patch.get_height() for patch in ax.patches[1:]]  # of one sum each: g, i, f or i, f
    np.testing.assert_allclose(blocks, [blocks[0]] * (3 * 3 + 3 * 2))


def test_the_joined_matrix_shows_which_columns_read_h_and_which_x(ax: Axes) -> None:
    weight_blocks(nblstm.LSTM(30, 20, formulation="concat"), ax)
    (h,), (x,) = ([word for word in ax.texts if word.get_text() == f"${letter}$"] for letter in "hx")
    assert h.get_position()[0] < x.get_position()[0]
    assert_tidy(ax)


def test_without_axes_every_picture_makes_a_white_figure_of_its_own(pyplot: Any) -> None:
    pyplot.rcParams["figure.facecolor"] = "black"
    made = [
        loss_curves([0], [6.0], [6.0], {}),
        curves([0], {"a": [1]}, **NAMES),
        gradient_over_lag([0], {"a": [1]}),
        gates_over_text("a", [[0.5]], name="i"),
        activation_over_text("a", [0.5], title="unit 3"),
        weight_blocks(nblstm.RNN(2, 3)),
    ]
    assert len({id(ax.figure) for ax in made}) == 6
    assert all(ax.figure in map(pyplot.figure, pyplot.get_fignums()) for ax in made)
    assert {to_hex(ax.figure.get_facecolor()) for ax in made[1:]} == {"#ffffff"}
    pyplot.rcdefaults()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: curves([], {"a": []}, **NAMES), ValueError, r"x must have shape \(N,\) .* got \(0,\)"),
        (lambda: curves([[1]], {"a": [1]}, **NAMES), ValueError, r"x must have shape .* got \(1, 1\)"),
        (lambda: curves([1], {}, **NAMES), ValueError, "lines must hold at least one label"),
        (lambda: curves([1, 2], {"a": [1]}, **NAMES), ValueError, r"lines\['a'\] must have shape \(2,\).*got \(1,\)"),
        (lambda: curves([1], {"a": [[[1]]]}, **NAMES), ValueError, r"lines\['a'\] must .* got \(1, 1, 1\)"),
        (lambda: gradient_over_lag([], {"a": []}), ValueError, r"lag must have shape .* got \(0,\)"),
        (
            lambda: gates_over_text("abc", [[1.0]], name="f"),
            ValueError,
            r"gates must have shape \(3, units\).*\(1, 1\)",
        ),
        (lambda: gates_over_text("", np.zeros((0, 2)), name="f"), ValueError, "text must be a string of at least one"),
        (lambda: gates_over_text("a", [1.0], name="f"), ValueError, r"gates must .* got \(1,\)"),
        (lambda: activation_over_text("ab", [1.0], title="u"), ValueError, r"values must have shape \(2,\).*\(1,\)"),
        (lambda: activation_over_text("", [], title="u"), ValueError, "text must be a string of at least one"),
        (lambda: activation_over_text("a", [1], title="u", width=0), ValueError, "width must be at least 1, got 0"),
        (lambda: gates_over_text("a", [[1]], name="f", limits=(1, 1)), ValueError, r"limits must .* got \(1, 1\)"),
        (lambda: weight_blocks(np.zeros(3)), TypeError, "layer must be a layer of nblstm, .* got ndarray"),
    ],
)
def test_bad_input_is_one_sentence(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
