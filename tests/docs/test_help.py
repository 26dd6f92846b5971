"""`help(nblstm)` lists the package's parts, and the package says its version."""

from __future__ import annotations

import importlib
import inspect
import pydoc
import re
from importlib.metadata import version

import pytest

import nblstm


def test_every_public_name_is_in_the_help() -> None:
    page = pydoc.plain(pydoc.render_doc(nblstm))
    listed = page.split("PACKAGE CONTENTS")[0]
    names = [name for name in nblstm.__all__ if name != "weights"]
    assert [name for name in names if not re.search(rf"\b{name}\b", listed)] == []
    modules = re.findall(r"nblstm\.(\w+)", listed)
    assert {"runs", "jobs", "training", "weights", "datasets", "plot"} <= set(modules)
    for module in modules:
        assert importlib.import_module(f"nblstm.{module}").__doc__


def test_every_public_class_and_function_has_a_docstring_with_an_example() -> None:
    missing = []
    for name in nblstm.__all__:
        one = getattr(nblstm, name)
        if not inspect.ismodule(one) and ">>>" not in (inspect.getdoc(one) or ""):
            missing.append(name)
    assert missing == []


def test_the_version_is_that_of_the_installed_package() -> None:
    assert nblstm.__version__ == version("nblstm")
    with pytest.raises(AttributeError, match="module 'nblstm' has no attribute 'nothing'"):
        nblstm.nothing  # noqa: B018
