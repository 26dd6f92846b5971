"""Memory runs out at any array that is made: the error comes, and then all works as before for sizes that fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import nblstm
from nblstm.training import BatchTrainer, TextTrainer

SMALL, LARGE = (2, 1), (6, 3)
MAKERS: dict[str, Callable[[], Any]] = {
    "LSTM": lambda: nblstm.LSTM(3, 5, 2, dropout=0.5, seed=0),
    "LSTM in two directions": lambda: nblstm.LSTM(3, 5, 2, bidirectional=True, seed=0),
    "LSTM with checkpoint": lambda: nblstm.LSTM(3, 5, 2, peephole=True, checkpoint=2, seed=0),
    "RNN": lambda: nblstm.RNN(3, 5, batch_first=True, seed=0),
    "LSTMCell": lambda: nblstm.LSTMCell(3, 5, seed=0),
    "Linear": lambda: nblstm.Linear(3, 5, seed=0),
    "Embedding": lambda: nblstm.Embedding(7, 5, seed=0),
    "CharLM": lambda: nblstm.CharLM("abcdefg", 4, 5, 1, seed=0),
    "SequenceClassifier": lambda: nblstm.SequenceClassifier(3, 5, 1, 4, seed=0),
}


@contextmanager
def memory_for(arrays: int) -> Iterator[None]:
    """Room for so many arrays more; the functions that make arrays then raise MemoryError."""
    left = arrays

    def limited(make: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def made(*arguments: Any, **options: Any) -> np.ndarray:
            nonlocal left
            if left == 0:
                raise MemoryError
            left -= 1
            return make(*arguments, **options)

        return made

    with pytest.MonkeyPatch.context() as patch:
        for name in ("empty", "zeros", "ones", "arange", "array", "ascontiguousarray", "zeros_like", "concatenate"):
            patch.setattr(np, name, limited(getattr(np, name)))
        yield


def input_for(thing: Any, T: int, B: int) -> np.ndarray:
    rng = np.random.default_rng(T)
    if hasattr(thing, "vocabulary") or isinstance(thing, nblstm.Embedding):
        return rng.integers(0, 7, (T, B))
    return rng.standard_normal((T * B, 3) if isinstance(thing, nblstm.LSTMCell) else (T, B, 3)).astype("float32")


def outcome(thing: Any, x: np.ndarray, tape: Any) -> list[bytes]:
    """What it gives, called and in training on the tape, and the gradients."""
    layers = thing.layers if hasattr(thing, "layers") else [thing]
    for layer in layers:
        layer.zero_grad()
        if hasattr(layer, "set_dropout_state"):
            layer.set_dropout_state(np.random.default_rng(0).bit_generator.state)
    called = thing(x)
    y, *_, tape = thing.forward(x, tape=tape)
    y = y if isinstance(y, np.ndarray) else y[0]
    found = [(called if isinstance(called, np.ndarray) else called[0]).tobytes(), y.tobytes()]
    thing.backward((y, None) if isinstance(thing, nblstm.LSTMCell) else y, tape)
    return [*found, *(layer.flat_grads.tobytes() for layer in layers)]


@pytest.mark.parametrize("name", MAKERS)
def test_a_tape_for_which_there_is_no_memory_is_as_good_as_before(name):
    """In forward and in backward, at every array; and once there is memory, larger sizes work too."""
    thing = MAKERS[name]()
    small, large = input_for(thing, *SMALL), input_for(thing, *LARGE)
    *_, tape = thing.forward(small)
    expected_small, expected_large = outcome(thing, small, None), outcome(thing, large, None)
    failures = 0
    while True:
        assert outcome(thing, small, tape) == expected_small
        try:
            with memory_for(failures):
                outcome(thing, large, tape)
        except MemoryError:
            failures += 1
        else:
            break
    assert failures > 2
    assert outcome(thing, large, tape) == expected_large


@pytest.mark.parametrize("name", [name for name in MAKERS if not hasattr(MAKERS[name](), "layers")])
def test_a_backward_for_which_there_was_no_memory_may_run_again(name):
    layer = MAKERS[name]()
    x = input_for(layer, *LARGE)
    expected, failures = outcome(layer, x, None), 0
    while True:
        layer.zero_grad()
        if hasattr(layer, "set_dropout_state"):
            layer.set_dropout_state(np.random.default_rng(0).bit_generator.state)
        y, *_, tape = layer.forward(x)
        dy = np.asfortranarray(y) if isinstance(y, np.ndarray) else (y[0], None)  # Embedding copies it
        try:
            with memory_for(failures):
                layer.backward(dy, tape)
        except MemoryError:
            layer.backward(dy, tape)
            failures += 1
        else:
            break
        assert layer.flat_grads.tobytes() == expected[-1]
    assert failures > 0
    assert layer.flat_grads.tobytes() == expected[-1]


def test_a_stream_steps_on_after_a_step_without_memory(rng):
    layer, x = nblstm.LSTM(3, 5, seed=0), rng.standard_normal((20, 3)).astype("float32")
    stream, expected, failures = layer.stream(), layer.stream(), 0
    for row in x[:, ::-1]:
        with layer.editing() as p:
            p.flat[:] *= 0.99  # so that it has weights to pack
        try:
            with memory_for(failures):
                h = stream(row)
        except MemoryError:
            failures += 1
            h = stream(row)
        assert np.array_equal(h, expected(row))
    assert failures > 3


@pytest.mark.parametrize("kind", [TextTrainer, BatchTrainer])
def test_a_trainer_steps_on_after_a_step_without_memory(kind):
    def trainer() -> TextTrainer | BatchTrainer:
        if kind is TextTrainer:
            model = nblstm.CharLM("abc", 4, 5, 1, seed=0)
            return TextTrainer(model, nblstm.Adam(model.layers), np.arange(60).reshape(20, 3) % 3, window=5)
        model = nblstm.SequenceClassifier(3, 5, 1, 4, seed=0)
        x = np.random.default_rng(0).standard_normal((4, 10, 3), dtype="float32")
        return BatchTrainer(model, nblstm.Adam(model.layers), x, np.arange(10) % 4, batch_size=5)

    expected = trainer()
    expected.step()
    state = expected.model.state_dict()
    failures = 0
    while True:
        hurt = trainer()
        try:
            with memory_for(failures):
                hurt.step()
            break
        except MemoryError:
            failures += 1
        hurt.step()
        assert all(np.array_equal(tensor, state[name]) for name, tensor in hurt.model.state_dict().items())
    assert failures > 10
