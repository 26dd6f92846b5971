"""Runs every kernel there is, with threads and without, and prints what Numba's cache did for each, as JSON."""

from __future__ import annotations

import gc
import json

import numpy as np
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher

import nblstm
from support.threading_layers import PATIENT


def train_sample_and_stream() -> None:
    """With a model that has everything: embedding, peepholes, dropout, linear layer, units enough for two threads."""
    model = nblstm.CharLM("abc", 3, 70, cell="peephole", dropout=0.5, seed=0)
    tokens = np.array([[0, 1], [1, 2], [2, 0], [0, 1]])
    logits, _, tape = model.forward(tokens[:-1])
    _, dlogits = nblstm.cross_entropy(logits, tokens[1:])
    model.backward(dlogits, tape)
    nblstm.clip_grad_norm(model.layers, 1.0)
    for optimiser in (nblstm.SGD, nblstm.RMSprop, nblstm.Adam, nblstm.AdamW):
        optimiser(model.layers).step()
    model.sample("a", length=5, seed=0)
    model.recurrent.stream()(np.ones(3, "float32"))


def cache_statistics() -> dict[str, tuple[int, int]]:
    """Hits and misses of every function in this process that Numba was told to keep on disk."""
    found = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), CFunc):
            found[thing.native_name] = (thing.cache_hits, 1 - thing.cache_hits)
        elif issubclass(type(thing), Dispatcher) and thing.stats.cache_path:
            hits, misses = thing.stats.cache_hits, thing.stats.cache_misses
            found[f"{thing.__module__}.{thing.__qualname__}"] = (sum(hits.values()), sum(misses.values()))
    return found


if __name__ == "__main__":
    for serial_below, team_above in ((0, 0), (0, 10**12), (10**12, 0)):
        with nblstm.thread_policy(serial_below=serial_below, team_above=team_above, team_patience=PATIENT):
            train_sample_and_stream()
    print(json.dumps(cache_statistics()))
