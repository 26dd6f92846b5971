"""Compiled kernels on disk: one file for each, named by what it was compiled from and for, behind a digest.

Numba itself keeps an index beside numbered files, and writes both without a lock: where two processes compile two
kernels of one function at once, both take the same number, and from then on the index leads to the other one's machine
code. It loads damaged files as well. Here a file that is not exactly what was saved under its name is as good as none.

Every edit of the sources, every upgrade and every other processor adds files. Those that nobody has used for long go
when the next one is saved; a process that has loaded one no longer needs it, and one that misses it compiles.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import io
import os
import pickle
import secrets
import time
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.core.environment import _rebuild_env
from numba.core.serialize import dumps

from nblstm.kernels.compilation import CACHE, CacheImpl, say
from nblstm.kernels.fingerprint import FINGERPRINT

SIZE = 32
"""Bytes of a digest."""

FORM = "." + "?" * SIZE + ".nbc"
"""How the name of a file goes on after that of its function, as a pattern."""

KEPT = 30 * 24 * 3600
"""Seconds that a file stays without being used."""


class Cache(FunctionCache):
    """Numba's cache of one function, but for the files: what the system cannot read or write is compiled."""

    _impl_class = CacheImpl

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        stamp = FINGERPRINT, self._impl.locator.get_source_stamp()
        self._cache_file = Files(Path(self.cache_path), self._impl.filename_base, stamp)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature, or say once why not."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _say_once(f"nblstm: compiled kernels cannot be kept in {self.cache_path}: {error.strerror}")


class Files:
    """The kernels of one function; `stamp` says which state of its source they are from."""

    def __init__(self, folder: Path, name: str, stamp: Any) -> None:
        self.folder, self.name, self.stamp = folder, name, stamp

    def load(self, key: Any) -> Any:
        """What was saved under `key`, or None."""
        path = self._path(key)
        try:
            sealed = path.read_bytes()
        except OSError:
            return None
        digest, content = sealed[:SIZE], sealed[SIZE:]
        if digest != _digest(path, content):
            return None
        with contextlib.suppress(OSError):  # where nothing can be written, nothing is removed either
            os.utime(path)
        try:
            return _Reader(io.BytesIO(content)).load()
        except Exception:  # it names something that is no longer there
            return None

    def save(self, key: Any, data: Any) -> None:
        """Write a file in one piece: another process sees all of it or nothing."""
        self._remove_unused()
        content, path = dumps(data), self._path(key)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_bytes(_digest(path, content) + content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def flush(self) -> None:
        """Remove the kernels of this function, in whatever state of its source they were compiled."""
        for path in self.folder.glob(glob.escape(self.name) + FORM):
            path.unlink(missing_ok=True)

    def _remove_unused(self) -> None:
        """Remove what nobody in this folder has used for long, and what writers left that were killed."""
        oldest = time.time() - KEPT
        for path in [*self.folder.glob("*" + FORM), *self.folder.glob(".*" + FORM + ".*.tmp")]:
            with contextlib.suppress(OSError):  # another process was first, or it is not ours
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def _path(self, key: Any) -> Path:
        """`key` holds types of arguments, the processor, and digests of the function and of what it closes over."""
        digest = hashlib.sha256(repr((numba.__version__, self.stamp, key)).encode())
        return self.folder / f"{self.name}.{digest.hexdigest()[:SIZE]}.nbc"


class _Reader(pickle.Unpickler):
    """Imports no module of the user's.

    Numba does, for globals that machine code without Python's objects never looks at: a cell's, from where the cell
    stood when it was compiled. That module may be gone, or be a program that would run again.
    """

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names; but what takes the name of a module gets this one's."""
        if (module, name) == (_rebuild_env.__module__, _rebuild_env.__name__):
            return _environment
        return super().find_class(module, name)


def _environment(module: str, constants: Any, name: str) -> Any:
    return _rebuild_env(__name__, constants, name)


def _digest(path: Path, content: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + content).digest()


@functools.cache
def _say_once(line: str) -> None:  # as many as there are folders of the package, times what can be wrong with one
    say(line)


def keep(compiled: Any) -> Any:
    """Have one of Numba's functions, for which nothing has been compiled yet, keep its machine code on disk."""
    if CACHE:
        compiled._cache = Cache(compiled.__wrapped__)
    return compiled


def cfunc(signature: Any, **options: Any) -> Any:
    """As Numba's decorator of this name, for a function that keeps its machine code on disk."""

    def compile_(function: Any) -> CFunc:
        compiled = keep(CFunc(function, (signature.args, signature.return_type), locals={}, options=options))
        compiled.compile()
        return compiled

    return compile_
