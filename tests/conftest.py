"""What all tests share: seeded random numbers, and hypothesis without a clock and without chance."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest

collect_ignore = ["torch_peer.py"]  # needs PyTorch; the tests that import it skip without

hypothesis.settings.register_profile("seeded", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("seeded")


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20240607)
