"""Experiments of Hochreiter & Schmidhuber (1997), *Long short-term memory*, with their net and with one of today.

Each is a file that reads as the paper's section. `odyssey` and its files are an experiment of another kind, after Greff
et al. (2017).
"""

from nblstm.experiments import adding, long_lags, multiplication, reber, temporal_order, two_sequences

EXPERIMENTS = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (reber, long_lags, two_sequences, adding, multiplication, temporal_order)
}
"""By name, in the paper's order."""

__all__ = ["EXPERIMENTS"]
