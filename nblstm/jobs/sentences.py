"""Sentences and their tags, in lists, as the arrays that a job takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nblstm.datasets.tagged import as_sentences, token_places
from nblstm.jobs.data import Sequences
from nblstm.models.tagger import as_vocabulary


def tagged_sequences(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], vocabulary: Sequence[str]
) -> Sequences:
    """Sentences and the tags of their tokens, as lists have them, in the form that `TaggingJob` takes.

    Parameters
    ----------
    sentences, tags : N lists of strings
        A tag for each token; sentences may be of any length.
    vocabulary : sequence of str
        ``"<unk>"``, for which tokens stand that are not there, and then the distinct tokens: see
        `nblstm.datasets.token_vocabulary`.

    Returns
    -------
    Sequences
        Places of the tokens in the vocabulary, int64 (T, N); tags, strings (T, N); lengths (N,). What stands past an
        end does not count.

    Raises
    ------
    TypeError, ValueError
        What are no lists of strings, a sentence with more or fewer tags than tokens, or a wrong vocabulary.

    Examples
    --------
    >>> from nblstm.jobs import tagged_sequences
    >>> found = tagged_sequences([["a", "dog"], ["go"]], [["DET", "NOUN"], ["VERB"]], ["<unk>", "a", "dog"])
    >>> found.x
    array([[1, 0],
           [2, 0]])
    >>> found.targets[0], found.lengths
    (array(['DET', 'VERB'], dtype='<U4'), array([2, 1]))
    """
    places = {token: place for place, token in enumerate(as_vocabulary(vocabulary))}
    as_sentences(sentences)
    as_sentences(tags, "tags")
    x, lengths = token_places(sentences, places)
    if len(tags) != len(sentences):
        raise ValueError(f"tags must be those of {len(sentences)} sentences, got {len(tags)}")
    for n, named in enumerate(tags):
        if len(named) != lengths[n]:
            raise ValueError(f"tags[{n}] must have a tag for each of {lengths[n]} tokens, got {len(named)}")
    targets = np.full(x.shape, "", object)
    for n, named in enumerate(tags):
        targets[: len(named), n] = named
    return Sequences(x, targets.astype(str), lengths)
