"""What prediction costs without a network: the entropies that a character model must beat, in bits per character."""

from __future__ import annotations

import numpy as np

PSEUDOCOUNT = 0.1


def baselines(training: np.ndarray, validation: np.ndarray, vocabulary_size: int) -> dict[str, float]:
    r"""Bits per character of three predictors that count on the training part and are tested on the validation part.

    uniform
        log2 V: every character is as likely as any other.
    unigram
        :math:`p(c) = (n_c + a) / (N + a V)`: how often each character occurs.
    bigram
        :math:`p(c \mid b) = (n_{bc} + a) / (n_b + a V)`: how often c follows b.

    Counts n come from the training part. a = 0.1 is added to each of them, seen or not, so that a character or pair
    that occurs only in the validation part still has a probability. All three are measured on the same characters that
    the model predicts: every one of the validation part but its first.

    Parameters
    ----------
    training, validation : numpy.ndarray of int, shapes (N,), (M,)
        Places in the vocabulary, 0 .. V - 1.
    vocabulary_size : int
        V.

    Returns
    -------
    dict
        ``"uniform"``, ``"unigram"`` and ``"bigram"``, in bits per character.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.baselines import baselines
    >>> tokens = np.tile([0, 1, 2, 3], 1000)
    >>> {name: round(bits, 2) for name, bits in baselines(tokens, tokens, 4).items()}
    {'uniform': 2.0, 'unigram': 2.0, 'bigram': 0.0}
    """
    ones = np.bincount(training, minlength=vocabulary_size) + PSEUDOCOUNT
    unigram = ones / ones.sum()
    seen, counts = np.unique(training[:-1] * vocabulary_size + training[1:], return_counts=True)
    asked = validation[:-1] * vocabulary_size + validation[1:]
    nearest = np.minimum(np.searchsorted(seen, asked), len(seen) - 1)
    pairs = np.where(seen[nearest] == asked, counts[nearest], 0) + PSEUDOCOUNT
    firsts = np.bincount(training[:-1], minlength=vocabulary_size) + PSEUDOCOUNT * vocabulary_size
    bigram = pairs / firsts[validation[:-1]]
    return {
        "uniform": float(np.log2(vocabulary_size)),
        "unigram": float(-np.log2(unigram[validation[1:]]).mean()),
        "bigram": float(-np.log2(bigram).mean()),
    }
