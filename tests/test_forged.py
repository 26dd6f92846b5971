"""Files that someone made on purpose, digest and all: a clear error before anything absurd happens, or a harmless load.

A digest shows damage, not intent. What a file says about itself is therefore checked like any caller's argument, and
nothing it says is run.
"""

from __future__ import annotations

import ast
import gzip
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import nblstm
from nblstm import CharLM, weights
from nblstm.cli import main
from nblstm.datasets import read_idx, read_text
from nblstm.jobs import TextJob
from nblstm.models import Network
from nblstm.runs import FORMAT, Run
from nblstm.settings import TextSettings

PACKAGE = Path(nblstm.__file__).parent
HUGE = 10**9
DEEP = json.loads("[" * 500 + "]" * 500)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three steps, stopped after the first."""
    folder = tmp_path_factory.mktemp("original")
    (folder / "text.txt").write_text("a rose is a rose is a rose\n" * 20)
    settings = TextSettings(
        text=str(folder / "text.txt"), hidden_size=5, num_layers=2, batch_size=4, window=10, steps=3, evaluate_every=1
    )
    begun = Run.create(folder / "run", TextJob(settings))
    begun.losses.append(begun.trainer.step())
    begun._evaluate()
    begun._save()
    return folder / "run"


@pytest.fixture
def run(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # hundreds of files that nobody will miss
    shutil.copytree(original, tmp_path / "run")
    return tmp_path / "run"


def forge(path: Path, form: str, change: Callable[[Any], Any], tensors: dict[str, np.ndarray] | None = None) -> None:
    """Change what a file says, and seal it again."""
    found, metadata = weights.load(path)
    data = change(weights.unseal(metadata[form], found))
    tensors = found if tensors is None else tensors
    weights.save(path, tensors, {form: weights.seal(data, tensors)})


def put(*path: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Set one entry, or, with no value, take it out."""

    def change(data: dict[str, Any]) -> dict[str, Any]:
        place = data
        for name in path[:-1]:
            place = place[name]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return data

    return change


def refused(*arguments: str) -> str:
    """What the library refused with a ValueError, in the one sentence that a user sees."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    return result.output


NUMBERS = ("x", [], {}, DEEP, -1, -(10**30), float("nan"), float("inf"), True)
SIZES = (*NUMBERS, 1.5, 0, HUGE, 10**30, 2**31, 2**62)
CONFIGURATIONS = [
    *[((name,), value) for name in ("hidden_size", "num_layers", "embedding_size") for value in SIZES],
    *[(("vocabulary",), value) for value in ("", "aab", 3, ["ab"], [1], "abcdefghijk")],
    *[((name,), value) for name in ("cell", "formulation", "dtype") for value in ("gru", 3, ["lstm"], {}, DEEP)],
    *[(("dropout",), value) for value in NUMBERS],
    *[((name,), None) for name in ("vocabulary", "num_layers")],
    (("weights",), "evil.pickle"),
]


@pytest.mark.parametrize(("path", "value"), CONFIGURATIONS)
def test_a_model_that_lies_about_itself(run: Path, path: tuple[str, ...], value: Any) -> None:
    forge(run / "model.safetensors", "nblstm.CharLM", put(*path, value=value))
    assert "model.safetensors is a damaged CharLM file: " in refused("sample", str(run))


def test_a_number_of_layers_that_is_none(run: Path) -> None:
    forge(run / "model.safetensors", "nblstm.CharLM", put("num_layers", value="x"))
    assert "CharLM file: num_layers must be an integer, got 'x'" in refused("sample", str(run))


@pytest.mark.parametrize(
    "data", [[], 3, "x", {}, {"num_layers": 1}, {"num_layers": "1"}, {"num_layers": HUGE, "hidden_size": HUGE}]
)
def test_a_model_that_says_something_else(run: Path, data: Any) -> None:
    forge(run / "model.safetensors", "nblstm.CharLM", lambda _: data)
    with pytest.raises(ValueError, match=r"model\.safetensors is a damaged CharLM file: .+"):
        Network.load(run / "model.safetensors")


@pytest.mark.parametrize("text", ["[" * 10**5 + "]" * 10**5, "9" * 10**5, "{", "", "NaN", '{"a": 1e999}'])
def test_json_that_is_none_or_too_much(run: Path, text: str) -> None:
    for name, form, load in (
        ("model.safetensors", "nblstm.CharLM", lambda: Network.load(run / "model.safetensors")),
        ("checkpoint.safetensors", FORMAT, lambda: Run.resume(run, TextJob)),
    ):
        tensors, _ = weights.load(run / name)
        sealed = weights.seal(None, tensors).split()[0]
        digest = weights.files._digest(text, tensors)
        assert len(digest) == len(sealed)
        weights.save(run / name, tensors, {form: f"{digest} {text}"})
        with pytest.raises(ValueError, match=f"{name} is a damaged "):
            load()


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "dtype", "empty", "twice"])
def test_a_model_with_other_tensors(run: Path, change: str) -> None:
    path = run / "model.safetensors"
    tensors, metadata = weights.load(path)
    altered = {
        "missing": {name: tensor for name, tensor in tensors.items() if name != "linear.bias"},
        "extra": tensors | {"linear.more": np.zeros(3, "float32")},
        "shape": tensors | {"linear.bias": np.zeros(3, "float32")},
        "dtype": tensors | {"linear.bias": tensors["linear.bias"].astype("float64")},
        "empty": {},
        "twice": tensors,
    }[change]
    if change == "twice":
        form = metadata["nblstm.CharLM"]
        weights.save(path, tensors, {"nblstm.CharLM": form, "nblstm.SequenceClassifier": form})
    else:
        forge(path, "nblstm.CharLM", lambda data: data, altered)
    with pytest.raises(ValueError, match=r"model\.safetensors (is a damaged CharLM file|must be a model saved by)"):
        Network.load(path)


def test_weights_that_are_not_numbers_load_and_are_refused_where_they_would_count(run: Path) -> None:
    path = run / "model.safetensors"
    tensors, _ = weights.load(path)
    tensors["linear.bias"][0] = np.nan
    forge(path, "nblstm.CharLM", lambda data: data, tensors)
    assert np.isnan(Network.load(path).state_dict()["linear.bias"][0])
    assert "not finite" in refused("sample", str(run))


EVALUATION = {"step": 1, "seconds": 0.1, "training": 4.0, "validation": 4.0}
PROGRESS = [
    *[((name,), value) for name in ("seconds", "losses", "evaluations") for value in NUMBERS if value not in ([], {})],
    *[((name,), None) for name in ("job", "settings", "digest", "seconds", "losses", "evaluations", "trainer")],
    *[(("losses",), [value]) for value in NUMBERS],
    *[(("evaluations",), [value]) for value in NUMBERS],
    *[
        (("evaluations",), [EVALUATION | {name: value}])
        for name in ("step", "seconds", "training", "validation", "accuracy")
        for value in NUMBERS
    ],
    *[
        (("evaluations",), [{k: v for k, v in EVALUATION.items() if k != name}])
        for name in ("step", "training", "validation")
    ],
    (("evaluations",), [EVALUATION | {"validation": None}]),
    *[(("settings", name), value) for name in ("hidden_size", "num_layers", "batch_size", "window") for value in SIZES],
    *[(("settings", name), value) for name in ("learning_rate", "clip", "dropout") for value in ("x", [], -1.0, {})],
    (("settings", "text"), ["x"]),
    (("settings", "os.system"), "true"),
    *[(("trainer", name), value) for name in ("steps", "position") for value in (*NUMBERS, 1.5, 10**30, HUGE)],
    *[(("trainer", "dropout"), value) for value in (*NUMBERS, "os.system")],
    *[(("trainer", "dropout", "state"), value) for value in NUMBERS],
    *[(("trainer", "dropout", "state", "inc"), value) for value in ("x", [], -1, 2**200, DEEP)],
    (("trainer", "dropout", "bit_generator"), "MT19937"),
    (("job",), "os.system"),
]


@pytest.mark.parametrize(("path", "value"), PROGRESS)
def test_a_checkpoint_that_lies_about_itself(run: Path, path: tuple[str, ...], value: Any) -> None:
    forge(run / "checkpoint.safetensors", FORMAT, put(*path, value=value))
    assert refused("train", "--resume", str(run))


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("optimizer.Adam.steps", np.array(-1)),
        ("place.0", np.zeros((2, 4, 5))),
        ("place.0", np.zeros((2, 4, 6), "float32")),
        ("elsewhere.0", np.zeros(3)),
        ("model.lstm.weight_hh_l0", np.zeros((20, 5))),
    ],
)
def test_a_checkpoint_with_other_tensors(run: Path, name: str, tensor: np.ndarray) -> None:
    tensors, _ = weights.load(run / "checkpoint.safetensors")
    forge(run / "checkpoint.safetensors", FORMAT, lambda data: data, tensors | {name: tensor})
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors is a damaged checkpoint: .+"):
        Run.resume(run, TextJob)


def test_run_json_is_written_for_people_and_read_by_nobody(run: Path) -> None:
    """So no damage to it can do any: a run goes on and writes, without it, what it would have written with it."""
    content = (run / "run.json").read_bytes()
    for damaged in (b"", content[:-9], b"\0" * 99, b"[" * 10**5, None):
        (run / "run.json").unlink() if damaged is None else (run / "run.json").write_bytes(damaged)
        CharLM.load(run / "model.safetensors").sample(length=3)
        assert Run.resume(run, TextJob).trainer.steps == 1
    assert Run.resume(run, TextJob).train()
    assert json.loads((run / "run.json").read_text())["finished"]
    readers = [
        path for path in PACKAGE.rglob("*.py") if "run.json" in path.read_text() and "json.load" in path.read_text()
    ]
    assert readers == []


# ------------------------------------------------------------------------------------------------- what is no file


def readers() -> dict[str, Callable[[Path], Any]]:
    found: dict[str, Callable[[Path], Any]] = {
        "weights.load": weights.load, "Network.load": Network.load, "read_idx": read_idx, "read_text": read_text,
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


@pytest.fixture
def little_memory() -> Any:
    """A gigabyte more than is in use: what would be absurd fails at once, and as a MemoryError, not a sentence."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux's limit of memory")
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


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
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("hidden_size", 20_000, "parameters cannot be in a file that holds [0-9,]+ numbers"),
        ("hidden_size", HUGE, "parameters cannot be in a file that holds"),
        ("num_layers", 10**6, "1,000,000 layers must have more than [0-9]+ tensors"),
    ],
)
def test_no_memory_is_taken_for_what_a_file_claims(run: Path, name: str, value: int, message: str) -> None:
    """Gigabytes that this machine may well have."""
    forge(run / "model.safetensors", "nblstm.CharLM", put(name, value=value))
    forge(run / "checkpoint.safetensors", FORMAT, put("settings", name, value=value))
    with pytest.raises(ValueError, match=message):
        CharLM.load(run / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        Run.resume(run, TextJob)


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
def test_onnx_reads_no_other_file(onnx_model: Any, tmp_path: Path) -> None:
    """Weights may lie in a file that the model names; it could name any."""
    onnx, model = onnx_model
    (tmp_path / "secret").write_bytes(bytes(4 * 60))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for location in ("secret", "../secret", str(tmp_path / "secret"), "/etc/passwd"):
        del tensor.external_data[:]
        tensor.external_data.add(key="location", value=location)
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ValueError, match="node lstm must have its W stored in the file"):
            weights.from_onnx(tmp_path / "model.onnx")


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
    "bench/peers.py: importlib": "the libraries of a table in the source, and their versions",
    "environment.py: importlib": "importlib.metadata: version numbers",
    "course/lesson.py: importlib": "importlib.metadata: version numbers",
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
