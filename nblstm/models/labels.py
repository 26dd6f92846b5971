"""Labels of any kind, strings, booleans or numbers, as the classes 0, 1, 2 ... that a network has, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import shown

Label = str | bool | int


def as_classes(name: str, classes: Sequence[Label], count: int | None = None) -> tuple[Label, ...]:
    """`classes` as Python's own values: distinct strings, booleans or integers, all of one kind, `count` of them."""
    if isinstance(classes, str) or not isinstance(classes, Sequence | np.ndarray):
        raise TypeError(f"{name} must be a list of labels, got {shown(classes)}")
    found = tuple(label.item() if isinstance(label, np.generic) else label for label in classes)
    if any(type(label) not in (str, bool, int) for label in found) or len(set(map(type, found))) > 1:
        raise TypeError(f"{name} must be strings, booleans or integers, all of one kind, got {shown(classes)}")
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{name} must be one or more distinct labels, got {shown(classes)}")
    if count is not None and len(found) != count:
        raise ValueError(f"{name} must be {count} labels, got {len(found)}")
    return found


def has_labels(targets: np.ndarray) -> bool:
    """Whether targets are strings or booleans, and not the numbers of classes."""
    return targets.dtype.kind in "Ub" or (
        targets.dtype == object and all(isinstance(label, str | bool | np.bool_) for label in targets.flat)
    )


def classes_of(targets: np.ndarray) -> tuple[Label, ...]:
    """The distinct labels among targets, sorted."""
    return as_classes("targets", sorted(set(targets.reshape(-1).tolist())))


def encoded(name: str, targets: np.ndarray, classes: Sequence[Label]) -> np.ndarray:
    """The places of the targets among `classes`."""
    places = {label: k for k, label in enumerate(classes)}
    flat = targets.reshape(-1).tolist()
    unknown = next((label for label in flat if label not in places), None)
    if unknown is not None:
        raise ValueError(f"{name} must be labels that the training part has, got {shown(unknown)}")
    return np.array([places[label] for label in flat], np.int64).reshape(targets.shape)


def decoded(places: np.ndarray, classes: Sequence[Any]) -> np.ndarray:
    """The labels at these places, as an array of their own kind."""
    return np.array(classes)[places]
