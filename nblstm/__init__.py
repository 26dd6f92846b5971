"""Recurrent networks for the CPU: RNN and LSTM compiled by Numba, with backpropagation through time written out."""

from nblstm.layers.recurrent import LSTM, RNN

__all__ = ["LSTM", "RNN"]
