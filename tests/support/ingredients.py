"""What the valid calls of `public_calls` are made with: small layers, models, arrays, files, axes."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import nblstm
from nblstm import jobs, runs, search, training, weights
from nblstm.cells import sigmoid, tanh

Call = tuple[Callable, dict[str, Any]]


def call(function: Callable, /, **arguments: Any) -> Call:
    return function, arguments


T, B, I, H, V = 4, 3, 2, 5, 6


def numbers(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def positive(*shape: int) -> np.ndarray:
    return np.random.default_rng(4).uniform(0.5, 2, shape)


def tokens(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, V, shape)


def policy_in_force(**thresholds: int) -> dict[str, int]:
    """The thresholds while they are set."""
    with nblstm.thread_policy(**thresholds) as policy:
        return dict(vars(policy))


def pair(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    return numbers(*shape, seed=1), numbers(*shape, seed=2)


X, LENGTHS, CLASSES = numbers(T, B, I), np.array([4, 2, 3]), np.array([2, 0, 1])
NUMBERS = numbers(B, dtype="float64")


def lstm(**options: Any) -> nblstm.LSTM:
    return nblstm.LSTM(I, H, seed=0, **options)


def cell() -> nblstm.LSTMCell:
    return nblstm.LSTMCell(I, H, seed=0)


def leaky_forward(f, n_x, n_h, e, c_prev, p):
    f, n = sigmoid(f + p * c_prev), tanh(n_x + n_h)
    c = f * c_prev + n + e
    return (f, n), (1 * c, c)


def leaky_backward(f, n, c_prev, dh, dc, p):
    dc = dc + dh
    df, dn = dc * c_prev * f * (1 - f), dc * (1 - n * n)
    return (df, dn, dn, 1 * dc), (dc * f + p * df,)


def ones(generator, units):
    """A forget bias."""
    return np.ones(units)


def leaky_read(h_prev):
    return 0.5 * h_prev


DECLARATION = {
    "name": "leaky",
    "sums": ("f", "n", "e"),
    "states": ("h", "c"),
    "forward": leaky_forward,
    "backward": leaky_backward,
    "apart": ("n",),
    "inputs_only": ("e",),
    "hidden_only": ("f",),
    "peepholes": {"p": ("f", "c_prev")},
    "reads": {"n": leaky_read},
    "forget": "f",
    "draw": {"f": ones},
    "check": True,
}


def linear() -> nblstm.Linear:
    return nblstm.Linear(I, H, seed=0)


def embedding() -> nblstm.Embedding:
    return nblstm.Embedding(V, H, seed=0)


def sequential() -> nblstm.Sequential:
    return nblstm.Sequential(lstm(), nblstm.Linear(H, 3, seed=1))


def additive_attention() -> nblstm.AdditiveAttention:
    return nblstm.AdditiveAttention(I, I, 3, seed=0)


def attention_over_time() -> nblstm.AttentionOverTime:
    return nblstm.AttentionOverTime(I, 3, seed=0)


def amplifier() -> nblstm.Sequential:
    return nblstm.Sequential(lstm(), nblstm.Linear(H, 1, seed=1))


def characters() -> nblstm.CharLM:
    return nblstm.CharLM("abcdef", 3, H, 1, seed=0)


def classifier() -> nblstm.SequenceClassifier:
    return nblstm.SequenceClassifier(I, H, 1, 3, seed=0)


def regressor() -> nblstm.SequenceRegressor:
    return nblstm.SequenceRegressor(I, H, 1, 2, seed=0)


def forward(owner: Any, *given: Any, **arguments: Any) -> Call:
    """The forward of `owner` that reuses the tape of an earlier one."""
    return owner.forward, {**arguments, "tape": owner.forward(*given)[-1]}


def backward(owner: Any, *given: Any, **arguments: Any) -> Call:
    """The backward of `owner` after a forward, which adds to gradients of zeros."""
    return owner.backward, {**arguments, "tape": owner.forward(*given)[-1]}


def layer_backward(owner: Any, *given: Any, **arguments: Any) -> Call:
    return backward(owner, *given, **arguments, grads=owner.new_grads())


def trained(name: str) -> Call:
    """A method of a trainer of texts."""
    model = characters()
    trainer = training.TextTrainer(model, nblstm.SGD(model.layers), tokens(9, 2), 4)
    trainer.step()
    tensors, plain = trainer.state_dict()
    return getattr(trainer, name), {"step": {"lr": 0.5}, "load_state_dict": {"tensors": tensors, "plain": plain}}[name]


def text_trainer() -> Call:
    model = characters()
    return training.TextTrainer, {
        "model": model,
        "optimizer": nblstm.SGD(model.layers),
        "streams": tokens(9, 2),
        "window": 4,
        "clip": 1.5,
    }


def batch_trainer() -> Call:
    model = classifier()
    return training.BatchTrainer, {
        "model": model,
        "optimizer": nblstm.SGD(model.layers),
        "x": X,
        "targets": CLASSES,
        "batch_size": 2,
        "lengths": LENGTHS,
        "sample_weight": positive(B),
        "clip": 1.5,
        "seed": 3,
    }


def job_data(classes: bool) -> dict[str, Any]:
    """Settings and two parts of sequences."""
    training, validation = (np.arange(8) % 3, CLASSES) if classes else (numbers(8, 2), numbers(B, 2))
    return {
        "settings": jobs.SequenceSettings(hidden_size=2, batch_size=2),
        "training": jobs.Sequences(numbers(T, 8, I), training),
        "validation": jobs.Sequences(X, validation),
    }


def tagger(vocabulary: list[str] | None = None) -> nblstm.SequenceTagger:
    return nblstm.SequenceTagger(I, H, 1, 3, vocabulary=vocabulary, seed=1)


def tag_trainer() -> Call:
    return training.TagTrainer, {
        "model": (model := tagger()),
        "optimizer": nblstm.SGD(model.layers),
        "x": X,
        "targets": tokens(T, B) % 3,
        "batch_size": 2,
        "lengths": LENGTHS,
        "weight": positive(3),
        "ignore_index": 5,
        "clip": 1.5,
        "seed": 3,
    }


def tagging_job() -> Call:
    return jobs.TaggingJob, {
        "settings": jobs.TaggingSettings(hidden_size=2, batch_size=2),
        "training": jobs.Sequences(tokens(T, B) % 2, tokens(T, B) % 3),
        "validation": jobs.Sequences(tokens(T, B) % 2, tokens(T, B) % 3),
        "vocabulary": ["<unk>", "x"],
    }


class Files:
    """Files to read, and names for new ones, in a folder that goes with the process."""

    def __init__(self) -> None:
        self.keeper = tempfile.TemporaryDirectory()
        self.path, self.count = Path(self.keeper.name), itertools.count()
        (self.path / "text").write_text("to be or not to be " * 5, encoding="utf-8")
        (self.path / "tagged").write_text("the DET\nfox NOUN\n\nthe DET\n", encoding="utf-8")
        (self.path / "idx").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        for part in ("train", "t10k"):
            images = bytes([0, 0, 8, 3, *(0, 0, 0, 1), *(0, 0, 0, 2), *(0, 0, 0, 2), *range(4)])
            (self.path / f"{part}-images-idx3-ubyte").write_bytes(images)
            (self.path / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, *(0, 0, 0, 1), 7]))
        weights.save(self.path / "tensors", {"x": np.arange(3.0)})
        characters().save(self.path / "model")
        weights.to_rtneural(amplifier(), self.path / "rtneural")
        weights.to_nam(amplifier(), self.path / "nam")
        job = jobs.RegressionJob(**job_data(classes=False))
        runs.Run.create(self.path / "run", job)

    def __getitem__(self, name: str) -> str:
        return str(self.path / name)

    def new(self) -> str:
        return self[f"new{next(self.count)}"]


FILES = Files()
TENSORS = {"x": np.arange(3.0), "y": numbers(2, 2)}


def write(path: str) -> None:
    with weights.atomic_write(path) as file:
        file.write(b"written")


def create_run(folder: Any, job: Any, numbered: Any) -> Any:
    """`Run.create`, and the folder gone again."""
    run = runs.Run.create(folder, job, numbered=numbered)
    if run.folder is not None:
        shutil.rmtree(run.folder)
    return run


def resume_run(**arguments: Any) -> Any:
    data = job_data(classes=False)
    return runs.Run.resume(
        arguments.pop("folder"), arguments.pop("kind"), data["training"], data["validation"], **arguments
    )


def create_search(folder: Any, kind: Any, **arguments: Any) -> Any:
    """`Search.create`, what it has written of itself, and the folder gone again."""
    data = job_data(classes=False)
    found = search.Search.create(
        folder, kind, arguments.pop("space"), data["training"], data["validation"], **arguments
    )
    shutil.rmtree(found.folder)
    return found.asked


def resume_search(folder: Any, kind: Any) -> Any:
    data = job_data(classes=False)
    return search.Search.resume(folder, kind, data["training"], data["validation"]).asked


def search_folder() -> str:
    """A search that waits for its workers."""
    folder = FILES["search"]
    if not Path(folder).exists():
        data = job_data(classes=False)
        space, sequences = {"hidden_size": [2, 3]}, (data["training"], data["validation"])
        search.Search.create(folder, jobs.RegressionJob, space, *sequences, settings={"batch_size": 1})
    return folder


def axes() -> Any:
    return Figure(figsize=(4, 3)).subplots()


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


RECURRENT = {
    "input_size": I,
    "hidden_size": H,
    "num_layers": 2,
    "bias": True,
    "batch_first": True,
    "dropout": 0.25,
    "bidirectional": True,
    "formulation": "concat",
    "dtype": "float64",
    "seed": 3,
    "checkpoint": 2,
    "layer_norm": True,
}
CELL = {
    "input_size": I, "hidden_size": H, "bias": True, "formulation": "concat", "dtype": "float64", "seed": 3,
    "layer_norm": True,
}  # fmt: skip
MODEL = {
    "hidden_size": H,
    "num_layers": 2,
    "cell": "lstm",
    "formulation": "concat",
    "dropout": 0.25,
    "forget_bias": 0.5,
    "heads": 1,
    "layer_norm": True,
    "dtype": "float64",
    "seed": 3,
}
SETTINGS = {
    "hidden_size": 8,
    "num_layers": 2,
    "cell": "rnn_tanh",
    "formulation": "concat",
    "heads": 1,
    "layer_norm": True,
    "batch_size": 2,
    "steps": 3,
    "epochs": None,
    "minutes": None,
    "optimizer": "adamw",
    "lr": 0.1,
    "weight_decay": 0.5,
    "dropout": 0.25,
    "clip": 1.5,
    "seed": 4,
    "shards": 2,
    "exchange": "allreduce",
    "evaluate_every": 5,
    "patience": 6,
}
LINES = {"a": NUMBERS, "b": numbers(2, B, dtype="float64")}
RATES = {"a": 2.0, "b": 1.5}


def without_formulation(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a GRU, which has one only."""
    return {name: value for name, value in settings.items() if name != "formulation"}


def with_gradients() -> nblstm.LSTM:
    layer = lstm()
    layer.flat_grads[:] = numbers(layer.num_parameters)
    return layer


def onnx_file() -> str:
    path = FILES["onnx"]
    if not Path(path).exists():
        weights.to_onnx(lstm(), path)
    return path
