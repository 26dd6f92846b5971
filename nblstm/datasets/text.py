"""Texts to train on: known names and files, characters as numbers, the split by position, parallel streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nblstm.arguments import as_integers, as_path, as_size, as_text

DEFAULT_TEXT = "python-reference"
TINYSHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
TINYSHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def python_reference() -> str:
    """The help topics of Python's language reference, in the English every CPython carries; no download.

    The topics of `pydoc_data.topics` in sorted order, joined by newlines: 465,048 characters, 103 of them distinct, in
    CPython 3.11; other versions differ a little, so compare runs only under the same one.

    Raises
    ------
    ValueError
        The running Python came without that module, as some stripped-down installations do.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise ValueError(f"this Python lacks pydoc_data and so {DEFAULT_TEXT}; name a text file") from None
    return "\n".join(topics[name] for name in sorted(topics))


def tinyshakespeare() -> str:
    """40,000 lines of Shakespeare (char-rnn's example text), fetched once, checked by its sha256 and kept in a cache.

    Raises
    ------
    ValueError
        The file could not be fetched, or what came is not the file it should be.
    """
    import pooch

    try:
        path = pooch.retrieve(
            TINYSHAKESPEARE_URL,
            known_hash=f"sha256:{TINYSHAKESPEARE_SHA256}",
            fname="tinyshakespeare.txt",
            path=pooch.os_cache("nblstm"),
        )
    except OSError as error:
        raise ValueError(
            f"tinyshakespeare could not be fetched ({type(error).__name__}); "
            f"without a network use the default text, {DEFAULT_TEXT}, or name a file"
        ) from error
    return read_text(path)


KNOWN_TEXTS: dict[str, Callable[[], str]] = {DEFAULT_TEXT: python_reference, "tinyshakespeare": tinyshakespeare}


def read_text(path: str | Path) -> str:
    """The characters of a UTF-8 file, line ends as they are, without a byte order mark.

    Raises
    ------
    ValueError
        No such file, a folder, an empty file, or bytes that are not UTF-8.
    OSError
        The file may not be read.
    """
    path = as_path("path", path)
    if not path.is_file():
        state = "a folder" if path.is_dir() else "a pipe or a device" if path.exists() else "no such file"
        raise ValueError(f"text must be {', '.join(KNOWN_TEXTS)} or a UTF-8 file, got {str(path)!r}: {state}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(f"{path} is not UTF-8: byte 0x{byte:02x} at position {error.start}") from None
    if not text:
        raise ValueError(f"{path} is empty: there is nothing to learn from")
    return text


def load_text(source: str | Path = DEFAULT_TEXT) -> str:
    """The text of a known name (see `KNOWN_TEXTS`) or else of a UTF-8 file.

    Examples
    --------
    >>> from nblstm.datasets import load_text
    >>> load_text("python-reference").startswith('The "assert" statement')
    True
    """
    known = isinstance(source, str) and source in KNOWN_TEXTS
    return KNOWN_TEXTS[str(source)]() if known else read_text(as_path("source", source))


def vocabulary_of(text: str) -> str:
    """The distinct characters of `text`, sorted.

    Examples
    --------
    >>> from nblstm.datasets import vocabulary_of
    >>> vocabulary_of("abracadabra")
    'abcdr'
    """
    return "".join(sorted(set(as_text("text", text))))


def encode(text: str, vocabulary: Sequence[str]) -> np.ndarray:
    """Each character's place in `vocabulary`.

    Returns
    -------
    numpy.ndarray of int64, shape (len(text),)

    Raises
    ------
    ValueError
        Characters outside the vocabulary; all of them are named.

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
        raise ValueError(
            f"text must keep to the model's {len(place)} characters, but has {', '.join(map(repr, unknown))}"
        )
    return np.fromiter((place[character] for character in text), np.int64, len(text))


def split(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first nine tenths for training and the last tenth for validation, as views.

    By position, not by chance: characters near each other are alike, and a random split would let the model see the
    neighbours of what it is tested on.

    Raises
    ------
    ValueError
        Fewer than 20 tokens, of which the last tenth holds no pair of a character and its successor.
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
            f"characters, got {len(tokens):,}; take a longer text, a smaller batch or a shorter window"
        )
    starts = np.arange(batch_size) * length
    return tokens[starts + np.arange(length + 1)[:, None]]


def check_tokens(tokens: np.ndarray) -> np.ndarray:
    """`tokens` as a plain array of integers (N,)."""
    found = as_integers("tokens", tokens)
    if found.ndim != 1:
        raise ValueError(f"tokens must have shape (N,), got {found.shape}")
    return found
