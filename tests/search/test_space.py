"""What a search tries: ranges, combinations and draws, and what it refuses to search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nblstm.jobs import ImageSettings, TextSettings
from nblstm.search import Range
from nblstm.search.space import trials_of


def drawn(space: dict[str, Any], trials: int | None, random_state: int = 0, **settings: Any) -> list[dict[str, Any]]:
    return [point for point, _ in trials_of(TextSettings, space, settings, trials, random_state)]


def test_lists_give_all_combinations() -> None:
    points = drawn({"hidden_size": [3, 4], "cell": ("gru", "lstm")}, None)
    assert points == [
        {"cell": cell, "hidden_size": size} for cell in ("gru", "lstm") for size in (3, 4)
    ]  # fmt: skip


def test_lists_are_drawn_from_without_repetition() -> None:
    space = {"hidden_size": [3, 4, 5], "num_layers": [1, 2]}
    some, all_of_them = drawn(space, 4), drawn(space, 100)
    assert len({str(point) for point in some}) == 4
    assert len({str(point) for point in all_of_them}) == len(all_of_them) == 6


def test_ranges_are_drawn_from_again_with_the_same_seed() -> None:
    space = {"lr": Range(1e-4, 1e-1, log=True), "hidden_size": Range(8, 300, log=True), "cell": ["lstm", "gru"]}
    points = drawn(space, 40)
    assert points == drawn(space, 40)
    assert points != drawn(space, 40, random_state=1)
    rates = np.log10([point["lr"] for point in points])
    assert all(np.histogram(rates, bins=[-4, -3, -2, -1])[0] >= 5)  # each decade has its share
    sizes = [point["hidden_size"] for point in points]
    assert all(isinstance(size, int) and 8 <= size <= 300 for size in sizes)


def test_a_range_of_few_integers_gives_each_once() -> None:
    assert sorted(point["num_layers"] for point in drawn({"num_layers": Range(1, 3)}, 10)) == [1, 2, 3]


def test_settings_are_pythons_own_numbers() -> None:
    points = drawn({"hidden_size": list(np.arange(3, 5)), "lr": [np.float64(0.5)]}, None)
    assert [type(value) for value in points[0].values()] == [int, float]


@pytest.mark.parametrize(
    ("space", "settings", "message"),
    [
        ({}, {}, "space must have at least one setting"),
        ({"units": [3]}, {}, "units is no setting of TextSettings, which has hidden_size, "),
        ({"lr": [0.1]}, {"units": 3}, "units is no setting"),
        ({"lr": [0.1]}, {"lr": 0.1}, "lr must be either searched, in space, or set, in settings, got both"),
        ({"tokens": ["words"]}, {}, "tokens must be the same in all trials"),
        ({"text": ["a", "b"]}, {}, "text must be the same in all trials"),
        ({"steps": [3, 4]}, {}, "steps must be the same in all trials"),
        ({"lr": [0.1]}, {"minutes": 3}, "minutes must be left out of a search"),
        ({"lr": 0.1}, {}, r"space\['lr'\] must be a list of values or a range, got 0.1"),
        ({"lr": []}, {}, r"space\['lr'\] must be a list of values or a range, got \[\]"),
        ({"lr": Range(0.1, 0.2)}, {}, "trials must say how many to draw, as lr has a range"),
        ({"lr": [0.1, -0.1]}, {}, "lr must be above 0"),
    ],
)
def test_what_is_no_space(space: dict[str, Any], settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        drawn(space, None, **settings)


def test_the_seed_of_images_says_which_are_held_out() -> None:
    with pytest.raises(ValueError, match="seed must be the same in all trials"):
        trials_of(ImageSettings, {"seed": [1, 2]}, {}, None, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 1), "low must be below high, got 2 and 1"),
        ((0, 1, True), "low must be above 0 for a range by logarithms"),
        ((0, float("inf")), "high must be finite"),
        (("0", 1), "low must be a number"),
        ((0, 1, 2), "log must be True or False"),
    ],
)
def test_what_is_no_range(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Range(*arguments)
