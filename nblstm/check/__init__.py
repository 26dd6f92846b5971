"""What `nblstm check` finds out on this very machine: gradients, PyTorch's numbers, accuracy, the same bits."""

from nblstm.check.run import Row, count, rows, table

__all__ = ["Row", "count", "rows", "table"]
