"""Weights as JSON, the form that players of audio effects read: a file of numbers, read with care or written whole."""

from __future__ import annotations

import codecs
import json
import os
from typing import Any, NoReturn

import numpy as np

from nblstm.arguments import as_path
from nblstm.files import atomic_write, check_file


def read_json(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """The object that a JSON file holds; `kind` says what was expected."""
    path = as_path("path", path)
    check_file(path, kind)

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number")

    with open(path, "rb") as file:
        if not file.read(256).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):  # before all of it is read
            raise ValueError(f"{path} is damaged or not {kind}: it holds no object, {{...}}")
    try:
        found = json.loads(path.read_bytes(), parse_constant=refuse)
    except RecursionError:
        raise ValueError(f"{path} is damaged or not {kind}: it is nested too deeply") from None
    except ValueError as error:  # of JSON, of an encoding, or of too many digits
        raise ValueError(f"{path} is damaged or not {kind}: {error}") from None
    return dict(found)


def write_json(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write an object whose numbers are all finite, atomically."""
    try:
        text = json.dumps(content, allow_nan=False)
    except ValueError:
        raise ValueError("model must have finite weights, got NaN or infinity, which JSON does not have") from None
    with atomic_write(path) as file:
        file.write(text.encode())


def as_numbers(name: str, values: Any, dtype: np.dtype, dimensions: int) -> np.ndarray:
    """Nested lists of finite numbers as an array of so many dimensions."""
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):  # lists of unequal lengths
        array = np.asarray(None)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be lists of numbers, all of a length")
    if array.ndim != dimensions or not array.size:
        raise ValueError(f"{name} must have {dimensions} dimensions, none of them 0, got shape {array.shape}")
    if not np.all(np.abs(array) <= np.finfo(dtype).max):
        raise ValueError(f"{name} must be numbers that {dtype} has")
    return array.astype(dtype)
