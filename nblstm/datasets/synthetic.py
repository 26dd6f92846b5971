"""Tasks made of random symbols whose answer lies in the past: remember a symbol, echo it later, count brackets."""

from __future__ import annotations

import numpy as np

from nblstm.arguments import as_integers, as_size

NO_TARGET = -1  # what `nblstm.cross_entropy` leaves out with ignore_index=-1


def remember(
    rng: np.random.Generator, batch: int, lag: int | np.ndarray, symbols: int = 8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One symbol, then `lag` distractors; after the last of them say which symbol it was.

    Sequence b is ``s, d_1, ..., d_lag``: s is drawn uniformly from the first half of 2 S characters, every d from the
    second half, so that nothing after the first step tells anything about s. The answer is due at the sequence's own
    last step, number ``lengths[b] - 1``; who guesses is right once in S times.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the symbols come from.
    batch : int
        Number of sequences, B.
    lag : int or numpy.ndarray of integers, shape (B,)
        Distractors in every sequence, or in each. With 0 the symbol itself is the last step.
    symbols : int
        Number of symbols, S, at least 2, and of distractors.

    Returns
    -------
    x : numpy.ndarray of float32, shape (T, B, 2 * S)
        One-hot, T = max(lag) + 1; zeros past a sequence's end.
    target : numpy.ndarray of int64, shape (B,)
        The symbol, 0..S - 1.
    lengths : numpy.ndarray of int64, shape (B,)
        Steps of each sequence, lag + 1; a layer takes them as its argument `lengths`.

    Raises
    ------
    TypeError
        `rng` is no Generator, or a size is no integer.
    ValueError
        A size too small, a negative lag, or lags of another shape than (B,).

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory, experiment 2: long time lags with distractors.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.datasets import remember
    >>> x, target, lengths = remember(np.random.default_rng(0), batch=3, lag=np.array([5, 0, 2]))
    >>> x.shape, lengths
    ((6, 3, 16), array([6, 1, 3]))
    >>> bool((x[0].argmax(1) == target).all())
    True
    """
    check_generator(rng)
    batch, symbols = as_size("batch", batch), as_size("symbols", symbols, least=2)
    lengths = _lags(lag, batch) + 1
    steps = int(lengths.max())
    target = rng.integers(symbols, size=batch)
    characters = rng.integers(symbols, 2 * symbols, size=(steps, batch))
    characters[0] = target
    x = one_hot(characters, 2 * symbols)
    x[np.arange(steps)[:, None] >= lengths] = 0
    return x, target, lengths


def echo(rng: np.random.Generator, batch: int, steps: int, lag: int, symbols: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A stream of random symbols, each to be said again `lag` steps later.

    ``target[t] = x[t - lag]``, as a number. A net must hold the last `lag` + 1 symbols at once, and those of the window
    before if a stream is read in windows; a net that lacks one guesses right once in S times.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the symbols come from.
    batch, steps : int
        Number of streams, B, and their length, T.
    lag : int
        How many steps later, 0..T - 1.
    symbols : int
        Number of symbols, S, at least 2.

    Returns
    -------
    x : numpy.ndarray of float32, shape (T, B, S)
        One-hot.
    target : numpy.ndarray of int64, shape (T, B)
        The symbol `lag` steps before, 0..S - 1; -1 in the first `lag` steps, where there is none
        (`nblstm.cross_entropy` leaves it out with ``ignore_index=-1``).

    Raises
    ------
    TypeError
        `rng` is no Generator, or a size is no integer.
    ValueError
        A size too small, or a lag outside 0..T - 1.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.datasets import echo
    >>> x, target = echo(np.random.default_rng(0), batch=1, steps=7, lag=2)
    >>> x.argmax(2)[:, 0]
    array([3, 2, 2, 1, 1, 0, 0])
    >>> target[:, 0]
    array([-1, -1,  3,  2,  2,  1,  1])
    """
    check_generator(rng)
    batch, steps, symbols = as_size("batch", batch), as_size("steps", steps), as_size("symbols", symbols, least=2)
    lag = as_size("lag", lag, least=0)
    if lag >= steps:
        raise ValueError(f"lag must be less than steps = {steps}, or there is nothing to say again, got {lag}")
    characters = rng.integers(symbols, size=(steps, batch))
    target = np.full((steps, batch), NO_TARGET)
    target[lag:] = characters[: steps - lag]
    return one_hot(characters, symbols), target


def brackets(rng: np.random.Generator, batch: int, steps: int, max_depth: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Streams of ``(``, ``)`` and ``a``; say after each character how many brackets are open.

    With d_0 = 0, a ``(`` makes d_t = d_{t-1} + 1, a ``)`` d_{t-1} - 1, an ``a`` leaves it. The three characters are
    drawn uniformly; a bracket that would leave 0..D is replaced by an ``a``. So in the long run every depth is equally
    likely.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the characters come from.
    batch, steps : int
        Number of streams, B, and their length, T.
    max_depth : int
        Most brackets open at once, D, at least 1.

    Returns
    -------
    x : numpy.ndarray of float32, shape (T, B, 3)
        One-hot over ``(``, ``)``, ``a``, in this order.
    depth : numpy.ndarray of int64, shape (T, B)
        Open brackets after reading the character, 0..D.

    Raises
    ------
    TypeError
        `rng` is no Generator, or a size is no integer.
    ValueError
        A size below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.datasets import brackets
    >>> x, depth = brackets(np.random.default_rng(0), batch=1, steps=12, max_depth=2)
    >>> "".join("()a"[k] for k in x.argmax(2)[:, 0])
    'aaa((aaaaa)a'
    >>> depth[:, 0]
    array([0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 1, 1])
    """
    check_generator(rng)
    batch, steps, max_depth = as_size("batch", batch), as_size("steps", steps), as_size("max_depth", max_depth)
    characters = rng.integers(3, size=(steps, batch))
    change = np.array([1, -1, 0])  # of "(", ")", "a"
    depth, open_now = np.empty((steps, batch), np.int64), np.zeros(batch, np.int64)
    for t in range(steps):
        after = open_now + change[characters[t]]
        outside = (after < 0) | (after > max_depth)
        characters[t, outside] = 2
        depth[t] = open_now = np.where(outside, open_now, after)
    return one_hot(characters, 3), depth


def check_generator(rng: np.random.Generator) -> None:
    """`rng` is one of NumPy's generators, so that the caller's seed decides about all that is drawn."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator, got {type(rng).__name__}; make one with np.random.default_rng(seed)"
        )


def _lags(lag: int | np.ndarray, batch: int) -> np.ndarray:
    """`lag` as an array of int64, shape (batch,), of its own."""
    if not isinstance(lag, np.ndarray | list | tuple):
        return np.full(batch, as_size("lag", lag, least=0), np.int64)
    lags = as_integers("lag", lag)
    if lags.shape not in ((), (batch,)):
        raise ValueError(f"lag must be one integer or have shape ({batch},), one for each sequence, got {lags.shape}")
    if lags.min() < 0:
        raise ValueError(f"lag must be at least 0, got {lags.min()}")
    return np.full(batch, lags, np.int64)


def one_hot(characters: np.ndarray, size: int) -> np.ndarray:
    """Numbers of any shape as float32 rows of `size` with a single 1."""
    return np.eye(size, dtype=np.float32)[characters]
