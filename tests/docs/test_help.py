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
    parts = [
        "Run", "ClassificationJob", "RegressionJob", "TaggingJob", "TextJob", "Sequences", "Settings",
        "SequenceSettings", "TaggingSettings", "TextSettings", "Network", "BatchTrainer", "TagTrainer", "TextTrainer",
    ]  # fmt: skip
    assert [name for name in parts if not re.search(rf"`(?:\w+\.)*{name}`", listed)] == []
    modules = re.findall(r"nblstm\.(\w+)", listed)
    assert {"runs", "jobs", "training", "weights", "datasets", "plot"} <= set(modules)
    for module in modules:
        assert importlib.import_module(f"nblstm.{module}").__doc__


MODULES = ["nblstm", *(f"nblstm.{name}" for name in (
    "cells", "datasets", "gradcheck", "jobs", "layers", "losses", "models", "optim", "plot", "runs", "training",
    "weights"))]  # fmt: skip
WITHOUT_ERRORS = {
    # NumPy's, of what they are given
    "exp", "gate_positive", "log_sigmoid", "maximum", "minimum", "relu", "sigmoid", "softplus", "tanh", "where",
    "words", "GradientError", "GradientRow", "GradientTable", "Sequences",  # nothing is handed over, or nothing checked
    "load_with_metadata",  # whose errors are those of `load`, as it says
}  # fmt: skip


def public_classes_and_functions() -> dict[str, str]:
    """The docstring of all that `__all__` of a module lists, by name."""
    modules = map(importlib.import_module, MODULES)
    found = {name: getattr(module, name) for module in modules for name in module.__all__}
    return {name: inspect.getdoc(one) or "" for name, one in found.items() if callable(one)}


def test_every_public_class_and_function_has_a_docstring_with_an_example() -> None:
    documented = public_classes_and_functions()
    assert len(documented) > 140
    assert [name for name, text in documented.items() if ">>>" not in text] == []


def test_every_public_class_and_function_says_its_errors() -> None:
    documented = public_classes_and_functions()
    silent = {name for name, text in documented.items() if "\nRaises\n------\n" not in text}
    assert silent == WITHOUT_ERRORS


def test_the_version_is_that_of_the_installed_package() -> None:
    assert nblstm.__version__ == version("nblstm")
    with pytest.raises(AttributeError, match="module 'nblstm' has no attribute 'nothing'"):
        nblstm.nothing  # noqa: B018
