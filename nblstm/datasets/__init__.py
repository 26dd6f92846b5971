"""What to train on: texts of characters, words and sentences, images of digits, tasks that ask for a memory.

`text`, `tokens` and `words_of_text`, `tagged`, `language` and `images` hold one kind each, `synthetic` and `classic`
the tasks.
"""

from nblstm.datasets.classic import adding, spike_timing, temporal_order
from nblstm.datasets.images import MNIST_SHA256, MNIST_URLS, digits, mnist, read_idx
from nblstm.datasets.language import hold_out, sentences, words
from nblstm.datasets.synthetic import brackets, echo, remember
from nblstm.datasets.tagged import read_tagged, read_tokens, token_vocabulary
from nblstm.datasets.text import (
    DEFAULT_TEXT,
    KNOWN_TEXTS,
    TINYSHAKESPEARE_SHA256,
    TINYSHAKESPEARE_URL,
    load_text,
    python_reference,
    read_text,
    text_sources,
    tinyshakespeare,
)
from nblstm.datasets.tokens import encode, split, streams, vocabulary_of
from nblstm.datasets.words_of_text import encode_words, split_words, word_vocabulary

__all__ = [
    "DEFAULT_TEXT",
    "KNOWN_TEXTS",
    "MNIST_SHA256",
    "MNIST_URLS",
    "TINYSHAKESPEARE_SHA256",
    "TINYSHAKESPEARE_URL",
    "adding",
    "brackets",
    "digits",
    "echo",
    "encode",
    "encode_words",
    "hold_out",
    "load_text",
    "mnist",
    "python_reference",
    "read_idx",
    "read_tagged",
    "read_text",
    "read_tokens",
    "remember",
    "sentences",
    "spike_timing",
    "split",
    "split_words",
    "streams",
    "temporal_order",
    "text_sources",
    "tinyshakespeare",
    "token_vocabulary",
    "vocabulary_of",
    "word_vocabulary",
    "words",
]
