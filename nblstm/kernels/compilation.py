"""Compilation: whether its results can be kept on disk, and a line on standard error while it lasts."""

from __future__ import annotations

import contextlib
import os
import sys
from time import perf_counter
from typing import Any, ClassVar

import numba
from numba.core import event
from numba.core.caching import CompileResultCacheImpl, UserProvidedCacheLocator
from numba.core.compiler_lock import global_compiler_lock

PATIENCE = 1.0
"""Seconds of compiling before it is mentioned."""

PASS, LOCK = "numba:run_pass", "numba:compiler_lock"
"""Numba's names for what it tells of: a pass over one function, and the lock that is held for all that it calls."""


class FrozenCacheLocator(UserProvidedCacheLocator):
    """The folder that NUMBA_CACHE_DIR names, in a frozen program too.

    Numba's own uses it only where the sources are on disk; in a frozen program they are not, and code objects name them
    relative to nothing.
    """

    def __init__(self, py_func: Any, py_file: str) -> None:
        super().__init__(py_func, os.path.join(os.path.dirname(sys.executable), py_file))

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> FrozenCacheLocator | None:
        """The locator, where the program is frozen and the folder is named and can be written."""
        if not getattr(sys, "frozen", False) or not numba.config.CACHE_DIR:
            return None
        locator = cls(py_func, py_file)
        try:
            locator.ensure_cache_path()
        except OSError:
            return None
        return locator


class CacheImpl(CompileResultCacheImpl):
    """Where Numba keeps a function, the folder above included."""

    _locator_classes: ClassVar[list[type]] = [FrozenCacheLocator, *CompileResultCacheImpl._locator_classes]


def _cache_folder() -> str | None:
    if numba.config.DISABLE_JIT:
        return None
    try:
        return CacheImpl(_cache_folder).locator.get_cache_path()
    except RuntimeError:  # neither beside the sources nor in the user's cache folder can a file be written
        return None


FOLDER = _cache_folder()
"""Where Numba keeps the kernels on disk, or None where it cannot."""

CACHE = FOLDER is not None
"""The option `cache` of every kernel; without, each process compiles them anew."""


def refuse(*_: object) -> None:
    """In place of every kernel where Numba compiles nothing: on addresses there is nothing for Python to do."""
    raise RuntimeError("nblstm's kernels need Numba's compiler, which NUMBA_DISABLE_JIT turns off: unset it")


class Notice(event.Listener):
    """Hears of every pass of Numba's compiler and tells, after a second of them, that this package compiles kernels.

    On a terminal a line names each function as long as it is compiled, and goes away with that; elsewhere there is one
    line in all. What comes from the cache goes through no pass. Numba lets one thread compile at a time.
    """

    def __init__(self) -> None:
        self._depth, self._began, self._spent, self._said = 0, 0.0, 0.0, False
        self._function = ""
        self._line: Any = None

    def on_start(self, event: event.Event) -> None:
        """A pass begins, perhaps within another, which compiles the caller; or someone wants to compile."""
        if event.kind == PASS and event.data["module"].startswith("nblstm."):
            if self._depth == 0:
                self._began = perf_counter()
                self._function = f"{event.data['module']}.{event.data['qualname'].split('.')[-1]}"
            self._depth += 1
            if self._spent + perf_counter() - self._began > PATIENCE:
                self._tell()

    def on_end(self, event: event.Event) -> None:
        """A pass ends, well or not; or someone who compiled has done so."""
        if event.kind == PASS:
            if event.data["module"].startswith("nblstm."):
                self._depth -= 1
                if self._depth == 0:
                    self._spent += perf_counter() - self._began
        elif self._line is not None and not global_compiler_lock.is_locked():  # by this thread, within another function
            line, self._line = self._line, None
            line.close()

    def _tell(self) -> None:
        if not on_terminal():
            if not self._said:
                self._said = True
                where = "" if FOLDER is None else f" in {FOLDER} (nblstm compile does it for all of them at once)"
                say(f"nblstm: compiling kernels for this processor at their first use, {_kept()}{where}")
        elif self._line is not None:
            self._line.update()
        else:
            from tqdm import tqdm

            said = f"compiling {self._function}, {_kept()}"
            self._line = tqdm(desc=said, bar_format="{desc} {elapsed}", leave=False, dynamic_ncols=True, miniters=1)


def _kept() -> str:
    if FOLDER is None:
        return "in each process anew: no folder for them can be written (NUMBA_CACHE_DIR may name one)"
    return "kept from then on"


def on_terminal() -> bool:
    """Whether standard error is a terminal, where a line can be written over."""
    with contextlib.suppress(AttributeError, ValueError):  # there is none, or it is closed
        return sys.stderr.isatty()
    return False


def say(line: str) -> None:
    """Write a line to standard error, if there is one, without breaking a progress bar that stands there."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # a closed one
            if "tqdm" in sys.modules:
                sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
            else:
                print(line, file=sys.stderr, flush=True)


NOTICE = Notice()
event.register(PASS, NOTICE)
event.register(LOCK, NOTICE)
