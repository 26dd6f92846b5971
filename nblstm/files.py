"""Files: tensors and metadata as safetensors, and a way to write any file so that a crash leaves the old one whole."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nblstm.arguments import as_path, as_text, check_kind


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the ``with`` block ends well, and vanishes when it does not.

    The bytes go to a hidden file in the same folder. At the end they are forced to the disk and the file is renamed
    over `path`, which the operating system does in one piece: a reader sees the old file or the new one, never a
    part. The new one has the permissions of the old. After an exception, an interrupt included, the old file is as it
    was and the hidden one is gone; after a power cut or a kill a hidden ``.NAME.*.tmp`` may be left behind.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write. A symbolic link is followed, so that the link stays a link.

    Yields
    ------
    BinaryIO
        Open for writing bytes.

    Raises
    ------
    OSError
        The folder is missing or refuses the file, the disk is full, or `path` is a folder, a pipe or a device; the
        subclass is the system's own.

    Examples
    --------
    >>> with atomic_write("notes.txt") as file:
    ...     _ = file.write("one line".encode())
    >>> os.remove("notes.txt")
    """
    target = Path(os.path.realpath(as_path("path", path)))
    if os.path.isdir(target):
        raise IsADirectoryError(f"{path} cannot be written: it is a folder, and the name of a file was expected")
    if os.path.exists(target) and not os.path.isfile(target):  # the rename would put a file in its place
        raise OSError(f"{path} cannot be written: it is a pipe or a device, and the name of a file was expected")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if target.exists():
                shutil.copymode(target, temporary)  # who had no right to read the old one has none to the new
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):  # on a disk that fails altogether
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:
            raise _unwritable(path, error) from error
        raise


def _unwritable(path: str | os.PathLike[str], error: OSError) -> OSError:
    """The error, in a sentence that names the file."""
    folder = os.path.dirname(os.path.realpath(path))
    return type(error)(f"{path} cannot be written: {error.strerror} in folder {folder}")


def check_file(path: str | os.PathLike[str], kind: str) -> None:
    """`path` is a file to read, of the kind `kind`: a pipe or a device might never end, or never begin."""
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} cannot be read: it is a folder, and {kind} was expected")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} does not exist; {kind} was expected")
    if not os.path.isfile(path):
        raise OSError(f"{path} cannot be read: it is a pipe or a device, and {kind} was expected")


def save(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays and a few words about them to one safetensors file, atomically.

    Parameters
    ----------
    path : str or os.PathLike
        The file; an old one is replaced only once the new one is complete.
    tensors : mapping of str to numpy.ndarray
        Booleans, integers or floats of any shape and any strides; a layer's ``state_dict()``, say.
    metadata : mapping of str to str, optional
        Text to keep with the tensors.

    Raises
    ------
    TypeError
        A name or a piece of metadata is no string, or a tensor is no plain array of numbers.
    OSError
        `path` cannot be written; see `atomic_write`.

    Notes
    -----
    The format is that of the `safetensors <https://github.com/huggingface/safetensors>`_ library: a JSON header with
    names, types and shapes, then the bytes of the tensors in C order, little-endian. ``safetensors.torch`` opens it.

    Examples
    --------
    >>> save("pair.safetensors", {"x": np.arange(3.0)}, {"made": "by hand"})
    >>> load("pair.safetensors")
    {'x': array([0., 1., 2.])}
    >>> os.remove("pair.safetensors")
    """
    import safetensors
    import safetensors.numpy

    _check_tensors(tensors)
    if metadata is not None:
        check_kind("metadata", metadata, Mapping)
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"metadata must map strings to strings, got {key!r}: {text!r}")
    # The library copies the bytes as they lie in memory and would scramble a transposed array without a word.
    in_c_order = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    try:
        content = safetensors.numpy.save(in_c_order, dict(metadata) if metadata else None)
    except safetensors.SafetensorError as error:
        raise TypeError(f"tensors hold what safetensors cannot store: {error}") from error
    except UnicodeEncodeError as error:
        raise ValueError(f"tensors and metadata must have names and words that UTF-8 has: {error}") from error
    with atomic_write(path) as file:
        file.write(content)


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, whoever wrote it: what `save` was given.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    dict of str to numpy.ndarray
        Fresh arrays under the names they were saved by, for a layer's ``load_state_dict``, say.

    Raises
    ------
    OSError
        `path` is missing (FileNotFoundError), a folder, a pipe or a device, or not readable.
    ValueError
        The file is no safetensors file, is cut short, or holds a type that NumPy does not have, bfloat16 say. The
        format has no checksum, so a flipped bit within a tensor goes unnoticed; `seal` adds one.

    Examples
    --------
    >>> import nblstm
    >>> lstm = nblstm.LSTM(3, 4, seed=0)
    >>> save("lstm.safetensors", lstm.state_dict())
    >>> nblstm.LSTM(3, 4).load_state_dict(load("lstm.safetensors"))
    >>> load("lstm.safetensors")["weight_ih_l0"].shape
    (16, 3)
    >>> os.remove("lstm.safetensors")
    """
    tensors, _ = load_with_metadata(path)
    return tensors


def load_with_metadata(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a safetensors file and the text saved with them, read together; errors as those of `load`.

    Returns
    -------
    tensors : dict of str to numpy.ndarray
    metadata : dict of str to str
        Empty where there is none.

    Examples
    --------
    >>> save("pair.safetensors", {"x": np.arange(3.0)}, {"made": "by hand"})
    >>> load_with_metadata("pair.safetensors")
    ({'x': array([0., 1., 2.])}, {'made': 'by hand'})
    >>> os.remove("pair.safetensors")
    """
    import safetensors

    path = as_path("path", path)
    check_file(path, "a safetensors file")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            foreign = [name for name, tensor in tensors.items() if tensor.dtype.isbuiltin != 1]
            if foreign:  # ml_dtypes, where something has imported it, lends NumPy such types
                raise TypeError(f"{foreign[0]} is {tensors[foreign[0]].dtype}")
            return tensors, file.metadata() or {}
    except OSError as error:
        raise type(error)(f"{path} cannot be read: {error}") from error
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file, the kind that holds models and runs") from error
    except TypeError as error:
        raise ValueError(f"{path} must have tensors of types that NumPy has: {error}") from error


def _check_tensors(tensors: Mapping[str, np.ndarray]) -> None:
    check_kind("tensors", tensors, Mapping)
    for name, tensor in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"tensors must have strings for names, got {name!r}")
        if not isinstance(tensor, np.ndarray) or isinstance(tensor, np.ma.MaskedArray):
            raise TypeError(f"tensors[{name!r}] must be a plain NumPy array, got {type(tensor).__name__}")


def seal(data: Any, tensors: Mapping[str, np.ndarray]) -> str:
    """Plain data as JSON, behind a digest of it and of the tensors that go with it, for one entry of a file's metadata.

    One, because the library writes several in an order that changes from file to file.

    Raises
    ------
    TypeError
        Data that JSON does not have, or tensors that are no mapping of names to arrays.

    Examples
    --------
    >>> tensors = {"x": np.arange(3.0)}
    >>> unseal(seal({"steps": 3}, tensors), tensors)
    {'steps': 3}
    """
    _check_tensors(tensors)
    try:
        text = json.dumps(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"data must be what JSON can hold: {error}") from error
    return f"{_digest(text, tensors)} {text}"


def unseal(sealed: str, tensors: Mapping[str, np.ndarray]) -> Any:
    """What `seal` was given.

    Raises
    ------
    ValueError
        The text or a tensor has changed since, or the text is no JSON.

    Examples
    --------
    >>> tensors = {"x": np.arange(3.0)}
    >>> text = seal({"steps": 3}, tensors)
    >>> unseal(text, tensors), "x" in tensors
    ({'steps': 3}, True)
    >>> tensors["x"][0] = 1
    >>> unseal(text, tensors)
    Traceback (most recent call last):
    ValueError: what it holds does not match its digest
    """
    _check_tensors(tensors)
    digest, _, text = as_text("sealed", sealed).partition(" ")
    if digest != _digest(text, tensors):
        raise ValueError("what it holds does not match its digest")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("what it holds is nested too deeply") from None


def _digest(text: str, tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].astype(tensors[name].dtype.newbyteorder("="), copy=False)
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
