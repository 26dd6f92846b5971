"""The equations: each cell in a file, and what a cell of one's own is declared with and written in.

A `Cell` that a file here has is one of `CELLS`, by its name; nobody lists them.
"""

from importlib import import_module
from pkgutil import iter_modules

from nblstm.cells.cell import CELLS, Cell
from nblstm.kernels.functions import (
    exp,
    gate_positive,
    log_sigmoid,
    maximum,
    minimum,
    relu,
    sigmoid,
    softplus,
    tanh,
    where,
)

_files = [import_module(f"{__name__}.{name}") for _, name, _ in iter_modules(__path__)]
_found = {cell.name: cell for file in _files for cell in vars(file).values() if isinstance(cell, Cell)}
CELLS.update(sorted(_found.items()))

__all__ = [
    "CELLS", "Cell", "exp", "gate_positive", "log_sigmoid", "maximum", "minimum", "relu", "sigmoid", "softplus", "tanh",
    "where",
]  # fmt: skip
