"""A cell applied to the buffers: load a vector of units, apply the cell's functions, store; compiled for each cell.

What loads and stores the numbers that a cell declares are a few lines for each cell, see `stages`. All else is compiled
once for all cells, and calls a cell's machine code by its address.

Pointers: h, h_prev, before, after, dh, dc (rows, P), H padded to whole vectors; the states beside h lie `between`
numbers apart, their gradients `dbetween`; gates (rows, G), for each block of `lanes` units (slots, lanes); peephole
(weights, P).
"""

import linecache
from collections.abc import Sequence
from types import FunctionType
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.core.errors import NumbaError, NumbaTypeError
from numba.core.types.misc import CPointer
from numba.extending import overload, register_jitable

from nblstm.cells.cell import Cell
from nblstm.cells.digest import digest, with_helpers
from nblstm.kernels.cache import cfunc
from nblstm.kernels.compilation import refuse
from nblstm.kernels.fingerprint import FINGERPRINT
from nblstm.kernels.inner import called_by_address
from nblstm.kernels.simd import Vector, full, lanes_of, load, load_part, shift, store
from nblstm.kernels.stages import Stage, first_stage, last_stage


class CompiledCell(NamedTuple):
    """Addresses of a cell's machine code, 0 for a first stage that it has not, and the functions that keep it alive."""

    forward: int
    backward: int
    read: int
    read_back: int
    functions: list[Any]


def _forward_signature(dtype: types.Float) -> types.Type:
    size, numbers = types.int64, CPointer(dtype)
    return types.void(
        size, size, size, numbers, size, size, numbers, size, numbers, size, numbers, numbers, numbers, numbers, size
    )  # fmt: skip


def _backward_signature(dtype: types.Float) -> types.Type:
    size, numbers = types.int64, CPointer(dtype)
    return types.void(
        size, size, size, size, size, size, numbers, size, CPointer(size), numbers, numbers, numbers, numbers, numbers,
        size, numbers, numbers, numbers, size,
    )  # fmt: skip


_COMPILED: dict[tuple[str, np.dtype], CompiledCell] = {}  # by what a cell means: copies and pickles share it


def compiled(cell: Cell, dtype: np.dtype) -> CompiledCell:
    """The cell's machine code for numbers of `dtype`: what this process has, or loaded from the cache, or compiled.

    Raises
    ------
    ValueError
        Its functions use what vectors of units have not, or something that has changed since it was declared.
    """
    found = _COMPILED.get((cell.key, dtype))
    if found is None:
        cell.check_unchanged()
        try:
            found = _COMPILED[cell.key, dtype] = _compile(cell, dtype)
        except NumbaError as error:
            refusal = _refusal(cell)
            if not refusal:
                raise
            raise ValueError(refusal) from error
    return found


def _compile(cell: Cell, dtype: np.dtype) -> CompiledCell:
    if numba.config.DISABLE_JIT:
        refuse()
    key = int(cell.key.rsplit("-", 1)[1], 16) // 2
    forward, backward = functions = _compile_stage(last_stage(cell), key, dtype)
    if cell.reading is None:
        return CompiledCell(forward.address, backward.address, 0, 0, functions)
    read, read_back = first = _compile_stage(first_stage(cell, cell.reading), key ^ 1, dtype)
    return CompiledCell(forward.address, backward.address, read.address, read_back.address, [*functions, *first])


def _compile_stage(stage: Stage, key: int, dtype: np.dtype) -> list[Any]:
    number_type, source = numba.from_dtype(dtype), FINGERPRINT  # key and source, in the functions: keys in the cache
    _STAGES[key] = stage

    @cfunc(_forward_signature(number_type))
    def forward_cell(
        rows, first, last, sums, width, keep, gates, G, peephole, P, h_prev, h, before, after, between
    ):  # fmt: skip
        lanes, per_unit = lanes_of(h), G // P
        for row in range(rows):
            for u in range(first, last, lanes):
                forward_units(
                    key, source, u, shift(sums, row * width + per_unit * (u - first)), keep,
                    shift(gates, row * G + per_unit * u), peephole, P, shift(h_prev, row * P), shift(h, row * P),
                    shift(before, row * P), shift(after, row * P), between,
                )  # fmt: skip

    @cfunc(_backward_signature(number_type))
    def backward_cell(
        rows, first, last, H, P, G, dy, has_dy, dy_at, peephole, h_prev, h, before, after, between, gates, dh, dc,
        dbetween,
    ):  # fmt: skip
        lanes, per_unit = lanes_of(h), G // P
        for row in range(rows):
            at, dy_row = row * P, shift(dy, dy_at[row])
            for u in range(first, last, lanes):
                dh_u = load(dh, at + u)
                if has_dy:
                    dh_u = dh_u + load_part(dy_row, u, H - u)
                own = row * G + per_unit * u
                backward_units(
                    key, source, u, shift(gates, own), peephole, P, shift(h_prev, at), shift(h, at),
                    shift(before, at), shift(after, at), between, dh_u, shift(dh, at), shift(dc, at), dbetween,
                )  # fmt: skip
                if u + lanes > H:  # an infinite x makes the padding NaN, 0 times infinity, and the products read it
                    for gate in range(own, own + per_unit * lanes, lanes):
                        store(gates, gate, load_part(gates, gate, H - u))

    return [forward_cell, backward_cell]


forward_cell = called_by_address(_forward_signature)
"""Step the units first .. last - 1 of `rows` rows: from their weighted sums and the states before to those after.

forward_cell(address, (rows, first, last, sums, width, keep, gates, G, peephole, P, h_prev, h, before, after, between)).
The sums of a row's units lie at sums[row * width]. Where `keep` is 1, what the cell's backward needs goes to gates.
"""

backward_cell = called_by_address(_backward_signature)
"""Step the same units back: gates become the gradients of the sums, dc that of the states before.

backward_cell(address, (rows, first, last, H, P, G, dy, has_dy, dy_at, peephole, h_prev, h, before, after, between,
gates, dh, dc, dbetween)). dh holds the gradient of h that comes from later, to which dy is added: its rows lie as dy_at
(rows,) says. Where the cell's backward returns a gradient of the h before, it goes to dh.
"""


def _refusal(cell: Cell) -> str:
    """What of a cell that does not compile vectors of units have not, and the line where."""
    functions = [(cell.given[0], cell.forward_arguments), (cell.backward, cell.backward_arguments)]
    if cell.reading:
        functions += zip(cell.reading.functions, cell.reading.arguments, strict=True)
    for function, arguments in functions:
        alone = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)(_jitable(function))
        try:
            alone.compile((Vector(types.float32),) * len(arguments))
        except NumbaError as error:
            at: Any = getattr(error, "loc", None)
            line = linecache.getline(at.filename, at.line).strip() if at else ""
            where = f", in line {at.line}: {line}" if line else ""
            return (
                f"{function.__name__} of cell {cell.name!r} uses what vectors of units have not{where} (there are "
                "+ - * /, comparisons with where, minimum, maximum, exp, sigmoid, tanh, softplus, log_sigmoid, relu, "
                "and numbers, int, float)"
            )
    return ""


_MEANINGS: dict[FunctionType, str] = {}
"""Digests of the functions that Numba knows, as they were then: it compiles each once, whatever becomes of a number."""


def _jitable(function: FunctionType) -> FunctionType:
    """The function itself; what is compiled may call it now, and it its helpers."""
    for each in with_helpers(function):
        meaning = digest("", each)
        if each not in _MEANINGS:
            _MEANINGS[each] = meaning
            register_jitable(each)
        elif _MEANINGS[each] != meaning:
            raise ValueError(f"{each.__name__} must be defined anew: what it uses has changed since it was compiled")
    return function


# ------------------------------------------------------------------------------------------------- a stage's own lines


def forward_units(key, source, u, sums, keep, gates, peephole, stride, h_prev, h, before, after, between):
    """The units u .. u + lanes - 1 of one row, whose blocks of sums and gates and whose states' rows are given."""
    raise TypeError("only inside compiled code")


def backward_units(
    key, source, u, gates, peephole, stride, h_prev, h, before, after, between, dh, dh_row, dstates, dbetween
):
    """The same units back; dh is a vector."""
    raise TypeError("only inside compiled code")


_STAGES: dict[int, Stage] = {}
"""By their keys, for the compiler."""


def _stage_of(key: types.Type) -> Stage:
    """The stage of a key that the compiler knows the value of; where that has failed it tries again without."""
    if not isinstance(key, types.IntegerLiteral):
        raise NumbaTypeError("the key of a stage must be known when it is compiled")
    return _STAGES[key.literal_value]


@overload(forward_units, prefer_literal=True)
def _overload_forward_units(key, source, u, sums, keep, gates, peephole, stride, h_prev, h, before, after, between):
    stage = _stage_of(key)
    return _compiled("forward_units", _FORWARD, stage.forward_lines, stage.functions[0])


@overload(backward_units, prefer_literal=True)
def _overload_backward_units(
    key, source, u, gates, peephole, stride, h_prev, h, before, after, between, dh, dh_row, dstates, dbetween
):
    stage = _stage_of(key)
    return _compiled("backward_units", _BACKWARD, stage.backward_lines, stage.functions[1])


_FORWARD = "key, source, u, sums, keep, gates, peephole, stride, h_prev, h, before, after, between"
_BACKWARD = "key, source, u, gates, peephole, stride, h_prev, h, before, after, between, dh, dh_row, dstates, dbetween"


def _compiled(name: str, arguments: str, lines: Sequence[str], function: FunctionType) -> Any:
    """The function of these lines; its text is where a traceback looks for it."""
    text = "\n    ".join([f"def {name}({arguments}):", "lanes = lanes_of(gates)", *lines]) + "\n"
    path = f"<{name} of {function.__module__}.{function.__qualname__}>"
    linecache.cache[path] = len(text), None, text.splitlines(keepends=True), path
    names = {"load": load, "store": store, "lanes_of": lanes_of, "full": full, "function": _jitable(function)}
    exec(compile(text, path, "exec"), names)
    return names[name]
