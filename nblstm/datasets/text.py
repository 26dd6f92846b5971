"""Texts to train on: known names, files, folders, standard input, and the encodings they are in."""

from __future__ import annotations

import codecs
import gzip
import os
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from nblstm.arguments import as_path, as_text, shown

DEFAULT_TEXT = "python-reference"
TINYSHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
TINYSHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
STANDARD_INPUT = "-"
MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""What files in these encodings begin with; the longer mark begins like the shorter one."""

GZIP = b"\x1f\x8b"
"""What packed files begin with."""

ZEROS = {"0101": "utf-16-le", "1010": "utf-16-be", "0111": "utf-32-le", "1110": "utf-32-be"}
"""Which of every four bytes are often zero (1) in files of these encodings that have no mark."""

NO_TEXT = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape")
"""Codecs of host names and of Python's source, whose characters are not those that a reader of the file sees."""

SURROGATES = re.compile("[\ud800-\udfff]")

TEXT_FILES = (".txt", ".txt.gz")
"""How the names of the files end that are read in a folder."""


def python_reference() -> str:
    """The help topics of Python's language reference, in the English every CPython carries; no download.

    The topics of `pydoc_data.topics` in sorted order, joined by newlines: 465,048 characters, 103 of them distinct, in
    CPython 3.11; other versions differ a little, so compare runs only under the same one.

    Raises
    ------
    ValueError
        The running Python came without that module, as some stripped-down installations do.

    Examples
    --------
    >>> from nblstm.datasets import python_reference
    >>> 300_000 < len(python_reference()) < 800_000
    True
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

    Examples
    --------
    >>> from nblstm.datasets import tinyshakespeare
    >>> tinyshakespeare()[:14]  # doctest: +SKIP
    'First Citizen:'
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

    Examples
    --------
    >>> from pathlib import Path
    >>> from nblstm.datasets import read_text
    >>> size = Path("verse.txt").write_text("café", encoding="cp1252")
    >>> read_text("verse.txt", encoding="cp1252")
    'café'
    >>> Path("verse.txt").unlink()
    """
    path, encoding = as_path("path", path), as_encoding(encoding)
    content = _content(path)
    name = "standard input" if str(path) == STANDARD_INPUT else str(path)
    refused = f"{name} is not {encoding.upper()}"
    unmarked = _unmarked(content)
    if unmarked and not encoding.startswith(("utf-16", "utf-32")):
        raise ValueError(f"{refused}: its bytes of zero are where {unmarked.upper()} has them; {_way(unmarked)}")
    try:
        text = content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        found = f"{refused}: byte 0x{error.object[error.start]:02x} at position {error.start}"
        if content.startswith(GZIP):
            raise ValueError(f"{found}; it begins as gzip's files do: unpack it, or let its name end in .gz") from None
        mark = next((other for mark, other in MARKS.items() if content.startswith(mark) and other != encoding), None)
        told = f"it begins as {mark.upper()} does" if mark else "another encoding can be named"
        raise ValueError(f"{found}; {told}: {_way(mark or ('cp1252' if encoding == 'utf-8' else 'utf-8'))}") from None
    if encoding != "utf-8" and (half := SURROGATES.search(text)):
        raise ValueError(f"{refused}: it has half of a character, U+{ord(half[0]):04X}, at position {half.start()}")
    text = text.removeprefix("\ufeff")  # which codecs without a mark of their own leave there
    if not text:
        raise ValueError(f"{name} is empty: there is nothing to read")
    return text


def _unmarked(content: bytes) -> str | None:
    """The encoding of `ZEROS` that a file is in by its bytes, if it is one of them."""
    quarters = [content[k:4096:4] for k in range(4)]
    often = "".join("1" if quarter.count(0) > len(quarter) / 10 else "0" for quarter in quarters)
    return None if content.startswith(tuple(MARKS)) else ZEROS.get(often)


def _way(encoding: str) -> str:
    """What to do with a file in another encoding than was named."""
    return (
        f"--encoding {encoding}, say (encoding={encoding!r} in Python), or convert it with iconv -f {encoding} -t utf-8"
    )


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
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        name = ""
    if name.replace("_", "-") in ("", *NO_TEXT):
        raise ValueError(
            f"encoding must be one of text that Python knows, as utf-8, cp1252 or utf-16, got {shown(encoding)}"
        )
    return name


def text_sources(source: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """The known names and files that `load_text` reads one after another: those named, and those in folders named.

    Of a folder these are all files below it whose names end in ``.txt`` or ``.txt.gz``, sorted by path.

    Raises
    ------
    ValueError
        Nothing named, something named twice, or a folder without such a file.

    Examples
    --------
    >>> from nblstm.datasets import text_sources
    >>> text_sources("python-reference")
    ['python-reference']
    """
    named = [source] if isinstance(source, str | os.PathLike) else source
    if not isinstance(named, Sequence) or not named:
        raise TypeError(f"source must be a path, or one or more of them, got {shown(source)}")
    found: list[str | Path] = []
    for one in named:
        path = as_path("source", one)
        if one in KNOWN_TEXTS or not path.is_dir():
            found.append(one)
            continue
        inside = sorted(str(file) for file in path.rglob("*") if file.name.endswith(TEXT_FILES) and file.is_file())
        if not inside:
            raise ValueError(f"{path} is a folder without a file whose name ends in {' or '.join(TEXT_FILES)}")
        found += inside
    ((most, times),) = Counter(map(str, found)).most_common(1)
    if times > 1:
        raise ValueError(f"source must name each text once, got {most!r} {times} times")
    return found


def load_text(source: str | Path | Sequence[str | Path] = DEFAULT_TEXT, encoding: str = "utf-8") -> str:
    """The text of a known name (see `KNOWN_TEXTS`), of a file (see `read_text`), or of several, or of a folder.

    Several files, in a folder (see `text_sources`) or named one by one, are one text: the characters of each after
    those of the one before, with nothing between.

    Raises
    ------
    ValueError
        What `text_sources` and `read_text` refuse; of several files all that are not texts are named, or the first
        three.

    Examples
    --------
    >>> from nblstm.datasets import load_text
    >>> load_text("python-reference").startswith('The "assert" statement')
    True
    """
    encoding = as_encoding(encoding)
    texts, wrong = [], []
    for one in text_sources(source):
        known = isinstance(one, str) and one in KNOWN_TEXTS
        if known and encoding != "utf-8":
            raise ValueError(f"encoding must be utf-8 for {one}, got {encoding!r}: it is for files")
        try:
            texts.append(KNOWN_TEXTS[str(one)]() if known else read_text(one, encoding))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong[:3]) + f"; and {len(wrong) - 3} more" * (len(wrong) > 3))
    return "".join(texts)


def named(source: str | Path | Sequence[str | Path]) -> str:
    """What `load_text` takes, for a line: of many names the first three."""
    several = [source] if isinstance(source, str | os.PathLike) else source
    names = ["standard input" if str(one) == STANDARD_INPUT else str(one) for one in several]
    names = [*names[:3], f"{len(names) - 3} more"] if len(names) > 4 else names
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
