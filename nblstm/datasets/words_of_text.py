"""Texts as words: tokens that joined give the text back, a vocabulary of the most frequent ones, and their numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from nblstm.arguments import as_size, as_text, shown
from nblstm.datasets.tokens import integer_type

UNKNOWN = "<unk>"
"""The token that stands for all those outside a vocabulary; no text has it, for it would be three tokens there."""

TOKEN = re.compile(r" ?\w+(?:['’]\w+)*| ?[^\w\s]|\s")
"""A word, or one mark that is none, each with a space before it if there is one; or one of white space."""

SPACE = re.compile(r"\s")

PIECE = 2**16
"""Characters that are split at once, or a few more."""


def split_words(text: str) -> Iterator[str]:
    r"""The tokens of a text, one by one; joined they are the text again.

    A token is a word with the space before it, if there is one: letters, digits and underscores, and apostrophes
    between them; or one other mark, with the space before it; or one character of white space. Languages that put no
    space between words have no words in this sense: read them character by character.

    Raises
    ------
    TypeError
        `text` that is no string.

    Examples
    --------
    >>> from nblstm.datasets import split_words
    >>> list(split_words("Don't, he said:  \n1984!"))
    ["Don't", ',', ' he', ' said', ':', ' ', ' ', '\n', '1984', '!']
    """
    return _split(as_text("text", text))


def _split(text: str) -> Iterator[str]:
    """Piece by piece: a list of all the tokens would be many times as long as the text."""
    start = 0
    while start < len(text):
        space = SPACE.search(text, start + PIECE)  # no token goes across the place before one
        end = space.start() if space else len(text)
        yield from TOKEN.findall(text, start, end)
        start = end


def word_vocabulary(text: str, size: int = 10_000) -> tuple[str, ...]:
    """``"<unk>"``, and the most frequent tokens of a text, in the order of their counts, then of their occurrence.

    Parameters
    ----------
    text : str
    size : int
        Tokens at most, at least 2; ``"<unk>"``, which stands for all others, is one of them.

    Raises
    ------
    ValueError
        A text without a character, or a size below 2.

    Examples
    --------
    >>> from nblstm.datasets import word_vocabulary
    >>> word_vocabulary("a rose is a rose is a rose", 4)
    ('<unk>', ' rose', ' is', ' a')
    """
    size = as_size("size", size, least=2)
    if not as_text("text", text):
        raise ValueError("text must have at least one character")
    return UNKNOWN, *(token for token, _ in Counter(split_words(text)).most_common(size - 1))


def encode_words(text: str, vocabulary: Sequence[str], dtype: str | np.dtype = "int64") -> np.ndarray:
    """The place of every token of `split_words` in `vocabulary`; 0 of those that are not in it.

    Parameters
    ----------
    text : str
    vocabulary : sequence of str
        As of `word_vocabulary`.
    dtype : str or numpy.dtype
        Of the places, an integer type; the smallest that `vocabulary` fits into saves memory of a long text.

    Returns
    -------
    numpy.ndarray of `dtype`, shape (tokens,)

    Raises
    ------
    ValueError
        A vocabulary that does not begin with ``"<unk>"``, or has what is no token, or one twice; a type that cannot
        hold the places.

    Examples
    --------
    >>> from nblstm.datasets import encode_words
    >>> encode_words("a rose is a lily", ("<unk>", "a", " is", " a", " rose"))
    array([1, 4, 2, 3, 0])
    """
    place = {token: index for index, token in enumerate(check_words(vocabulary))}
    return np.fromiter((place.get(token, 0) for token in split_words(text)), integer_type(dtype, len(place)))


def check_words(vocabulary: Sequence[str]) -> tuple[str, ...]:
    """`vocabulary`, which must be `UNKNOWN` and then distinct tokens."""
    if isinstance(vocabulary, str) or not isinstance(vocabulary, Sequence):
        raise TypeError(f"vocabulary must be a tuple or list of tokens, got {shown(vocabulary)}")
    tokens = tuple(vocabulary)
    right = all(isinstance(token, str) for token in tokens) and len(tokens) > 1 and tokens[0] == UNKNOWN
    if not right or len(set(tokens)) < len(tokens) or not all(TOKEN.fullmatch(token) for token in tokens[1:]):
        raise ValueError(
            f"vocabulary must be {UNKNOWN!r} and then distinct tokens, each as split_words makes them, "
            f"got {shown(vocabulary)}"
        )
    return tuple(map(str, tokens))
