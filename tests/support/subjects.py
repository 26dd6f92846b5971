"""What the state machines work with: a layer beside what the test knows of it by itself, and ways to and fro."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from nblstm import weights
from support.cases import Case, Problem, Results, assert_agree, run_naive

TOLERANCE = {"float32": 2e-4, "float64": 1e-11}
WHICH, SEEDS = st.integers(0, 10**6), st.integers(0, 2**32 - 1)
WAYS = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda one: pickle.loads(pickle.dumps(one))}


@contextlib.contextmanager
def refused(*kinds: type[Exception]) -> Iterator[None]:
    """What happens within is refused by one of these errors, in a clear sentence."""
    with pytest.raises(kinds) as caught:
        yield
    assert 15 < len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@dataclass
class Pass:
    """A forward that waits for its backward, what must come of both, and whether a backward is still allowed."""

    tape: Any
    problem: Problem
    expected: Results
    allowed: bool = True


@dataclass
class Subject:
    """A layer, and what the test knows of it by itself: parameters, gradients in float64, passes, a stream."""

    case: Case
    layer: Any
    params: Results
    grads: Results
    passes: list[Pass] = field(default_factory=list)
    optimizer: Any = None
    stream: Any = None
    stream_state: tuple = (None, None)

    @classmethod
    def of(cls, case: Case, layer: Any) -> Subject:
        """As fresh from the constructor."""
        return cls(
            case, layer, layer.state_dict(), {name: np.zeros(tensor.shape) for name, tensor in layer.params.items()}
        )

    @property
    def drops(self) -> bool:
        """Its forwards are random, so that they are only looked at for not failing."""
        return self.layer.dropout > 0

    def draw(self, seed: int, T: int, B: int, lengths: bool, state: bool = True) -> Problem:
        case = replace(self.case, sizes=(T, B, *self.case.sizes[2:]), lengths=lengths)
        rng = np.random.default_rng(seed)
        problem = Problem.draw(case, rng, self.layer.dtype.name)
        if lengths:
            problem = replace(problem, lengths=rng.integers(0, T + 1, B))  # 0 too, which PyTorch has not
        return problem if state else replace(problem, h_0=None, c_0=None)

    def expected(self, problem: Problem) -> Results:
        return run_naive(self.case, self.params, problem)

    def agree(self, found: Results, expected: Results) -> None:
        assert_agree(found, {name: expected[name] for name in found}, TOLERANCE[self.layer.dtype.name])

    def outputs(self, y: np.ndarray, state: Any) -> Results:
        return dict(zip(("y", "h_n", "c_n"), (y, *(state if self.case.is_lstm else (state,))), strict=False))

    def written(self, params: Results) -> None:
        """The parameters are these now, and no pass from before may go back."""
        self.params = params
        for one in self.passes:
            one.allowed = False


def there_and_back(subject: Subject, form: str, folder: str) -> Any:
    """The layer that comes back from the form of another library, or has gone to a formulation."""
    layer, cell = subject.layer, subject.case.cell
    nonlinearity = {"nonlinearity": cell.removeprefix("rnn_")} if cell.startswith("rnn") else {}
    ways: dict[str, Callable[[], Any]] = {
        "pytorch": lambda: weights.from_pytorch(weights.to_pytorch(layer), **nonlinearity),
        "keras": lambda: weights.from_keras(
            weights.to_keras(layer),
            bidirectional=subject.case.bidirectional,
            batch_first=False,
            activation=nonlinearity.get("nonlinearity", "tanh"),
        ),
        "tensorflow": lambda: weights.from_tensorflow(weights.to_tensorflow(layer)),
        "onnx": lambda: through_onnx(layer, Path(folder) / "layer.onnx"),
    }
    return ways.get(form, lambda: layer.to_formulation(form))()


def through_onnx(layer: Any, path: Path) -> Any:
    weights.to_onnx(layer, path)
    (found,) = weights.from_onnx(path).values()
    return found
