"""The drawings: tidy at any size, one colour for one thing, the parts each stage has, bad input."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from support.sheets import assert_tidy, faults, words_of

from nblstm.plot import (
    COLOURS,
    draw_backward,
    draw_lstm,
    draw_neuron,
    draw_rnn_cell,
    draw_two_formulations,
    draw_unrolled,
)
from nblstm.plot.drawings.lstm import GATES, PLACES
from nblstm.plot.drawings.pen import Pen

DRAWINGS: dict[str, Callable[[Axes | None], Axes]] = {
    "neuron": draw_neuron,
    "neuron with another activation": lambda ax: draw_neuron(ax, activation="sigmoid"),
    "rnn cell": draw_rnn_cell,
    "rnn backward": lambda ax: draw_backward("rnn", ax=ax),
    "lstm backward": lambda ax: draw_backward(ax=ax),
    "two formulations": draw_two_formulations,
    **{f"lstm, stage {stage}": lambda ax, stage=stage: draw_lstm(stage, ax=ax) for stage in (1, 2, 3, 4)},
    **{f"lstm, light on {part}": lambda ax, part=part: draw_lstm(highlight=part, ax=ax) for part in "ifgoch"},
    "unrolled": lambda ax: draw_unrolled(ax=ax),
    "unrolled lstm": lambda ax: draw_unrolled(3, cell="lstm", ax=ax),
    "unrolled, one step": lambda ax: draw_unrolled(1, cell="lstm", ax=ax),
    "unrolled, twelve steps": lambda ax: draw_unrolled(12, ax=ax),
    "both directions": lambda ax: draw_unrolled(bidirectional=True, ax=ax),
    "both directions, lstm": lambda ax: draw_unrolled(3, cell="lstm", bidirectional=True, ax=ax),
    "both directions, one step": lambda ax: draw_unrolled(1, cell="lstm", bidirectional=True, ax=ax),
    "truncated": lambda ax: draw_unrolled(5, truncate_after=2, ax=ax),
    "truncated lstm": lambda ax: draw_unrolled(2, cell="lstm", truncate_after=1, ax=ax),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_in_a_figure_of_its_own_a_drawing_is_tidy_white_and_titled(pyplot: Any, name: str) -> None:
    pyplot.rcParams["figure.facecolor"] = "black"
    ax = DRAWINGS[name](None)
    pyplot.rcdefaults()
    assert_tidy(ax)
    assert ax.get_title(loc="left")
    assert to_hex(ax.figure.get_facecolor()) == "#ffffff"
    assert 7.5 <= ax.figure.get_figwidth() <= 9.5 or name == "unrolled, twelve steps"


@pytest.mark.parametrize(
    ("name", "size", "layout"),
    [
        *((name, (3, 4), "constrained") for name in DRAWINGS if "light" not in name),  # which changes colours only
        *((name, (12, 5), None) for name in ("lstm, stage 4", "two formulations", "unrolled lstm")),
    ],
)
def test_on_axes_of_any_size_a_drawing_is_tidy(name: str, size: tuple, layout: str | None) -> None:
    ax = Figure(figsize=size, layout=layout).subplots()
    assert DRAWINGS[name](ax) is ax
    assert_tidy(ax)


def test_four_drawings_on_one_sheet_are_tidy_and_can_be_saved_as_vectors() -> None:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    for stage, ax in enumerate(figure.subplots(2, 2).flat, start=1):
        draw_lstm(stage, ax=ax)
    for ax in figure.axes:
        assert_tidy(ax)
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    assert b"<image" not in file.getvalue()


def test_the_check_of_tidiness_can_fail() -> None:
    pen = Pen(Figure().subplots(), 80, 40, "")
    pen.words(20, 20, "one")
    assert_tidy(pen.ax)
    pen.words(21, 20.5, "two")
    pen.words(60, 20, "three")
    pen.line([(55, 20), (65, 20)])
    pen.words(85, 10, "a long way off the sheet", ha="left")
    pen.words(40, 10, "wall")
    pen.wall(42, 10, 4, 4)
    assert sorted(faults(pen.ax)) == [
        "'a long way off the sheet' leaves the sheet",
        "'one' lies over 'two'",
        "'three' is crossed by a line",
        "'wall' is crossed by a wall",
    ]


@pytest.mark.parametrize("draw", [draw_lstm, draw_backward])
def test_every_gate_has_its_colour(draw: Callable[..., Axes]) -> None:
    ax = draw(ax=Figure().subplots())
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    for letter, x in PLACES.items():
        (box,) = [box for box in boxes if box.get_x() + box.get_width() / 2 == x]
        assert box.get_y() + box.get_height() / 2 == GATES
        assert to_hex(box.get_edgecolor()) == to_hex(COLOURS[letter])


def test_the_stages_build_up_at_the_same_places() -> None:
    placed = []
    for stage in (1, 2, 3, 4):
        texts = draw_lstm(stage, ax=Figure().subplots()).texts
        placed.append({(text.get_text(), text.get_position()) for text in texts if "odot" not in text.get_text()})
    for earlier, later in itertools.pairwise(placed):
        assert earlier < later
    gates = [{word for word, _ in stage if word in ("forget gate", "input gate", "output gate")} for stage in placed]
    assert [len(stage) for stage in gates] == [1, 2, 3, 3]


def test_the_light_leaves_one_part_in_full_colour() -> None:
    plain, lit = draw_lstm(ax=Figure().subplots()), draw_lstm(highlight="f", ax=Figure().subplots())
    before, after = ({text.get_text(): text.get_color() for text in ax.texts} for ax in (plain, lit))
    assert before["forget gate"] == after["forget gate"]
    assert before["input gate"] != after["input gate"]


def test_the_unrolled_net_says_that_it_is_one_cell_with_one_set_of_weights() -> None:
    words = words_of(draw_unrolled(3, ax=Figure().subplots()))
    assert words.count("RNN\ncell") == 4
    assert {f"$x_{{{step}}}$" for step in "t123"} <= set(words)
    assert any("the same weights at every step" in word for word in words)
    assert not any("gradient" in word for word in words)
    words = words_of(draw_unrolled(3, cell="lstm", truncate_after=2, ax=Figure().subplots()))
    assert {f"${state}_{{{step}}}$" for state in "ch" for step in range(4)} <= set(words)
    assert any("cut after step 2; the value goes on" in word for word in words)


@pytest.mark.parametrize("steps", [1, 4])
def test_two_directions_have_a_cell_each_at_every_step_and_end_at_opposite_ends(steps: int) -> None:
    ax = draw_unrolled(steps, cell="lstm", bidirectional=True, ax=Figure().subplots())
    words = words_of(ax)
    assert words.count("LSTM\nforward") == words.count("LSTM\nbackward") == steps
    place = {text.get_text(): text.get_position() for text in ax.texts}
    for step in range(1, steps + 1):  # both halves of y above the one input
        halves = [place[rf"$\over{side}arrow{{h}}_{{{step}}}$"] for side in ("right", "left")]
        assert sum(x for x, _ in halves) == 2 * place[f"$x_{{{step}}}$"][0]
    for state in "hc":
        assert place[f"{state}_n[1]"][0] < place["$x_{1}$"][0]
        assert place[f"{state}_n[0]"][0] > place[f"$x_{{{steps}}}$"][0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: draw_lstm(5), ValueError, "stage must be 1, 2, 3 or 4, got 5"),
        (lambda: draw_lstm(0), ValueError, "stage must be at least 1, got 0"),
        (lambda: draw_lstm("4"), TypeError, "stage must be an integer, got '4'"),
        (lambda: draw_lstm(highlight="forget"), ValueError, "highlight must be one of .* at stage 4, got 'forget'"),
        (lambda: draw_lstm(1, highlight="o"), ValueError, "highlight must be one of c, f, h at stage 1, got 'o'"),
        (lambda: draw_backward("gru"), ValueError, "kind must be 'lstm' or 'rnn', got 'gru'"),
        (lambda: draw_unrolled(0), ValueError, "steps must be at least 1, got 0"),
        (lambda: draw_unrolled(cell="gru"), ValueError, "cell must be 'rnn' or 'lstm', got 'gru'"),
        (lambda: draw_unrolled(4, truncate_after=4), ValueError, r"truncate_after must be in 1\.\.3, .* got 4"),
        (lambda: draw_unrolled(4, truncate_after=0), ValueError, "truncate_after must be at least 1, got 0"),
        (lambda: draw_unrolled(truncate_after=1, bidirectional=True), ValueError, "is for one direction, not for bi"),
    ],
)
def test_bad_input_is_one_sentence(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
