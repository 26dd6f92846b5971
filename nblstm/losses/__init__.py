"""Losses with their gradients, weights of classes, and softmax."""

from nblstm.losses.class_weights import class_weights
from nblstm.losses.loss_functions import cross_entropy, mse_loss
from nblstm.losses.softmax import log_softmax, softmax

__all__ = ["class_weights", "cross_entropy", "log_softmax", "mse_loss", "softmax"]
