"""The evaluation of a language model by all ranks together."""

from __future__ import annotations

import math

import numpy as np

from nblstm.distributed.ranks import Alone
from nblstm.models import LanguageModel
from nblstm.training.text import nats_of, side_by_side


def evaluate_together(
    model: LanguageModel, tokens: np.ndarray, shards: int, ranks: Alone, batch_size: int = 32, window: int = 100
) -> float:
    """As `nblstm.training.evaluate`, by ranks that share out the streams, cut into shards as batches are.

    What the shards cost is added up exactly, so the result has the same bits on all ranks, however many there are.
    """
    columns = side_by_side(model, tokens, batch_size)
    parts = np.array_split(columns, min(shards, batch_size), axis=1)
    own = [nats_of(model, parts[shard], window) for shard in ranks.share(len(parts))]
    nats = math.fsum(cost for of_rank in ranks.gather(own) for cost in of_rank)
    return nats / (len(tokens) - 1) / math.log(2)
