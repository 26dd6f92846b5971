"""Compiles ahead: small works that between them use every kernel, so that none is compiled at its first use later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numba
import numpy as np

from nblstm.cells import CELLS, Cell
from nblstm.kernels.policy import thread_policy
from nblstm.kernels.units import compiled
from nblstm.layers import LSTM
from nblstm.losses import cross_entropy
from nblstm.models import CharLM
from nblstm.optim import SGD, Adam, AdamW, RMSprop
from nblstm.optim.clipping import clip_grad_norm

NEVER = 10**15
POLICIES = (
    {"serial_below": NEVER},  # nothing is shared out
    {"serial_below": 0, "team_above": NEVER},  # the batch is
    {"serial_below": 0, "team_above": 0},  # the units are, where OpenMP starts the threads
)
"""Thresholds that have every work use all versions of the kernels, one after the other."""

Work = Callable[[], object]


def works(dtype: str, cells: Iterable[Cell] = CELLS.values()) -> Iterator[Work]:
    """What uses, done one after the other, all kernels for numbers of this type: each takes some seconds at most."""
    for cell in cells:
        yield partial(compiled, cell, np.dtype(dtype))
    for policy in POLICIES[: 1 if numba.get_num_threads() == 1 else None]:
        for work in (_train, _weigh, _sample, _step):
            yield partial(_under, policy, work, dtype)


def _under(policy: dict[str, int], work: Callable[[str], None], dtype: str) -> None:
    with thread_policy(**policy):
        work(dtype)


def _train(dtype: str) -> None:
    """A language model that has everything: a batch too small for the threads, units enough for two of them."""
    model = CharLM("abc", 3, 70, cell="peephole", dropout=0.5, dtype=dtype, seed=0)
    tokens = np.array([[0, 1], [1, 2], [2, 0], [0, 1]])
    logits, _, tape = model.forward(tokens[:-1])
    model.backward(cross_entropy(logits, tokens[1:])[1], tape)
    clip_grad_norm(model.layers, 1.0)
    for optimiser in (SGD, RMSprop, Adam, AdamW):
        optimiser(model.layers).step()


def _weigh(dtype: str) -> None:
    """A loss whose classes have weights."""
    cross_entropy(np.zeros((2, 3), dtype), np.array([0, 1]), weight=[1.0, 2.0, 3.0])


def _sample(dtype: str) -> None:
    CharLM("abc", 3, 5, dtype=dtype, seed=0).sample("a", length=5, seed=0)


def _step(dtype: str) -> None:
    """A layer by single steps."""
    LSTM(3, 5, dtype=dtype, seed=0).stream()(np.zeros(3, dtype))
