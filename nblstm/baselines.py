"""What prediction costs without a network: the entropies that a character model must beat, in bits per character."""

from __future__ import annotations

import numpy as np

from nblstm.arguments import as_integers, as_size

PSEUDOCOUNT = 0.1
ORDER = 5
"""Of the longest n-gram: it predicts from the ORDER - 1 characters before."""


def baselines(training: np.ndarray, validation: np.ndarray, vocabulary_size: int) -> dict[str, float]:
    r"""Bits per character of four predictors that count on the training part and are tested on the validation part.

    uniform
        log2 V: every character is as likely as any other.
    unigram
        :math:`p(c) = (n_c + a) / (N + a V)`: how often each character occurs.
    bigram
        :math:`p(c \mid b) = (n_{bc} + a) / (n_b + a V)`: how often c follows b.
    5-gram
        How often c follows the four characters before, interpolated with what follows the last three of them, the last
        two, the last, and none: see `ngram_probabilities`.

    Counts n come from the training part. In the first two counts a = 0.1 is added to each, seen or not, so that a
    character or pair that occurs only in the validation part still has a probability. All four are measured on the same
    characters that the model predicts: every one of the validation part but its first.

    Parameters
    ----------
    training, validation : numpy.ndarray of int, shapes (N,), (M,)
        Places in the vocabulary, 0 .. V - 1.
    vocabulary_size : int
        V.

    Returns
    -------
    dict
        ``"uniform"``, ``"unigram"``, ``"bigram"`` and ``"5-gram"``, in bits per character.

    Raises
    ------
    ValueError
        What are no places in the vocabulary, or fewer than two to predict on.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.baselines import baselines
    >>> tokens = np.tile([0, 1, 2, 3], 1000)
    >>> {name: round(bits, 2) for name, bits in baselines(tokens, tokens, 4).items()}
    {'uniform': 2.0, 'unigram': 2.0, 'bigram': 0.0, '5-gram': 0.0}
    """
    V = as_size("vocabulary_size", vocabulary_size)
    training, validation = _places("training", training, V), _places("validation", validation, V)
    if len(validation) < 2:
        raise ValueError(f"validation must have at least two characters, got {len(validation)}")
    ones = np.bincount(training, minlength=V) + PSEUDOCOUNT
    firsts = np.bincount(training[:-1], minlength=V) + PSEUDOCOUNT * V
    _, _, counts, places = _number(training[:-1] * V + training[1:], validation[:-1] * V + validation[1:])
    probabilities = {
        "unigram": (ones / ones.sum())[validation[1:]],
        "bigram": (_look_up(counts, places) + PSEUDOCOUNT) / firsts[validation[:-1]],
        f"{ORDER}-gram": ngram_probabilities(training, validation, V, ORDER),
    }
    return {"uniform": float(np.log2(V))} | {name: float(-np.log2(p).mean()) for name, p in probabilities.items()}


def ngram_probabilities(
    training: np.ndarray, validation: np.ndarray, vocabulary_size: int, order: int = ORDER
) -> np.ndarray:
    r"""Probability that an interpolated n-gram model gives to each character of a text, after those before it.

    With h the k - 1 characters before c, h' all of them but the first, n counts in the training part, and T(h) the
    number of *distinct* characters that follow h there,

    .. math::
        p_k(c \mid h) = \frac{n(h c) + T(h) \, p_{k-1}(c \mid h')}{n(h) + T(h)}, \qquad p_0(c) = 1 / V,

    where n(h) counts how often anything follows h. This is Witten and Bell's estimate: as though each of the T(h)
    occasions on which something new came after h were one more count, dealt out by the shorter context. So a context
    that many different characters follow trusts itself less. One that was never seen, or that reaches beyond the
    beginning of the text, leaves the answer to the shorter one: :math:`p_k = p_{k-1}`. The probabilities of all c sum
    to 1 for every h.

    Parameters
    ----------
    training, validation : numpy.ndarray of int, shapes (N,), (M,)
        Places in the vocabulary, 0 .. V - 1.
    vocabulary_size : int
        V.
    order : int
        Length of the longest n-gram, the character predicted included.

    Returns
    -------
    numpy.ndarray of float64, shape (M - 1,)
        Of every character of the validation part but its first.

    Raises
    ------
    ValueError
        What are no places in the vocabulary, or an order below 1.

    References
    ----------
    I. Witten, T. Bell, "The zero-frequency problem: estimating the probabilities of novel events in adaptive text
    compression", IEEE Transactions on Information Theory 37(4), 1991 (method C); as interpolation in S. Chen,
    J. Goodman, "An empirical study of smoothing techniques for language modeling", Computer Speech & Language 13, 1999.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.baselines import ngram_probabilities
    >>> tokens = np.array([0, 1, 0, 1, 0, 2])
    >>> ngram_probabilities(tokens, np.array([0, 1]), 3, order=1)  # (2 + 3 / 3) / (6 + 3)
    array([0.33333333])
    >>> ngram_probabilities(tokens, np.array([0, 1]), 3, order=2)  # (2 + 2 * 0.33333333) / (3 + 2)
    array([0.53333333])
    """
    V = as_size("vocabulary_size", vocabulary_size)
    training, validation = _places("training", training, V), _places("validation", validation, V)
    probabilities = np.full(len(validation), 1 / V)
    # The number of the context that precedes each place. The k-grams seen are numbered 0, 1, ... without a gap, so that
    # a context's number times V, plus a character, stays below N V, however long the context: it fits into 64 bits.
    before, asked = np.zeros(len(training), np.int64), np.zeros(len(validation), np.int64)
    for k in range(1, as_size("order", order) + 1):
        contexts = before.max(initial=0) + 1
        keys = np.where(asked >= 0, asked * V + validation, -1)
        seen, grams, counts, places = _number(before * V + training[k - 1 :], keys)
        totals = np.bincount(seen // V, counts, contexts)
        kinds = _look_up(np.bincount(seen // V, minlength=contexts), asked)
        total = _look_up(totals, asked) + kinds
        mixed = (_look_up(counts, places) + kinds * probabilities) / np.maximum(total, 1)
        probabilities = np.where(total > 0, mixed, probabilities)
        before, asked = grams[:-1], np.append(-1, places[:-1])
    return probabilities[1:]


def _places(name: str, tokens: np.ndarray, size: int) -> np.ndarray:
    """`tokens` as int64, after the check that they are places in a vocabulary of that size."""
    found = as_integers(name, tokens)
    if found.ndim != 1:
        raise ValueError(f"{name} must have shape (N,), got {found.shape}")
    if found.size and not (found.min() >= 0 and found.max() < size):
        raise ValueError(f"{name} must lie in 0..{size - 1}, got {found.min()}..{found.max()}")
    return found


def _number(keys: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The distinct keys, sorted; each key's place among them; how often each occurs; the places of `asked`, or -1."""
    seen, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    nearest = np.searchsorted(seen, asked)
    found = np.append(seen, -2)[nearest] == asked  # where the place is beyond the end, -2 is not asked for
    return seen, places, counts, np.where(found, nearest, -1)


def _look_up(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``values[places]``, and 0 where a place is -1."""
    return np.append(values, 0)[places]
