"""Files that are none, archives that swell, ONNX that lies: refused in time; and nothing that is read is run."""

from __future__ import annotations

import ast
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nblstm
from nblstm import weights
from nblstm.datasets import read_idx, read_text
from nblstm.models import Network

PACKAGE = Path(nblstm.__file__).parent
HUGE = 10**9


# ------------------------------------------------------------------------------------------------- what is no file


def readers() -> dict[str, Callable[[Path], Any]]:
    found: dict[str, Callable[[Path], Any]] = {
        "weights.load": weights.load, "Network.load": Network.load, "read_idx": read_idx, "read_text": read_text,
        "from_rtneural": weights.from_rtneural, "from_nam": weights.from_nam,
    }  # fmt: skip
    try:
        import onnx  # noqa: F401
    except ImportError:
        return found
    return found | {"from_onnx": weights.from_onnx}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders on this system")
@pytest.mark.parametrize("reader", readers().values(), ids=readers())
def test_pipes_devices_folders_and_nothing_are_refused_and_links_followed(tmp_path: Path, reader: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "hanging").symlink_to("nothing")
    for name in ("pipe", "folder", "empty", "circle", "link", "hanging", "/dev/zero", "/dev/null"):
        with pytest.raises((ValueError, OSError), match=name.split("/")[-1]):
            reader(tmp_path / name)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("reader", [readers()[name] for name in readers() if name != "read_text"])
@pytest.mark.parametrize("start", [b"", b"\0\0\x08\2\xff\xff\xff\xff\0\0\0\x10"])
def test_ten_gigabytes_of_nothing_are_not_read(tmp_path: Path, reader: Any, start: bytes) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.write(start)
        file.truncate(10 * 10**9)
    with pytest.raises(ValueError, match="large"):
        reader(tmp_path / "large")


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("shape", [(3,), (2**32 - 1,), (2**32 - 1,) * 2, (2**32 - 1,) * 200, (0, 2**32 - 1)])
def test_an_archive_is_not_unpacked_beyond_what_it_says(tmp_path: Path, shape: tuple[int, ...]) -> None:
    header = bytes([0, 0, 8, len(shape)]) + b"".join(extent.to_bytes(4, "big") for extent in shape)
    block = gzip.compress(bytes(2**24))
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(header) + block * 128)  # two gigabytes
    with pytest.raises(ValueError, match=r"bomb\.gz must have .* bytes for shape"):
        read_idx(tmp_path / "bomb.gz")


def test_a_state_dict_that_claims_many_layers() -> None:
    tensors = {name: np.zeros((4, 1)) for name in ("weight_ih_l0", "weight_hh_l0", "weight_ih_l999999999999")}
    with pytest.raises(ValueError, match="state_dict lacks"):
        weights.from_pytorch(tensors)


# ------------------------------------------------------------------------------------------------------------- ONNX


@pytest.fixture
def onnx_model() -> Any:
    """A model of ONNX's with one LSTM in it, and the library."""
    onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
    shapes = {"W": (1, 20, 3), "R": (1, 20, 5), "B": (1, 40)}
    constants = [onnx.numpy_helper.from_array(np.zeros(shape, "f4"), name) for name, shape in shapes.items()]
    node = onnx.helper.make_node("LSTM", ["x", "W", "R", "B"], ["y"], "lstm", hidden_size=5)
    return onnx, onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [], constants))


@pytest.mark.peers
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("sizes", [(0, 1, 1), (-5, 20, 5), (HUGE, 20, 5), (20000, 80000, 0), (2**62, 20, 5)])
def test_onnx_with_absurd_sizes(onnx_model: Any, tmp_path: Path, sizes: tuple[int, int, int]) -> None:
    onnx, model = onnx_model
    hidden_size, rows, columns = sizes
    model.graph.node[0].attribute[0].i = hidden_size
    for tensor, shape in zip(model.graph.initializer, [(1, rows, 1), (1, rows, columns)], strict=False):
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros(shape, "f4"), tensor.name))
    del model.graph.node[0].input[3:]
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"node lstm|of 20000 units"):
        weights.from_onnx(tmp_path / "model.onnx")


@pytest.mark.peers
def test_a_damaged_onnx_file_is_refused_or_read(onnx_model: Any, tmp_path: Path) -> None:
    """The format has no digest, so damage within the numbers goes unseen; whatever else happens has a sentence."""
    content, rng = onnx_model[1].SerializeToString(), np.random.default_rng(0)
    refused = 0
    path = tmp_path / "model.onnx"
    heads = [int(k) for k in rng.choice(len(content), 100, replace=False)]
    for k in range(400):
        damaged = bytearray(content)
        if k < len(heads):
            del damaged[heads[k] :]
        else:  # most of the file is numbers: change what surrounds them
            place = int(rng.integers(60)) if k % 2 else -1 - int(rng.integers(120))
            damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            weights.from_onnx(path)
        except (ValueError, TypeError) as error:
            refused += bool(str(error))
    assert refused > 100


# --------------------------------------------------------------------------------------- nothing runs what is read


RUNS = {"eval", "exec", "compile", "__import__", "execfile", "input"}
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "runpy", "importlib", "imp", "code"}
KNOWN = {  # where such a thing stands all the same, and why it is none
    "kernels/cache.py: pickle": "machine code compiled here, as in a .pyc; behind a digest, in the user's own cache",
    "kernels/units.py: exec": "a few lines about each of a cell's functions, whose arguments' names are identifiers",
    "kernels/units.py: compile": "the same",
    "cells/derivative.py: exec": "the backward that is derived from a cell's forward, whose names are identifiers",
    "cells/derivative.py: compile": "the same, with a name of its own for tracebacks",
    "cells/__init__.py: importlib": "the package's own files of cells",
    "cli/own_cell.py: importlib.util": "the Python file of a cell that the user names on the command line",
    "search/workers.py: joblib": "processes that train, and how many processors there are; nothing is read from a file",
    "bench/peers.py: importlib": "the libraries of a table in the source, and their versions",
    "environment.py: importlib": "importlib.metadata: version numbers",
    "course/lesson.py: importlib": "importlib.metadata: version numbers",
    "course/concepts.py: importlib": "importlib.util: whether ipywidgets are there",
    "course/handed_in.py: importlib.util": "the learner's own program, which `nblstm course --grade` is asked to run",
    "course/start.py: importlib": "importlib.util: whether JupyterLab is there",
}


def test_nothing_unpickles_evaluates_or_imports_what_a_file_names() -> None:
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {f"{name}: {alias.name}" for alias in node.names if alias.name.split(".")[0] in MODULES}
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in MODULES:
                found.add(f"{name}: {node.module.split('.')[0]}")
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in RUNS or called in ("os.system", "os.popen", "np.loadtxt", "np.genfromtxt"):
                    found.add(f"{name}: {called}")
                found |= {f"{name}: {word.arg}" for word in node.keywords if word.arg in ("allow_pickle", "shell")}
    assert found == KNOWN.keys()
