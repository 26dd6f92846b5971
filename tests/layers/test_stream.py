"""Streams: one step after the other gives what the whole sequence gives, to the last bit."""

from __future__ import annotations

import copy
import pickle
import tracemalloc

import naive
import numpy as np
import pytest
from support.cases import BOTH, Case, grid

import nblstm
from nblstm.layers.checks import join_state

FORMULATIONS = ("split", "concat")
CASES = grid(
    cell=naive.KNOWN, formulation=FORMULATIONS, num_layers=(1, 3), bias=BOTH, sizes=[(6, 1, 3, 13), (3, 1, 20, 130)]
)
DTYPES = ("float32", "float64")
CELLS = {
    "LSTM": nblstm.LSTMCell(3, 13, seed=1),
    "peephole": nblstm.LSTMCell(3, 13, peephole=True, formulation="concat", dtype="float64", seed=1),
    "GRU": nblstm.GRUCell(3, 13, seed=1),
    "original GRU": nblstm.GRUCell(3, 13, reset_after=False, dtype="float64", seed=1),
    "RNN": nblstm.RNNCell(3, 13, nonlinearity="relu", seed=1),
}
LSTM = nblstm.LSTM(2, 7, 2, dtype="float64", seed=1)
X, S = np.zeros(2), np.zeros((2, 7))


def normal_state(case: Case, rng: np.random.Generator, dtype: str):
    """An initial state without a batch, of normal numbers."""
    shape = (1 + case.is_lstm, case.num_layers, case.sizes[-1])
    return join_state(list(rng.standard_normal(shape).astype(dtype)))


def same(found, expected) -> bool:
    """Whether two states have the same form and the same bits."""
    assert type(found) is type(expected)
    return np.shape(found) == np.shape(expected) and np.array_equal(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_the_whole_sequence_step_by_step(case: Case, dtype: str, rng: np.random.Generator) -> None:
    """From a state given; and a second stream goes on where the first one's state was taken."""
    layer, state = case.layer(dtype), normal_state(case, rng, dtype)
    x = rng.standard_normal((case.sizes[0], case.sizes[2])).astype(dtype)
    y, last = layer(x, state)
    stream = layer.stream(state)
    assert same(stream.state, state)
    rows = [stream(row) for row in x[:2]]
    second = layer.stream(stream.state)
    assert np.array_equal([*rows, *(stream(row) for row in x[2:])], y)
    assert np.array_equal([second(row) for row in x[2:]], y[2:])
    assert same(stream.state, last)
    assert same(second.state, last)
    assert y.dtype == rows[0].dtype == dtype


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_it_is_the_cell_called_again_and_again(cell, rng: np.random.Generator) -> None:
    state, stream = None, cell.stream()
    for x in rng.standard_normal((5, 3)).astype(cell.dtype):
        state = cell(x, state)
        h = stream(x)
        assert np.array_equal(h, state[0] if len(cell.cell.states) > 1 else state)
        assert same(stream.state, state)
    assert same(cell.stream(state).state, state)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES[::3], ids=str)
def test_blocks_are_the_steps_one_by_one(case: Case, dtype: str, rng: np.random.Generator) -> None:
    """Blocks of any length, none of them among these, into an array of the caller's and into fresh ones."""
    layer, state = case.layer(dtype), normal_state(case, rng, dtype)
    x = rng.standard_normal((9, case.sizes[2])).astype(dtype)
    one_by_one, blocks = layer.stream(state), layer.stream(state)
    expected = np.array([one_by_one(row) for row in x])
    out = np.full((10, case.sizes[3]), 7, dtype)
    assert blocks.process(x[:4], out[:4]).base is out
    assert np.array_equal(blocks.process(x[4:4]), np.empty((0, case.sizes[3])))
    assert np.array_equal(blocks(x[4]), expected[4])
    assert np.array_equal(blocks.process(x[5:]), expected[5:])
    assert np.array_equal(out[:4], expected[:4])
    assert np.all(out[4:] == 7), "it wrote past its end"
    assert same(blocks.state, one_by_one.state)


def test_a_block_may_lie_in_memory_as_it_likes_also_where_the_result_goes(rng: np.random.Generator) -> None:
    layer = nblstm.LSTM(7, 7, 2, dtype="float64", seed=1)
    x = rng.standard_normal((5, 7))
    expected = layer(x)[0]
    memory = np.zeros((6, 7))
    for place, target in ((memory[:5], memory[:5]), (memory[1:], memory[:5]), (memory[:5], memory[1:])):
        place[...] = x
        assert np.array_equal(layer.stream().process(place, target), expected)
    kept = x.copy()
    for form in (np.asfortranarray, misaligned, read_only, lambda x: np.repeat(x, 2, axis=0)[::2]):
        assert np.array_equal(layer.stream().process(form(x.copy())), expected)
    assert np.array_equal(x, kept)


def test_a_block_goes_by_parameters_edited_since(rng: np.random.Generator) -> None:
    layer, x = nblstm.GRU(3, 13, seed=1), rng.standard_normal((4, 3)).astype("float32")
    stream = layer.stream()
    stream.process(x[:2])
    state = stream.state
    with layer.editing() as p:
        p.flat[:] *= 2
    assert np.array_equal(stream.process(x[2:]), layer(x[2:], state)[0])


def test_a_block_into_an_array_of_the_callers_allocates_none() -> None:
    """What is counted is what Python and NumPy take: a few views, where the block's own numbers take 28,672 bytes."""
    stream, x, out = LSTM.stream(), np.zeros((512, 2)), np.zeros((512, 7))
    stream.process(x, out)
    tracemalloc.start()
    try:
        stream.process(x, out)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 8000


def test_one_of_a_pair_may_be_none() -> None:
    h, c = LSTM.stream((None, S + 1)).state
    assert not h.any()
    assert np.all(c == 1)


def test_what_it_returns_and_what_it_is_given_stay_as_they_are(rng: np.random.Generator) -> None:
    state, x = (S + 0.5, S - 0.5), rng.standard_normal((3, 2))
    stream = LSTM.stream(state)
    first, between = stream(x[0]), stream.state
    kept = first.copy(), copy.deepcopy(between)
    first_again = LSTM.stream(state)(x[0])
    stream(x[1])
    assert np.array_equal(first, kept[0])
    assert same(between, kept[1])
    assert np.array_equal(first_again, first)
    between[0][...] = first[...] = 9
    assert np.array_equal(stream(x[2]), LSTM(x, state)[0][2])


def test_edited_parameters_are_seen_by_the_next_step(rng: np.random.Generator) -> None:
    layer, x = nblstm.LSTM(3, 13, 2, peephole=True, seed=1), rng.standard_normal((2, 3)).astype("float32")
    stream = layer.stream()
    stream(x[0])
    state = stream.state
    with layer.editing() as p:
        p.flat[:] *= 2
    y, last = layer(x[1:], state)
    assert np.array_equal(stream(x[1]), y[0])
    assert same(stream.state, last)


def test_streams_of_one_layer_are_independent(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 2, 2))
    streams = [LSTM.stream(), LSTM.stream()]
    found = [[stream(row) for stream, row in zip(streams, rows, strict=True)] for rows in x]
    assert np.array_equal(found, LSTM(x)[0])


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))])
def test_a_copy_goes_its_own_way_from_the_same_state(duplicate, rng: np.random.Generator) -> None:
    x, stream = rng.standard_normal((3, 2)), LSTM.stream()
    stream(x[0])
    other = duplicate(stream)
    other(-x[1])
    assert np.array_equal([stream(x[1]), stream(x[2])], LSTM(x)[0][1:])


def misaligned(x: np.ndarray) -> np.ndarray:
    """The same numbers, one byte further on than they should lie."""
    memory = np.zeros(x.nbytes + 1, "u1")
    memory[1:] = np.frombuffer(x.tobytes(), "u1")
    return memory[1:].view(x.dtype).reshape(x.shape)


def read_only(x: np.ndarray) -> np.ndarray:
    """The same array, write-protected."""
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    "form",
    [lambda x: np.repeat(x, 3)[::3], lambda x: x[::-1].copy()[::-1], misaligned, read_only,
     lambda x: x.view(np.recarray)],
    ids=["strided", "backwards", "misaligned", "read-only", "a subclass"],
)  # fmt: skip
def test_x_may_lie_in_memory_as_it_likes(form, rng: np.random.Generator) -> None:
    x = rng.standard_normal(2)
    assert np.array_equal(LSTM.stream()(form(x.copy())), LSTM.stream()(x))


ERRORS = {
    "x: a list": (lambda stream: stream([0.0, 0.0]), TypeError, "x must be a NumPy array, got list"),
    "x: dtype": (lambda stream: stream(X.astype("float32")), TypeError, "x must be float64, got float32"),
    "x: byte order": (lambda stream: stream(X.astype(">f8")), TypeError, "x must be float64, got >f8"),
    "x: masked": (lambda stream: stream(np.ma.masked_array(X)), TypeError, "x must be a plain array"),
    "x: a batch": (lambda stream: stream(X[None]), ValueError, "x must have shape (2"),
    "x: width": (lambda stream: stream(np.zeros(3)), ValueError, "x must have shape (2"),
    "block: one step": (lambda stream: stream.process(X), ValueError, "x must have shape (any, 2), got (2,)"),
    "block: width": (lambda stream: stream.process(np.zeros((4, 3))), ValueError, "x must have shape (any, 2)"),
    "block: dtype": (lambda stream: stream.process(np.zeros((4, 2), "f4")), TypeError, "x must be float64"),
    "out: length": (lambda stream: stream.process(X[None], S), ValueError, "out must have shape (1, 7), got (2, 7)"),
    "out: dtype": (lambda stream: stream.process(X[None], S[:1].astype("f4")), TypeError, "out must be float64"),
    "out: order": (lambda stream: stream.process(np.zeros((2, 2)), S.copy("F")), ValueError, "out must be an array"),
    "out: read-only": (lambda stream: stream.process(X[None], read_only(S[:1].copy())), ValueError, "be written to"),
    "state: bare": (lambda _: LSTM.stream(S), TypeError, "state must be a pair (h, c)"),
    "state: dtype": (lambda _: LSTM.stream((S.astype("f4"), S)), TypeError, "state[0] must be float64, got float32"),
    "state: a batch": (lambda _: LSTM.stream((S, S[:, None])), ValueError, "state[1] must have shape (2, 7)"),
    "state: a cell's": (lambda _: CELLS["RNN"].stream(np.zeros((1, 13), "f4")), ValueError, "must have shape (13"),
    "both directions": (
        lambda _: nblstm.LSTM(2, 7, bidirectional=True).stream(), ValueError,
        "LSTM(2, 7, bidirectional=True) cannot stream: its reverse direction begins at the end of the sequence",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "words"), ERRORS.values(), ids=ERRORS)
def test_bad_input_gives_one_clear_sentence_and_leaves_the_state(call, kind, words: str) -> None:
    stream = LSTM.stream((S + 0.5, S - 0.5))
    with pytest.raises(kind) as error:
        call(stream)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert same(stream.state, (S + 0.5, S - 0.5))
