"""Written-out backward passes held against centred differences."""

from nblstm.gradcheck.compare import GradientError, GradientRow, GradientTable, gradcheck

__all__ = ["GradientError", "GradientRow", "GradientTable", "gradcheck"]
