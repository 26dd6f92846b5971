"""What `nblstm check` finds out on this very machine: gradients, PyTorch's numbers, accuracy, the same bits."""

from nblstm.check.run import Row, rows, table

__all__ = ["Row", "rows", "table"]
