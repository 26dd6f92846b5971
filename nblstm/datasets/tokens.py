"""Texts as numbers: characters as places in a vocabulary, the split by position, parallel streams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nblstm.arguments import as_size, as_text, check_integers, shown

PIECE = 2**18
"""Characters that are turned into numbers at once."""


def vocabulary_of(text: str) -> str:
    """The distinct characters of `text`, sorted.

    Raises
    ------
    TypeError
        `text` that is no string.

    Examples
    --------
    >>> from nblstm.datasets import vocabulary_of
    >>> vocabulary_of("abracadabra")
    'abcdr'
    """
    return "".join(sorted(set(as_text("text", text))))


def encode(text: str, vocabulary: Sequence[str], dtype: str | np.dtype = "int64") -> np.ndarray:
    """Each character's place in `vocabulary`.

    Parameters
    ----------
    text : str
    vocabulary : str or sequence of str
    dtype : str or numpy.dtype
        Of the places, an integer type; the smallest that `vocabulary` fits into saves memory of a long text.

    Returns
    -------
    numpy.ndarray of `dtype`, shape (len(text),)

    Raises
    ------
    ValueError
        Characters outside the vocabulary; all of them are named. A type that cannot hold the places.

    Examples
    --------
    >>> from nblstm.datasets import encode
    >>> encode("cab", "abc")
    array([2, 0, 1])
    """
    if not isinstance(vocabulary, Sequence) or not all(isinstance(character, str) for character in vocabulary):
        raise TypeError(f"vocabulary must be a string or a list of characters, got {vocabulary!r}")
    place = {character: index for index, character in enumerate(vocabulary)}
    unknown = sorted(set(as_text("text", text)) - place.keys())
    if unknown:
        as_typed = [f"'{character}'" if character.isprintable() else repr(character) for character in unknown]
        raise ValueError(f"text must keep to the model's {len(place)} characters, but has {', '.join(as_typed)}")
    kind = integer_type(dtype, len(place))
    codes = {ord(character): index for character, index in place.items() if len(character) == 1}
    places = np.zeros(max(codes, default=0) + 1, kind)
    places[list(codes)] = list(codes.values())
    found = np.empty(len(text), kind)
    for start in range(0, len(text), PIECE):
        characters = text[start : start + PIECE].encode("utf-32-le", "surrogatepass")
        found[start : start + PIECE] = places[np.frombuffer(characters, "<u4")]
    return found


def integer_type(dtype: str | np.dtype, size: int) -> np.dtype:
    """`dtype` as one that holds the places in a vocabulary of `size`."""
    try:
        kind = np.dtype(object if dtype is None else dtype)
    except (TypeError, ValueError):
        kind = np.dtype(object)
    if kind.kind not in "iu" or np.iinfo(kind).max < size - 1:
        raise ValueError(f"dtype must be an integer type that holds {size} places, got {shown(dtype)}")
    return kind


def split(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first nine tenths for training and the last tenth for validation, as views.

    By position, not by chance: characters near each other are alike, and a random split would let the model see the
    neighbours of what it is tested on.

    Parameters
    ----------
    tokens : numpy.ndarray of int, shape (N,)

    Returns
    -------
    training, validation : numpy.ndarray of int, (9 N // 10,) and the rest

    Raises
    ------
    ValueError
        Fewer than 20 tokens, of which the last tenth holds no pair of a character and its successor.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.datasets import split
    >>> training, validation = split(np.arange(25))
    >>> training.size, validation
    (22, array([22, 23, 24]))
    """
    tokens = check_tokens(tokens)
    if len(tokens) < 20:
        raise ValueError(f"tokens must be at least 20 characters for a validation part, got {len(tokens)}")
    boundary = len(tokens) * 9 // 10
    return tokens[:boundary], tokens[boundary:]


def streams(tokens: np.ndarray, batch_size: int, window: int) -> np.ndarray:
    """Cut one long text into `batch_size` contiguous streams that are read side by side.

    With L = (N - 1) // B, stream b holds the tokens b L, ..., b L + L, both ends included. So ``s[t : t + T]`` is a
    window of inputs and ``s[t + 1 : t + T + 1]`` its targets, row b of a window continues row b of the one before, and
    the last target of every stream is the character that truly follows (it is also the first input of the next one).
    At most B - 1 tokens at the end of the text are left over.

    Parameters
    ----------
    tokens : numpy.ndarray, shape (N,)
    batch_size : int
        Number of streams, B.
    window : int
        Length of the windows to come, T; only checked here.

    Returns
    -------
    numpy.ndarray, shape (L + 1, B)
        C-contiguous, so windows are contiguous views.

    Raises
    ------
    ValueError
        The streams are shorter than one window.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.datasets import streams
    >>> streams(np.arange(8), batch_size=2, window=3).T
    array([[0, 1, 2, 3],
           [3, 4, 5, 6]])
    """
    batch_size, window = as_size("batch_size", batch_size), as_size("window", window)
    tokens = check_tokens(tokens)
    length = (len(tokens) - 1) // batch_size
    if length < window:
        raise ValueError(
            f"tokens: the training part must have at least batch_size * window + 1 = {batch_size * window + 1:,} "
            f"tokens, got {len(tokens):,}; take a longer text, a smaller batch or a shorter window"
        )
    return np.stack([tokens[b * length : b * length + length + 1] for b in range(batch_size)], axis=1)


def check_tokens(tokens: np.ndarray) -> np.ndarray:
    """`tokens` as a plain array of integers (N,); see `check_integers` for their type."""
    found = check_integers("tokens", tokens)
    if found.ndim != 1:
        raise ValueError(f"tokens must have shape (N,), got {found.shape}")
    return found


def check_characters(vocabulary: Sequence[str]) -> str:
    """`vocabulary`, which must be one or more distinct characters, as one string."""
    if not isinstance(vocabulary, Sequence):
        raise TypeError(f"vocabulary must be a string or a list of characters, got {type(vocabulary).__name__}")
    if not vocabulary or any(not isinstance(c, str) or len(c) != 1 for c in vocabulary):
        raise ValueError(f"vocabulary must be one or more single characters, got {vocabulary!r}")
    if len(set(vocabulary)) < len(vocabulary):
        raise ValueError(f"vocabulary must have distinct characters, got {vocabulary!r}")
    return "".join(vocabulary)
