"""Weights of classes and of samples in the losses: against loops, differences, repeated samples and PyTorch."""

from __future__ import annotations

import json
import math
from typing import Any

import numba
import numpy as np
import pytest
from support.differences import slopes

from nblstm import class_weights, cross_entropy, mse_loss
from nblstm.losses.class_weights import as_class_weight

DTYPES = {"float32": 2e-6, "float64": 1e-14}
WEIGHT = np.array([0.5, 2.0, 0.0, 1.0, 3.0])
KINDS = ["weight", "sample_weight", "both"]
IGNORED = -100


def drawn(kind: str, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Logits, targets of which one is ignored, and weights, some of them 0."""
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 5, (6, 3))
    targets[1, 2] = IGNORED
    sample_weight = rng.integers(0, 4, (6, 3)).astype(float)
    both = {"weight": WEIGHT, "sample_weight": sample_weight}
    return (
        (3 * rng.standard_normal((6, 3, 5))).astype(dtype),
        targets,
        {name: value for name, value in both.items() if kind in (name, "both")},
    )


def in_loops(
    logits: np.ndarray, targets: np.ndarray, weight: Any = None, sample_weight: Any = None
) -> tuple[float, np.ndarray]:
    """The definition, row by row in float64."""
    gradient, loss, whole = np.zeros(logits.shape), 0.0, 0.0
    for at in np.ndindex(targets.shape):
        if targets[at] == IGNORED:
            continue
        share = (1.0 if weight is None else weight[targets[at]]) * (1.0 if sample_weight is None else sample_weight[at])
        p = np.exp(logits[at].astype(float) - logits[at].max())
        p /= p.sum()
        loss, whole = loss - share * math.log(p[targets[at]]), whole + share
        gradient[at] = share * (p - np.eye(5)[targets[at]])
    return loss / whole, gradient / whole


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_cross_entropy_is_the_weighted_mean(kind: str, dtype: str) -> None:
    logits, targets, weights = drawn(kind, dtype)
    loss, gradient = cross_entropy(logits, targets, IGNORED, **weights)
    expected, expected_gradient = in_loops(logits, targets, **weights)
    assert gradient.dtype == dtype
    assert loss == pytest.approx(expected, rel=DTYPES[dtype])
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=DTYPES[dtype])


@pytest.mark.parametrize("kind", KINDS)
def test_cross_entropy_gradient_by_finite_differences(kind: str) -> None:
    logits, targets, weights = drawn(kind)
    _, analytic = cross_entropy(logits, targets, IGNORED, **weights)
    numeric = slopes(lambda: cross_entropy(logits, targets, IGNORED, **weights)[0], logits)
    assert np.abs(analytic - numeric).max() <= 1e-8 * np.abs(analytic).max()


def test_a_weight_of_k_is_as_if_the_sample_were_there_k_times() -> None:
    logits, targets, weights = drawn("sample_weight")
    targets[targets == IGNORED] = 0
    times = weights["sample_weight"].astype(int).ravel()
    rows, labels = np.repeat(logits.reshape(-1, 5), times, axis=0), np.repeat(targets.ravel(), times)
    assert cross_entropy(logits, targets, **weights)[0] == pytest.approx(cross_entropy(rows, labels)[0], rel=1e-14)
    found, _ = mse_loss(logits, np.ones_like(logits), **weights)
    assert found == pytest.approx(mse_loss(rows, np.ones_like(rows))[0], rel=1e-14)


def test_weights_that_are_all_alike_change_no_bit() -> None:
    logits, targets, _ = drawn("both", "float32")
    loss, gradient = cross_entropy(logits, targets, IGNORED)
    for weights in ({"weight": [1] * 5}, {"sample_weight": np.full((6, 3), 1.0)}):
        found, found_gradient = cross_entropy(logits, targets, IGNORED, **weights)
        assert found == loss
        np.testing.assert_array_equal(found_gradient, gradient)


def test_what_weighs_nothing_is_not_read() -> None:
    logits, targets, weights = drawn("both")
    nothing = (targets == 2) | (weights["sample_weight"] == 0)
    expected, expected_gradient = cross_entropy(logits, targets, IGNORED, **weights)
    logits[nothing] = np.nan
    loss, gradient = cross_entropy(logits, targets, IGNORED, **weights)
    assert nothing.any()
    assert loss == expected
    np.testing.assert_array_equal(gradient, expected_gradient)
    difference = np.array([[1.0, 2.0], [np.nan, np.inf]])
    loss, gradient = mse_loss(difference, np.zeros((2, 2)), sample_weight=[2, 0])
    assert loss == 2.5
    np.testing.assert_array_equal(gradient, [[1, 2], [0, 0]])


def test_no_row_that_weighs_anything_is_the_mean_of_nothing() -> None:
    loss, gradient = cross_entropy(np.ones((3, 5)), np.full(3, 2), weight=WEIGHT)
    assert math.isnan(loss)
    assert not gradient.any()
    for loss, gradient in (
        cross_entropy(np.zeros((0, 5)), np.zeros(0, int), weight=WEIGHT, sample_weight=[]),
        mse_loss(np.zeros((0, 5)), np.zeros((0, 5)), sample_weight=[]),
        mse_loss(np.zeros((5, 0)), np.zeros((5, 0)), sample_weight=[1] * 5),
    ):
        assert math.isnan(loss)
        assert gradient.size == 0


def test_weighted_losses_are_bit_identical_for_any_number_of_threads() -> None:
    rng, results = np.random.default_rng(0), set()
    logits, targets, weight = rng.normal(size=(650, 43)), rng.integers(0, 43, 650), rng.random(43)
    before = numba.get_num_threads()
    try:
        for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            numba.set_num_threads(threads)
            loss, gradient = cross_entropy(logits, targets, weight=weight)
            results.add((loss.hex(), gradient.tobytes()))
    finally:
        numba.set_num_threads(before)
    assert len(results) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 3, 4)])
def test_mse_is_the_weighted_mean(shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(2)
    prediction, target = rng.standard_normal((2, *shape)).astype(dtype)
    weights = rng.random(shape[:-1] or shape)
    loss, gradient = mse_loss(prediction, target, sample_weight=weights)
    each = np.broadcast_to(weights if len(shape) == 1 else weights[..., None], shape)
    difference = prediction.astype(float) - target
    assert gradient.dtype == dtype
    assert loss == pytest.approx((each * difference**2).sum() / each.sum(), rel=DTYPES[dtype])
    np.testing.assert_allclose(gradient, 2 * each * difference / each.sum(), rtol=10 * DTYPES[dtype])


def test_mse_gradient_by_finite_differences() -> None:
    prediction, target = np.random.default_rng(3).standard_normal((2, 3, 4))
    weights = [0.5, 0.0, 3.0]
    _, analytic = mse_loss(prediction, target, sample_weight=weights)
    numeric = slopes(lambda: mse_loss(prediction, target, sample_weight=weights)[0], prediction)
    assert np.abs(analytic - numeric).max() <= 1e-9 * np.abs(analytic).max()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], r"must have shape \(3,\), got \(2,\)"),
        ([1, 2, -1], r"must be 0 or more and finite, got -1\.0 at \(2,\)"),
        ([1, np.nan, 1], r"must be 0 or more and finite, got nan at \(1,\)"),
        ([np.inf, 1, 1], r"must be 0 or more and finite, got inf at \(0,\)"),
        ([0, 0, 0], "must have a number above 0, got zeros alone"),
        ([True, False, True], "must be real numbers, got bool"),
        (["a", "b", "c"], "must be real numbers, got <U1"),
        ([[1], [2, 3]], "must be real numbers, got list"),
        ({0: 1.0}, "must be real numbers, got dict"),
        (np.ma.ones(3), "must be a plain array, got a masked array"),
    ],
)
def test_bad_weights_get_one_sentence(weights: Any, message: str) -> None:
    square = np.zeros((3, 3))
    for name, act in (
        ("weight", lambda: cross_entropy(square, np.arange(3), weight=weights)),
        ("sample_weight", lambda: cross_entropy(square, np.arange(3), sample_weight=weights)),
        ("sample_weight", lambda: mse_loss(square, square, sample_weight=weights)),
    ):
        with pytest.raises((ValueError, TypeError), match=f"^{name} {message}"):
            act()


def test_class_weights_are_scikit_learns() -> None:
    targets = np.array([0, 0, 0, 1, 3, 3])
    np.testing.assert_allclose(class_weights("balanced", targets), [6 / 9, 6 / 3, 1, 6 / 6])
    np.testing.assert_array_equal(class_weights({3: 2.5, 0: 1}, targets), [1, 1, 1, 2.5])
    np.testing.assert_array_equal(class_weights((1, 2, 3, 4), targets), [1, 2, 3, 4])
    learn = pytest.importorskip("sklearn.utils.class_weight", reason="needs scikit-learn: the extra `course`")
    for given in ("balanced", {3: 2.5, 0: 1, 1: 1}):
        expected = learn.compute_sample_weight(given, targets)
        np.testing.assert_allclose(class_weights(given, targets)[targets], expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("even", "class_weight must be 'balanced', a dict or an array, got 'even'"),
        ({2: 1.0}, r"class_weight must be of classes 0\.\.1, got one of 2"),
        ({0.5: 1.0}, "class_weight's classes must be an integer, got 0.5"),
        ({1: 0.0}, r"class_weight\[1\] must be above 0 and finite, got 0\.0"),
        ({1: "x"}, r"class_weight\[1\] must be a number, got 'x'"),
        ([1, 2, 3], r"class_weight must have shape \(2,\), got \(3,\)"),
        ([1, 0], r"class_weight must be above 0 and finite, got 0\.0 at \(1,\)"),
        ([[1, 2]], r"class_weight must have shape \(any,\), got \(1, 2\)"),
        (3.0, r"class_weight must have shape \(any,\), got \(\)"),
    ],
)
def test_bad_class_weights_get_one_sentence(given: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{message}"):
        class_weights(given, [0, 1, 1])


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], r"one or more classes in one row, got shape \(0,\)"),
        ([[0, 1]], r"one or more classes in one row, got shape \(1, 2\)"),
        ([1, -1], "0 or more, got -1"),
    ],
)
def test_targets_that_are_no_classes_are_refused(targets: list, message: str) -> None:
    with pytest.raises(ValueError, match=f"targets must be {message}"):
        class_weights("balanced", targets)


@pytest.mark.parametrize(
    ("classes", "given"), [(["a", "b"], {"b": 3.0}), ([False, True], {True: 3.0}), ([7, 9], {9: 3.0})]
)
def test_class_weights_go_by_labels(classes: list[Any], given: dict[Any, float]) -> None:
    for each in (given, json.loads(json.dumps(as_class_weight(given)))):
        assert class_weights(each, [0, 1, 0], classes).tolist() == [1.0, 3.0]
    assert class_weights(given, [0, 0], classes).tolist() == [1.0, 3.0], "of a class without targets"
    with pytest.raises(ValueError, match=f"class_weight must be of classes {classes[0]}, {classes[1]}, got one of x"):
        class_weights({"x": 2.0}, [0, 1], classes)
    with pytest.raises(ValueError, match="classes must be a list of 3 labels or more, got"):
        class_weights(given, [0, 2], classes)


@pytest.mark.parametrize("given", ["balanced", {0: 2.0, 3: 0.5}, [1, 2.5]])
def test_class_weights_come_back_from_json(given: Any) -> None:
    plain = as_class_weight(given)
    assert as_class_weight(json.loads(json.dumps(plain))) == plain


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_pytorch_agrees(kind: str, dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    logits, targets, weights = drawn(kind, dtype)
    z, labels = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(targets).reshape(-1)
    weight = torch.from_numpy(WEIGHT.astype(dtype)) if "weight" in weights else None
    if kind == "weight":
        expected = torch.nn.functional.cross_entropy(z.reshape(-1, 5), labels, weight)
    else:
        each = torch.nn.functional.cross_entropy(z.reshape(-1, 5), labels, weight, reduction="none")
        of_samples = torch.from_numpy(weights["sample_weight"].astype(dtype)).reshape(-1)
        of_classes = torch.ones(5, dtype=z.dtype) if weight is None else weight
        of_rows = torch.where(labels == IGNORED, 0, of_classes[labels.clamp(min=0)])
        expected = (of_samples * each).sum() / (of_samples * of_rows).sum()
    expected.backward()
    loss, gradient = cross_entropy(logits, targets, IGNORED, **weights)
    assert loss == pytest.approx(expected.item(), rel=DTYPES[dtype])
    np.testing.assert_allclose(gradient, z.grad.numpy(), rtol=0, atol=DTYPES[dtype])
