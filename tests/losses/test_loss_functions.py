"""Losses: against a NumPy twin, finite differences and PyTorch; extreme logits, strides, threads and bad input."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator

import numba
import numpy as np
import pytest
from support.differences import slopes

from nblstm.losses.loss_functions import cross_entropy, mse_loss

DTYPES = ("float32", "float64")
EPS = {"float32": 2e-6, "float64": 1e-14}


@pytest.fixture(autouse=True)
def _same_threads_afterwards() -> Iterator[None]:
    threads = numba.get_num_threads()
    yield
    numba.set_num_threads(threads)


def naive_cross_entropy(logits: np.ndarray, targets: np.ndarray, ignore_index: int | None) -> tuple[float, np.ndarray]:
    """The definition, row by row in float64."""
    gradient, losses = np.zeros(logits.shape), []
    for position in np.ndindex(targets.shape):
        if targets[position] == ignore_index:
            continue
        row = logits[position].astype(np.float64)
        log_p = row - row.max() - math.log(np.exp(row - row.max()).sum())
        losses.append(-log_p[targets[position]])
        gradient[position] = np.exp(log_p)
        gradient[position][targets[position]] -= 1
    return float(np.mean(losses)), gradient / len(losses)


def draw(shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (3 * rng.standard_normal(shape)).astype(dtype), rng.integers(0, shape[-1], shape[:-1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 100])
def test_cross_entropy_against_the_definition(size: int, dtype: str) -> None:
    logits, targets = draw((5, 3, size), dtype, seed=size)
    before = logits.copy()
    loss, gradient = cross_entropy(logits, targets)
    expected_loss, expected = naive_cross_entropy(logits, targets, None)
    assert isinstance(loss, float)
    assert gradient.dtype == dtype
    assert loss == pytest.approx(expected_loss, rel=EPS[dtype], abs=EPS[dtype])
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=EPS[dtype] / targets.size)
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize("shape", [(4,), (6, 4), (2, 3, 4), (2, 1, 3, 2, 4)])
def test_any_number_of_leading_axes(shape: tuple[int, ...]) -> None:
    logits, targets = draw(shape)
    loss, gradient = cross_entropy(logits, targets)
    expected_loss, expected = naive_cross_entropy(logits, targets, None)
    assert loss == pytest.approx(expected_loss, rel=1e-14)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("ignore_index", [None, 2, -100])
def test_cross_entropy_gradient_by_finite_differences(ignore_index: int | None) -> None:
    logits, targets = draw((3, 2, 5))
    if ignore_index is not None:
        targets[1, 0] = ignore_index
    _, analytic = cross_entropy(logits, targets, ignore_index)
    numeric = slopes(lambda: cross_entropy(logits, targets, ignore_index)[0], logits)
    assert np.abs(analytic - numeric).max() <= 1e-8 * np.abs(analytic).max()


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_logits_are_safe(dtype: str) -> None:
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4], [-1e4, 1e4, 1e4]], dtype)
    loss, gradient = cross_entropy(logits, np.array([0, 1, 2, 0]))
    assert loss == pytest.approx((0 + math.log(3) + math.log(3) + 2e4 + math.log(2)) / 4, rel=1e-6)
    third = 1 / 12
    expected = np.array([[0, 0, 0], [third, -2 * third, third], [third, third, -2 * third], [-0.25, 0.125, 0.125]])
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("size", [3, 40])
def test_infinite_and_missing_logits(size: int) -> None:
    logits, targets = np.zeros((2, size)), np.array([1, 2])
    logits[:, 0] = -np.inf  # a masked column has no weight
    loss, gradient = cross_entropy(logits, targets)
    assert loss == pytest.approx(math.log(size - 1), rel=1e-14)
    assert (gradient[:, 0] == 0).all()
    assert cross_entropy(logits, np.array([0, 1]))[0] == np.inf
    for column in (0, size - 1):
        for poison in (np.nan, np.inf):
            poisoned = np.zeros((2, size))
            poisoned[1, column] = poison
            loss, gradient = cross_entropy(poisoned, targets)
            assert math.isnan(loss)
            assert np.isnan(gradient[1]).all()
            assert np.isfinite(gradient[0]).all()


def test_ignored_rows_are_not_read_and_count_for_nothing() -> None:
    logits, targets = draw((4, 3, 20), "float32")
    targets[0, 1] = targets[3, 2] = -100
    expected_loss, expected = naive_cross_entropy(logits, targets, -100)
    logits[targets == -100] = np.nan
    loss, gradient = cross_entropy(logits, targets, ignore_index=-100, out=np.full_like(logits, 7))
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-7)
    assert (gradient[targets == -100] == 0).all()


def test_no_row_that_counts() -> None:
    logits, targets = np.full((2, 3), np.nan), np.array([1, 1])
    loss, gradient = cross_entropy(logits, targets, ignore_index=1, out=np.ones((2, 3)))
    assert math.isnan(loss)
    assert (gradient == 0).all()
    loss, gradient = cross_entropy(np.zeros((0, 3)), np.zeros(0, int))
    assert math.isnan(loss)
    assert gradient.shape == (0, 3)


def strided_forms(logits: np.ndarray) -> dict[str, np.ndarray]:
    """The same numbers at other places: (T, B, V) in memory laid out in other ways."""
    steps, batch, size = logits.shape
    padded = np.full((steps, batch, size + 5), np.nan, logits.dtype)
    padded[..., :size] = logits
    read_only = logits.copy()
    read_only.flags.writeable = False
    wide = np.full((steps, batch, 2 * size), np.nan, logits.dtype)
    wide[..., ::2] = logits
    return {
        "padded rows": padded[..., :size],
        "batch first": np.ascontiguousarray(logits.swapaxes(0, 1)).swapaxes(0, 1),
        "backwards": np.ascontiguousarray(logits[::-1, ::-1])[::-1, ::-1],
        "read-only": read_only,
        "last axis not dense": wide[..., ::2],
        "last axis backwards": np.ascontiguousarray(logits[..., ::-1])[..., ::-1],
        "fortran": np.asfortranarray(logits),
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_strides_change_nothing(dtype: str) -> None:
    logits, targets = draw((4, 3, 21), dtype)
    loss, gradient = cross_entropy(logits, targets)
    for form in strided_forms(logits).values():
        found, found_gradient = cross_entropy(form, targets)
        assert found == loss
        np.testing.assert_array_equal(found_gradient, gradient)


def test_one_row_for_all() -> None:
    row, targets = draw((7,))[0], np.array([1, 5, 6])
    loss, gradient = cross_entropy(np.broadcast_to(row, (3, 7)), targets)
    expected_loss, expected = cross_entropy(np.tile(row, (3, 1)), targets)
    assert loss == expected_loss
    np.testing.assert_array_equal(gradient, expected)


def test_the_gradient_goes_where_out_says() -> None:
    logits, targets = draw((4, 3, 21), "float32")
    loss, gradient = cross_entropy(logits, targets)
    padded = np.full((4, 3, 32), 7, np.float32)
    batch_first = np.empty((3, 4, 21), np.float32).swapaxes(0, 1)
    for out in (padded[..., :21], batch_first, logits.copy()):
        found, found_gradient = cross_entropy(logits, targets, out=out)
        assert found_gradient is out
        assert found == loss
        np.testing.assert_array_equal(out, gradient)
    assert (padded[..., 21:] == 7).all()
    in_place = logits.copy()
    assert cross_entropy(in_place, targets, out=in_place)[0] == loss
    np.testing.assert_array_equal(in_place, gradient)


def test_padded_rows_are_not_copied() -> None:
    logits = np.zeros((100, 32, 112), np.float32)[..., :100]
    targets = np.zeros((100, 32), np.int64)
    out = np.empty_like(logits)
    cross_entropy(logits, targets, out=out)
    tracemalloc.start()
    cross_entropy(logits, targets, out=out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < logits.size * logits.itemsize / 4


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "uint64", "list"])
def test_targets_of_any_integer_type(kind: str) -> None:
    logits, targets = draw((4, 3, 21))
    other = targets.tolist() if kind == "list" else targets.astype(kind)
    assert cross_entropy(logits, other)[0] == cross_entropy(logits, targets)[0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_bit_identical_for_any_number_of_threads(dtype: str) -> None:
    logits, targets = draw((50, 13, 43), dtype)
    targets[::7, 3] = -1
    results = []
    for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(threads)
        loss, gradient = cross_entropy(logits, targets, ignore_index=-1)
        results.append((loss.hex(), gradient.tobytes()))
    assert len(set(results)) == 1


def test_bad_logits() -> None:
    targets = np.array([0, 1])
    with pytest.raises(TypeError, match=r"logits must be float32, got int64; convert with logits\.astype"):
        cross_entropy(np.zeros((2, 3), int), targets)
    with pytest.raises(TypeError, match="logits must be a NumPy array, got list"):
        cross_entropy([[0.0, 1.0], [0.0, 1.0]], targets)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="logits must be a plain array, got a masked array"):
        cross_entropy(np.ma.zeros((2, 3)), targets)
    for shape in ((), (2, 0)):
        with pytest.raises(ValueError, match=r"logits must have shape \(\.\.\., V\) with V at least 1, got"):
            cross_entropy(np.zeros(shape), np.zeros(shape[:-1], int))


def test_bad_targets() -> None:
    logits = np.zeros((2, 3, 5))
    with pytest.raises(ValueError, match=r"targets must lie in 0\.\.4, as logits has 5 columns, got 5 at \(1, 2\)"):
        cross_entropy(logits, np.array([[0, 1, 2], [3, 4, 5]]))
    with pytest.raises(ValueError, match=r"got -1 at \(0, 1\)"):
        cross_entropy(logits, np.array([[0, -1, 2], [3, 4, 9]]), ignore_index=-100)
    with pytest.raises(ValueError, match=r"targets must be below 2\^63, got 18446744073709551615"):
        cross_entropy(logits, np.full((2, 3), 2**64 - 1, np.uint64))
    with pytest.raises(ValueError, match=r"targets must have shape \(2, 3\), one per row of logits, got \(6,\)"):
        cross_entropy(logits, np.zeros(6, int))
    for wrong in (np.zeros((2, 3)), np.zeros((2, 3), bool)):
        with pytest.raises(TypeError, match="targets must be integers, got"):
            cross_entropy(logits, wrong)
    with pytest.raises(TypeError, match="targets must be a plain array, got a masked array"):
        cross_entropy(logits, np.ma.zeros((2, 3), int))
    with pytest.raises(TypeError, match=r"ignore_index must be an integer, got 1\.5"):
        cross_entropy(logits, np.zeros((2, 3), int), ignore_index=1.5)  # type: ignore[arg-type]


def test_bad_out() -> None:
    logits, targets = np.zeros((2, 4)), np.zeros(2, int)
    with pytest.raises(TypeError, match="out must be float64, got float32"):
        cross_entropy(logits, targets, out=np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"out must have shape \(2, 4\), got \(4, 2\)"):
        cross_entropy(logits, targets, out=np.zeros((4, 2)))
    with pytest.raises(ValueError, match="out must be dense in its last axis, got strides"):
        cross_entropy(logits, targets, out=np.zeros((4, 2)).T)
    with pytest.raises(ValueError, match="out must be writable, got a read-only array"):
        cross_entropy(logits, targets, out=np.broadcast_to(0.0, (2, 4)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_mse_against_the_definition(dtype: str) -> None:
    rng = np.random.default_rng(5)
    prediction, target = rng.standard_normal((2, 4, 3, 5)).astype(dtype)
    loss, gradient = mse_loss(prediction, target)
    difference = prediction.astype(np.float64) - target
    assert isinstance(loss, float)
    assert gradient.dtype == dtype
    assert loss == pytest.approx((difference**2).mean(), rel=EPS[dtype])
    np.testing.assert_allclose(gradient, difference * (2 / 60), rtol=EPS[dtype])
    swapped, out = prediction.swapaxes(0, 2), np.empty((3, 5, 4), dtype).transpose(1, 0, 2)
    found, found_gradient = mse_loss(swapped, target.swapaxes(0, 2), out=out)
    assert found_gradient is out
    assert found == pytest.approx(loss, rel=1e-14)
    np.testing.assert_array_equal(out, gradient.swapaxes(0, 2))
    assert mse_loss(prediction, target, out=target)[0] == loss
    np.testing.assert_array_equal(target, gradient)


def test_mse_gradient_by_finite_differences() -> None:
    prediction, target = np.random.default_rng(6).standard_normal((2, 3, 4))
    _, analytic = mse_loss(prediction, target)
    numeric = slopes(lambda: mse_loss(prediction, target)[0], prediction)
    assert np.abs(analytic - numeric).max() <= 1e-9 * np.abs(analytic).max()


def test_mse_of_special_and_bad_arrays() -> None:
    loss, gradient = mse_loss(np.zeros((0, 3)), np.zeros((0, 3)))
    assert math.isnan(loss)
    assert gradient.shape == (0, 3)
    assert math.isnan(mse_loss(np.array([np.nan, 1.0]), np.zeros(2))[0])
    assert mse_loss(np.full(3, 1e30, np.float32), np.zeros(3, np.float32))[0] == pytest.approx(1e60)
    with pytest.raises(ValueError, match=r"target must have shape \(3, 1\), got \(3,\)"):
        mse_loss(np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(TypeError, match="target must be float32, got float64"):
        mse_loss(np.zeros(3, np.float32), np.zeros(3))
    with pytest.raises(TypeError, match="prediction must be float32, got int64"):
        mse_loss(np.zeros(3, int), np.zeros(3))


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
def test_pytorch_agrees(dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    logits, targets = draw((50, 4, 99), dtype)
    targets[:5, 0] = -100
    for skipped in (targets, np.full_like(targets, -100)):
        peer = torch.from_numpy(logits).requires_grad_()
        peer.grad = None
        expected = torch.nn.functional.cross_entropy(peer.reshape(-1, 99), torch.from_numpy(skipped).reshape(-1))
        expected.backward()
        loss, gradient = cross_entropy(logits, skipped, ignore_index=-100)
        assert loss == pytest.approx(expected.item(), rel=EPS[dtype], nan_ok=True)
        np.testing.assert_allclose(gradient, peer.grad.numpy(), rtol=0, atol=EPS[dtype] / targets.size)
    target = logits[::-1].copy()
    peer = torch.from_numpy(logits).requires_grad_()
    peer.grad = None
    expected = torch.nn.functional.mse_loss(peer, torch.from_numpy(target))
    expected.backward()
    loss, gradient = mse_loss(logits, target)
    assert loss == pytest.approx(expected.item(), rel=EPS[dtype])
    np.testing.assert_allclose(gradient, peer.grad.numpy(), rtol=EPS[dtype])
