"""Drawings of nets and of what flows through them, as vector graphics in one visual language."""

from nblstm.plot.drawings.backward import draw_backward
from nblstm.plot.drawings.formulations import draw_two_formulations
from nblstm.plot.drawings.lstm import draw_lstm
from nblstm.plot.drawings.rnn import draw_neuron, draw_rnn_cell
from nblstm.plot.drawings.unrolled import draw_unrolled

__all__ = ["draw_backward", "draw_lstm", "draw_neuron", "draw_rnn_cell", "draw_two_formulations", "draw_unrolled"]
