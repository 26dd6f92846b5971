"""The layers: arguments checked, parameters owned, kernels called."""

from nblstm.layers.activations import ReLU, Sigmoid, Softmax, Tanh
from nblstm.layers.attention import AdditiveAttention, DotProductAttention
from nblstm.layers.attention_over_time import AttentionOverTime
from nblstm.layers.composed import Composed
from nblstm.layers.dropout import Dropout
from nblstm.layers.embedding import Embedding
from nblstm.layers.layer import Layer
from nblstm.layers.linear import Linear
from nblstm.layers.normalisation import LayerNorm
from nblstm.layers.pooling import LastOverTime, MaxOverTime, MeanOverTime
from nblstm.layers.recurrent import GRU, LSTM, RNN, Recurrent
from nblstm.layers.sequential import Sequential
from nblstm.layers.single_step import GRUCell, LSTMCell, RNNCell

__all__ = [
    "GRU", "LSTM", "RNN", "AdditiveAttention", "AttentionOverTime", "Composed", "DotProductAttention", "Dropout",
    "Embedding", "GRUCell", "LSTMCell", "LastOverTime", "Layer", "LayerNorm", "Linear", "MaxOverTime", "MeanOverTime",
    "RNNCell", "ReLU", "Recurrent", "Sequential", "Sigmoid", "Softmax", "Tanh",
]  # fmt: skip
