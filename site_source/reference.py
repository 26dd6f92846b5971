"""The reference: a page for each group of `help(nblstm)`, and on it every public name with a page of its own."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import NamedTuple

import nblstm

BESIDES = ["cells", "gradcheck", "layers", "losses", "models", "optim", "course"]
"""Modules whose public names `help(nblstm)` does not list one by one."""

GROUP = """\
{title}
{line}

.. currentmodule:: nblstm

{text}

.. autosummary::
   :toctree: names
   :nosignatures:

   {names}
"""

INDEX = """\
Reference
=========

Every public name, in the groups of ``help(nblstm)``. Arguments, defaults and shapes of layers are those of PyTorch,
where PyTorch has the same; :doc:`/docs/coming_from` puts the names side by side.

.. toctree::
   :maxdepth: 2

   {pages}
"""


class Group(NamedTuple):
    """Some public names, each in full ("nblstm.LSTM"), under a title and with a text about them."""

    title: str
    text: str
    names: list[str]

    @property
    def page(self) -> str:
        """Name of its file, without the ending."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


def groups() -> list[Group]:
    """The groups of `help(nblstm)`, then what other modules have besides; every name is in one of them."""
    seen: set[str] = set()
    found = []
    for title, text in re.findall(r"^(\S.*)\n((?:    .*\n)+)", nblstm.__doc__ or "", flags=re.MULTILINE):
        modules = re.findall(r"nblstm\.(\w+)", title)
        named = re.findall(r"`(?:nblstm\.)?((?:\w+\.)*\w+)`", text)
        if title in nblstm.__all__:
            named.append(title)
        names = [*_public(named), *(name for module in modules for name in _names_of(module))]
        found.append(Group(title, inspect.cleandoc(text), _new(names, seen)))
    for module in BESIDES:
        names = _new(_names_of(module), seen)
        if names:
            about = (importlib.import_module(f"nblstm.{module}").__doc__ or "").split("\n\n")[0]
            found.append(Group(f"nblstm.{module}", about, names))
    return found


def _public(names: list[str]) -> Iterator[str]:
    """Those that are public names of the package, in full."""
    for name in names:
        if name in nblstm.__all__ and not inspect.ismodule(getattr(nblstm, name)):
            yield f"nblstm.{name}"


def _names_of(module: str) -> Iterator[str]:
    """The public names of a module, but for those that `nblstm` itself has."""
    for name in importlib.import_module(f"nblstm.{module}").__all__:
        if name not in nblstm.__all__:
            yield f"nblstm.{module}.{name}"


def _new(names: list[str] | Iterator[str], seen: set[str]) -> list[str]:
    new = [name for name in dict.fromkeys(names) if name not in seen]
    seen.update(new)
    return new


def pages() -> dict[str, str]:
    """The files of the folder `reference`, in reStructuredText."""
    found = {
        f"{group.page}.rst": GROUP.format(
            title=group.title,
            line="=" * len(group.title),
            text=group.text,
            names="\n   ".join(name.removeprefix("nblstm.") for name in group.names),
        )
        for group in groups()
    }
    return {"index.rst": INDEX.format(pages="\n   ".join(name[:-4] for name in found)), **found}
