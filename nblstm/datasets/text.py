"""Texts to train on: known names and files, characters as numbers, the split by position, parallel streams."""

from __future__ import annotations

import codecs
import gzip
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nblstm.arguments import as_path, as_size, as_text, check_integers, shown

DEFAULT_TEXT = "python-reference"
TINYSHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
TINYSHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
STANDARD_INPUT = "-"
MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""What files in these encodings begin with; the longer mark begins like the shorter one."""

GZIP = b"\x1f\x8b"
"""What packed files begin with."""

PIECE = 2**18
"""Characters that are turned into numbers at once."""


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


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    """The characters of a file, line ends as they are, without a byte order mark.

    Parameters
    ----------
    path : str or Path
        A file, unpacked first if its name ends in ``.gz``; ``"-"`` for standard input.
    encoding : str
        How the file's bytes stand for characters: any encoding of text that Python knows.

    Raises
    ------
    ValueError
        No such file, a folder, an empty file, one that cannot be unpacked, an unknown encoding, or bytes that are not
        in it.
    OSError
        The file may not be read.
    """
    path, encoding = as_path("path", path), as_encoding(encoding)
    content = _content(path)
    name = "standard input" if str(path) == STANDARD_INPUT else str(path)
    try:
        text = content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        found = f"{name} is not {encoding.upper()}: byte 0x{error.object[error.start]:02x} at position {error.start}"
        if content.startswith(GZIP):
            raise ValueError(f"{found}; it begins as gzip's files do: unpack it, or let its name end in .gz") from None
        mark = next((other for mark, other in MARKS.items() if content.startswith(mark) and other != encoding), None)
        told = f"it begins as {mark.upper()} does" if mark else "another encoding can be named"
        other = mark or ("cp1252" if encoding == "utf-8" else "utf-8")
        raise ValueError(
            f"{found}; {told}: --encoding {other}, say (encoding={other!r} in Python), or convert it with "
            f"iconv -f {other} -t utf-8"
        ) from None
    text = text.removeprefix("\ufeff")  # which codecs without a mark of their own leave there
    if not text:
        raise ValueError(f"{name} is empty: there is nothing to learn from")
    return text


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked, or those that standard input still has."""
    if str(path) == STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.isatty():
            raise ValueError("text must come through standard input, as '-' says, but nothing is piped into it")
        return sys.stdin.buffer.read()
    if not path.is_file():
        state = "a folder" if path.is_dir() else "a pipe or a device" if path.exists() else "no such file"
        raise ValueError(f"text must be {', '.join(KNOWN_TEXTS)} or a text file, got {str(path)!r}: {state}")
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} must be a file that gzip packed: {error}") from None


def as_encoding(encoding: str) -> str:
    """`encoding`, which must be one of text that Python knows, under the name that Python has for it."""
    try:
        "".encode(as_text("encoding", encoding))  # other codecs turn bytes into bytes
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise ValueError(
            f"encoding must be one of text that Python knows, as utf-8, cp1252 or utf-16, got {shown(encoding)}"
        ) from None


def load_text(source: str | Path = DEFAULT_TEXT, encoding: str = "utf-8") -> str:
    """The text of a known name (see `KNOWN_TEXTS`), or else what `read_text` reads.

    Examples
    --------
    >>> from nblstm.datasets import load_text
    >>> load_text("python-reference").startswith('The "assert" statement')
    True
    """
    encoding = as_encoding(encoding)
    known = isinstance(source, str) and source in KNOWN_TEXTS
    if known and encoding != "utf-8":
        raise ValueError(f"encoding must be utf-8 for {source}, got {encoding!r}: it is for files")
    return KNOWN_TEXTS[str(source)]() if known else read_text(as_path("source", source), encoding)


def vocabulary_of(text: str) -> str:
    """The distinct characters of `text`, sorted.

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
        raise ValueError(
            f"text must keep to the model's {len(place)} characters, but has {', '.join(map(repr, unknown))}"
        )
    kind = _integer_type(dtype, len(place))
    codes = {ord(character): index for character, index in place.items() if len(character) == 1}
    places = np.zeros(max(codes, default=0) + 1, kind)
    places[list(codes)] = list(codes.values())
    found = np.empty(len(text), kind)
    for start in range(0, len(text), PIECE):
        characters = text[start : start + PIECE].encode("utf-32-le", "surrogatepass")
        found[start : start + PIECE] = places[np.frombuffer(characters, "<u4")]
    return found


def _integer_type(dtype: str | np.dtype, size: int) -> np.dtype:
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
    return np.stack([tokens[b * length : b * length + length + 1] for b in range(batch_size)], axis=1)


def check_tokens(tokens: np.ndarray) -> np.ndarray:
    """`tokens` as a plain array of integers (N,); see `check_integers` for their type."""
    found = check_integers("tokens", tokens)
    if found.ndim != 1:
        raise ValueError(f"tokens must have shape (N,), got {found.shape}")
    return found
