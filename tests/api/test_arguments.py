"""Every argument of every public function: the right result, or a ValueError or TypeError that names the argument."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from types import GeneratorType
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from support.public_calls import CALLS
from support.replacements import OPEN, REFUSED, Same, replacements

from nblstm import Cell, plot, runs, training
from nblstm.gradcheck import GradientError
from nblstm.jobs import Settings
from nblstm.jobs.job import Job
from nblstm.layers.composed import Composed
from nblstm.layers.layer import Layer
from nblstm.layers.parameters import Block
from nblstm.layers.stream import Stream
from nblstm.layers.tape import Tape
from nblstm.models import Network
from nblstm.optim import Optimizer

MODULES = (
    "nblstm", "nblstm.baselines", "nblstm.datasets", "nblstm.environment", "nblstm.gradcheck", "nblstm.jobs",
    "nblstm.layers", "nblstm.losses", "nblstm.metrics", "nblstm.models", "nblstm.optim", "nblstm.plot", "nblstm.runs",
    "nblstm.search", "nblstm.training", "nblstm.weights",
)  # fmt: skip
# What the parts of the package say to each other, with arguments that are checked already; and results.
INTERNAL = {
    "Engine.inference_packs", "Pooling.__init__",
    "Linear.inference_packs", "Embedding.check", "version_of", "Network.__init__",
    "SequenceModel.__init__", "SequenceModel.loss", "SequenceTagger.check_input", "TaggingJob.pictures",
    "Optimizer.__init__", "Trainer.__init__", "Job.__init__",
    "Job.pictures", "ClassificationJob.pictures", "SequenceJob.__init__", "Settings.__init__", "Run.__init__",
    "GradientRow.__init__", "GradientTable.__init__", "GradientError.__init__", "Tape.__init__", "Tape.allocate",
    "Tape.allocate_back", "Tape.use_lengths", "Tape.output", "Run.train",
    "Range.rvs", "Search.__init__", "Search.run", "Search.evaluations",
}  # fmt: skip
# Words on a picture, and what is stored as it stands: whatever can be written as text, or as JSON.
WORDS = {"title", "xlabel", "ylabel", "label", "measure", "activation", "classes", "colours", "data", "given"}
EITHER = {("Dropout.__call__", "x"), ("softmax", "x"), ("log_softmax", "x"), ("Recorder.record", "y")}  # of two dtypes
LABELLED = {("BatchTrainer.__init__", "targets"), ("TagTrainer.__init__", "targets")}  # integers or labels
KNOWN_AS = {"mapping": ("state dict",), "sealed": ("digest",), "tensors": ("digest",)}
ONNX = importlib.util.find_spec("onnx")


def parameters(function: Callable) -> dict[str, inspect.Parameter]:
    found = inspect.signature(function).parameters.items()
    return {name: p for name, p in found if name not in ("self", "cls") and p.kind is not p.VAR_POSITIONAL}


@functools.cache
def functions() -> dict[str, Callable]:
    """Every function and method of the public modules, by its qualified name."""
    owners: list[Any] = [Tape, Stream]
    for name in MODULES:
        importlib.import_module(name)
        module = sys.modules[name]  # nblstm.gradcheck is the name of the function, too
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == name]
        owners += [getattr(module, key) for key in getattr(module, "__all__", own) if not key.startswith("_")]
    found = {}
    for owner in owners:
        names = [key for key in dir(owner) if not key.startswith("_")] if inspect.isclass(owner) else []
        names += ["__init__", "__call__"] * inspect.isclass(owner)
        for method in [inspect.getattr_static(owner, key, None) for key in names] or [owner]:
            function = inspect.unwrap(getattr(method, "__func__", method)) if callable(method) else method
            function = getattr(method, "__func__", function)
            if inspect.isfunction(function) and (function.__module__ or "").startswith("nblstm"):
                found[function.__qualname__] = function
            elif inspect.isfunction(function) and "__dataclass_fields__" in vars(owner) and method is owner.__init__:
                found[f"{owner.__name__}.__init__"] = function
    return found


@functools.cache
def public() -> dict[str, Callable]:
    """Those of them that users call with arguments."""
    return {name: one for name, one in functions().items() if name not in INTERNAL and parameters(one)}


def seen(value: Any) -> Any:
    """All that there is to see of a result, as plain data to compare."""
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        return type(value).__name__, array.dtype.str, array.shape, array.tobytes()
    if isinstance(value, Layer):
        dropout = value.dropout_state() if hasattr(value, "dropout_state") else None
        return repr(value), seen(value.state_dict()), seen(value.flat_grads), seen(dropout)
    if isinstance(value, Block):
        return seen(value.flat)
    if isinstance(value, Cell):
        return value.key
    if isinstance(value, Network):
        return seen([value.config, value.state_dict()])
    if isinstance(value, Composed):
        return seen([repr(value), value.state_dict(), value.grads])
    if isinstance(value, training.Trainer):
        return seen([value.steps and value.state_dict(), value.step()])
    if isinstance(value, (Optimizer, Job, runs.Run)):
        hidden = {"layers", "schedule", "folder", "job", "training", "validation", "_seen"}  # of the file: its date
        return seen({name: part for name, part in vars(value).items() if name not in hidden})
    if isinstance(value, Settings):
        return dataclasses.asdict(value)
    if isinstance(value, Stream):
        return seen(value.state)
    if isinstance(value, Axes):
        drawn = [value.get_title(), value.get_xlabel(), value.get_ylabel(), [text.get_text() for text in value.texts]]
        return seen(
            [*drawn, [line.get_xydata() for line in value.lines], [image.get_array() for image in value.images]]
        )
    if isinstance(value, Mapping):
        return {name: seen(part) for name, part in value.items()}
    if isinstance(value, (tuple, list, GeneratorType)):
        return [seen(part) for part in value]
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, (bytes, int, float, np.generic)):
        return repr(value)
    if callable(value):
        return [value(step) for step in range(8)] if inspect.isfunction(value) else repr(type(value))
    return type(value).__name__


def outcome(function: Callable, arguments: Mapping[str, Any]) -> Any:
    """What can be seen after a call: the result, whatever owns the method, the file written, what is written to."""
    result = seen(function(**arguments))
    owner = seen(getattr(function, "__self__", function if isinstance(function, (Layer, Composed, Stream)) else None))
    layers = [layer for layer in arguments.get("layers") or () if isinstance(layer, Layer)]
    written = seen([layers, arguments.get("grads"), np.asarray(arguments.get("out"))])
    file = None
    if "path" in arguments:
        with open(arguments["path"], "rb") as opened:
            file = opened.read()
    return result, owner, written, file


def complaint(name: str, function: str, label: str, value: Any, expected: Any) -> str | None:
    """What is wrong about `function` with `value` for its argument `name`; None if nothing is."""
    call, arguments = CALLS[function]()
    before = {key: seen(one) for key, one in arguments.items() if isinstance(one, np.ndarray) and key != "out"}
    try:
        with np.errstate(all="ignore"):
            found = outcome(call, arguments | {name: value})
    except OSError as error:
        files = isinstance(value, str) and name in ("path", "folder", "source")
        return None if files else f"{type(error).__name__}: {error}"
    except (TypeError, ValueError, GradientError) as error:
        if isinstance(error, GradientError):
            return None if expected == OPEN else "was accepted"
        names = {name, *KNOWN_AS.get(name, ())}
        if expected == OPEN or label.startswith("as f"):  # two arguments that disagree
            names |= arguments.keys()
        if isinstance(arguments[name], Mapping):
            names |= {str(key) for key in (*arguments[name], *value)} if isinstance(value, Mapping) else set()
        if isinstance(value, str):
            names |= {value, repr(value)[1:-1]} - {""}
        if not any(re.search(rf"(?<!\w){re.escape(known)}(?!\w)", str(error)) for known in names):
            return f"does not name {name}: {type(error).__name__}: {error}"
        if "\n" in str(error).replace(str(value), ""):
            return f"more than a line: {error}"
        if outcome(call, arguments) != outcome(*CALLS[function]()):
            return "after the error the same call gives something else"
        return None
    except (MemoryError, FloatingPointError) as error:
        return None if expected == OPEN else f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if expected == REFUSED:
        return "was accepted"
    if {key: seen(one) for key, one in arguments.items() if key in before} != before:
        return "an argument was changed"
    if isinstance(expected, Same):
        call, arguments = CALLS[function]()
        if found != outcome(call, arguments | {name: expected.clean}):
            return "gave another result"
    return None


def cases(function: str) -> list[tuple[str, str, Any, Any]]:
    _, arguments = CALLS[function]()
    signature = parameters(public()[function])
    found = []
    for name, valid in arguments.items():
        stored = name in WORDS or (name == "tensors" and function in ("save", "seal", "unseal"))
        annotation = "Any" if stored else str(signature[name].annotation)
        either = ("as f4", "as f8") if (function, name) in EITHER else ()
        either = ("as U8", "as ?") if (function, name) in LABELLED else either
        found += [
            (name, label, value, OPEN if label in either else what)
            for label, value, what in replacements(valid, annotation)
        ]
    return found


def test_every_public_function_has_a_valid_call():
    assert not INTERNAL - functions().keys()
    assert not public().keys() ^ CALLS.keys()
    for function, factory in CALLS.items():
        if ONNX or "onnx" not in function:
            call, arguments = factory()
            assert not parameters(public()[function]).keys() ^ arguments.keys(), function
            assert outcome(call, arguments) is not None


def complaints(function: str, start: int, step: int) -> list[str]:
    if "onnx" in function and not ONNX:
        return []
    return [
        f"{function}({name}: {label}) {wrong}"
        for name, label, value, what in cases(function)[start % step :: step]
        if (wrong := complaint(name, function, label, value, what))
    ]


@pytest.fixture
def quiet(tmp_path, monkeypatch):
    """In a folder of its own, where files may be written under strange names; one warning is no news."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the matrix subclass")
        yield


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("start", range(4))
def test_some_values_of_every_argument(start):
    """Other ones for each function, and of pictures, which take long, a few."""
    chosen = list(enumerate(CALLS))[start::4]
    pictures = set(plot.__all__)
    found = [wrong for k, name in chosen for wrong in complaints(name, k, 40 if name in pictures else 8)]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.fuzz
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("function", CALLS)
def test_every_value_of_every_argument(function):
    found = complaints(function, 0, 1)
    assert not found, "\n" + "\n".join(found)
