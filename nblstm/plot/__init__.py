"""Pictures: each function takes arrays and returns the Matplotlib axes it drew on."""

from nblstm.plot.colours import COLOURS
from nblstm.plot.curves import loss_curves

__all__ = ["COLOURS", "loss_curves"]
