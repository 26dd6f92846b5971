"""Training step by step: `TextTrainer` for a text, `BatchTrainer` for separate sequences; and what came of it."""

from nblstm.training.batches import BatchTrainer, predict
from nblstm.training.text import TextTrainer, evaluate
from nblstm.training.trainer import Trainer

__all__ = ["BatchTrainer", "TextTrainer", "Trainer", "evaluate", "predict"]
