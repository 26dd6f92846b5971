"""Tagged sentences in two columns: a token and its tag on each line, a blank line between sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from nblstm.arguments import as_size, check_kind, shown
from nblstm.datasets.text import STANDARD_INPUT, read_text
from nblstm.datasets.words_of_text import UNKNOWN
from nblstm.files import check_file


def read_tagged(source: str | Path, encoding: str = "utf-8") -> tuple[list[list[str]], list[list[str]]]:
    r"""The sentences of a file, and their tags.

    Each line has a token and its tag, with a tab or spaces between; a blank line ends a sentence. With a tab the token
    may hold spaces.

    Parameters
    ----------
    source : str or Path
        A file, may be packed by gzip, or ``"-"`` for standard input.
    encoding : str

    Returns
    -------
    sentences, tags : list of list of str

    Raises
    ------
    ValueError
        What `read_text` refuses, a line of other than two columns, which is named, or no sentences.
    OSError
        No such file, or a folder, a pipe or a device.

    Examples
    --------
    >>> import os
    >>> from nblstm.datasets import read_tagged
    >>> with open("tagged.txt", "w") as file:
    ...     _ = file.write("the\tDET\nfox\tNOUN\n\nrun\tVERB\n")
    >>> read_tagged("tagged.txt")
    ([['the', 'fox'], ['run']], [['DET', 'NOUN'], ['VERB']])
    >>> os.remove("tagged.txt")
    """
    sentences: list[list[str]] = []
    tags: list[list[str]] = []
    for rows in _sentences(source, encoding):
        for number, columns in rows:
            if len(columns) != 2:
                raise ValueError(
                    f"{source} must have a token and its tag on each line, with a tab or spaces between, "
                    f"got {len(columns)} columns on line {number:,}: {' '.join(columns)[:40]!r}"
                )
        sentences.append([columns[0] for _, columns in rows])
        tags.append([columns[1] for _, columns in rows])
    if not sentences:
        raise ValueError(f"{source} must have at least one sentence, got none")
    return sentences, tags


def read_tokens(source: str | Path, encoding: str = "utf-8") -> list[list[str]]:
    r"""The sentences of a file like those of `read_tagged`, whose lines need no tag: the first column of each.

    Parameters
    ----------
    source : str or Path
        The file; ``"-"`` for standard input.
    encoding : str
        Of the file.

    Returns
    -------
    list of list of str
        The tokens of each sentence.

    Raises
    ------
    ValueError, OSError
        What `read_text` refuses, or no sentences.

    Examples
    --------
    >>> from pathlib import Path
    >>> from nblstm.datasets import read_tokens
    >>> size = Path("new.txt").write_text("a\nrose\n\nit is\n")
    >>> read_tokens("new.txt")
    [['a', 'rose'], ['it']]
    >>> Path("new.txt").unlink()
    """
    sentences = [[columns[0] for _, columns in rows] for rows in _sentences(source, encoding)]
    if not sentences:
        raise ValueError(f"{source} must have at least one sentence, got none")
    return sentences


def token_vocabulary(sentences: Sequence[Sequence[str]], size: int = 10_000) -> tuple[str, ...]:
    """``"<unk>"`` and the most frequent tokens, `size` in all.

    Those that occur once are left out, so that a model learns what to make of tokens that it does not know.

    Parameters
    ----------
    sentences : sequence of sequences of str
    size : int
        Tokens at most, ``"<unk>"`` among them.

    Returns
    -------
    tuple of str

    Raises
    ------
    TypeError
        No sentences, or such as are no lists of strings.
    ValueError
        A `size` below 2.

    Examples
    --------
    >>> from nblstm.datasets import token_vocabulary
    >>> token_vocabulary([["a", "rose", "is"], ["a", "rose"], ["what", "rose"]])
    ('<unk>', 'rose', 'a')
    """
    counts = Counter(token for sentence in as_sentences(sentences) for token in sentence if token != UNKNOWN)
    return UNKNOWN, *(token for token, count in counts.most_common(as_size("size", size, least=2) - 1) if count > 1)


def token_places(sentences: Sequence[Sequence[str]], places: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The place of each token (T, N), 0 past the ends and for tokens that have none; and the lengths (N,)."""
    lengths = np.array([len(sentence) for sentence in sentences])
    found = np.zeros((max(1, lengths.max()), len(sentences)), np.int64)
    for n, sentence in enumerate(sentences):
        found[: len(sentence), n] = [places.get(token, 0) for token in sentence]
    return found, lengths


def as_sentences(sentences: Sequence[Sequence[str]], name: str = "sentences") -> Sequence[Sequence[str]]:
    """`sentences`, if they are one or more lists of tokens; `name` is what the caller calls them."""
    if isinstance(sentences, str) or not isinstance(sentences, Sequence) or not sentences:
        raise TypeError(f"{name} must be one or more lists of tokens, got {shown(sentences)}")
    for sentence in sentences:
        plain = isinstance(sentence, Sequence) and not isinstance(sentence, str)
        if not plain or not all(isinstance(token, str) for token in sentence):
            raise TypeError(f"{name} must be lists of tokens, got {shown(sentence)}")
    return sentences


def _sentences(source: str | Path, encoding: str) -> Iterator[list[tuple[int, list[str]]]]:
    """Number and columns of the lines of each sentence."""
    check_kind("source", source, str, Path)
    if str(source) != STANDARD_INPUT:
        check_file(source, "a file with a token on each line")
    text, rows = read_text(source, encoding), list[tuple[int, list[str]]]()
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.strip():
            rows.append((number, line.strip().split("\t") if "\t" in line.strip() else line.split()))
        elif rows:
            yield rows
            rows = []
