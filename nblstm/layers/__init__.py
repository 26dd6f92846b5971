"""The layers: arguments checked, parameters owned, kernels called."""

from nblstm.layer import Layer
from nblstm.layers.embedding import Embedding
from nblstm.layers.linear import Linear
from nblstm.layers.recurrent import GRU, LSTM, RNN, Recurrent
from nblstm.layers.sequential import Sequential
from nblstm.layers.single_step import GRUCell, LSTMCell, RNNCell

__all__ = [
    "GRU", "LSTM", "RNN", "Embedding", "GRUCell", "LSTMCell", "Layer", "Linear", "RNNCell", "Recurrent", "Sequential",
]  # fmt: skip
