"""Whole networks: layers composed, with forward and backward written out."""

from nblstm.models.language import LanguageModel
from nblstm.models.network import Network
from nblstm.models.sequences import SequenceClassifier, SequenceModel, SequenceRegressor
from nblstm.models.tagger import SequenceTagger
from nblstm.models.text import CharLM, WordLM

__all__ = [
    "CharLM", "LanguageModel", "Network", "SequenceClassifier", "SequenceModel", "SequenceRegressor",
    "SequenceTagger", "WordLM",
]  # fmt: skip
