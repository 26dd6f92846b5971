"""Optimisers, clipping and schedule: against NumPy twins and PyTorch, saved and resumed, threads and bad input."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import numba
import numpy as np
import pytest

from nblstm import weights
from nblstm.layers import Linear, Sequential, Tanh
from nblstm.layers.layer import Layer
from nblstm.optim import SGD, Adam, AdamW, Optimizer, RMSprop, warmup_cosine
from nblstm.optim.clipping import clip_grad_norm

DTYPES = ("float32", "float64")
CASES: list[tuple[type[Optimizer], dict[str, Any]]] = [
    (SGD, {}),
    (SGD, {"lr": 0.05, "weight_decay": 0.1}),
    (SGD, {"lr": 0.05, "momentum": 0.9}),
    (SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    (RMSprop, {}),
    (RMSprop, {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    (Adam, {}),
    (Adam, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (AdamW, {}),
    (AdamW, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
]


@pytest.fixture(autouse=True)
def _same_threads_afterwards() -> Iterator[None]:
    threads = numba.get_num_threads()
    yield
    numba.set_num_threads(threads)


def make_layers(dtype: str, seed: int = 0) -> list[Layer]:
    """Two layers with drawn parameters."""
    rng = np.random.default_rng(seed)
    layers = [Layer({"weight": (3, 5), "bias": (3,)}, dtype), Layer({"weight": (7,)}, dtype)]
    for layer in layers:
        with layer.editing() as p:
            p.flat[:] = rng.standard_normal(p.flat.size)
    return layers


def gradients(size: int, steps: int) -> Iterator[np.ndarray]:
    """Gradients whose scale differs a lot from entry to entry and from step to step."""
    rng = np.random.default_rng(1)
    scales = 10.0 ** rng.integers(-3, 2, size)
    for _ in range(steps):
        yield (rng.standard_normal(size) + 0.3) * scales


def run(optimizer: Optimizer, steps: int = 100) -> np.ndarray:
    """All parameters after `steps` steps along `gradients`."""
    for gradient in gradients(25, steps):
        start = 0
        for layer in optimizer.layers:
            layer.flat_grads[:] = gradient[start : start + layer.num_parameters]
            start += layer.num_parameters
        optimizer.step()
    return np.concatenate([layer.flat_params for layer in optimizer.layers])


def naive(kind: type[Optimizer], p: np.ndarray, options: dict[str, Any], steps: int = 100) -> np.ndarray:
    """The textbook's equations in float64: the means with their bias divided out, momentum as the sum it stands for."""
    lr = options.get("lr", {SGD: 1e-3, RMSprop: 1e-2, Adam: 1e-3, AdamW: 1e-3}[kind])
    decay = options.get("weight_decay", 1e-2 if kind is AdamW else 0.0)
    beta1, beta2 = options.get("betas", (0.9, 0.999))
    eps, alpha, momentum = options.get("eps", 1e-8), options.get("alpha", 0.99), options.get("momentum", 0.0)
    history: list[np.ndarray] = []

    def weighted(power: int, kept: float) -> np.ndarray:
        return np.sum([kept**age * g**power for age, g in enumerate(reversed(history))], axis=0)

    for g in gradients(p.size, steps):
        if kind is AdamW:
            p = p - lr * decay * p
        history.append(g if kind is AdamW else g + decay * p)
        t = len(history)
        if kind is SGD:
            velocity = weighted(1, momentum)
            p = p - lr * (history[-1] + momentum * velocity if options.get("nesterov") else velocity)
        elif kind is RMSprop:
            p = p - lr * history[-1] / (np.sqrt((1 - alpha) * weighted(2, alpha)) + eps)
        else:
            m = weighted(1, beta1) * (1 - beta1) / (1 - beta1**t)
            v = weighted(2, beta2) * (1 - beta2) / (1 - beta2**t)
            p = p - lr * m / (np.sqrt(v) + eps)
    return p


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_hundred_steps_against_the_textbook(kind: type[Optimizer], options: dict[str, Any], dtype: str) -> None:
    layers = make_layers(dtype)
    expected = naive(kind, np.concatenate([layer.flat_params for layer in layers]).astype(np.float64), options)
    found = run(kind(layers, **options))
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_hundred_steps_against_pytorch(kind: type[Optimizer], options: dict[str, Any], dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    layers = make_layers(dtype)
    start = np.concatenate([layer.flat_params for layer in layers])
    peer = torch.nn.Parameter(torch.from_numpy(start.copy()))
    peer_optimizer = getattr(torch.optim, kind.__name__)([peer], **options)
    for gradient in gradients(25, 100):
        peer.grad = torch.from_numpy(gradient.astype(dtype))
        peer_optimizer.step()
    tolerance = {"float32": 3e-6, "float64": 1e-14}[dtype]
    np.testing.assert_allclose(run(kind(layers, **options)), peer.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_moments_and_arithmetic_stay_in_the_dtype_of_the_layer(kind: type[Optimizer], options: dict[str, Any]) -> None:
    mixed = [*make_layers("float32"), *make_layers("float64")]
    optimizer = kind(mixed, **options)
    rng = np.random.default_rng(2)
    for layer in mixed[:2]:
        layer.flat_grads[:] = rng.standard_normal(layer.num_parameters)
    for single, double in zip(mixed[:2], mixed[2:], strict=True):
        double.flat_grads[:] = single.flat_grads
    optimizer.step()
    for name, array in optimizer.state_dict().items():
        if not name.endswith(".steps"):
            assert array.dtype == mixed[int(name.split(".")[1])].dtype
    for single, double in zip(mixed[:2], mixed[2:], strict=True):
        assert single.flat_params.dtype == np.float32
        np.testing.assert_allclose(single.flat_params, double.flat_params, rtol=1e-6, atol=1e-6)


def test_an_optimiser_says_its_settings() -> None:
    adam = Adam(Sequential(Linear(2, 3), Tanh(), Linear(3, 1, bias=False)), lr=0.5)
    adam.step()
    assert repr(adam) == (
        "Adam([Linear(2, 3, bias=True), Linear(3, 1, bias=False)], lr=0.5, betas=(0.9, 0.999), eps=1e-08, "
        "weight_decay=0.0)"
    )


def test_a_step_bumps_the_version_and_leaves_the_gradients() -> None:
    layers = make_layers("float32")
    layers[0].flat_grads[:] = 3
    versions = [layer.version for layer in layers]
    Adam(layers).step()
    assert [layer.version for layer in layers] == [version + 1 for version in versions]
    assert (layers[0].flat_grads == 3).all()


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_the_rate_of_a_step(kind: type[Optimizer], options: dict[str, Any]) -> None:
    scheduled, fixed = kind(make_layers("float64"), **options), kind(make_layers("float64"), **{**options, "lr": 0.5})
    for optimizer, rate in ((scheduled, 0.5), (fixed, None)):
        for layer in optimizer.layers:
            layer.flat_grads[:] = 1
        optimizer.step(lr=rate)
    for ours, theirs in zip(scheduled.layers, fixed.layers, strict=True):
        np.testing.assert_array_equal(ours.flat_params, theirs.flat_params)
        before = ours.flat_params.copy()
        scheduled.step(lr=0)
        np.testing.assert_array_equal(ours.flat_params, before)
    assert scheduled.lr == options.get("lr", scheduled.lr)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_resuming_from_a_file_changes_no_bit(
    kind: type[Optimizer], options: dict[str, Any], dtype: str, tmp_path: Any
) -> None:
    whole = run(kind(make_layers(dtype), **options), 20)

    all_gradients = list(gradients(25, 20))
    halves = make_layers(dtype)
    for part in (all_gradients[:9], all_gradients[9:]):
        optimizer = kind(halves, **options)
        if (tmp_path / "state").exists():
            optimizer.load_state_dict(weights.load(tmp_path / "state"))
        for gradient in part:
            halves[0].flat_grads[:], halves[1].flat_grads[:] = gradient[:18], gradient[18:]
            optimizer.step()
        weights.save(tmp_path / "state", optimizer.state_dict())
    np.testing.assert_array_equal(np.concatenate([layer.flat_params for layer in halves]), whole)


def test_the_state_is_a_copy() -> None:
    optimizer = Adam(make_layers("float64"))
    run(optimizer, 3)
    state = optimizer.state_dict()
    assert set(state) == {"Adam.steps", "Adam.0.m", "Adam.0.v", "Adam.1.m", "Adam.1.v"}
    assert state["Adam.steps"] == 3
    kept = {name: array.copy() for name, array in state.items()}
    other = Adam(make_layers("float64"))
    other.load_state_dict(state)
    run(optimizer, 1)
    run(other, 1)
    for name, array in state.items():
        np.testing.assert_array_equal(array, kept[name])


def test_a_state_that_does_not_fit_is_refused_whole() -> None:
    optimizer = Adam(make_layers("float64"))
    run(optimizer, 2)
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"Adam: .*missing: Adam\.steps; missing: Adam\.0\.m.*unexpected: SGD\.steps"):
        optimizer.load_state_dict(SGD(make_layers("float64")).state_dict())
    with pytest.raises(ValueError, match=r"unexpected: Adam\.2\.m; unexpected: Adam\.2\.v"):
        optimizer.load_state_dict(Adam([*make_layers("float64"), Layer({"b": (1,)}, "float64")]).state_dict())
    with pytest.raises(ValueError, match=r"Adam\.0\.m: expected float64 \(18,\), got float32 \(18,\)"):
        optimizer.load_state_dict(Adam(make_layers("float32")).state_dict())
    with pytest.raises(ValueError, match=r"Adam\.1\.v: expected float64 \(7,\), got float64 \(8,\)"):
        optimizer.load_state_dict({**before, "Adam.steps": np.array(9), "Adam.1.v": np.zeros(8)})
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_bit_identical_for_any_number_of_threads(kind: type[Optimizer], options: dict[str, Any], dtype: str) -> None:
    results = []
    for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(threads)
        rng = np.random.default_rng(4)
        layer = Layer({"weight": (10_007,)}, dtype)
        optimizer = kind([layer], **options)
        for _ in range(3):
            layer.flat_grads[:] = rng.standard_normal(10_007)
            norm = clip_grad_norm([layer], 1.0)
            optimizer.step()
        results.append((norm.hex(), layer.flat_params.tobytes()))
    assert len(set(results)) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_clipping(dtype: str) -> None:
    layers = [Layer({"a": (9_001,)}, dtype), Layer({"b": (3,)}, dtype)]
    rng = np.random.default_rng(7)
    for layer in layers:
        layer.flat_grads[:] = rng.standard_normal(layer.num_parameters)
    before = np.concatenate([layer.flat_grads for layer in layers])
    expected = math.sqrt(math.fsum(before.astype(np.float64) ** 2))
    for harmless in (math.inf, expected * 1.01):
        assert clip_grad_norm(layers, harmless) == pytest.approx(expected, rel=1e-14)
        np.testing.assert_array_equal(np.concatenate([layer.flat_grads for layer in layers]), before)
    norm = clip_grad_norm(layers, 2)
    assert norm == pytest.approx(expected, rel=1e-14)
    found = np.concatenate([layer.flat_grads for layer in layers])
    assert found.dtype == dtype
    np.testing.assert_allclose(found, before * (2 / (norm + 1e-6)), rtol=float(np.finfo(dtype).eps))


def test_clipping_of_gradients_too_large_for_float32_squares() -> None:
    layer = Layer({"a": (2,)}, "float32")
    layer.flat_grads[:] = [3e30, 4e30]
    assert clip_grad_norm([layer], 1.0) == pytest.approx(5e30)
    np.testing.assert_allclose(layer.flat_grads, [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_norm_that_is_not_finite_leaves_the_gradients(poison: float) -> None:
    layers = make_layers("float64")
    layers[0].flat_grads[:] = 2
    layers[1].flat_grads[3] = poison
    norm = clip_grad_norm(layers, 1.0)
    assert math.isnan(norm) if math.isnan(poison) else norm == math.inf
    assert (layers[0].flat_grads == 2).all()


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
def test_clipping_against_pytorch(dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    layers = make_layers(dtype)
    peers = []
    for gradient, layer in zip(([0.5] * 18, [-3.0] * 7), layers, strict=True):
        layer.flat_grads[:] = gradient
        peer = torch.nn.Parameter(torch.from_numpy(layer.flat_params.copy()))
        peer.grad = torch.from_numpy(layer.flat_grads.copy())
        peers.append(peer)
    expected = torch.nn.utils.clip_grad_norm_(peers, 1.5).item()
    tolerance = 4 * float(np.finfo(dtype).eps)
    assert clip_grad_norm(layers, 1.5) == pytest.approx(expected, rel=tolerance)
    for layer, peer in zip(layers, peers, strict=True):
        np.testing.assert_allclose(layer.flat_grads, peer.grad.numpy(), rtol=tolerance)


def test_the_schedule() -> None:
    schedule = warmup_cosine(0.4, warmup=4, total=14, final=0.1)
    rates = [schedule(step) for step in range(20)]
    np.testing.assert_allclose(rates[:5], [0.1, 0.2, 0.3, 0.4, 0.4])
    assert rates[9] == pytest.approx(0.25)  # half-way down
    assert all(earlier >= later for earlier, later in itertools.pairwise(rates[4:]))
    assert rates[14:] == [pytest.approx(0.1)] * 6
    assert warmup_cosine(0.4, warmup=0, total=1)(0) == 0.4


LAYER = Layer({"weight": (2,)}, "float32")


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: Adam([]), ValueError, "layers must hold at least one layer with parameters, got none"),
        (lambda: Adam(cast(Any, 3)), TypeError, "layers must be a layer, a net or a list of them, got int"),
        (lambda: Adam(cast(Any, LAYER.params)), TypeError, "got a mapping: hand over the net itself"),
        (lambda: Adam(cast(Any, [LAYER, 3])), TypeError, "layers must be a list of layers, got int at position 1"),
        (lambda: Adam([LAYER, LAYER]), ValueError, "layers must hold each layer once, got one of them twice"),
        (lambda: clip_grad_norm([LAYER, LAYER], 1.0), ValueError, "layers must hold each layer once"),
        (lambda: Adam([LAYER], lr=0), ValueError, "lr must be above 0 and finite, got 0"),
        (lambda: Adam([LAYER], lr=math.nan), ValueError, "lr must be above 0 and finite, got nan"),
        (lambda: Adam([LAYER], lr=math.inf), ValueError, "lr must be above 0 and finite, got inf"),
        (lambda: Adam([LAYER], lr=cast(Any, "0.1")), TypeError, "lr must be a number, got '0.1'"),
        (lambda: Adam([LAYER]).step(lr=-1), ValueError, "lr must be 0 or more and finite, got -1"),
        (lambda: Adam([LAYER], betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be in \[0, 1\), got 1\.0"),
        (lambda: Adam([LAYER], betas=cast(Any, 0.9)), TypeError, r"betas must be a pair of numbers, got 0\.9"),
        (lambda: Adam([LAYER], eps=-1e-8), ValueError, "eps must be 0 or more and finite, got -1e-08"),
        (lambda: AdamW([LAYER], weight_decay=-1), ValueError, "weight_decay must be 0 or more and finite, got -1"),
        (lambda: RMSprop([LAYER], alpha=1), ValueError, r"alpha must be in \[0, 1\), got 1"),
        (lambda: SGD([LAYER], momentum=-0.5), ValueError, r"momentum must be in \[0, 1\), got -0\.5"),
        (lambda: SGD([LAYER], nesterov=True), ValueError, "nesterov needs a momentum above 0, got momentum=0"),
        (lambda: clip_grad_norm([LAYER], 0), ValueError, "max_norm must be above 0, got 0"),
        (lambda: clip_grad_norm([LAYER], math.nan), ValueError, "max_norm must be above 0, got nan"),
        (lambda: warmup_cosine(-1.0, 0, 1), ValueError, r"peak must be above 0 and finite, got -1\.0"),
        (lambda: warmup_cosine(1.0, 5, 5), ValueError, "total must be at least 6, got 5"),
        (lambda: warmup_cosine(1.0, -1, 5), ValueError, "warmup must be at least 0, got -1"),
        (lambda: warmup_cosine(1.0, 1, 5, final=-1), ValueError, "final must be 0 or more and finite, got -1"),
    ],
)
def test_bad_arguments(call: Callable[[], object], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        call()
