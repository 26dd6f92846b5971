"""`Embedding`: a table of vectors, one for each index."""

from __future__ import annotations

import numpy as np

from nblstm.arguments import as_seed, as_size, check_array
from nblstm.kernels.driver import threads_for
from nblstm.kernels.embedding import add_rows
from nblstm.kernels.tag import ANY
from nblstm.layers.checks import AnyTape, check_backward, check_tape, read_only
from nblstm.layers.layer import Layer
from nblstm.layers.parameters import Block


class EmbeddingTape(AnyTape):
    """What `Embedding.forward` leaves for `backward`: the indices (N,), and the buffer of the result."""

    def __init__(self, layer: Embedding) -> None:
        self.layer = layer
        self.y = np.zeros((0, layer.embedding_dim), layer.dtype)
        self.indices = np.zeros(0, np.int64)
        self.version: float = -1
        self.awaits_backward = False


class Embedding(Layer):
    """y = weight[indices]: the product of a one-hot vector and a matrix, without the product.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows (V) and width (E) of ``weight``, (V, E), drawn from N(0, 1).
    dtype : {"float32", "float64"}
        Of the table and of y.
    seed : int, optional
        For the draw; None draws anew.

    Raises
    ------
    TypeError
        An argument of another kind; indices that are no integers.
    ValueError
        A size below 1; an index outside 0..V - 1.

    Examples
    --------
    >>> from nblstm import Embedding
    >>> Embedding(100, 64, seed=0)(np.array([[3, 1], [4, 1], [5, 9]])).shape
    (3, 2, 64)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, dtype: str = "float32", seed: int | None = None
    ) -> None:
        self.num_embeddings = as_size("num_embeddings", num_embeddings)
        self.embedding_dim = as_size("embedding_dim", embedding_dim)
        super().__init__({"weight": (self.num_embeddings, self.embedding_dim)}, dtype)
        with self.editing() as p:
            p.flat[:] = np.random.default_rng(as_seed(seed)).standard_normal(p.flat.size)

    def __repr__(self) -> str:
        return f"Embedding({self.num_embeddings}, {self.embedding_dim})"

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """The vectors of `indices`, integers of any shape: (..., E), a fresh array.

        Raises
        ------
        TypeError, ValueError
            Not integers, or outside 0 .. num_embeddings - 1.
        """
        return self.params["weight"][self.check("indices", indices)]

    def forward(self, indices: np.ndarray, tape: EmbeddingTape | None = None) -> tuple[np.ndarray, EmbeddingTape]:
        """As the call, but y is a read-only view into the tape, valid until its next forward."""
        tape = EmbeddingTape(self) if tape is None else tape
        check_tape(self, tape)
        tape.version, tape.awaits_backward = self.version, False  # until this forward has ended well
        # A copy: backward writes where they say, and what a caller does to his own array must not lead it elsewhere.
        tape.indices = np.array(self.check("indices", indices), np.int64).reshape(-1)
        if tape.y.shape != (*indices.shape, self.embedding_dim):
            tape.y = np.zeros((*indices.shape, self.embedding_dim), self.dtype)
        rows = tape.y.reshape(-1, self.embedding_dim)
        np.take(self.params["weight"], tape.indices, axis=0, out=rows, mode="clip")
        tape.awaits_backward = True
        return read_only(tape.y), tape

    def backward(self, dy: np.ndarray, tape: EmbeddingTape, grads: Block | None = None) -> None:
        """Add the gradient of the table: rows of dy, shape of y, to the rows that they came from.

        Raises
        ------
        RuntimeError
            A second backward on one forward, or the table written since.
        TypeError, ValueError
            dy of another dtype or shape; a tape of another layer.
        """
        grads = check_backward(self, tape, grads)
        dy = check_array("dy", dy, self.dtype, tape.y.shape)
        rows = read_only(np.ascontiguousarray(dy).reshape(-1, self.embedding_dim))  # one type, whoever made dy
        tape.awaits_backward = False
        table = grads.flat.reshape(self.num_embeddings, self.embedding_dim)
        add_rows(ANY, threads_for(rows.size), tape.indices, rows, table)

    def check(self, name: str, indices: np.ndarray) -> np.ndarray:
        """`indices`, which must be integers in 0 .. num_embeddings - 1; `name` is what the caller calls them."""
        plain = isinstance(indices, np.ndarray) and not isinstance(indices, np.ma.MaskedArray)
        if not plain or indices.dtype.kind not in "iu":
            got = indices.dtype if plain else type(indices).__name__
            raise TypeError(f"{name} must be an integer array, got {got}")
        if indices.size and not (indices.min() >= 0 and indices.max() < self.num_embeddings):
            wrong = indices[(indices < 0) | (indices >= self.num_embeddings)].flat[0]
            raise ValueError(f"{name} must be in 0..{self.num_embeddings - 1}, got {wrong}")
        return np.asarray(indices)
