"""Words and short sentences, written for this project: the files of ``data/``, where its README says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nblstm.arguments import as_choice
from nblstm.datasets.text import read_text

LANGUAGES = ("en", "zh")
Sentence = tuple[str, str, str]


def words() -> list[str]:
    """Common English words in British spelling, in alphabetical order, inflected and derived forms among them.

    4,515 different words of 3 to 14 letters a to z.

    Examples
    --------
    >>> from nblstm.datasets import words
    >>> found = words()
    >>> len(found), found[:4], max(found, key=len)
    (4515, ['ability', 'able', 'about', 'above'], 'characteristic')
    """
    return _read("words-en.txt").split()


def sentences(language: str = "en") -> list[Sentence]:
    """Sentences of a subject, a verb and an object, in English or Chinese, in which the object determines the verb.

    All combinations of 12 subjects with 6 verbs and with each verb's own 6 objects: 432 sentences. Every object goes
    with one verb, every subject with all of them. So who has read the subject alone knows nothing of the verb, which is
    worth log2(6) = 2.585 bits, and who sees the object knows it.

    Parameters
    ----------
    language : {"en", "zh"}
        English, or Chinese in the same order: each sentence of one list is the translation of that of the other.

    Returns
    -------
    list of tuple of str
        Subject, verb and object. Chinese writes them without spaces: ``"".join(sentence)``.

    Raises
    ------
    ValueError
        Another language.

    Examples
    --------
    >>> from nblstm.datasets import sentences
    >>> sentences()[0], sentences("zh")[0]
    (('I', 'love', 'China'), ('我', '爱', '中国'))
    """
    language = as_choice("language", language, LANGUAGES)
    found = []
    for line in _read(f"sentences-{language}.txt").splitlines():
        subject, verb, thing = line.split()
        found.append((subject, verb, thing))
    return found


def hold_out(sentences: Sequence[Sentence]) -> tuple[list[Sentence], list[Sentence]]:
    """The sentences to train on, and one for each subject and verb, with another object each time, to test on.

    Subject number s and verb number v, in the order in which they come, keep object number (s + v) modulo the verb's
    number of objects for the test. So training shows every verb equally often after each subject, and the test asks for
    every verb equally often: the subject alone tells nothing in either, and who goes by it is right once in six times.
    Where the parts are drawn by chance, the verb that is rare in training after a subject is frequent in the test, and
    a net that goes by the subject does *worse* than by chance.

    Parameters
    ----------
    sentences : sequence of (subject, verb, object)
        Such as `nblstm.datasets.sentences` gives.

    Returns
    -------
    training, test : list of tuple of str
        In the order in which they came.

    Raises
    ------
    TypeError
        `sentences` that are no list of triples.

    Examples
    --------
    >>> from nblstm.datasets import hold_out, sentences
    >>> training, test = hold_out(sentences())
    >>> len(training), len(test), test[:3]
    (360, 72, [('I', 'love', 'China'), ('I', 'drink', 'water'), ('I', 'eat', 'apples')])
    """
    if not isinstance(sentences, Sequence):
        raise TypeError(f"sentences must be a list of triples, got {type(sentences).__name__}")
    for k, triple in enumerate(sentences):
        if not isinstance(triple, Sequence) or len(triple) != 3 or not all(isinstance(part, str) for part in triple):
            raise TypeError(f"sentences must be triples of strings, got {triple!r} at position {k}")
    subjects = list(dict.fromkeys(subject for subject, _, _ in sentences))
    objects: dict[str, list[str]] = {}
    for _, verb, thing in sentences:
        if thing not in objects.setdefault(verb, []):
            objects[verb].append(thing)
    verbs = list(objects)
    training: list[Sentence] = []
    test: list[Sentence] = []
    for sentence in sentences:
        subject, verb, thing = sentence
        kept = (subjects.index(subject) + verbs.index(verb)) % len(objects[verb])
        (test if objects[verb].index(thing) == kept else training).append(sentence)
    return training, test


def _read(name: str) -> str:
    """The file's text, from inside the installed package or from ``data/`` of the repository."""
    installed = Path(__file__).parent / "data"
    return read_text((installed if installed.is_dir() else Path(__file__).parents[2] / "data") / name)
