"""`Dropout` as a layer of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from nblstm.arguments import as_rate, as_seed
from nblstm.kernels.driver import threads_for
from nblstm.kernels.dropout import dropout
from nblstm.kernels.tag import ANY
from nblstm.layers.dropout_keys import DropoutKeys
from nblstm.layers.features import FeatureLayer, in_order
from nblstm.layers.memory import address
from nblstm.layers.parameters import Block


class Dropout(DropoutKeys, FeatureLayer):
    r"""Sets numbers to zero at random in training, and scales up the rest.

    .. math:: y = \frac{m}{1 - p} \, x, \qquad dx = \frac{m}{1 - p} \, dy, \qquad m = 0
        \text{ with probability } p, \text{ or else } 1

    `forward` drops; the call, ``layer(x)``, does not: it returns a copy of x. Each forward draws a key, and whether a
    number is dropped depends on that key and the number's place alone: the same for any number of threads, and
    `backward` needs no mask in memory. `dropout_state` and `set_dropout_state` resume the keys, as those of the
    recurrent layers do.

    Parameters
    ----------
    p : float
        The probability p in [0, 1) with which a number is dropped.
    seed : int, optional
        Of the keys; None draws other ones each time.

    Raises
    ------
    TypeError
        `p` or `seed` of another kind; x that is neither float32 nor float64.
    ValueError
        `p` outside [0, 1), or a `seed` below 0.

    Notes
    -----
    x is (..., F), float32 or float64; y has its shape and dtype. NaN and infinities are not dropped unseen: they become
    NaN. Inside a recurrent layer of several layers, between them, its own argument ``dropout`` does the same.

    References
    ----------
    N. Srivastava and others, "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import Dropout
    >>> drop, x = Dropout(0.5, seed=0), np.ones((2, 4))
    >>> y, tape = drop.forward(x)
    >>> bool(np.isin(y, [0, 2]).all()), bool((drop.backward(x, tape) == y).all()), bool((drop(x) == x).all())
    (True, True, True)
    """

    def __init__(self, p: float = 0.5, *, seed: int | None = None) -> None:
        super().__init__()
        self.p = as_rate("p", p)
        self._dropout_keys = np.random.default_rng(as_seed(seed))

    def __repr__(self) -> str:
        return f"Dropout({self.p})"

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """A copy of x; errors as those of `forward`."""
        return self._checked(x).copy()

    def _compute(self, x: np.ndarray) -> tuple[np.ndarray, np.uint64]:
        key = self._dropout_keys.integers(2**64, dtype=np.uint64)
        return self._drop(x, key), key

    def _derive(self, dy: np.ndarray, key: Any, grads: Block) -> np.ndarray:
        return self._drop(dy, key)

    def _drop(self, x: np.ndarray, key: np.uint64) -> np.ndarray:
        """x with the mask of the key: of (..., B, F) that of as many steps of B sequences."""
        source, y = in_order(x), np.empty(x.shape, x.dtype)
        width = x.shape[-1]
        if x.size:
            dropout(
                ANY, threads_for(10 * x.size), key, np.uint64(self.p * 2.0**64), x.dtype.type(1 / (1 - self.p)),
                x.size // width, x.shape[-2] if x.ndim > 1 else 1, width, address(source), width, y.reshape(-1), width,
            )  # fmt: skip
        return y
