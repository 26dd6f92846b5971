"""The public API in any order: hypothesis drives two state machines beside an independent model of what must come."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test
from support.machine_of_layers import Layers
from support.machine_of_models import Models

STEPS = 2000  # in each part of the long run
PARTS = [(Layers, 6), (Models, 4)]


def run(machine: Any, least: int, seed: int, **settings: Any) -> int:
    """The machine from new beginnings, whose seeds follow from `seed`, until it has taken so many steps."""
    machine.steps = 0
    usual = {"deadline": None, "database": None, "derandomize": False, "stateful_step_count": 50}
    chosen = hypothesis.settings(**usual | settings, suppress_health_check=list(hypothesis.HealthCheck))
    while machine.steps < least:
        run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=chosen)
        seed += 100
    return machine.steps


@pytest.mark.parametrize("machine", [Layers, Models])
def test_any_order_briefly(machine):
    assert run(machine, least=300, seed=0, max_examples=12, stateful_step_count=30) >= 300


@pytest.mark.fuzz
@pytest.mark.parametrize(("machine", "part"), [(machine, part) for machine, parts in PARTS for part in range(parts)])
def test_any_order(machine, part):
    steps = run(machine, STEPS, seed=part + 1, max_examples=60)
    print(f"{machine.__name__}, part {part}: {steps:,} steps")
    assert steps >= STEPS
