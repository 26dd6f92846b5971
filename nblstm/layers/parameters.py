"""One table of names and shapes; from it the flat block of parameters, its named views, the count and the summary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from nblstm.arguments import as_size, check_array, check_kind, shown

Shapes = Mapping[str, tuple[int, ...]]

_most: ContextVar[float] = ContextVar("most", default=math.inf)


@contextmanager
def no_more_parameters_than(tensors: Mapping[str, np.ndarray], num_layers: int) -> Iterator[None]:
    """Refuse to make layers with more parameters than a file's tensors hold, before memory is taken for them.

    So a file that claims an absurd size costs no more than what it holds.
    """
    if as_size("num_layers", num_layers) > len(tensors):
        raise ValueError(f"{num_layers:,} layers must have more than {len(tensors)} tensors")
    token = _most.set(sum(tensor.size for tensor in tensors.values()))
    try:
        yield
    finally:
        _most.reset(token)


def as_shapes(shapes: Shapes) -> Shapes:
    """`shapes` as a dict of names to tuples of int."""
    check_kind("shapes", shapes, Mapping)
    found = {}
    for name, shape in shapes.items():
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"shapes must have names without a dot, got {name!r}")
        if not isinstance(shape, (tuple, list)):
            raise TypeError(f"shapes must be tuples of int, got {shown(shape)} for {name}")
        found[str(name)] = tuple(as_size(f"shapes[{name!r}]", extent, least=0) for extent in shape)
    return found


def count(shapes: Shapes) -> int:
    """Number of scalars in all tensors of the table."""
    return sum(math.prod(shape) for shape in shapes.values())


def zeros(owner: str, shapes: Shapes, dtype: np.dtype) -> np.ndarray:
    """The flat memory for all tensors of the table."""
    size = count(shapes)
    if size > _most.get():
        raise ValueError(f"{size:,} parameters cannot be in a file that holds {_most.get():,} numbers")
    try:
        return np.zeros(size, dtype)
    except (MemoryError, ValueError, OverflowError):  # more than there is, or than NumPy can count
        largest = max(shapes, key=lambda name: math.prod(shapes[name]))
        raise MemoryError(
            f"{owner}: no memory for {size:,} parameters, most of them in {largest} {shapes[largest]}"
        ) from None


def fit_for_kernels(array: np.ndarray, size: int, dtype: np.dtype) -> bool:
    """Whether a kernel may write to `size` numbers of `dtype` from the address of `array` on."""
    return array.shape == (size,) and array.dtype == dtype and array.flags.carray


READ_ONLY = (
    "params are read-only, so that a layer knows when its weights change: write them within "
    '"with layer.editing() as p:", as p["weight"][...] = values, or give them all to load_state_dict'
)


def write(views: Mapping[str, np.ndarray], name: str, tensor: np.ndarray) -> None:
    """Copy `tensor` into the view of that name, which must be there, be writable, and of its shape and dtype."""
    if name not in views:
        raise KeyError(f"no tensor is called {name!r}; there are {', '.join(views)}")
    view = views[name]
    if not view.flags.writeable:
        raise ValueError(READ_ONLY)
    view[...] = check_array(name, tensor, view.dtype, view.shape)


class Views(dict[str, np.ndarray]):
    """Tensors of several layers under one name each; assignment writes into their memory, and adds none."""

    def __setitem__(self, name: str, tensor: np.ndarray) -> None:
        """Copy `tensor` into the memory of the one of that name, whose shape and dtype it must have."""
        write(self, name, tensor)

    def __reduce__(self) -> tuple[type[dict], tuple[dict[str, np.ndarray]]]:
        """Copies and pickles are plain dicts, whose arrays belong to no layer."""
        return dict, (dict(self),)


class Block(Mapping[str, np.ndarray]):
    """Named tensors that lie one after the other in one flat array.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Names and shapes, in the order in which the tensors lie in memory.
    flat : numpy.ndarray, shape (count(shapes),)
        The memory itself. The named tensors are views into it, read-only if it is.

    Attributes
    ----------
    starts : dict of str to int
        Where each tensor begins in `flat`.

    Examples
    --------
    >>> block = Block({"weight": (2, 3), "bias": (2,)}, np.arange(8.0))
    >>> block["bias"] *= 2
    >>> block["bias"], block.flat[6:]
    (array([12., 14.]), array([12., 14.]))
    """

    def __init__(self, shapes: Shapes, flat: np.ndarray) -> None:
        self.shapes = dict(shapes)
        self.flat = flat = np.asarray(flat)  # of a memory map a plain view, as are then all that are taken from it
        self._views: dict[str, np.ndarray] = {}
        self.starts: dict[str, int] = {}
        start = 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            self._views[name], self.starts[name] = flat[start:stop].reshape(shape), start
            start = stop

    def __getitem__(self, name: str) -> np.ndarray:
        return self._views[name]

    def __setitem__(self, name: str, tensor: np.ndarray) -> None:
        """Copy `tensor` into the memory of the one of that name, whose shape and dtype it must have."""
        write(self._views, name, tensor)

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __reduce__(self) -> tuple[type[Block], tuple[Shapes, np.ndarray]]:
        """Copied and pickled by its memory, into which the copy's own views lead."""
        return Block, (self.shapes, self.flat)

    def __repr__(self) -> str:
        return f"Block({self.shapes}, {self.flat.dtype}, {self.flat.size} scalars)"

    def read_only(self) -> Block:
        """The same memory behind views that refuse to be written."""
        flat = self.flat.view()
        flat.flags.writeable = False
        return Block(self.shapes, flat)


def check_fits(owner: str, params: Block, mapping: Mapping[str, np.ndarray]) -> None:
    """Raise one error that lists every name missing, unexpected, misshaped or of another dtype in `mapping`."""
    if not isinstance(mapping, Mapping):
        raise TypeError(f"{owner}: a state dict must be a mapping of names to arrays, got {type(mapping).__name__}")
    problems = [f"missing: {name} {params.shapes[name]}" for name in params if name not in mapping]
    problems += [f"unexpected: {name}" for name in mapping if name not in params]
    both = [(name, as_found(mapping[name])) for name in params if name in mapping]
    problems += [
        f"{name}: expected shape {params.shapes[name]}, got {tensor.shape}"
        for name, tensor in both
        if tensor.shape != params.shapes[name]
    ]
    if problems:
        raise ValueError(f"{owner}: the state dict does not fit: " + "; ".join(problems))
    wrong = [f"{name} is {tensor.dtype}" for name, tensor in both if tensor.dtype != params.flat.dtype]
    wrong += [f"{name} is a masked array" for name in params if isinstance(mapping[name], np.ma.MaskedArray)]
    if wrong:
        dtype = params.flat.dtype
        raise TypeError(
            f"{owner}: the state dict must hold {dtype}, but {', '.join(wrong)}; convert with .astype('{dtype}')"
        )


def as_found(tensor: Any) -> np.ndarray:
    """What NumPy makes of `tensor`; of what it cannot read, an object without a shape."""
    try:
        return np.asarray(tensor)
    except (TypeError, ValueError):
        return np.array(None)


def summary(title: str, shapes: Shapes) -> str:
    """A table for reading: name, shape and count of every tensor, and the total."""
    rows = [(name, str(tuple(shape)), f"{math.prod(shape):,}") for name, shape in shapes.items()]
    rows.append(("total", "", f"{count(shapes):,}"))
    names, forms, counts = (max(len(row[column]) for row in rows) for column in range(3))
    lines = [f"{name:<{names}}  {form:<{forms}}  {number:>{counts}}" for name, form, number in rows]
    lines.insert(-1, "-" * len(lines[0]))
    return "\n".join([title, *lines])
