"""Tags: one for each name, so that nothing kept by tag grows with the copies and pickles of a layer."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np

import nblstm
from nblstm.kernels.streaming import run
from nblstm.kernels.tag import ANY, Tag


def kept() -> int:
    """Entries of every cache of the package's functions, and machine codes of the kernel that streams call."""
    functions = {
        id(thing): thing
        for name, module in sys.modules.items()
        if name.split(".")[0] == "nblstm"
        for thing in vars(module).values()
        if hasattr(thing, "cache_info")
    }
    assert len(functions) >= 4
    return sum(function.cache_info().currsize for function in functions.values()) + len(run.overloads)


def test_there_is_one_tag_of_a_name() -> None:
    assert Tag("any") is copy.copy(ANY) is copy.deepcopy(ANY) is pickle.loads(pickle.dumps(ANY)) is ANY
    assert Tag("other") is Tag("other") is not ANY


def test_copies_and_pickles_of_a_layer_leave_nothing_behind() -> None:
    layer, x = nblstm.LSTM(3, 5, seed=0), np.ones((4, 2, 3), "float32")
    y = layer(x)[0]
    before = kept()
    for n in range(50):
        layer = copy.deepcopy(layer) if n % 2 else pickle.loads(pickle.dumps(layer))
        assert np.array_equal(layer(x)[0], y)
    assert kept() == before
