"""Texts, vocabulary, split, streams, and the baselines counted on them."""

from __future__ import annotations

import codecs
import collections
import gzip
import hashlib
import io
import itertools
import os
import sys
import tracemalloc
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nblstm.baselines import baselines, ngram_probabilities
from nblstm.datasets import encode, load_text, read_text, split, streams, text_sources, vocabulary_of
from nblstm.jobs import TextJob, TextSettings
from nblstm.ngrams import Numbers


def test_python_reference_is_long_english_text() -> None:
    text = load_text("python-reference")
    assert load_text() == text
    assert 400_000 < len(text) < 700_000
    assert text.count(" the ") > 3000


def test_python_reference_without_its_module_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(ValueError, match="lacks pydoc_data"):
        load_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"caf\xe9 au lait", "is not UTF-8: byte 0xe9 at position 3"), (None, "no such file")],
)
def test_files_that_are_no_text_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_text(path)
    with pytest.raises(ValueError, match="a folder"):
        read_text(tmp_path)
    if os.path.exists("/dev/zero"):
        with pytest.raises(ValueError, match="a pipe or a device"):
            load_text("/dev/zero")


def test_files_are_read_as_they_are_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffeins\r\nzwei é 漢 😀\n".encode())
    assert read_text(path) == "eins\r\nzwei é 漢 😀\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9", r"is not UTF-8: byte 0xe9 at position 3; .*--encoding cp1252, .*iconv -f cp1252 -t utf-8"),
        (gzip.compress(b"plain"), r"it begins as gzip's files do: unpack it, or let its name end in .gz"),
        ("café".encode("utf-16"), r"it begins as UTF-16 does: --encoding utf-16, .*iconv -f utf-16 -t utf-8"),
        (b"\xfe\xff\x00a", "it begins as UTF-16 does"),
        ("café".encode("utf-32"), "it begins as UTF-32 does"),
        ("plain\n".encode("utf-16-le"), "bytes of zero are where UTF-16-LE has them; --encoding utf-16-le, "),
        ("plain é\n".encode("utf-16-be"), "bytes of zero are where UTF-16-BE has them; --encoding utf-16-be, "),
        ("не так, да.\n".encode("utf-16-le"), "bytes of zero are where UTF-16-LE has them"),
        ("plain é\n".encode("utf-32-be"), "bytes of zero are where UTF-32-BE has them"),
    ],
)
def test_what_is_not_utf8_names_the_way(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_text(path)


def test_files_are_read_in_the_encoding_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    for encoding in ("cp1252", "utf-16", "UTF-8", "utf-32"):
        path.write_bytes("café\r\n".encode(encoding))
        assert load_text(path, encoding) == "café\r\n"
    with pytest.raises(ValueError, match=r"is not ASCII: byte 0xff at position 0; .* --encoding utf-32, say"):
        read_text(path, "ascii")
    path.write_bytes(codecs.BOM_UTF16_LE + "café".encode("utf-16-le"))
    assert read_text(path, "utf-16-le") == "café"
    path.write_bytes(b"\x81")
    with pytest.raises(ValueError, match=r"is not CP1252: .*another encoding can be named: --encoding utf-8, say"):
        read_text(path, "cp1252")
    path.write_bytes("né 漢".encode("utf-16-le"))
    assert read_text(path, "utf-16-le") == "né 漢"
    with pytest.raises(ValueError, match=r"is not CP1252: its bytes of zero are where UTF-16-LE has them"):
        read_text(path, "cp1252")
    path.write_bytes(b"a+2AA-")
    with pytest.raises(ValueError, match=r"is not UTF-7: it has half of a character, U\+D800, at position 1"):
        read_text(path, "utf-7")
    for unknown in ("latin-99", "hex", "", "a\0b", "unicode_escape", "raw-unicode-escape", "idna", "undefined"):
        with pytest.raises(ValueError, match="encoding must be one of text that Python knows"):
            read_text(path, unknown)
    with pytest.raises(ValueError, match="encoding must be utf-8 for python-reference, got 'cp1252'"):
        load_text("python-reference", "cp1252")


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "text.txt.gz"
    path.write_bytes(gzip.compress("né".encode()))
    assert read_text(path) == "né"
    for damaged in (b"plain", gzip.compress(b"words" * 99)[:-9], gzip.compress(b"words" * 99)[:12] + b"\xff" * 20):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"text\.txt\.gz must be a file that gzip packed"):
            read_text(path)


def test_several_files_and_folders_are_one_text(tmp_path: Path) -> None:
    for name, content in (("b/z.txt", "ends here"), ("b/c/y.txt.gz", "Begins\n"), ("a.txt", "A "), ("b/notes.md", "#")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress(content.encode()) if name.endswith("gz") else content.encode())
    a, b = tmp_path / "a.txt", tmp_path / "b"
    assert load_text(b) == "Begins\nends here"
    assert load_text([b, str(a)]) == "Begins\nends hereA "
    assert text_sources([a, b]) == [a, str(b / "c/y.txt.gz"), str(b / "z.txt")]
    assert load_text((a, "python-reference")).startswith('A The "assert" statement')


def test_files_of_several_that_are_no_texts_are_all_named(tmp_path: Path) -> None:
    good, empty, other = (tmp_path / f"{name}.txt" for name in ("good", "empty", "other"))
    good.write_text("good")
    empty.touch()
    other.write_bytes(b"\xff")
    with pytest.raises(
        ValueError, match=r"empty\.txt is empty.*; .*other\.txt is not UTF-8.*; .*gone\.txt'.*no such file$"
    ):
        load_text([tmp_path, tmp_path / "gone.txt"])
    with pytest.raises(ValueError, match=r"no such file; and 2 more$"):
        load_text([*(tmp_path / f"gone{k}" for k in range(3)), empty, other])
    with pytest.raises(ValueError, match=r"source must name each text once, got '.*good\.txt' 2 times"):
        load_text([tmp_path, good])
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"folder is a folder without a file whose name ends in \.txt or \.txt\.gz"):
        load_text(tmp_path / "folder")
    for wrong in ((), [], 3, {good}):
        with pytest.raises(TypeError, match="source must be a path, or one or more of them"):
            load_text(wrong)  # type: ignore[arg-type]


def test_standard_input_is_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("né\r\n".encode())))
    assert load_text("-") == "né\r\n"
    with pytest.raises(ValueError, match="standard input is empty"):
        load_text("-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="nothing is piped into it"):
        load_text("-")


def test_tinyshakespeare_is_fetched_once_and_checked(
    tmp_path: Path, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = b"First Citizen:\nBefore we proceed any further, hear me speak.\n"
    source = tmp_path / "www" / "input.txt"
    source.write_bytes(play)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr("nblstm.datasets.text.TINYSHAKESPEARE_URL", f"http://127.0.0.1:{server.server_port}/input.txt")
    monkeypatch.setattr("nblstm.datasets.text.TINYSHAKESPEARE_SHA256", hashlib.sha256(b"another play").hexdigest())
    with pytest.raises(ValueError, match="hash of downloaded file"):
        load_text("tinyshakespeare")
    monkeypatch.setattr("nblstm.datasets.text.TINYSHAKESPEARE_SHA256", hashlib.sha256(play).hexdigest())
    assert load_text("tinyshakespeare") == play.decode()
    source.unlink()
    assert load_text("tinyshakespeare") == play.decode()


def test_tinyshakespeare_without_a_network_names_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr(
        "nblstm.datasets.text.TINYSHAKESPEARE_URL", "http://127.0.0.1:9/input.txt"
    )  # nobody listens there
    with pytest.raises(ValueError, match=r"could not be fetched \(ConnectionError\).*python-reference"):
        load_text("tinyshakespeare")


def test_encode_is_undone_by_the_vocabulary_and_names_every_unknown_character() -> None:
    text = "né en 1984 😀"
    vocabulary = vocabulary_of(text)
    tokens = encode(text, vocabulary)
    assert tokens.dtype == np.int64
    assert "".join(vocabulary[token] for token in tokens) == text
    with pytest.raises(ValueError, match="'Z', 'ß'"):
        encode("neßZn", vocabulary)
    with pytest.raises(ValueError, match=r"but has '\\n', '\\', 'w'$"):  # the line end, and what was typed for one
        encode("\n\\new", vocabulary)


def test_places_are_of_the_type_that_is_asked_for() -> None:
    tokens = encode("cab" * 40, "abc", "uint8")
    assert [part.dtype for part in (tokens, *split(tokens), streams(tokens, 2, 3))] == [np.uint8] * 4
    np.testing.assert_array_equal(tokens, encode("cab" * 40, "abc"))
    vocabulary = [chr(code) for code in range(300)]
    for dtype in ("uint8", "float32", "nothing"):
        with pytest.raises(ValueError, match="dtype must be an integer type that holds 300 places"):
            encode("abc", vocabulary, dtype)


def test_the_last_tenth_is_for_validation() -> None:
    training, validation = split(np.arange(105))
    assert (training[0], training[-1], validation[0], validation[-1]) == (0, 93, 94, 104)
    with pytest.raises(ValueError, match="at least 20 characters"):
        split(np.arange(19))


@pytest.mark.parametrize(("size", "rows", "window"), [(106, 5, 7), (22, 3, 7), (8, 1, 7), (100, 32, 3)])
def test_streams_are_contiguous_and_every_target_is_the_true_next_character(size: int, rows: int, window: int) -> None:
    text = np.random.default_rng(0).integers(0, 1000, size)
    result = streams(text, rows, window)
    length = (size - 1) // rows
    assert result.shape == (length + 1, rows)
    assert result.flags.c_contiguous
    inputs, targets = result[:-1], result[1:]
    np.testing.assert_array_equal(inputs.T.ravel(), text[: rows * length])
    np.testing.assert_array_equal(targets.T.ravel(), text[1 : rows * length + 1])


def test_streams_shorter_than_a_window_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least batch_size \* window \+ 1 = 22 tokens, got 21"):
        streams(np.arange(21), 3, 7)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        streams(np.arange(21), 0, 7)


def test_baselines_against_plain_counting() -> None:
    rng = np.random.default_rng(0)
    training, validation = rng.integers(0, 3, 200), rng.integers(0, 4, 50)  # 3 occurs in the validation part only
    ones, pairs = [0.1] * 4, [[0.1] * 4 for _ in range(4)]
    for character in training:
        ones[character] += 1
    for first, second in itertools.pairwise(training):
        pairs[first][second] += 1
    unigram = [-np.log2(ones[c] / sum(ones)) for c in validation[1:]]
    bigram = [-np.log2(pairs[b][c] / sum(pairs[b])) for b, c in itertools.pairwise(validation)]
    found = baselines(training, validation, 4)
    longer = -np.log2([interpolated(training, validation[max(0, t - 4) : t + 1], 4) for t in range(1, 50)])
    means = {"unigram": np.mean(unigram), "bigram": np.mean(bigram), "5-gram": np.mean(longer)}
    assert found == pytest.approx({"uniform": 2.0} | means, abs=1e-12)


def interpolated(training: np.ndarray, gram: np.ndarray, vocabulary_size: int) -> float:
    """Witten and Bell's probability of the last of `gram` after the others, by dicts and recursion."""
    if len(gram) == 0:
        return 1 / vocabulary_size
    shorter = interpolated(training, gram[1:], vocabulary_size)
    followers: dict[tuple[int, ...], collections.Counter[int]] = collections.defaultdict(collections.Counter)
    for t in range(len(gram) - 1, len(training)):
        followers[tuple(training[t - len(gram) + 1 : t])][training[t]] += 1
    here = followers[tuple(gram[:-1])]
    return (here[gram[-1]] + len(here) * shorter) / (here.total() + len(here)) if here else shorter


@pytest.mark.parametrize("order", [1, 2, 3, 5, 7])
def test_ngrams_against_dicts(order: int) -> None:
    rng = np.random.default_rng(order)
    training, validation = rng.integers(0, 3, 300), rng.integers(0, 4, 40)
    expected = [interpolated(training, validation[max(0, t - order + 1) : t + 1], 4) for t in range(1, 40)]
    np.testing.assert_allclose(ngram_probabilities(training, validation, 4, order), expected, rtol=1e-13)


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_pieces_are_counted_as_the_whole(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    rng = np.random.default_rng(0)
    training, validation = rng.integers(0, 5, 200, np.uint8), rng.integers(0, 6, 60)
    whole = baselines(training, validation, 6)
    monkeypatch.setattr("nblstm.ngrams.PIECE", size)
    assert baselines(training, validation, 6) == whole


def test_a_text_is_counted_and_cut_in_ten_bytes_a_character(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nblstm.ngrams.PIECE", 2**10)
    monkeypatch.setattr("nblstm.datasets.tokens.PIECE", 2**10)
    text = load_text()[:200_000]
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    form = TextSettings(text=str(path), hidden_size=2, num_layers=1, batch_size=2, window=5)
    tracemalloc.start()
    try:
        TextJob(form)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(text)
    finally:
        tracemalloc.stop()


def test_keys_are_found_by_their_numbers_however_they_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for keys in (np.unique(rng.integers(0, 2**62, 3000)), np.arange(50), np.array([7]), np.empty(0, np.int64)):
        asked = np.concatenate([keys, [-1, 3, 2**40], keys + 1])
        expected = [{key: number for number, key in enumerate(keys.tolist())}.get(key, -1) for key in asked.tolist()]
        assert Numbers(keys).find(asked).tolist() == expected
    monkeypatch.setattr("nblstm.ngrams.SPREAD", np.uint64(1))  # all in the first slot
    assert Numbers(np.arange(50)).find(np.arange(-1, 60)).tolist() == [-1, *range(50), *[-1] * 10]


def test_ngram_probabilities_sum_to_one_after_any_context() -> None:
    rng = np.random.default_rng(0)
    training = rng.integers(0, 4, 200)  # 4 and 5 are never seen
    seen, partly = training[50:54], np.append(5, training[50:53])
    for context in (seen, partly, seen[:2], np.array([0]), np.array([4]), np.array([0, 1, 5, 4]), training[-4:]):
        ends = [ngram_probabilities(training, np.append(context, character), 6)[-1] for character in range(6)]
        assert min(ends) > 0
        assert sum(ends) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("vocabulary_size", [3, 60_000])
def test_baselines_of_tiny_texts(vocabulary_size: int) -> None:
    tokens = np.array([2, 0, 2, 1, 0])
    for n, m in itertools.product(range(1, 6), range(2, 6)):
        found = baselines(tokens[:n], tokens[:m][::-1], vocabulary_size)
        expected = [interpolated(tokens[:n], tokens[:m][::-1][:t], vocabulary_size) for t in range(2, m + 1)]
        assert found["5-gram"] == pytest.approx(-np.log2(expected).mean(), abs=1e-12)
        assert all(np.isfinite(list(found.values())))


@pytest.mark.parametrize(
    ("training", "validation", "message"),
    [
        (np.array([0, 1, 3]), np.zeros(4, int), r"training must lie in 0\.\.2, got 0\.\.3"),
        (np.zeros(4, int), np.array([1, -1]), r"validation must lie in 0\.\.2, got -1\.\.1"),
        (np.zeros(4), np.zeros(4, int), "training must be integers, got float64"),
        (np.zeros(4, int), np.zeros((2, 2), int), r"validation must have shape \(N,\), got \(2, 2\)"),
    ],
)
def test_what_is_not_in_the_vocabulary_is_not_counted(
    training: np.ndarray, validation: np.ndarray, message: str
) -> None:
    for count in (baselines, ngram_probabilities):
        with pytest.raises((TypeError, ValueError), match=message):
            count(training, validation, 3)


def test_a_text_of_one_character_has_no_baselines() -> None:
    with pytest.raises(ValueError, match="validation must have at least two tokens, got 1"):
        baselines(np.zeros(4, int), np.zeros(1, int), 3)


def test_ngrams_of_thousands_of_characters() -> None:
    """A context of many characters out of a large vocabulary must not be taken for another one."""
    rng = np.random.default_rng(0)
    vocabulary_size = 2**20  # 2^100 contexts of five
    training = rng.integers(0, vocabulary_size, 1000)
    for part in (training[:7], training[990:997], rng.permutation(training)[:50]):
        found = ngram_probabilities(training, part, vocabulary_size, 6)
        expected = [interpolated(training, part[max(0, t - 5) : t + 1], vocabulary_size) for t in range(1, len(part))]
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_baselines_of_the_default_text() -> None:
    text = load_text()
    vocabulary = vocabulary_of(text)
    found = baselines(*split(encode(text, vocabulary)), len(vocabulary))
    if hashlib.sha256(text.encode()).hexdigest().startswith("2a95af4ac93f5b71"):  # CPython 3.11
        assert {name: round(bits, 2) for name, bits in found.items()} == {
            "uniform": 6.69,
            "unigram": 4.67,
            "bigram": 3.34,
            "5-gram": 1.90,
        }
    assert found["5-gram"] < found["bigram"] < found["unigram"] < found["uniform"]
