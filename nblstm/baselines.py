"""What prediction costs without a network: the entropies that a language model must beat, in bits per token."""

from __future__ import annotations

import numpy as np

from nblstm import ngrams
from nblstm.arguments import as_size, check_integers

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
        ``"uniform"``, ``"unigram"``, ``"bigram"`` and ``"5-gram"``, in bits per token, a character or a word.

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
        raise ValueError(f"validation must have at least two tokens, got {len(validation)}")
    counted = ngrams.Counts(training, validation, V, ORDER)
    ones = sum(
        np.bincount(training[start : start + ngrams.PIECE], minlength=V)
        for start in range(0, len(training), ngrams.PIECE)
    )
    ones = ones + np.full(V, PSEUDOCOUNT)
    probabilities = {
        "unigram": (ones / ones.sum())[validation[1:]],
        "bigram": counted.smoothed_bigrams(PSEUDOCOUNT),
        f"{ORDER}-gram": counted.interpolated(),
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
    V, order = as_size("vocabulary_size", vocabulary_size), as_size("order", order)
    training, validation = _places("training", training, V), _places("validation", validation, V)
    return ngrams.Counts(training, validation, V, order).interpolated()


def _places(name: str, tokens: np.ndarray, size: int) -> np.ndarray:
    """`tokens`, after the check that they are places in a vocabulary of that size."""
    found = check_integers(name, tokens)
    if found.ndim != 1:
        raise ValueError(f"{name} must have shape (N,), got {found.shape}")
    if found.size and not (found.min() >= 0 and found.max() < size):
        raise ValueError(f"{name} must lie in 0..{size - 1}, got {found.min()}..{found.max()}")
    return found
