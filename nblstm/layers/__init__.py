"""The layers: arguments checked, parameters owned, kernels called."""

from nblstm.layer import Layer
from nblstm.layers.embedding import Embedding
from nblstm.layers.linear import Linear
from nblstm.layers.recurrent import LSTM, RNN
from nblstm.layers.sequential import Sequential
from nblstm.layers.single_step import LSTMCell, RNNCell

__all__ = ["LSTM", "RNN", "Embedding", "LSTMCell", "Layer", "Linear", "RNNCell", "Sequential"]
