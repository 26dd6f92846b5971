"""The page of the experiments has the tables of the trials that lie beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nblstm.experiments import EXPERIMENTS
from nblstm.experiments.rows import read
from nblstm.experiments.trials import Trial, table

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_page_has_the_table_of_the_kept_trials(name: str) -> None:
    trials = read(DOCS / "experiments" / f"{name}.csv", Trial)
    experiment = EXPERIMENTS[name]
    assert {each.experiment for each in trials} == {name}
    assert {each.case for each in trials} <= {case.label for case in experiment.cases}
    assert table(experiment, trials) in (DOCS / "experiments.md").read_text(encoding="utf-8")
