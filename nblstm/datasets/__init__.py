"""What to train on: texts of characters (`text`), made-up tasks that ask for a memory (`synthetic`, `classic`)."""

from nblstm.datasets.classic import adding, spike_timing, temporal_order
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
    "adding",
    "brackets",
    "echo",
    "encode",
    "load_text",
    "python_reference",
    "read_text",
    "remember",
    "spike_timing",
    "split",
    "streams",
    "temporal_order",
    "tinyshakespeare",
    "vocabulary_of",
]
