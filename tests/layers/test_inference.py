"""Inference that is not one compiled call keeps its tape for the next; nobody sees that."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import nblstm
from nblstm.layers import passes
from nblstm.layers.tape import Tape


def drawn(T: int, B: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((T, B, 3), dtype="float32")


def bits(found: tuple) -> bytes:
    y, (h_n, c_n) = found
    return b"".join(each.tobytes() for each in (y, h_n, c_n))


def fresh(layer: nblstm.LSTM, *arguments) -> bytes:
    """Of a copy, which has no tape yet."""
    return bits(copy.deepcopy(layer)(*arguments))


def test_calls_of_other_shapes_states_lengths_and_weights_do_not_touch_each_other() -> None:
    layer = nblstm.LSTM(3, 5, 2, bidirectional=True, seed=0)
    state = [np.random.default_rng(n).standard_normal((4, 3, 5), dtype="float32") for n in range(2)]
    calls = [
        (drawn(7, 2),),
        (drawn(6, 3), tuple(state)),
        (drawn(6, 3),),
        (drawn(6, 3), None, [6, 0, 2]),
        (drawn(6, 3, 1),),
    ]
    expected = [fresh(layer, *call) for call in calls]
    first = layer(*calls[0])
    for call, wanted in zip(calls, expected, strict=True):
        assert bits(layer(*call)) == wanted
    assert bits(first) == expected[0], "the results are the caller's own"
    with layer.editing() as p:
        p.flat *= 2
    changed = fresh(layer, *calls[2])
    assert changed != expected[2]
    assert bits(layer(*calls[2])) == changed
    assert bits(pickle.loads(pickle.dumps(layer))(*calls[2])) == changed


def test_the_tape_is_made_once_and_does_not_hold_the_input(monkeypatch) -> None:
    layer, x = nblstm.LSTM(3, 5, bidirectional=True, seed=0), drawn(7, 2)
    made = []
    monkeypatch.setattr(passes, "Tape", lambda *a, **k: made.append(Tape(*a, **k)) or made[-1])
    for _ in range(3):
        layer(x)
    assert len(made) == 1
    assert made[0].inputs == []


def test_work_for_threads_keeps_its_tape_too_and_much_output_is_not_held(monkeypatch) -> None:
    layer, x = nblstm.LSTM(3, 5, 2, seed=0), drawn(7, 2)
    short = bits(layer(x))
    made = []
    monkeypatch.setattr(passes, "Tape", lambda *a, **k: made.append(Tape(*a, **k)) or made[-1])
    with nblstm.thread_policy(serial_below=0):
        assert [bits(layer(x)) for _ in range(3)] == [short] * 3
        assert len(made) == 1
        monkeypatch.setattr(passes, "KEPT", 7 * 2 * 5 - 1)
        for _ in range(3):
            assert bits(layer(x)) == short
    assert len(made) == 3, "the first of these found the tape of before, and let it go"


def test_threads_that_call_one_layer_do_not_share_a_tape() -> None:
    layer = nblstm.GRU(3, 5, bidirectional=True, seed=0)
    inputs = [drawn(20, 3, seed) for seed in range(8)]
    expected = [copy.deepcopy(layer)(x)[0].tobytes() for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: layer(inputs[n % 8])[0].tobytes(), range(200)))
    assert found == [expected[n % 8] for n in range(200)]
