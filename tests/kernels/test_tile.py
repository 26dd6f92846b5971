"""The register tile: every size of it, against NumPy, bit for bit in its order of sums; and its machine code."""

from __future__ import annotations

import json
import platform
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numba import njit
from support.processes import run_python
from support.sums import DTYPES, UNTOUCHED, accumulated, between, is_fused, whole

from nblstm.kernels.simd import BYTES, pointer
from nblstm.kernels.tag import ANY
from nblstm.kernels.tile import ROWS, VECTORS, tile_rows

DEPTHS = (0, 1, 2, 17)


@njit
def rows_tile(
    tag, rows, vectors, a, a_index, a_scale, a_k, b, depth, a2, a2_index, a2_scale, b2, depth2, start, start_index,
    start_scale, c, c_index, c_scale,
):  # fmt: skip
    tile_rows(
        rows, vectors, pointer(a), pointer(a_index), a_scale, a_k, pointer(b), depth, pointer(a2), pointer(a2_index),
        a2_scale, pointer(b2), depth2, pointer(start), pointer(start_index), start_scale, pointer(c), pointer(c_index),
        c_scale,
    )  # fmt: skip


def scattered(matrix: np.ndarray, index: np.ndarray, scale: int, step: int = 1) -> np.ndarray:
    """Memory, no longer than it must be, where row r begins at index[r] * scale and its numbers lie `step` apart."""
    rows, length = matrix.shape
    if not matrix.size:
        return np.full(1, UNTOUCHED, matrix.dtype)
    memory = np.full(index.max() * scale + (length - 1) * step + 1, UNTOUCHED, matrix.dtype)
    for r in range(rows):
        at = index[r] * scale
        memory[at : at + (length - 1) * step + 1 : step] = matrix[r]
    return memory


def check_rows(rng, numbers, rows, vectors, depth, depth2, a_k, in_place, dtype, fused) -> None:
    width = vectors * BYTES // np.dtype(dtype).itemsize
    a, b = numbers(rng, (rows, depth), dtype), numbers(rng, (depth, width), dtype)
    a2, b2 = numbers(rng, (rows, depth2), dtype), numbers(rng, (depth2, width), dtype)
    start = numbers(rng, (rows, width), dtype)
    if numbers is whole:
        expected = start + a @ b + a2 @ b2
    else:
        expected = accumulated(accumulated(start, a, b, fused), a2, b2, fused)
    places = [rng.permutation(rows + 1)[:rows] for _ in range(4)]
    scales = [depth * a_k + 1, depth2 + 2, width + 3, width + 5]
    c = scattered(np.full_like(start, UNTOUCHED), places[3], scales[3])
    begin = scattered(start, places[2], scales[2])
    if in_place:
        places[2], scales[2], begin = places[3], scales[3], scattered(start, places[3], scales[3])
        c = begin
    rows_tile(
        ANY, rows, vectors, scattered(a, places[0], scales[0], a_k), places[0], scales[0], a_k, b.reshape(-1), depth,
        scattered(a2, places[1], scales[1]), places[1], scales[1], b2.reshape(-1), depth2, begin, places[2], scales[2],
        c, places[3], scales[3],
    )  # fmt: skip
    assert c.tobytes() == scattered(expected, places[3], scales[3]).tobytes(), (
        f"{rows=} {vectors=} {depth=} {depth2=} {a_k=} {in_place=}"
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_every_size(dtype: type[np.floating], rng: np.random.Generator) -> None:
    """Rows that lie anywhere, numbers apart from each other, sums that start elsewhere or where they end."""
    for case in product(range(1, ROWS + 1), range(1, VECTORS + 1), DEPTHS, DEPTHS):
        check_rows(rng, whole, *case, a_k=1 + 2 * (sum(case) % 2), in_place=sum(case) % 3 == 0, dtype=dtype, fused=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_summed_in_order(dtype: type[np.floating], rng: np.random.Generator) -> None:
    for rows, vectors in ((1, 1), (2, 3), (ROWS, VECTORS)):
        check_rows(rng, between, rows, vectors, 17, 5, a_k=3, in_place=False, dtype=dtype, fused=is_fused())


AVX2 = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe"
LOOPS = """
import json, re, sys
from numba import types
from nblstm.kernels import tile

multiply_add, load, stack, vector = map(re.compile, sys.argv[1:])
lines, labels, found = [], {}, []
for line in tile._compile(types.float32, tile.FINGERPRINT)._library.get_asm_str().splitlines():
    label, instruction = re.match(r"(\\.?L\\w+):", line), line.strip()
    if label:
        labels[label[1]] = len(lines)
    elif line[:1].isspace() and instruction[:1] != ".":
        lines.append(instruction)
        jump = re.match(r"[jbt]\\S*\\s.*?(\\.?L\\w+)$", instruction)
        if jump and jump[1] in labels:
            body = lines[labels[jump[1]]:]
            counts = [sum(bool(kind.match(each)) for each in body) for kind in (multiply_add, load)]
            on_stack = sum(bool(stack.search(each) and vector.search(each)) for each in body)
            found += [[*counts, on_stack, len(body)]] if counts[0] else []
print(json.dumps([tile.ROWS, found]))
"""
INSTRUCTIONS = {
    "x86_64": (r"vfmadd", r"v(mov|broadcast)\S*\s.*\(|vfmadd.*\(", r"\(%rsp", r"ymm"),
    "aarch64": (r"fmla", r"ld\S*\s", r"\[sp", r"\b[qv]\d"),
}
"""How a processor's multiply-adds and loads begin, and what stands in instructions with vectors on the stack."""


def loops_over_k(machine: str, **env: str) -> tuple[int, list[list[int]]]:
    """Rows of a tile, and of each loop its multiply-adds, its loads, its vectors on the stack and all instructions."""
    rows, loops = json.loads(run_python("-c", LOOPS, *INSTRUCTIONS[machine], env=env)[0])
    assert len(loops) >= 2 * rows * VECTORS
    return rows, loops


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="looks at code for x86")
def test_sums_stay_in_the_registers_of_avx2(tmp_path: Path) -> None:
    """Of the loops over k, which go back to their beginning after fused multiply-adds, none has a vector on the stack.

    Sixteen registers hold twelve sums, three numbers and one column; the order of the loads decides whether they do.
    """
    env = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": AVX2, "NUMBA_CACHE_DIR": str(tmp_path)}
    rows, loops = loops_over_k("x86_64", **env)
    assert rows == 3
    assert sum(on_stack for _, _, on_stack, _ in loops) == 0


@pytest.mark.skipif(platform.machine().lower() not in ("aarch64", "arm64"), reason="looks at code for ARM")
def test_sums_stay_in_the_registers_of_neon(tmp_path: Path) -> None:
    """The full tile has 24 sums in its 32 registers, and loads a third as often as it multiplies and adds."""
    rows, loops = loops_over_k("aarch64", NUMBA_CACHE_DIR=str(tmp_path))
    assert rows == 6
    assert sum(on_stack for _, _, on_stack, _ in loops) == 0
    largest = max(multiply_adds for multiply_adds, _, _, _ in loops)
    assert largest % (rows * VECTORS) == 0
    for multiply_adds, loads, _, instructions in loops:
        if multiply_adds == largest:
            assert 3 * loads <= multiply_adds
            assert instructions <= 1.5 * multiply_adds
