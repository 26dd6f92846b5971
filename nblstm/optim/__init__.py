"""Optimisers, schedules for their learning rates, and the clipping of gradients."""

from nblstm.optim.clipping import clip_grad_norm
from nblstm.optim.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from nblstm.optim.schedules import warmup_cosine

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm", "warmup_cosine"]
