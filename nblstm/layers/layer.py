"""What every layer has: parameters and gradients in flat blocks, a count of writes, state dicts, a summary, tapes."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from nblstm.arguments import as_dtype
from nblstm.layers import parameters
from nblstm.layers.parameters import Block, Shapes
from nblstm.layers.recording import Recorder


class Layer(Recorder):
    """Parameters, gradients and the ways to read and write them, the same for every layer.

    A layer of one's own is a subclass with a ``__call__`` that keeps nothing, a `forward` that ends with `record`, and
    a `backward` that begins with `replay` and adds to `grads`. `Sequential` chains it, `gradcheck` checks it, and
    optimisers train it; docs/layers.md shows how.

    Parameters
    ----------
    shapes : mapping of str to tuple of int, optional
        Names and shapes of the parameters, with PyTorch's names; none by default.
    dtype : str or numpy.dtype, optional
        ``"float32"`` or ``"float64"``. A layer without parameters needs none: it computes in that of what it reads.

    Attributes
    ----------
    dtype : numpy.dtype or None
        None for a layer without parameters.
    params, grads : Block
        Named views into one flat array each. The views of `params` are read-only; see `editing`.
    in_features, out_features : int, optional
        What a subclass reads and returns in the last axis; `Sequential` holds neighbours against each other by them.

    Raises
    ------
    TypeError
        `shapes` that are no tuples of int under names.
    ValueError
        A dtype that is neither; a name with a dot, or a size below zero.

    Examples
    --------
    >>> import nblstm
    >>> class Scale(nblstm.Layer):
    ...     def __init__(self, features):
    ...         super().__init__({"weight": (features,)}, "float64")
    ...         with self.editing() as p:
    ...             p["weight"][...] = 1
    ...     def __call__(self, x):
    ...         return self.params["weight"] * x
    ...     def forward(self, x, tape=None):
    ...         return self.record(tape, self(x), x)
    ...     def backward(self, dy, tape):
    ...         dy, x = self.replay(tape, dy)
    ...         self.grads["weight"] += (dy * x).sum(axis=0)
    ...         return dy * self.params["weight"]
    >>> table = nblstm.gradcheck(Scale(3), np.arange(6.0).reshape(2, 3))
    >>> [row.name for row in table.rows]
    ['weight', 'x']
    """

    dtype: Any

    def __init__(self, shapes: Shapes | None = None, dtype: str | np.dtype | None = None) -> None:
        shapes = parameters.as_shapes({} if shapes is None else shapes)
        self.dtype = as_dtype(dtype) if shapes or dtype is not None else None
        # The kernels read this one too: to Numba a read-only array is another type, and each type is compiled anew.
        memory = parameters.zeros(type(self).__name__, shapes, self.dtype if shapes else np.dtype("float32"))
        self._writable = Block(shapes, memory)
        self._params = self._writable.read_only()
        self.grads = self.new_grads()
        self._writes = 0
        self._editors: list[None] = []  # one for each `editing` under way, in whatever thread

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: without the second view of the parameters, and without packed weights."""
        return self.__dict__ | {"_params": None, "_packs": None, "_editors": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The reverse of `__getstate__`.

        Parameters may come as a view into memory that cannot be written (`joblib.load` with ``mmap_mode="r"``, pickles
        of protocol 5 over bytes) and stay there; gradients then get memory of their own.
        """
        self.__dict__.update(state)
        self._params = self._writable.read_only()
        if not self.grads.flat.flags.carray:
            self.grads = Block(self.grads.shapes, self.grads.flat.copy())

    def __copy__(self) -> Self:
        """A layer of its own: two that write to one memory would not know when to pack their weights anew."""
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={shape}' for name, shape in self.params.shapes.items())})"

    @property
    def version(self) -> float:
        """Goes up with every write to the parameters; NaN, which no packed weights are equal to, during one."""
        return math.nan if self._editors else self._writes

    @property
    def params(self) -> Block:
        """All parameters under their names, as read-only views; `editing` gives writable ones."""
        return self._params

    @params.setter
    def params(self, value: Any) -> None:
        raise AttributeError(parameters.READ_ONLY)

    @property
    def flat_params(self) -> np.ndarray:
        """All parameters as one read-only array of one dimension."""
        return self.params.flat

    @property
    def flat_grads(self) -> np.ndarray:
        """All gradients as one array of one dimension, in the order of `flat_params`."""
        return self.grads.flat

    @property
    def num_parameters(self) -> int:
        """Number of scalars in all parameters."""
        return self.params.flat.size

    def new_grads(self) -> Block:
        """A block of zeros in the form of `grads`, for a caller who keeps gradients apart (one per thread, say)."""
        shapes = self._writable.shapes
        return Block(shapes, parameters.zeros(type(self).__name__, shapes, self._writable.flat.dtype))

    def zero_grad(self) -> None:
        """Set all gradients to zero; `backward` adds to them."""
        self.grads.flat[:] = 0

    @contextmanager
    def editing(self) -> Iterator[Block]:
        """The parameters as writable views, for the length of a ``with`` block; afterwards `version` has gone up.

        What runs within the block goes by the values of that moment, and packs them anew each time. What another thread
        runs meanwhile may see some parameters before and some after; nothing else comes of it.

        Raises
        ------
        ValueError
            The parameters lie in memory that cannot be written: the layer was unpickled over bytes, or loaded from a
            file mapped for reading. Those of ``copy.deepcopy(layer)`` do not.

        Examples
        --------
        >>> import nblstm
        >>> linear = nblstm.Linear(2, 1)
        >>> with linear.editing() as p:
        ...     p["weight"][...] = [[1, 2]]
        >>> linear.params["weight"]
        array([[1., 2.]], dtype=float32)
        """
        self.check_editable()
        self._editors.append(None)
        try:
            yield self._writable
        finally:
            self._writes += 1
            self._editors.pop()

    def check_editable(self) -> None:
        """Refuse a layer whose parameters lie where nobody may write, as they may after it was unpickled."""
        if not self._writable.flat.flags.carray:
            raise ValueError(
                f"the parameters of this {type(self).__name__} lie in memory that cannot be written, such as a file "
                "mapped for reading; those of copy.deepcopy(layer) can"
            )

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter under PyTorch's name."""
        return {name: tensor.copy() for name, tensor in self.params.items()}

    def load_state_dict(self, mapping: Mapping[str, np.ndarray]) -> None:
        """Copy every parameter from `mapping`, or, if anything does not fit, none.

        Raises
        ------
        ValueError
            Names missing or unexpected, or shapes that differ; all of them are listed at once.
        TypeError
            A tensor of another dtype.
        """
        parameters.check_fits(type(self).__name__, self.params, mapping)
        with self.editing() as p:
            for name, tensor in p.items():
                tensor[...] = mapping[name]

    def summary(self) -> str:
        """Name, shape and count of every tensor, and the total, as a table to print."""
        return parameters.summary(repr(self), self.params.shapes)
