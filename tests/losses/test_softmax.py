"""`softmax` and `log_softmax`: shares of 1 for numbers of any size, as PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nblstm import log_softmax, softmax


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_they_are_what_the_formula_says(rng: np.random.Generator, axis: int, dtype: str) -> None:
    x = rng.normal(size=(3, 4, 5)).astype(dtype)
    shares = np.exp(x.astype("float64"))
    shares /= shares.sum(axis=axis, keepdims=True)
    tolerance = 4 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(softmax(x, axis), shares, rtol=tolerance)
    np.testing.assert_allclose(log_softmax(x, axis), np.log(shares), rtol=tolerance, atol=tolerance)
    assert softmax(x, axis).dtype == log_softmax(x, axis).dtype == dtype


def test_numbers_of_any_size() -> None:
    np.testing.assert_array_equal(softmax(np.array([1e308, -1e308, -np.inf])), [1, 0, 0])
    np.testing.assert_array_equal(log_softmax(np.array([0.0, -1e300, -np.inf])), [0, -1e300, -np.inf])
    for x in (np.array([np.nan, 0]), np.array([np.inf, 0]), np.array([-np.inf, -np.inf])):
        assert np.isnan(softmax(x)).any()
        assert np.isnan(log_softmax(x)).any()
    assert softmax(np.zeros((0, 3))).shape == (0, 3)
    assert log_softmax(np.zeros((3, 0))).shape == (3, 0)


@pytest.mark.peers
def test_they_are_those_of_pytorch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    x = rng.normal(scale=20, size=(6, 7))
    for axis in (0, 1):
        np.testing.assert_allclose(softmax(x, axis), torch.softmax(torch.from_numpy(x), axis).numpy(), rtol=1e-13)
        found = torch.log_softmax(torch.from_numpy(x), axis).numpy()
        np.testing.assert_allclose(log_softmax(x, axis), found, rtol=1e-13)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros(3, int),), TypeError, "x must be float32, got int64"),
        (([1.0, 2.0],), TypeError, "x must be a NumPy array, got list"),
        ((np.array(1.0),), ValueError, "x must have at least one dimension"),
        ((np.zeros((2, 3)), 2), ValueError, r"axis must be below 2 for x of shape \(2, 3\), got 2"),
        ((np.zeros((2, 3)), -3), ValueError, "axis must be at least -2, got -3"),
    ],
)
def test_what_is_refused(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    for function in (softmax, log_softmax):
        with pytest.raises(error, match=message):
            function(*arguments)
