"""What to train on: texts of characters (`text`) and made-up tasks that ask for a memory (`synthetic`)."""

from nblstm.datasets.synthetic import brackets, echo, remember
from nblstm.datasets.text import (
    DEFAULT_TEXT,
    KNOWN_TEXTS,
    TINYSHAKESPEARE_SHA256,
    TINYSHAKESPEARE_URL,
    encode,
    load_text,
    python_reference,
    read_text,
    split,
    streams,
    tinyshakespeare,
    vocabulary_of,
)

__all__ = [
    "DEFAULT_TEXT",
    "KNOWN_TEXTS",
    "TINYSHAKESPEARE_SHA256",
    "TINYSHAKESPEARE_URL",
    "brackets",
    "echo",
    "encode",
    "load_text",
    "python_reference",
    "read_text",
    "remember",
    "split",
    "streams",
    "tinyshakespeare",
    "vocabulary_of",
]
