"""Labels of any kind, strings, booleans or numbers, as the classes 0, 1, 2 ... that a network has, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nblstm.arguments import shown
from nblstm.layers.linear import Linear
from nblstm.layers.parameters import as_found

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


def as_targets(name: str, targets: Any) -> np.ndarray:
    """`targets` as a plain array, of labels or of whatever it has."""
    if isinstance(targets, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked array")
    return as_found(targets)


def has_labels(targets: np.ndarray) -> bool:
    """Whether targets are strings or booleans, and not the numbers of classes."""
    return targets.dtype.kind in "Ub" or (
        targets.dtype == object and all(isinstance(label, str | bool | np.bool_) for label in targets.flat)
    )


def classes_of(*targets: np.ndarray) -> tuple[Label, ...]:
    """The distinct labels among targets, sorted; of booleans both."""
    found = as_classes("targets", list(dict.fromkeys(label for each in targets for label in each.reshape(-1).tolist())))
    return (False, True) if isinstance(found[0], bool) else tuple(sorted(found))


def learned(name: str, targets: np.ndarray, classes: tuple[Label, ...] | None, count: int) -> tuple[Label, ...] | None:
    """The names of a model's `count` classes: those that it has, or else the labels among targets, if they are such."""
    if classes is not None or not has_labels(targets):
        return classes
    found = classes_of(targets)
    if len(found) != count:
        way = f"num_classes={len(found)}" if len(found) > count else "classes=[...], all the labels that there are"
        raise ValueError(
            f"{name} must be {count} distinct labels, one for each class of the model, got {len(found)}, "
            f"{_listed(found)}: make it with {way}"
        )
    return found


def numbered(
    name: str, targets: np.ndarray, classes: tuple[Label, ...] | None, ignored: int | None = None
) -> np.ndarray:
    """Labels as their places among `classes`, and an empty one as `ignored`, if that is given; numbers as they are."""
    if targets.dtype.kind in "OS" and targets.ndim and not has_labels(targets):
        kinds = sorted({type(label).__name__ for label in targets.flat})
        raise TypeError(f"{name} must be integers, strings or booleans, all of one kind, got {', '.join(kinds)}")
    if not has_labels(targets):
        return targets
    if classes is None:
        raise ValueError(
            f"{name} must be integers for a model whose classes have no names, got labels: make it with classes=[...]"
        )
    places = {label: k for k, label in enumerate(classes)}
    if ignored is not None:
        places.setdefault("", ignored)
    flat = targets.reshape(-1).tolist()
    unknown = next((label for label in flat if label not in places), None)
    if unknown is not None:
        raise ValueError(f"{name} must be among the classes {_listed(classes)}, got {shown(unknown)}")
    return np.array([places[label] for label in flat], np.int64).reshape(targets.shape)


def _listed(labels: Sequence[Label]) -> str:
    """The first of them."""
    return ", ".join(map(repr, labels[:5])) + (" ..." if len(labels) > 5 else "")


class NamedClasses:
    """What networks share that tell K classes apart: these may have names, which files keep and answers have."""

    classes: tuple[Label, ...] | None
    config: dict[str, Any]
    linear: Linear

    def name_classes(self, classes: Sequence[Label] | None) -> None:
        """Take over the names of the K classes, if there are any; from here on answers and files have them.

        Raises
        ------
        TypeError, ValueError
            Labels of several kinds, that are repeated or not K.
        """
        self.classes = None if classes is None else as_classes("classes", classes, self.linear.out_features)
        if self.classes is not None:
            self.config["classes"] = self.classes

    def _most_probable(self, z: np.ndarray) -> np.ndarray:
        """The classes with the largest of the logits (..., K), by their names if they have such."""
        places = z.argmax(axis=-1)
        return places if self.classes is None else np.array(self.classes)[places]
