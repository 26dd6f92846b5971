"""Files: what was saved comes back, PyTorch reads it, a crash harms nothing, and damage is named."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import numpy as np
import pytest
from support.processes import run_python

from nblstm import weights
from nblstm.layers.layer import Layer


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    wide = rng.standard_normal((3, 8))
    return {
        "float32": rng.standard_normal((2, 3)).astype(np.float32),
        "transposed": rng.standard_normal((4, 5)).T,
        "strided": wide[:, 1:7:2],
        "big endian": rng.standard_normal(5).astype(">f8"),
        "integers": rng.integers(-9, 9, 4),
        "scalar": np.array(7),
        "empty": np.zeros((0, 4), np.float32),
    }


def test_what_is_saved_comes_back(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    path = tmp_path / "a.safetensors"
    weights.save(path, tensors, {"name": "naïve ☃", "json": json.dumps({"a": [1, 2]})})
    found, metadata = weights.load_with_metadata(path)
    assert metadata == {"name": "naïve ☃", "json": '{"a": [1, 2]}'}
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert found[name].shape == tensor.shape
        assert found[name].dtype == tensor.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found[name], tensor)


def test_no_metadata_is_an_empty_dict(tmp_path: Path) -> None:
    weights.save(tmp_path / "a", {"x": np.ones(2)})
    assert weights.load_with_metadata(tmp_path / "a")[1] == {}
    weights.save(str(tmp_path / "none"), {})
    assert weights.load_with_metadata(str(tmp_path / "none")) == ({}, {})


def test_a_layer_travels_through_a_file(tmp_path: Path) -> None:
    layer = Layer({"weight": (3, 5), "bias": (3,)}, "float64")
    with layer.editing() as p:
        p.flat[:] = np.random.default_rng(0).standard_normal(18)
    weights.save(tmp_path / "layer", layer.state_dict())
    other = Layer({"weight": (3, 5), "bias": (3,)}, "float64")
    other.load_state_dict(weights.load(tmp_path / "layer"))
    np.testing.assert_array_equal(other.flat_params, layer.flat_params)


@pytest.mark.peers
def test_pytorch_opens_our_files_and_we_open_its(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    from safetensors.torch import load_file, save_file

    weights.save(tmp_path / "ours", tensors, {"from": "nblstm"})
    for name, tensor in load_file(tmp_path / "ours").items():
        np.testing.assert_array_equal(tensor.numpy(), tensors[name])

    lstm = torch.nn.LSTM(3, 4)
    save_file(lstm.state_dict(), tmp_path / "theirs", {"from": "torch"})
    found, metadata = weights.load_with_metadata(tmp_path / "theirs")
    assert metadata == {"from": "torch"}
    assert set(found) == set(lstm.state_dict())
    for name, tensor in lstm.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy())

    save_file({"x": torch.zeros(2, dtype=torch.bfloat16)}, tmp_path / "bfloat16")
    with pytest.raises(ValueError, match="bfloat16 must have tensors of types that NumPy has: "):
        weights.load(tmp_path / "bfloat16")


def test_an_error_in_the_middle_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")

    def write_half(interruption: BaseException) -> None:
        with weights.atomic_write(path) as file:
            file.write(b"half of the n")
            raise interruption

    for interruption in (KeyboardInterrupt(), RuntimeError("disk on fire")):
        with pytest.raises(type(interruption)):
            write_half(interruption)
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["run.json"]


def test_ctrl_c_as_soon_as_the_file_is_there_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(path: Path, mode: str) -> None:
        path.open(mode).close()
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.open", opened)
    with pytest.raises(KeyboardInterrupt):
        weights.save(tmp_path / "model.safetensors", {"x": np.arange(4.0)})
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_too_long_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"xxx cannot be written: File name too long in folder "):
        weights.save(tmp_path / ("x" * 300), {"x": np.arange(4.0)})


def test_a_killed_process_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights.save(path, {"x": np.arange(4.0)})
    program = f"""
import os
from nblstm.weights import atomic_write
with atomic_write({str(path)!r}) as file:
    file.write(b"half")
    file.flush()
    os._exit(9)
"""
    run_python("-c", program, code=9)
    np.testing.assert_array_equal(weights.load(path)["x"], np.arange(4.0))
    assert sorted(name.endswith(".tmp") for name in os.listdir(tmp_path)) == [False, True]


def test_a_failed_save_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    weights.save(path, {"x": np.arange(4.0)})

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        weights.save(path, {"x": np.zeros(4)})
    np.testing.assert_array_equal(weights.load(path)["x"], np.arange(4.0))
    assert os.listdir(tmp_path) == ["model.safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_the_new_file_has_ordinary_permissions_and_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    with weights.atomic_write(tmp_path / "link") as file:
        file.write(b"through the link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"through the link"
    (tmp_path / "plain").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path}/no/a cannot be written: No such file")):
        weights.save(tmp_path / "no" / "a", {})
    with pytest.raises(IsADirectoryError, match="cannot be written: it is a folder"):
        weights.save(tmp_path, {})
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file/a cannot be written: Not a directory in folder"):
        weights.save(tmp_path / "file" / "a", {})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders on this system")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """As the superuser one could have a file in place of /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match=f"{name} cannot be written: it is a pipe or a device"):
            weights.save(tmp_path / name, {})
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> None:  # by hand, as the superuser may write everywhere
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError) as caught:
        weights.save(tmp_path / "a", {})
    monkeypatch.undo()
    assert str(caught.value) == f"{tmp_path}/a cannot be written: Permission denied in folder {tmp_path}"


@pytest.mark.parametrize("damage", ["empty", "text", "noise", "cut in the header", "cut in the data", "longer"])
def test_damaged_and_foreign_files_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "b.safetensors"
    weights.save(path, {"x": np.arange(6.0), "y": np.ones(2)}, {"k": "v"})
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "text": b"epoch,loss\n1,2.3\n" * 9,
            "noise": np.random.default_rng(1).bytes(300),
            "cut in the header": whole[:40],
            "cut in the data": whole[:-5],
            "longer": whole + b"\0",
        }[damage]
    )
    with pytest.raises(ValueError, match=re.escape(f"{path} is damaged or no safetensors file")):
        weights.load(path)


def test_places_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path}/no does not exist")):
        weights.load(tmp_path / "no")
    with pytest.raises(IsADirectoryError, match="cannot be read: it is a folder"):
        weights.load(tmp_path)


@pytest.mark.parametrize(
    ("tensors", "metadata", "sentence"),
    [
        ({"x": [1.0]}, None, r"tensors\['x'\] must be a plain NumPy array, got list"),
        ({"x": np.ma.zeros(3)}, None, r"tensors\['x'\] must be a plain NumPy array, got MaskedArray"),
        ({1: np.zeros(3)}, None, "tensors must have strings for names, got 1"),
        ({"x": np.array(["word"])}, None, "tensors hold what safetensors cannot store: .*str"),
        ({"x": np.zeros(3)}, {"epoch": 3}, "metadata must map strings to strings, got 'epoch': 3"),
    ],
)
def test_bad_tensors_and_metadata(tmp_path: Path, tensors: dict, metadata: dict | None, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        weights.save(tmp_path / "a", tensors, metadata)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_new_file_has_the_permissions_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "secret.safetensors"
    weights.save(path, {"x": np.zeros(2)})
    path.chmod(0o600)
    weights.save(path, {"x": np.ones(2)})
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix", reason="elsewhere an open file keeps its name")
def test_who_has_the_old_file_open_goes_on_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        with weights.atomic_write(path) as file:
            file.write(b"new, and longer")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new, and longer"
