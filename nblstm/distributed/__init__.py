"""Training by several processes, the ranks of MPI: what they hand each other, and how a batch is shared out."""

from nblstm.distributed.evaluation import evaluate_together
from nblstm.distributed.ranks import (
    Alone,
    Ranks,
    check_shards,
    is_on_all_ranks,
    on_all_ranks,
    ranks_for,
    started,
    world,
)
from nblstm.distributed.sharded import EXCHANGES, ShardedTrainer

__all__ = [
    "EXCHANGES", "Alone", "Ranks", "ShardedTrainer", "check_shards", "evaluate_together", "is_on_all_ranks",
    "on_all_ranks", "ranks_for", "started", "world",
]  # fmt: skip
