"""Guard mode: every array lies against a page that nobody may touch, so reading or writing past it is a fault at once.

`install("after")` puts the end of each new array against a page without access, `install("before")` its beginning. The
process then dies where it happens, and pytest's fault handler prints the call. What is left of an array's own pages, on
the other side, holds a pattern that is NaN in both dtypes and is looked at when the array is let go: where it was
overwritten the process aborts. The pattern also stands in memory that nobody has written yet, and makes NaN of what is
computed from it. No page serves twice, so an array used after its end is a fault as well.

NumPy takes the memory of its arrays from a handler (NEP 49), a kernel that makes an array from a function of Numba's:
both are replaced here by functions that Numba compiles. Not seen: steps from one tensor into the next within an array,
arrays made earlier or in another thread of Python's, which has NumPy's own handler, and jumps of more than `GAP`.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
from llvmlite.binding import add_symbol
from numba import cfunc, njit, types
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python, rtsys
from numba.core.types.misc import CPointer
from numba.extending import intrinsic

from nblstm.kernels.team import _add
from nblstm.layers import memory

PAGE = mmap.PAGESIZE
GAP = 1 << 16
"""Bytes without access, at least, between two arrays: an offset may be that wrong and still be seen."""

ROOM = 1 << 44
"""Bytes of addresses to give away; each serves once, and takes memory only while an array lies there."""

PATTERN = 0xFF
"""In each byte: NaN in float32 and float64, -1 in integers."""

_ADDRESS, _INT, _NOTHING = types.intp, types.int32, types.void
_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_mprotect = types.ExternalFunction("mprotect", _INT(_ADDRESS, _ADDRESS, _INT))
_madvise = types.ExternalFunction("madvise", _INT(_ADDRESS, _ADDRESS, _INT))
_memset = types.ExternalFunction("memset", _ADDRESS(_ADDRESS, _INT, _ADDRESS))
_memcpy = types.ExternalFunction("memcpy", _ADDRESS(_ADDRESS, _ADDRESS, _ADDRESS))
_memcmp = types.ExternalFunction("memcmp", _INT(_ADDRESS, _ADDRESS, _ADDRESS))
_abort = types.ExternalFunction("abort", _NOTHING())
_manage = types.ExternalFunction("nblstm_guard_manage", _ADDRESS(_ADDRESS, _ADDRESS))


@intrinsic
def _words(typing_context, address):
    """Pointer to the 64-bit words at an address."""
    words = CPointer(types.int64)
    return words(address), lambda context, builder, sig, args: builder.inttoptr(args[0], context.get_value_type(words))


class _Handler(ctypes.Structure):
    """NumPy's PyDataMem_Handler."""

    _fields_ = [
        ("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("context", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p), ("calloc", ctypes.c_void_p), ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    ]  # fmt: skip


_kept: list[Any] = []  # what NumPy and the kernels know the addresses of


def install(side: str) -> None:
    """From now on every new array ends ("after") or begins ("before") at a page without access."""
    at_end = {"after": True, "before": False}[side]
    arena, expected = _reserve(ROOM, 0), _reserve(PAGE, _READ_WRITE)
    ctypes.memset(expected, PATTERN, PAGE)
    # Words: where free addresses begin; then, for every piece of GAP bytes, the size of the array that begins there.
    book = _reserve(ROOM // GAP * 8, _READ_WRITE)
    ctypes.c_int64.from_address(book).value = arena + GAP

    @njit
    def size_at(block):
        return _words(book + (block - arena) // GAP * 8)

    @njit
    def take(size, zeros):
        span = (size + PAGE - 1) // PAGE * PAGE
        begin = _add(_words(book), (span + 2 * GAP - 1) // GAP * GAP)
        if _mprotect(begin, span, _READ_WRITE) != 0:
            return 0
        size_at(begin)[0] = size
        if not zeros:  # which fresh pages are
            _memset(begin, PATTERN, span)
        _memset(begin if at_end else begin + size, PATTERN, span - size)
        return begin + (span - size if at_end else 0)

    @njit
    def give_back(block):
        begin, size = block // PAGE * PAGE, size_at(block)[0]
        span = (size + PAGE - 1) // PAGE * PAGE
        if _memcmp(begin if at_end else begin + size, expected, span - size) != 0:
            _abort()
        _madvise(begin, span, mmap.MADV_DONTNEED)
        _mprotect(begin, span, 0)

    @cfunc(_ADDRESS(_ADDRESS, _ADDRESS))
    def malloc(context, size):
        return take(size, False)

    @cfunc(_ADDRESS(_ADDRESS, _ADDRESS, _ADDRESS))
    def calloc(context, count, size):
        return take(count * size, True)

    @cfunc(_ADDRESS(_ADDRESS, _ADDRESS, _ADDRESS))
    def realloc(context, block, size):
        new = take(size, False)
        if block and new:
            _memcpy(new, block, min(size, size_at(block)[0]))
            give_back(block)
        return new

    @cfunc(_NOTHING(_ADDRESS, _ADDRESS, _ADDRESS))
    def free(context, block, size):
        if block:
            give_back(block)

    @cfunc(_NOTHING(_ADDRESS))
    def let_go(block):
        give_back(block)

    last = let_go.address
    rtsys.initialize(cpu_target.target_context)
    add_symbol("nblstm_guard_manage", _functions(_nrt_python.c_helpers["get_api"])[2])

    @cfunc(_ADDRESS(_ADDRESS, types.uint32))
    def aligned(size, alignment):
        """Numba's record of an array in a kernel, which calls `let_go` when nobody has the array any more."""
        return _manage(take(size, False), last)

    add_symbol("NRT_MemInfo_alloc_aligned", aligned.address)
    handler = _Handler(b"guard", 1, None, malloc.address, calloc.address, realloc.address, free.address)
    _kept.extend([let_go, aligned, malloc, calloc, realloc, free, handler])
    _give_to_numpy(handler)
    memory.SMALL = sys.maxsize  # arrays that would begin at a cache line end somewhere


def _reserve(size: int, access: int) -> int:
    """Addresses of `size` bytes that take no memory until they are written."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    no_reserve = 0x4000  # Linux
    found = libc.mmap(None, size, access, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve, -1, 0)
    if found == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "no addresses for guard mode")
    return found


def _functions(get_api: int) -> ctypes.Array:
    """The table of functions that a function of Numba's returns."""
    return ctypes.cast(ctypes.CFUNCTYPE(ctypes.c_void_p)(get_api)(), ctypes.POINTER(ctypes.c_void_p))


def _give_to_numpy(handler: _Handler) -> None:
    """Call PyDataMem_SetHandler, which is number 304 of NumPy's functions for C."""
    new_capsule, pointer_of = ctypes.pythonapi.PyCapsule_New, ctypes.pythonapi.PyCapsule_GetPointer
    new_capsule.restype, pointer_of.restype = ctypes.py_object, ctypes.c_void_p
    new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(pointer_of(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    capsule = new_capsule(ctypes.addressof(handler), b"mem_handler", None)
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[304])
    set_handler(capsule)
