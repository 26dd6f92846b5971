"""A value that tells the compiler which cell to compile, and the cache which sources it was compiled from."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import NativeValue, models, register_model, unbox

from nblstm.kernels.fingerprint import FINGERPRINT
from nblstm.kernels.tile import install


class TagType(types.Type):
    """Numba type of a `Tag`: a name and the fingerprint, nothing at run time."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        super().__init__(f"Tag({tag}, {FINGERPRINT})")


register_model(TagType)(models.OpaqueModel)


class Tag:
    """First argument of every compiled kernel.

    A kernel that calls functions chosen by a cell dispatches on the *type* of its tag (a function handed over as an
    argument would never be found in the cache); any kernel gets new machine code when a source of the kernels has
    changed.
    """

    name: str

    def __new__(cls, name: str) -> Tag:
        """The one tag of this name: what is kept by tag would else grow with every copy of a layer."""
        tag = super().__new__(cls)
        tag.name = name
        return _TAGS.setdefault(name, tag)

    def __getattr__(self, name: str) -> TagType:
        """Its type, for which Numba asks before it loads or compiles a kernel; that cannot be linked without the tiles.

        Under this name Numba looks for it, and from then on finds it without running Python code, which saves a
        microsecond of every call. (`functools.cached_property` has a lock that a forked child may inherit locked.)
        """
        if name != "_numba_type_":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with global_compiler_lock:
            install()
        self._numba_type_ = TagType(self.name)
        return self._numba_type_

    def __reduce__(self) -> tuple[type[Tag], tuple[str]]:
        """Copied and pickled by name: another process may have other sources."""
        return Tag, (self.name,)


_TAGS: dict[str, Tag] = {}


@unbox(TagType)
def _unbox_tag(numba_type: TagType, value: Any, context: Any) -> NativeValue:
    return NativeValue(context.context.get_dummy_value())


ANY = Tag("any")
"""For kernels that are the same for every cell."""
