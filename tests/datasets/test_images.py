"""Digits and MNIST: the format IDX against bytes written here, fetching, what is missing or damaged."""

from __future__ import annotations

import gzip
import hashlib
import struct
import sys
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nblstm.datasets import MNIST_SHA256, digits, mnist, read_idx


def idx(array: np.ndarray, kind: int = 0x08) -> bytes:
    """An array of a big-endian or one-byte type as the format has it."""
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 3, 4), dtype=np.uint8)
LABELS = np.array([7, 2, 1, 0, 4], np.uint8)
FILES = {"t10k-images-idx3-ubyte": idx(IMAGES), "t10k-labels-idx1-ubyte": idx(LABELS)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One of the files is compressed and the other is not."""
    images, labels = FILES.items()
    (tmp_path / f"{images[0]}.gz").write_bytes(gzip.compress(images[1]))
    (tmp_path / labels[0]).write_bytes(labels[1])
    return tmp_path


def test_the_digits_of_scikit_learn() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: the extra `course`")
    images, labels = digits()
    assert (images.shape, images.dtype, labels.shape, labels.dtype) == ((1797, 8, 8), np.float32, (1797,), np.int64)
    np.testing.assert_array_equal(np.unique(images), np.arange(17, dtype=np.float32) / 16)
    np.testing.assert_array_equal(np.unique(labels), np.arange(10))
    zero = images[labels == 0].mean(axis=0)
    assert zero[3:5, 3:5].mean() < 0.2, "a nought has a hole"


def test_digits_without_scikit_learn_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r'scikit-learn, which cannot be imported .*: pip install "nblstm\[course\]"'):
        digits()


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("where", [str, Path])
def test_mnist_from_a_folder(tmp_path: Path, folder: Path, part: str, where: Callable) -> None:
    if part == "train":
        for path in list(folder.iterdir()):
            path.rename(folder / path.name.replace("t10k", "train"))
    images, labels = mnist(part, where(folder))
    assert (images.dtype, labels.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(images, IMAGES.astype(np.float32) / 255)
    np.testing.assert_array_equal(labels, LABELS)
    assert images.flags.c_contiguous


def test_mnist_is_fetched_once_checked_and_sought_at_the_mirror(
    tmp_path: Path, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, here = tmp_path / "www", f"http://127.0.0.1:{server.server_port}/"
    digests = {}
    for name, content in FILES.items():
        packed = gzip.compress(content)
        (source / f"{name}.gz").write_bytes(packed)
        digests[f"{name}.gz"] = hashlib.sha256(packed).hexdigest()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr("nblstm.datasets.images.MNIST_URLS", (f"{here}nowhere/", here))
    with pytest.raises(ValueError, match="hash of downloaded file"):
        mnist("test")
    monkeypatch.setattr("nblstm.datasets.images.MNIST_SHA256", digests)
    for _ in range(2):
        images, labels = mnist("test")
        np.testing.assert_array_equal(images * 255, IMAGES)
        np.testing.assert_array_equal(labels, LABELS)
        for path in source.iterdir():
            path.unlink()
    assert {path.name for path in (tmp_path / "nblstm" / "mnist").iterdir()} == set(digests)


def test_mnist_without_a_network_names_the_other_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr("nblstm.datasets.images.MNIST_URLS", ("http://127.0.0.1:9/",))  # nobody listens there
    with pytest.raises(ValueError, match=r"could not be fetched \(ConnectionError\).*digits of scikit-learn"):
        mnist()


def test_digests_are_of_the_published_names() -> None:
    parts, kinds = ("train", "t10k"), ("images-idx3", "labels-idx1")
    assert set(MNIST_SHA256) == {f"{part}-{kind}-ubyte.gz" for part in parts for kind in kinds}
    assert all(len(bytes.fromhex(digest)) == 32 for digest in MNIST_SHA256.values())


@pytest.mark.parametrize(
    ("dtype", "kind"), [("u1", 0x08), ("i1", 0x09), (">i2", 0x0B), (">i4", 0x0C), (">f4", 0x0D), (">f8", 0x0E)]
)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (0, 28, 28), (2, 1, 3, 2)])
def test_every_type_of_idx_is_read(tmp_path: Path, dtype: str, kind: int, shape: tuple[int, ...]) -> None:
    expected = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    path = tmp_path / "array"
    path.write_bytes(idx(expected, kind))
    found = read_idx(path)
    assert found.dtype.isnative
    assert found.flags.writeable
    np.testing.assert_array_equal(found, expected)


WHOLE = FILES["t10k-labels-idx1-ubyte"]
DAMAGED = gzip.compress(idx(np.zeros(1000, np.uint8), 0x08))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no IDX file: it begins with nothing"),
        (b"\x89PNG\r\n", "is no IDX file: it begins with 89 50 4e 47"),
        (b"\0\0\x07\x01\0\0\0\0", "is no IDX file: it begins with 00 00 07 01"),
        (WHOLE[:-1], r"must have 13 bytes for shape \(5,\), got fewer"),
        (WHOLE + b"\0", r"must have 13 bytes for shape \(5,\), got more"),
        (WHOLE[:6], "must have .* bytes for shape .*, got fewer"),
        (b"\0\0\x08\xff", "must have .* bytes for shape .*, got fewer"),
        (DAMAGED[:-9], "is damaged: "),
        (DAMAGED[:-5] + b"\xff" + DAMAGED[-4:], "is damaged: "),
        (b"\x1f\x8b", "is damaged: "),
        (None, "no such file"),
    ],
)
def test_files_that_are_no_idx_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "labels"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_idx(path)
    with pytest.raises(ValueError, match=r"path must be an IDX file, .*: a folder"):
        read_idx(tmp_path)


def test_a_folder_without_the_files_and_an_unknown_part_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="part must be 'train' or 'test', got 'validation'"):
        mnist("validation", folder)
    with pytest.raises(ValueError, match=r"folder must hold train-images-idx3-ubyte\.gz, .*: it is not there"):
        mnist("train", folder)
    with pytest.raises(ValueError, match="no such folder"):
        mnist("test", folder / "none")


@pytest.mark.parametrize("labels", [LABELS[:4], IMAGES[:, 0], LABELS.astype(">i2")])
def test_images_and_labels_that_do_not_belong_together_are_refused(folder: Path, labels: np.ndarray) -> None:
    kind = 0x0B if labels.itemsize == 2 else 0x08
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(labels, kind))
    with pytest.raises(ValueError, match=r"must hold bytes of shapes \(N, rows, columns\) and \(N,\), got uint8"):
        mnist("test", folder)
