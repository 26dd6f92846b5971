"""Files that someone made on purpose, digest and all: a clear error before anything absurd happens, or a harmless load.

A digest shows damage, not intent. What a file says about itself is therefore checked like any caller's argument, and
nothing it says is run.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import nblstm
from nblstm import CharLM, files, weights
from nblstm.cli import main
from nblstm.jobs import TextJob, TextSettings
from nblstm.models import Network
from nblstm.runs import Run
from nblstm.runs.checkpoints import FORMAT

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
    found, metadata = weights.load_with_metadata(path)
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
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


NUMBERS = ("x", [], {}, DEEP, -1, -(10**30), float("nan"), float("inf"), True)
SIZES = (*NUMBERS, 1.5, 0, HUGE, 10**30, 2**31, 2**62)
CONFIGURATIONS = [
    *[((name,), value) for name in ("hidden_size", "num_layers", "embedding_size") for value in SIZES],
    *[(("vocabulary",), value) for value in ("", "aab", 3, ["ab"], [1], "abcdefghijk")],
    *[
        ((name,), value)
        for name in ("cell", "formulation", "dtype")
        for value in ("gru", "other", 3, ["lstm"], {}, DEEP)
    ],
    *[(("dropout",), value) for value in NUMBERS],
    *[((name,), None) for name in ("vocabulary", "num_layers")],
    (("weights",), "evil.pickle"),
]


@pytest.mark.parametrize(("path", "value"), CONFIGURATIONS)
def test_a_model_that_lies_about_itself(run: Path, path: tuple[str, ...], value: Any) -> None:
    forge(run / "model.safetensors", "nblstm.CharLM", put(*path, value=value))
    assert "model.safetensors is a damaged model file: " in refused("sample", str(run))


def test_a_number_of_layers_that_is_none(run: Path) -> None:
    forge(run / "model.safetensors", "nblstm.CharLM", put("num_layers", value="x"))
    assert "model file: num_layers must be an integer, got 'x'" in refused("sample", str(run))


@pytest.mark.parametrize(
    "data", [[], 3, "x", {}, {"num_layers": 1}, {"num_layers": "1"}, {"num_layers": HUGE, "hidden_size": HUGE}]
)
def test_a_model_that_says_something_else(run: Path, data: Any) -> None:
    forge(run / "model.safetensors", "nblstm.CharLM", lambda _: data)
    with pytest.raises(ValueError, match=r"model\.safetensors is a damaged model file: .+"):
        Network.load(run / "model.safetensors")


@pytest.mark.parametrize("text", ["[" * 10**5 + "]" * 10**5, "9" * 10**5, "{", "", "NaN", '{"a": 1e999}'])
def test_json_that_is_none_or_too_much(run: Path, text: str) -> None:
    for name, form, load in (
        ("model.safetensors", "nblstm.CharLM", lambda: Network.load(run / "model.safetensors")),
        ("checkpoint.safetensors", FORMAT, lambda: Run.resume(run, TextJob)),
    ):
        tensors = weights.load(run / name)
        sealed = weights.seal(None, tensors).split()[0]
        digest = files._digest(text, tensors)
        assert len(digest) == len(sealed)
        weights.save(run / name, tensors, {form: f"{digest} {text}"})
        with pytest.raises(ValueError, match=f"{name} is a damaged "):
            load()


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "dtype", "empty", "twice"])
def test_a_model_with_other_tensors(run: Path, change: str) -> None:
    path = run / "model.safetensors"
    tensors, metadata = weights.load_with_metadata(path)
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
    with pytest.raises(ValueError, match=r"model\.safetensors (is a damaged model file|must be a model saved by)"):
        Network.load(path)


def test_weights_that_are_not_numbers_load_and_are_refused_where_they_would_count(run: Path) -> None:
    path = run / "model.safetensors"
    tensors = weights.load(path)
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
    *[(("settings", name), value) for name in ("lr", "clip", "dropout") for value in ("x", [], -1.0, {})],
    (("settings", "text"), ["x"]),
    (("settings", "os.system"), "true"),
    *[(("trainer", name), value) for name in ("steps", "position") for value in (*NUMBERS, 1.5, 10**30, HUGE)],
    *[(("trainer", "dropout"), value) for value in (*NUMBERS, "os.system")],
    *[(("trainer", "dropout", "lstm"), value) for value in (*NUMBERS, "bit_generator")],
    *[(("trainer", "dropout", "lstm", "state"), value) for value in NUMBERS],
    *[(("trainer", "dropout", "lstm", "state", "inc"), value) for value in ("x", [], -1, 2**200, DEEP)],
    (("trainer", "dropout", "lstm", "bit_generator"), "MT19937"),
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
    tensors = weights.load(run / "checkpoint.safetensors")
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
