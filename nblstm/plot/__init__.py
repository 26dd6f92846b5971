"""Pictures: each function takes arrays and returns the Matplotlib axes it drew on; docs/pictures.md shows all of them.

One thing has one colour in every picture (`COLOURS`), and none is told apart by colour alone. Matplotlib is imported at
the first call.
"""

from nblstm.plot.colours import COLOURS
from nblstm.plot.confusion import confusion_matrix
from nblstm.plot.curves import curves, gradient_over_lag, loss_curves
from nblstm.plot.drawings import (
    draw_backward,
    draw_lstm,
    draw_neuron,
    draw_rnn_cell,
    draw_two_formulations,
    draw_unrolled,
)
from nblstm.plot.roof import roofline
from nblstm.plot.text import activation_over_text, gates_over_text, saliency_over_text
from nblstm.plot.weights import weight_blocks

__all__ = [
    "COLOURS",
    "activation_over_text",
    "confusion_matrix",
    "curves",
    "draw_backward",
    "draw_lstm",
    "draw_neuron",
    "draw_rnn_cell",
    "draw_two_formulations",
    "draw_unrolled",
    "gates_over_text",
    "gradient_over_lag",
    "loss_curves",
    "roofline",
    "saliency_over_text",
    "weight_blocks",
]
