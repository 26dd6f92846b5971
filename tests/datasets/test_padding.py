"""`pad_sequences`, and what is said of data in other forms than arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.small_jobs import QUICK, sequences

from nblstm import LSTM, cross_entropy, pad_sequences
from nblstm.jobs import ClassificationJob


def test_sequences_are_padded_and_read_as_they_were(rng: np.random.Generator) -> None:
    ragged = [rng.normal(size=(count, 2)) for count in (3, 0, 5)]
    x, lengths = pad_sequences(ragged)
    assert (x.shape, x.dtype, lengths.tolist()) == ((5, 3, 2), np.dtype("float32"), [3, 0, 5])
    lstm = LSTM(2, 4, seed=0)
    y, _ = lstm(x, lengths=lengths)
    for n in (0, 2):
        np.testing.assert_array_equal(y[: lengths[n], n], lstm(ragged[n].astype("float32"))[0])
    assert (x[3:, 0] == 0).all()


@pytest.mark.parametrize("dtype", ["float16", "int64", "uint8", "bool", "float64"])
def test_numbers_of_any_type_and_lists_are_taken(dtype: str) -> None:
    x, lengths = pad_sequences([np.ones((2, 3), dtype), np.zeros((1, 3), dtype)], "float64")
    assert (x.dtype, x.sum(), lengths.tolist()) == (np.dtype("float64"), 6, [2, 1])
    assert pad_sequences([[1, 2], [], [3]])[0][:, :, 0].tolist() == [[1, 0, 3], [2, 0, 0]]


def test_what_is_no_list_of_sequences_is_refused() -> None:
    for given, message in (
        ([], "sequences must be a list of one or more arrays"),
        ("abc", "sequences must be a list"),
        ([["a"]], r"sequences\[0\] must be an array of numbers"),
        ([[1, 2], [[1, 2], [3]]], r"sequences\[1\] must be an array of numbers"),
        ([[1, 2], 3], r"sequences\[1\] must be \(steps, features\), got shape \(\)"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], r"sequences\[1\] must have 3 features, as sequences\[0\] has, got 4"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            pad_sequences(given)


def test_tokens_keep_their_type_and_labels_are_ignored_past_the_ends(rng: np.random.Generator) -> None:
    sentences, tags = [[3, 1, 2], [], [4, 0]], [np.array([1, 0, 1], "uint8"), np.array([], int), [0, 1]]
    x, lengths = pad_sequences(sentences, "int64")
    targets, same = pad_sequences(tags, np.int16, padding_value=-100)
    assert (x.dtype, x.T.tolist()) == (np.dtype("int64"), [[3, 1, 2], [0, 0, 0], [4, 0, 0]])
    assert (targets.dtype, targets.T.tolist()) == (np.dtype("int16"), [[1, 0, 1], [-100, -100, -100], [0, 1, -100]])
    assert lengths.tolist() == same.tolist() == [3, 0, 2]
    z = rng.normal(size=(3, 3, 2))
    alone = np.concatenate([z[:3, 0], z[:2, 2]])
    loss, dz = cross_entropy(z, targets, ignore_index=-100)
    assert loss == pytest.approx(cross_entropy(alone, np.array([1, 0, 1, 0, 1]))[0])
    assert not dz[2, 2].any()
    assert not dz[:, 1].any()


def test_what_is_not_finite_stays_and_integers_are_exact() -> None:
    x, _ = pad_sequences([[np.nan, np.inf, -3.4e38], [-(2**24), 2**24, True]])
    np.testing.assert_array_equal(x[:, 0, 0], np.array([np.nan, np.inf, -3.4e38], "float32"))
    assert x[:, 1, 0].tolist() == [-(2.0**24), 2.0**24, 1]


def test_vectors_are_padded_with_the_value_given() -> None:
    assert pad_sequences([[1, 2], [3]], padding_value=-0.5)[0][:, :, 0].tolist() == [[1, 3], [2, -0.5]]


@pytest.mark.parametrize(
    ("given", "dtype", "padding_value", "message"),
    [
        ([[1, 2], [0.5]], "int64", 0, r"sequences\[1\] must be an array of integers, got list of float64"),
        ([[True]], "int64", 0, r"sequences\[0\] must be an array of integers, got list of bool"),
        ([[1], [[1, 2]]], "int64", 0, r"sequences\[1\] must be \(steps,\), as dtype is int64, got shape \(1, 2\)"),
        ([[1, 300]], "uint8", 0, r"sequences\[0\] must lie in 0\.\.255, as dtype is uint8, got 1\.\.300"),
        ([[1, 2]], "uint8", 256, r"padding_value must lie in 0\.\.255, as dtype is uint8, got 256$"),
        ([[1, 2]], "uint8", -1, "padding_value must be at least 0, got -1"),
        ([[1, 2]], "int64", 0.5, "padding_value must be an integer, got 0.5"),
        ([[1, 2]], "float32", "0", "padding_value must be a number, got '0'"),
        ([[1], [2**24 + 1]], "float32", 0, r"sequences\[1\] must lie in -16777216\.\.16777216, as dtype is float32"),
        ([[np.inf], [1.0, 1e39]], "float32", 0, r"sequences\[1\] must lie in .* is float32, got 1\.0\.\.1e\+39"),
        ([[1.0]], "float32", 1e39, r"padding_value must lie in .*, as dtype is float32, got 1e\+39"),
        ([[1, 2]], "float16", 0, "dtype must be 'float32', 'float64' or a type of integers, got 'float16'"),
    ],
)
def test_what_a_dtype_cannot_hold_is_refused(given: Any, dtype: str, padding_value: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        pad_sequences(given, dtype, padding_value)


class Tensor:
    def detach(self) -> Tensor:
        return self


class Frame:
    def to_numpy(self, dtype: str) -> np.ndarray:
        return np.zeros((6, 20, 2), dtype)


@pytest.mark.parametrize(
    ("x", "line"),
    [
        ([np.zeros((3, 2)), np.zeros((4, 2))], r"nblstm\.pad_sequences\(training\.x\)"),
        ([[0.0], [1.0]], r"np\.asarray\(training\.x\)"),
        (Tensor(), r"training\.x\.detach\(\)\.numpy\(\)"),
        (Frame(), r"training\.x\.to_numpy\('float32'\)"),
        (np.zeros((6, 20, 2), "float16"), r"training\.x\.astype\('float32'\)"),
        (np.zeros((6, 20, 2), int), r"training\.x\.astype\('float32'\)"),
        (np.zeros((20, 6, 2), "float32"), r"training\.x\.transpose\(1, 0, 2\)"),
    ],
)
def test_data_in_other_forms_are_refused_with_the_line_that_converts(x: Any, line: str) -> None:
    good = sequences(ClassificationJob, 20, seed=0, unequal=False)
    with pytest.raises((TypeError, ValueError), match=line):
        ClassificationJob(QUICK, good._replace(x=x), good)
