"""The equations: each cell in a file, and what a cell of one's own is declared with and written in."""

from nblstm.cells import gru, lstm, minimal, rnn, xlstm
from nblstm.cells.cell import CELLS, Cell
from nblstm.cells.variants import VARIANTS
from nblstm.kernels.functions import exp, gate_positive, maximum, minimum, relu, sigmoid, tanh, where

CELLS |= {cell.name: cell for cell in (lstm.LSTM, lstm.PEEPHOLE, rnn.RNN_TANH, rnn.RNN_RELU, gru.GRU, *VARIANTS)}
CELLS |= {cell.name: cell for cell in (minimal.JANET, minimal.MGU, minimal.UGRNN, xlstm.SLSTM)}

__all__ = [
    "CELLS", "Cell", "exp", "gate_positive", "maximum", "minimum", "relu", "sigmoid", "tanh", "where",
]  # fmt: skip
