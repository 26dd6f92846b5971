"""Recurrent networks for the CPU: RNN and LSTM compiled by Numba, with backpropagation through time written out."""

from nblstm import weights
from nblstm.cells import Cell
from nblstm.class_weights import class_weights
from nblstm.clipping import clip_grad_norm
from nblstm.gradcheck import gradcheck
from nblstm.kernels.policy import thread_policy
from nblstm.layers import GRU, LSTM, RNN, Embedding, GRUCell, Linear, LSTMCell, Recurrent, RNNCell, Sequential
from nblstm.losses import cross_entropy, mse_loss
from nblstm.models import CharLM, SequenceClassifier, SequenceRegressor, SequenceTagger, WordLM
from nblstm.optim import SGD, Adam, AdamW, RMSprop
from nblstm.padding import pad_sequences
from nblstm.schedules import warmup_cosine

__all__ = [
    "GRU", "LSTM", "RNN", "SGD", "Adam", "AdamW", "Cell", "CharLM", "Embedding", "GRUCell", "LSTMCell",
    "Linear", "RMSprop", "RNNCell", "Recurrent", "SequenceClassifier", "SequenceRegressor", "SequenceTagger",
    "Sequential", "WordLM",
    "class_weights", "clip_grad_norm",
    "cross_entropy", "gradcheck", "mse_loss", "pad_sequences", "thread_policy", "warmup_cosine", "weights",
]  # fmt: skip
