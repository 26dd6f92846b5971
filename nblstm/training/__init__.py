"""Training step by step: `TextTrainer` for a text, `BatchTrainer` and `TagTrainer` for sequences; what came of it."""

from nblstm.training.batches import BatchTrainer, predict
from nblstm.training.tags import TagTrainer
from nblstm.training.text import TextTrainer, evaluate
from nblstm.training.trainer import Trainer

__all__ = ["BatchTrainer", "TagTrainer", "TextTrainer", "Trainer", "evaluate", "predict"]
