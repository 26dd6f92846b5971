"""Small problems over sequences, for the tests of jobs and of the runs that train them."""

from __future__ import annotations

import numpy as np

from nblstm.jobs import ClassificationJob, Job, Sequences, SequenceSettings

QUICK = SequenceSettings(hidden_size=7, batch_size=8, epochs=3, dropout=0.3, num_layers=2, evaluate_every=5, seed=2)


def sequences(kind: type[Job], count: int, seed: int, unequal: bool = True) -> Sequences:
    """Sums of the entries: above 0 or not, or the number itself."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6, count, 2)).astype("float32")
    lengths = rng.integers(1, 7, count) if unequal else None
    sums = np.array([x[:n, b].sum() for b, n in enumerate(np.full(count, 6) if lengths is None else lengths)])
    targets = (sums > 0).astype(int) if kind is ClassificationJob else sums[:, None].astype("float32")
    return Sequences(x, targets, lengths)
