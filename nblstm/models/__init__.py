"""Whole networks: layers composed, with forward and backward written out."""

from nblstm.models.characters import CharLM
from nblstm.models.network import CELLS, Network
from nblstm.models.sequences import SequenceClassifier, SequenceModel, SequenceRegressor

__all__ = ["CELLS", "CharLM", "Network", "SequenceClassifier", "SequenceModel", "SequenceRegressor"]
