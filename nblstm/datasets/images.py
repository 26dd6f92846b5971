"""Handwritten digits: the small ones that scikit-learn brings along, MNIST, and any file in MNIST's format, IDX."""

from __future__ import annotations

import gzip
import math
import zlib
from io import BufferedReader
from pathlib import Path

import numpy as np

from nblstm.arguments import as_choice, as_path

MNIST_URLS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
PREFIXES = {"train": "train", "test": "t10k"}
GZIP = b"\x1f\x8b"  # how a compressed file begins, whatever its name
DEFLATE = 1032  # times smaller is the most that gzip can make a file
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 handwritten digits of 8 x 8 pixels, which scikit-learn brings along; no download.

    They stand in the order of their source, where the digits of one writer are near each other. So a split by position
    asks for the digits of other writers, which is harder than a split by chance.

    Returns
    -------
    images : numpy.ndarray of float32, shape (1797, 8, 8)
        Ink from 0, none, to 1, in steps of 1/16: image, row from the top, column. A recurrent layer that reads the rows
        from top to bottom wants ``images.transpose(1, 0, 2)``, of shape (T, B, I) = (8, 1797, 8).
    labels : numpy.ndarray of int64, shape (1797,)
        0..9.

    Raises
    ------
    ValueError
        scikit-learn is not installed, or does not work.

    References
    ----------
    Alpaydin & Kaynak (1998), Optical recognition of handwritten digits, UCI Machine Learning Repository: its test part.

    Examples
    --------
    >>> from nblstm.datasets import digits
    >>> images, labels = digits()  # doctest: +SKIP
    >>> images.shape, labels[:10]  # doctest: +SKIP
    ((1797, 8, 8), array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ValueError(
            f'the digits come with scikit-learn, which cannot be imported ({error}): pip install "nblstm[course]"'
        ) from error
    found = load_digits()
    return (found.images / 16).astype(np.float32), found.target.astype(np.int64)


def mnist(part: str = "train", folder: str | Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """MNIST: 60,000 handwritten digits to train on and 10,000 of other writers to test on, of 28 x 28 pixels.

    Without a folder the two files of the part, 10 or 1.7 MB, are fetched once, checked by their sha256 and kept in the
    user's cache folder.

    Parameters
    ----------
    part : {"train", "test"}
        Which of the two.
    folder : str or Path, optional
        Where the published files lie, under their own names (``t10k-images-idx3-ubyte`` and so on) with or without
        ``.gz``. They are taken as they are, so that other sets in this form can be read, Fashion-MNIST for one.

    Returns
    -------
    images : numpy.ndarray of float32, shape (N, 28, 28)
        Ink from 0, none, to 1, in steps of 1/255: image, row from the top, column. A recurrent layer that reads the
        rows from top to bottom wants ``images.transpose(1, 0, 2)``, of shape (T, B, I) = (28, N, 28).
    labels : numpy.ndarray of int64, shape (N,)
        0..9.

    Raises
    ------
    ValueError
        An unknown part; a file that is missing, damaged or no IDX file, or cannot be fetched; images and labels that do
        not belong together.

    References
    ----------
    LeCun, Bottou, Bengio & Haffner (1998), Gradient-based learning applied to document recognition.

    Examples
    --------
    >>> from nblstm.datasets import mnist
    >>> images, labels = mnist("test")  # doctest: +SKIP
    >>> images.shape, labels[:5]  # doctest: +SKIP
    ((10000, 28, 28), array([7, 2, 1, 0, 4]))
    """
    part = as_choice("part", part, PREFIXES)
    names = [f"{PREFIXES[part]}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    paths = [_fetch(name) if folder is None else _find(as_path("folder", folder), name) for name in names]
    images, labels = map(read_idx, paths)
    if images.ndim != 3 or labels.shape != images.shape[:1] or (images.dtype, labels.dtype) != (np.uint8, np.uint8):
        raise ValueError(
            f"{paths[0]} and {paths[1]} must hold bytes of shapes (N, rows, columns) and (N,), "
            f"got {images.dtype} {images.shape} and {labels.dtype} {labels.shape}"
        )
    return np.divide(images, 255, dtype=np.float32), labels.astype(np.int64)


def read_idx(path: str | Path) -> np.ndarray:
    """The array in a file of the format IDX, compressed by gzip or not.

    Such a file begins with two zero bytes, one for the type and one for the number of dimensions; then come the
    extents as 32-bit integers and the numbers in C order, all of them with the most significant byte first.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    numpy.ndarray
        Of the file's type and shape, in this machine's byte order.

    Raises
    ------
    ValueError
        No such file, a damaged archive, or bytes that are not what the format says.

    References
    ----------
    LeCun, Cortes & Burges, The MNIST database of handwritten digits, where the format is described.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from nblstm.datasets import read_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "three-labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 0x08, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    path = as_path("path", path)
    if not path.is_file():
        state = "a folder" if path.is_dir() else "a pipe or a device" if path.exists() else "no such file"
        raise ValueError(f"path must be an IDX file, got {str(path)!r}: {state}")
    with path.open("rb") as file:
        compressed = file.read(len(GZIP)) == GZIP
    most = path.stat().st_size * (DEFLATE if compressed else 1)
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            return _read_idx(path, file, most)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _read_idx(path: Path, file: gzip.GzipFile | BufferedReader, most: int) -> np.ndarray:
    """The array, with no more read than it needs; a header that asks for more than `most` bytes is not believed."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in IDX_TYPES:
        raise ValueError(f"{path} is no IDX file: it begins with {start.hex(' ') or 'nothing'}")
    dtype, header = np.dtype(IDX_TYPES[start[2]]), 4 * start[3]
    extents = file.read(header)
    shape = tuple(int.from_bytes(extents[k : k + 4], "big") for k in range(0, header, 4))
    expected = math.prod(shape) * dtype.itemsize
    content = file.read(expected + 1) if expected <= most else b""
    if len(extents) < header or len(content) != expected:
        found = "more" if len(content) > expected else "fewer"
        raise ValueError(f"{path} must have {4 + header + expected:,} bytes for shape {shape}, got {found}")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _find(folder: Path, name: str) -> Path:
    """The file of this name in `folder`, or the one that came out of it."""
    for path in (folder / name, folder / name.removesuffix(".gz")):
        if path.is_file():
            return path
    state = "it is not there" if folder.is_dir() else "no such folder"
    raise ValueError(f"folder must hold {name}, with or without .gz, got {str(folder)!r}: {state}")


def _fetch(name: str) -> Path:
    """The file in the user's cache folder, from the first of `MNIST_URLS` that gives it if it is not there yet."""
    import pooch

    for url in MNIST_URLS:
        try:
            return Path(
                pooch.retrieve(
                    url + name,
                    known_hash=f"sha256:{MNIST_SHA256[name]}",
                    fname=name,
                    path=Path(pooch.os_cache("nblstm")) / "mnist",
                )
            )
        except OSError as error:
            reason = type(error).__name__
            response = getattr(error, "response", None)
            if response is not None:  # one that says 404 counts as false
                response.close()  # pooch leaves it open
    raise ValueError(
        f"{name} could not be fetched ({reason}); without a network use the digits of scikit-learn, "
        "or name the folder of the files"
    )
