"""What the program runs on: processor, vector registers, threads, versions, and the cache of compiled kernels."""

from __future__ import annotations

import functools
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba

from nblstm.kernels import simd
from nblstm.kernels.compilation import CACHE
from nblstm.kernels.driver import MEETINGS, Driver, all_threads


@functools.cache
def processor() -> str:
    """The processor's name as the system gives it, and as the compiler knows it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = (names or [platform.processor() or platform.machine()])[0]
    return f"{name} ({llvmlite.binding.get_host_cpu_name()})"


@functools.cache
def version_of(package: str) -> str:
    """The version of an installed package, or "not installed", as nblstm itself where it runs from its sources."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def describe() -> dict[str, Any]:
    """Machine, threads and versions as plain data: what a run's speed and the last bits of its result depend on.

    Examples
    --------
    >>> from nblstm.environment import describe
    >>> sorted(describe())[:3]
    ['lanes_float32', 'lanes_float64', 'llvmlite']
    """
    return {
        "processor": processor(),
        "vector_bits": 8 * simd.BYTES,
        "lanes_float32": simd.LANES[numba.float32],
        "lanes_float64": simd.LANES[numba.float64],
        "threads": all_threads(),  # also starts them, without which there is no layer to name
        "threading_layer": numba.threading_layer(),
        "missed_meetings": MEETINGS.missed,  # of threads that share out the units of one sequence, in this process
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version_of(package) for package in ("nblstm", "numpy", "numba", "llvmlite")},
    }


def cache() -> dict[Path, int]:
    """Folders that hold compiled kernels of the modules imported so far, and the bytes of such files in each.

    Numba decides where: beside the source, or in the user's cache folder if that cannot be written, or below
    ``NUMBA_CACHE_DIR`` if that is set.
    """
    if not CACHE:
        return {}
    modules = [module for name, module in sys.modules.items() if name.startswith("nblstm")]
    drivers = [driver for module in modules for driver in vars(module).values() if isinstance(driver, Driver)]
    folders = {Path(driver.parallel.stats.cache_path) for driver in drivers if driver.parallel.stats.cache_path}
    return {folder: sum(file.stat().st_size for file in folder.glob("*.nbc")) for folder in sorted(folders)}
