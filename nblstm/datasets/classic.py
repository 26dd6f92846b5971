"""Tasks from the first papers on the LSTM, as they were set there: adding, temporal order, spike timing."""

from __future__ import annotations

import numpy as np

from nblstm.arguments import as_size
from nblstm.datasets.synthetic import NO_TARGET, check_generator, one_hot

LEAST_STEPS = 20  # so that the places of the symbols that matter do not run into each other
PLACES = {2: (10, 50), 3: (10, 33, 66)}  # first step at which each of them can stand, in hundredths of the length


def adding(rng: np.random.Generator, batch: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, two of which are marked; at the end say what the two come to.

    Each step brings a pair (v, m). The numbers v are drawn uniformly from [-1, 1]. The marker m is 1 at two steps: one
    among the first ten, and another in the first half of T = `steps`; it is -1 at the first step and at the last one,
    0 elsewhere. If the first step itself is chosen its marker is 1, and its number counts as 0. The target is

        0.5 + (v_1 + v_2) / 4,

    which lies in [0, 1]. Who always says 0.5 has a mean squared error of (2/3) / 16 = 0.042; the paper counts an answer
    as right that is off by less than 0.04.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the numbers come from.
    batch : int
        Number of sequences, B.
    steps : int
        Least length, T, at least 20. Lengths are drawn uniformly from T..T + T // 10.

    Returns
    -------
    x : numpy.ndarray of float32, shape (max(lengths), B, 2)
        The numbers, x[..., 0], and the markers, x[..., 1]; zeros past a sequence's end.
    target : numpy.ndarray of float32, shape (B,)
    lengths : numpy.ndarray of int64, shape (B,)
        Steps of each sequence; a layer takes them as its argument `lengths`.

    Raises
    ------
    TypeError
        `rng` is no Generator, or a size is no integer.
    ValueError
        A size too small.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory, experiment 4.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.datasets import adding
    >>> x, target, lengths = adding(np.random.default_rng(0), batch=3, steps=50)
    >>> x.shape, lengths
    ((55, 3, 2), array([55, 53, 53]))
    >>> marked = x[..., 1] == 1
    >>> marked.sum(axis=0)
    array([2, 2, 2])
    >>> np.allclose(target, 0.5 + (x[..., 0] * marked).sum(axis=0) / 4)
    True
    """
    check_generator(rng)
    batch, steps = as_size("batch", batch), as_size("steps", steps, least=LEAST_STEPS)
    lengths = _lengths(rng, batch, steps)
    x = np.zeros((int(lengths.max()), batch, 2), np.float32)
    x[..., 0] = rng.uniform(-1, 1, x.shape[:2])
    first = rng.integers(10, size=batch)
    second = rng.integers(steps // 2 - 1, size=batch)
    second += second >= first  # uniform over the steps that are not marked yet
    rows = np.arange(batch)
    x[0, :, 1] = x[lengths - 1, rows, 1] = -1
    x[first, rows, 1] = x[second, rows, 1] = 1
    x[0, x[0, :, 1] == 1, 0] = 0
    x[np.arange(len(x))[:, None] >= lengths] = 0
    target = 0.5 + (x[first, rows, 0] + x[second, rows, 0]) / 4
    return x, target, lengths


def temporal_order(
    rng: np.random.Generator, batch: int, steps: int = 100, marks: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two or three symbols that matter, far apart between others that do not; at the end say in which order they came.

    A sequence begins with E and ends with B. Between them stand letters drawn uniformly from a, b, c, d, except at
    `marks` places, each of which holds X or Y, with equal chances. With T = `steps` the places are drawn uniformly from
    T/10..2 T/10 and 5 T/10..6 T/10, steps counted from 0; for three marks from 10..20, 33..43 and 66..76 hundredths.
    The class is the number whose binary digits are the marks, X = 0 and Y = 1: for two marks XX, XY, YX, YY are
    0, 1, 2, 3. Who guesses is right once in 2^marks times.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the symbols come from.
    batch : int
        Number of sequences, B.
    steps : int
        Least length, T, at least 20. Lengths are drawn uniformly from T..T + T // 10.
    marks : int
        2 or 3.

    Returns
    -------
    x : numpy.ndarray of float32, shape (max(lengths), B, 8)
        One-hot over a, b, c, d, X, Y, E, B, in this order; zeros past a sequence's end.
    target : numpy.ndarray of int64, shape (B,)
        The class, 0..2^marks - 1, due at the sequence's own last step.
    lengths : numpy.ndarray of int64, shape (B,)
        Steps of each sequence; a layer takes them as its argument `lengths`.

    Raises
    ------
    TypeError
        `rng` is no Generator, or a size is no integer.
    ValueError
        A size too small, or `marks` other than 2 or 3.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory, experiments 6a and 6b.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.datasets import temporal_order
    >>> x, target, lengths = temporal_order(np.random.default_rng(0), batch=2, steps=20)
    >>> ["".join("abcdXYEB"[k] for k in x[: lengths[b], b].argmax(1)) for b in range(2)]
    ['EbaXccdccbcbXddaaabbaB', 'EaaYdcccddaYacadcbbaB']
    >>> target
    array([0, 3])
    """
    check_generator(rng)
    batch, steps = as_size("batch", batch), as_size("steps", steps, least=LEAST_STEPS)
    marks = as_size("marks", marks)
    if marks not in PLACES:
        raise ValueError(f"marks must be 2 or 3, got {marks}")
    lengths = _lengths(rng, batch, steps)
    rows = np.arange(batch)
    symbols = rng.integers(4, size=(int(lengths.max()), batch))
    target = np.zeros(batch, np.int64)
    for start in PLACES[marks]:
        place = start * steps // 100 + rng.integers(steps // 10 + 1, size=batch)
        mark = rng.integers(2, size=batch)
        symbols[place, rows] = 4 + mark
        target = 2 * target + mark
    symbols[0] = 6
    symbols[lengths - 1, rows] = 7
    x = one_hot(symbols, 8)
    x[np.arange(len(x))[:, None] >= lengths] = 0
    return x, target, lengths


def spike_timing(rng: np.random.Generator, batch: int, steps: int, gap: int) -> tuple[np.ndarray, np.ndarray]:
    """Spikes that come `gap` or `gap` + 1 steps after each other; say at each which of the two it was.

    The input is 1 at a spike and 0 elsewhere; the first spike is at step 0. Each distance is drawn anew, with equal
    chances. With ``steps=gap + 2`` a sequence holds one distance and one answer; with more it is a stream of them.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the distances come from.
    batch, steps : int
        Number of sequences, B, and their length, T.
    gap : int
        The shorter distance, 1..T - 2.

    Returns
    -------
    x : numpy.ndarray of float32, shape (T, B, 1)
    target : numpy.ndarray of int64, shape (T, B)
        At every spike but the first 0 if it came `gap` steps after the one before, and 1 if it came one later; -1
        elsewhere (`nblstm.cross_entropy` leaves it out with ``ignore_index=-1``).

    Raises
    ------
    TypeError
        `rng` is no Generator, or a size is no integer.
    ValueError
        A size too small, or a gap that does not fit into `steps`.

    References
    ----------
    Gers, Schraudolph & Schmidhuber (2002), Learning precise timing with LSTM recurrent networks; there the task is
    called measuring spike delays.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.datasets import spike_timing
    >>> x, target = spike_timing(np.random.default_rng(0), batch=2, steps=12, gap=3)
    >>> x[:, 1, 0].astype(int)
    array([1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0])
    >>> target[:, 1]
    array([-1, -1, -1, -1,  1, -1, -1,  0, -1, -1,  0, -1])
    """
    check_generator(rng)
    batch, steps, gap = as_size("batch", batch), as_size("steps", steps), as_size("gap", gap)
    if gap > steps - 2:
        raise ValueError(f"gap must be at most steps - 2 = {steps - 2}, so that a second spike is seen, got {gap}")
    late = rng.integers(2, size=(steps // gap, batch))
    places = np.cumsum(gap + late, axis=0)
    k, b = np.nonzero(places < steps)
    x, target = np.zeros((steps, batch, 1), np.float32), np.full((steps, batch), NO_TARGET)
    x[0] = x[places[k, b], b] = 1
    target[places[k, b], b] = late[k, b]
    return x, target


def _lengths(rng: np.random.Generator, batch: int, steps: int) -> np.ndarray:
    """Uniform between `steps` and a tenth more."""
    return rng.integers(steps, steps + steps // 10 + 1, size=batch)
