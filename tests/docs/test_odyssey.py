"""The page about the odyssey has the numbers that its table of trials gives."""

from __future__ import annotations

from pathlib import Path

from nblstm.experiments.odyssey_analysis import comparisons_in_words
from nblstm.experiments.odyssey_trials import Trial
from nblstm.experiments.rows import read

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_comparisons_are_those_of_the_table() -> None:
    trials = read(DOCS / "odyssey" / "odyssey.csv", Trial)
    page = (DOCS / "odyssey.md").read_text(encoding="utf-8")
    for line in comparisons_in_words(trials).splitlines():
        assert line in page
    assert f"{len(trials):,} trials" in page
