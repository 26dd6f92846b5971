"""`CharLM` and `WordLM`: language models whose tokens are characters, or words."""

from __future__ import annotations

from typing import Any

import numpy as np

from nblstm.datasets import encode, encode_words
from nblstm.datasets.tokens import check_characters
from nblstm.datasets.words_of_text import check_words
from nblstm.models.language import LanguageModel


class CharLM(LanguageModel):
    """A language model whose tokens are characters.

    Parameters
    ----------
    vocabulary : str or sequence of str
        The distinct characters, in the order of their numbers; `vocabulary` of the model is one string. For the other
        parameters, the equations and the attributes see `nblstm.models.LanguageModel`.

    Raises
    ------
    TypeError, ValueError
        A vocabulary that is no characters, or has one twice; what `nblstm.models.LanguageModel` refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import CharLM, cross_entropy
    >>> model = CharLM("abc", 4, 8, 1, seed=0)
    >>> tokens = np.array([[0], [1], [2], [0]])
    >>> logits, state, tape = model.forward(tokens[:-1])
    >>> loss, dlogits = cross_entropy(logits, tokens[1:])
    >>> model.backward(dlogits, tape)
    >>> logits.shape, len(model.sample("a", length=5, seed=0))
    ((3, 1, 3), 6)
    """

    item = "character"
    vocabulary: str

    @staticmethod
    def _checked(vocabulary: Any) -> str:
        return check_characters(vocabulary)

    def _encode(self, text: str) -> np.ndarray:
        return encode(text, self.vocabulary)

    def _known(self, text: str) -> str:
        return "".join(character for character in text if character in self.vocabulary)


class WordLM(LanguageModel):
    """A language model whose tokens are words, each with the space before it, punctuation marks and white space.

    Parameters
    ----------
    vocabulary : sequence of str
        As `nblstm.datasets.word_vocabulary` makes it: ``"<unk>"``, which stands for all tokens that are not in the
        vocabulary, and then the distinct tokens. For the other parameters, the equations and the attributes see
        `nblstm.models.LanguageModel`.

    Raises
    ------
    TypeError, ValueError
        A vocabulary that does not begin with ``"<unk>"``, has a token twice, or one that no text is split into; what
        `nblstm.models.LanguageModel` refuses.

    Notes
    -----
    A prompt may have any words; `sample` reads those that are unknown as ``"<unk>"``, and never writes it: the draw is
    among the other tokens.

    Examples
    --------
    >>> from nblstm import WordLM
    >>> from nblstm.datasets import word_vocabulary
    >>> model = WordLM(word_vocabulary("a rose is a rose is a rose"), 4, 8, 1, seed=0)
    >>> model.vocabulary
    ('<unk>', ' rose', ' is', ' a', 'a')
    >>> model.sample("a lily", length=2, seed=3).startswith("a lily")
    True
    """

    item = "token"
    never_drawn = (0,)
    vocabulary: tuple[str, ...]

    @staticmethod
    def _checked(vocabulary: Any) -> tuple[str, ...]:
        return check_words(vocabulary)

    def _encode(self, text: str) -> np.ndarray:
        return encode_words(text, self.vocabulary)
