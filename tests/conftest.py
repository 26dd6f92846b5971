"""What all tests share: seeded random numbers, and hypothesis without a clock and without chance."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest

collect_ignore = ["torch_peer.py"]  # needs PyTorch; the tests that import it skip without

ON_REQUEST = {
    "exhaustive": "takes minutes: pytest -m exhaustive",
    "course": "with every notebook it takes minutes: make lessons",
    "browser": "needs JupyterLab and Chromium: make lessons",
}

hypothesis.settings.register_profile("seeded", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("seeded")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of minutes run when they are asked for; otherwise they are listed among the skipped."""
    for marker, reason in ON_REQUEST.items():
        if marker not in config.option.markexpr:
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20240607)
