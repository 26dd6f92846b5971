"""Bad input to the layers: one clear sentence that names the argument, what was expected and what came."""

from __future__ import annotations

import re

import numpy as np
import pytest

import nblstm

T, B, I, H = 5, 3, 2, 7
LSTM = nblstm.LSTM(I, H, 2, dtype="float64", seed=1)
RNN = nblstm.RNN(I, H, dtype="float64", seed=1)
FIRST = nblstm.LSTM(I, H, batch_first=True, dtype="float64", seed=1)
CELL = nblstm.LSTMCell(I, H, dtype="float64", seed=1)
RNN_CELL = nblstm.RNNCell(I, H, dtype="float64", seed=1)
LINEAR = nblstm.Linear(I, H, dtype="float64", seed=1)
EMBEDDING = nblstm.Embedding(4, H, dtype="float64", seed=1)
X, S = np.zeros((T, B, I)), np.zeros((2, B, H))
EDGE = np.zeros((1, B, H))


def tape_of(layer, *arguments):
    """The tape of a fresh forward."""
    return layer.forward(*arguments)[-1]


# What is done, the kind of error, and words of its message, in order.
LAYERS = {
    "x: a list": (lambda: LSTM(X.tolist()), TypeError, ["x must be a NumPy array", "list"]),
    "x: masked": (lambda: LSTM(np.ma.masked_array(X, X > 0)), TypeError, ["x must be", "masked"]),
    "x: integers": (lambda: LSTM(X.astype(int)), TypeError, ["x must be float64", "int64", "astype"]),
    "x: float32": (lambda: LSTM(X.astype("float32")), TypeError, ["x must be float64", "float32", "astype('float64')"]),
    "x: other byte order": (lambda: LSTM(X.astype(">f8")), TypeError, ["x must be float64", ">f8"]),
    "x: rank 1": (lambda: LSTM(X[0, 0]), ValueError, ["x must have 2 dimensions", "or 3", "got 1"]),
    "x: rank 4": (lambda: LSTM(X[None]), ValueError, ["x must have 2 dimensions", "got 4"]),
    "x: width": (lambda: LSTM(np.zeros((T, B, 9))), ValueError, ["x.shape[-1]", "input_size", "2", "9"]),
    "x: one feature": (
        lambda: nblstm.RNN(1, H, dtype="float64")(X[..., 0]),
        ValueError,
        ["1, got 3; ", "x[..., None]"],
    ),
    "x: no steps": (lambda: LSTM(X[:0]), ValueError, ["x", "one time step", "(0, 3, 2)"]),
    "x: no steps, batch first": (lambda: FIRST(np.zeros((B, 0, I))), ValueError, ["x", "one time step", "(3, 0, 2)"]),
    "forward, x: float32": (lambda: LSTM.forward(X.astype("float32")), TypeError, ["x must be float64", "float32"]),
    "state: bare": (lambda: LSTM(X, S), TypeError, ["state must be a pair (h, c)", "ndarray"]),
    "state: three": (lambda: LSTM(X, (S, S, S)), TypeError, ["state must be a pair (h, c)", "3"]),
    "state: hidden size": (lambda: LSTM(X, (S[..., 1:], S)), ValueError, ["state[0]", "(2, 3, 7)", "(2, 3, 6)"]),
    "state: layers": (lambda: LSTM(X, (S, S[:1])), ValueError, ["state[1]", "(2, 3, 7)", "(1, 3, 7)"]),
    "state: batch": (lambda: LSTM(X, (S[:, :2], S)), ValueError, ["state[0]", "(2, 3, 7)", "(2, 2, 7)"]),
    "state: rank": (lambda: LSTM(X, (S[:, 0], S)), ValueError, ["state[0]", "(2, 3, 7)", "(2, 7)"]),
    "state: dtype": (lambda: LSTM(X, (S, S.astype("float32"))), TypeError, ["state[1] must be float64", "float32"]),
    "state: unbatched": (lambda: LSTM(X[:, 0], (S, S)), ValueError, ["state[0]", "(2, 7)", "(2, 3, 7)"]),
    "state: RNN given a pair": (lambda: RNN(X, (EDGE, EDGE)), TypeError, ["state must be a NumPy array", "tuple"]),
    "state: RNN shape": (lambda: RNN(X, S), ValueError, ["state", "(1, 3, 7)", "(2, 3, 7)"]),
    "lengths: floats": (lambda: LSTM(X, None, [1.0, 2.0, 3.0]), TypeError, ["lengths must be integers", "float64"]),
    "lengths: booleans": (lambda: LSTM(X, None, [True] * B), TypeError, ["lengths must be integers", "bool"]),
    "lengths: below 0": (lambda: LSTM(X, None, [5, -1, 1]), ValueError, ["lengths must be in 0..5", "[1] = -1"]),
    "lengths: beyond": (lambda: LSTM(X, None, [5, 6, 1]), ValueError, ["lengths must be in 0..5", "lengths[1] = 6"]),
    "lengths: count": (lambda: LSTM(X, None, [5, 5]), ValueError, ["lengths must have shape (3,)", "(2,)"]),
    "lengths: a number": (lambda: LSTM(X, None, 5), ValueError, ["lengths must have shape (3,)", "()"]),
    "lengths: unbatched": (lambda: LSTM(X[:, 0], None, [5]), ValueError, ["lengths must be None", "without a batch"]),
    "tape: something else": (lambda: LSTM.forward(X, tape=3), TypeError, ["tape must be", "int"]),
    "tape: of a Linear": (lambda: LSTM.backward(X, tape_of(LINEAR, X)), ValueError, ["tape", "another layer"]),
    "dy: shape": (lambda: LSTM.backward(X, tape_of(LSTM, X)), ValueError, ["dy", "(5, 3, 7)", "(5, 3, 2)"]),
    "dy: layout": (
        lambda: FIRST.backward(np.zeros((T, B, H)), tape_of(FIRST, np.zeros((B, T, I)))),
        ValueError,
        ["dy", "(3, 5, 7)", "(5, 3, 7)"],
    ),
    "dy: dtype": (
        lambda: LSTM.backward(np.zeros((T, B, H), "float32"), tape_of(LSTM, X)),
        TypeError,
        ["dy must be float64", "float32"],
    ),
    "dstate: bare": (lambda: LSTM.backward(None, tape_of(LSTM, X), S), TypeError, ["dstate must be a pair", "ndarray"]),
    "dstate: shape": (
        lambda: LSTM.backward(None, tape_of(LSTM, X), (S, S[:1])),
        ValueError,
        ["dstate[1]", "(2, 3, 7)", "(1, 3, 7)"],
    ),
    "grads: another layer's": (
        lambda: LSTM.backward(None, tape_of(LSTM, X), grads=RNN.new_grads()),
        ValueError,
        ["grads", "new_grads()"],
    ),
    "formulation": (
        lambda: LSTM.to_formulation("joined"),
        ValueError,
        ["formulation", "'split' or 'concat'", "'joined'"],
    ),
    "cell x: rank": (lambda: CELL(X), ValueError, ["x must have shape (B, 2) or (2,)", "(5, 3, 2)"]),
    "cell x: dtype": (lambda: CELL(X[0].astype("float32")), TypeError, ["x must be float64", "float32"]),
    "cell state: bare": (lambda: CELL(X[0], S[0]), TypeError, ["state must be a pair (h, c)", "ndarray"]),
    "cell state: shape": (lambda: CELL(X[0], (S[0], S)), ValueError, ["state[1]", "(3, 7)", "(2, 3, 7)"]),
    "RNN cell state": (lambda: RNN_CELL(X[0], (S[0], S[0])), TypeError, ["state must be a NumPy array", "tuple"]),
    "linear x: width": (lambda: LINEAR(np.zeros((T, 9))), ValueError, ["x must have shape (..., 2)", "(5, 9)"]),
    "linear x: no axes": (lambda: LINEAR(np.zeros(())), ValueError, ["x must have shape (..., 2)", "()"]),
    "linear x: dtype": (lambda: LINEAR(X.astype("float32")), TypeError, ["x must be float64", "float32"]),
    "linear dy": (lambda: LINEAR.backward(X, tape_of(LINEAR, X)), ValueError, ["dy", "(5, 3, 7)", "(5, 3, 2)"]),
    "indices: floats": (lambda: EMBEDDING(X), TypeError, ["indices must be an integer array", "float64"]),
    "indices: a list": (lambda: EMBEDDING([1, 2]), TypeError, ["indices must be an integer array", "list"]),
    "indices: beyond": (lambda: EMBEDDING(np.array([0, 4])), ValueError, ["indices must be in 0..3", "4"]),
    "indices: negative": (lambda: EMBEDDING.forward(np.array([0, -1])), ValueError, ["indices must be in 0..3", "-1"]),
    "embedding dy": (
        lambda: EMBEDDING.backward(X, tape_of(EMBEDDING, np.array([1]))),
        ValueError,
        ["dy", "(1, 7)", "(5, 3, 2)"],
    ),
}
CONSTRUCTORS = {
    "input_size: 0": (lambda: nblstm.LSTM(0, 3), ValueError, ["input_size must be at least 1", "0"]),
    "hidden_size: negative": (lambda: nblstm.RNN(3, -1), ValueError, ["hidden_size must be at least 1", "-1"]),
    "hidden_size: a float": (lambda: nblstm.LSTMCell(3, 4.0), TypeError, ["hidden_size must be an integer", "4.0"]),
    "num_layers: 0": (lambda: nblstm.LSTM(3, 4, 0), ValueError, ["num_layers must be at least 1", "0"]),
    "num_layers: True": (lambda: nblstm.LSTM(3, 4, True), TypeError, ["num_layers must be an integer", "True"]),
    "dropout: 1": (lambda: nblstm.LSTM(3, 4, 2, dropout=1.0), ValueError, ["dropout must be in [0, 1)", "1.0"]),
    "dropout: text": (lambda: nblstm.LSTM(3, 4, 2, dropout="x"), TypeError, ["dropout must be a number", "'x'"]),
    "dtype: float16": (lambda: nblstm.RNN(3, 4, dtype="float16"), ValueError, ["dtype must be 'float32'", "float16"]),
    "dtype: nonsense": (lambda: nblstm.Linear(3, 4, dtype="real"), ValueError, ["dtype must be 'float32'", "real"]),
    "formulation": (lambda: nblstm.LSTM(3, 4, formulation="x"), ValueError, ["formulation must be 'split'", "'x'"]),
    "nonlinearity": (lambda: nblstm.RNN(3, 4, nonlinearity="x"), ValueError, ["nonlinearity must be 'tanh'", "'x'"]),
    "nonlinearity of a cell": (lambda: nblstm.RNNCell(3, 4, True, "x"), ValueError, ["nonlinearity must be", "'x'"]),
    "forget_bias, no bias": (
        lambda: nblstm.LSTM(3, 4, bias=False, forget_bias=1.0),
        ValueError,
        ["forget_bias=1.0", "bias=True", "bias=False"],
    ),
    "Linear: out_features": (lambda: nblstm.Linear(3, 0), ValueError, ["out_features must be at least 1", "0"]),
    "Embedding: num_embeddings": (lambda: nblstm.Embedding(0, 3), ValueError, ["num_embeddings must be at least 1"]),
}


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [*LAYERS.values(), *CONSTRUCTORS.values()],
    ids=[*LAYERS, *(f"new, {name}" for name in CONSTRUCTORS)],
)
def test_says_what_was_expected_and_what_came(act, error, words):
    with pytest.raises(error, match=re.compile(".*".join(map(re.escape, words)), re.DOTALL)) as caught:
        act()
    assert "\n" not in str(caught.value)


def test_a_state_dict_that_does_not_fit_is_listed_whole_and_changes_nothing():
    layer = nblstm.LSTM(I, H, dtype="float64", seed=1)
    before = layer.state_dict()
    wrong = layer.state_dict()
    del wrong["weight_ih_l0"], wrong["bias_hh_l0"]
    wrong |= {"weight_hh_l0": np.zeros((3, 3)), "extra": np.zeros(1), "bias_ih_l0": np.full(4 * H, 9.0)}
    with pytest.raises(ValueError, match="LSTM: the state dict does not fit") as caught:
        layer.load_state_dict(wrong)
    for words in (
        "missing: weight_ih_l0 (28, 2)",
        "missing: bias_hh_l0 (28,)",
        "unexpected: extra",
        "weight_hh_l0: expected shape (28, 7), got (3, 3)",
    ):
        assert words in str(caught.value)
    assert all(np.array_equal(layer.params[name], tensor) for name, tensor in before.items())


def test_a_state_dict_of_another_dtype_is_refused():
    half = {name: tensor.astype("float32") for name, tensor in LSTM.params.items()}
    with pytest.raises(TypeError, match=re.escape("weight_ih_l0 is float32")):
        LSTM.load_state_dict(half)


def test_an_error_leaves_the_tape_good():
    """A refused argument is as if the call had not been made."""
    for bad in (
        lambda tape: LSTM.forward(X[:, 0], (S, S), tape=tape),
        lambda tape: LSTM.forward(X, None, [9] * B, tape=tape),
        lambda tape: LSTM.backward(X, tape),
        lambda tape: LSTM.backward(None, tape, (S[:1], None)),
        lambda tape: LSTM.backward(None, tape, grads=RNN.new_grads()),
    ):
        tape = tape_of(LSTM, X)
        with pytest.raises(ValueError, match="must"):
            bad(tape)
        dx, _ = LSTM.backward(np.zeros((T, B, H)), tape, grads=LSTM.new_grads())
        assert dx.shape == X.shape
