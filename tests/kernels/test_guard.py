"""Guard mode sees what it is there to see; without that, that all tests pass under it would mean nothing."""

from __future__ import annotations

import json
import sys
from itertools import product

import pytest
from support.processes import run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guard mode is for Linux")

KERNELS = ("number", "vector", "number_of_its_own")


@pytest.mark.parametrize(("guarded", "other"), [("after", "before"), ("before", "after")])
def test_guard_mode_sees_overruns(guarded, other):
    """Past the guarded end a fault; past the other NaN is read, and what was written is found when the array goes."""
    out, _ = run_python("-m", "support.overruns", guarded)
    expected = {"let go": "fault"}
    for kernel, verb in product(KERNELS, ("read", "written")):
        expected |= {f"{kernel} {verb} first": "well", f"{kernel} {verb} last": "well"}
        expected[f"{kernel} {verb} {guarded}"] = "fault"
        expected[f"{kernel} {verb} {other}"] = "NaN" if verb == "read" else "abort"
    assert json.loads(out) == expected
