"""NaN and infinities: wherever they come in, they come out where the mathematics puts them, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

import naive
import numpy as np
import pytest
from support.cases import WITHOUT_TWIN, Case, Problem, Results, grid, run_and_call, run_layer, run_naive

import nblstm

DTYPES = ("float32", "float64")
UNITS = 21  # so that one vector of units has padding
NETS = grid(cell=naive.KNOWN, formulation=("split", "concat"), sizes=[(4, 3, 2, UNITS)])
STACKS = [replace(case, num_layers=2, bidirectional=True, lengths=True) for case in NETS if case.formulation == "split"]
PADDED = np.array([2, 4, 3])


def kinds(array: np.ndarray) -> np.ndarray:
    """0 where finite, -1 or 1 where infinite, 2 where NaN."""
    return np.where(np.isnan(array), 2, np.where(np.isinf(array), np.sign(array), 0))


def assert_alike(found: Results, expected: Results, tolerance: float, what: str) -> None:
    """NaN and infinities at the same places, and the finite numbers close to each other."""
    for name, array in expected.items():
        np.testing.assert_array_equal(kinds(found[name]), kinds(array), f"{what}: {name}")
        finite = np.isfinite(array)
        scale = np.abs(array[finite]).max(initial=1)
        np.testing.assert_allclose(
            found[name][finite], array[finite], rtol=0, atol=tolerance * scale, err_msg=f"{what}: {name}"
        )


def poisoned(problem: Problem, poison: float) -> Iterator[tuple[str, Problem]]:
    """The problem with one number replaced, in each of its arrays in turn."""
    for field in fields(problem):
        clean = getattr(problem, field.name)
        if clean is not None and field.name != "lengths":
            array = clean.copy()
            array[(1 if field.name in ("x", "dy") else 0), 1, -1] = poison
            yield f"{poison} in {field.name}", replace(problem, **{field.name: array})


def with_padding(problem: Problem) -> Problem:
    """NaN in all steps past the sequences' ends."""
    x, dy = problem.x.copy(), problem.dy.copy()
    for array in (x, dy):
        array[np.arange(len(x))[:, None] >= PADDED] = np.nan
    return replace(problem, x=x, dy=dy, lengths=PADDED)


def expected_of(case: Case, layer: nblstm.LSTM | nblstm.RNN, problem: Problem) -> Results:
    """What the plain reference makes of it, under the names of `run_and_call`."""
    with np.errstate(all="ignore"):
        found = run_naive(case, layer.params, problem)
    return found | {f"called {name}": found[name] for name in ("y", "h_n", "c_n") if name in found}


@pytest.mark.usefixtures("threads_and_serial")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", NETS + STACKS, ids=str)
def test_as_in_the_plain_reference(case: Case, dtype: str, rng: np.random.Generator) -> None:
    problem = Problem.draw(case, rng, dtype)
    if case.lengths:
        problem = with_padding(problem)
    layer = case.layer(dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    for poison in (np.nan, np.inf, -np.inf):
        for what, spoiled in poisoned(problem, poison):
            assert_alike(run_and_call(layer, spoiled), expected_of(case, layer, spoiled), tolerance, what)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("case", NETS, ids=str)
def test_weights_that_are_not_finite(case: Case, poison: float, rng: np.random.Generator) -> None:
    """The last number of each tensor in turn."""
    problem, layer = Problem.draw(case, rng), case.layer()
    for name, tensor in layer.state_dict().items():
        with layer.editing() as p:
            p[name].flat[-1] = poison
        assert_alike(run_and_call(layer, problem), expected_of(case, layer, problem), 1e-13, name)
        with layer.editing() as p:
            p[name][...] = tensor


@pytest.mark.peers
@pytest.mark.parametrize("cell", ["lstm", "rnn_tanh", "rnn_relu"])
def test_as_in_pytorch(cell: str, rng: np.random.Generator) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    from support import torch_peer

    case = Case(cell, bidirectional=True, num_layers=2, sizes=(4, 3, 2, UNITS))
    problem, layer = Problem.draw(case, rng), case.layer()
    for poison in (np.nan, np.inf, -np.inf, 1e200):
        for what, spoiled in poisoned(problem, poison):
            peer = torch_peer.run_torch(case, layer.params, spoiled)
            assert_alike(run_layer(layer, spoiled), peer, 1e-12, what)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*NETS, *grid(cell=WITHOUT_TWIN, sizes=[(4, 3, 2, UNITS)])], ids=str)
def test_a_nan_in_one_unit_is_in_that_unit_and_a_step_later_in_all(case: Case, dtype: str, rng) -> None:
    """In every lane of the vectors and in the rest; whether called, trained, or given step by step.

    Of two stages it is in all at once, for it is in what the second reads.
    """
    layer, x = case.layer(dtype), Problem.draw(case, rng, dtype).x[:, :1]
    H, name = layer.hidden_size, layer.bias_names[0] + "_l0"
    for unit in range(H):
        clean = layer.params[name][unit]
        with layer.editing() as p:
            p[name][unit] = np.nan
        called, trained, stream = layer(x)[0], layer.forward(x)[0], layer.stream()
        streamed = [stream(step) for step in x[:, 0]]
        for y in (called[:, 0], trained[:, 0], np.array(streamed)):
            assert np.flatnonzero(np.isnan(y[0])).tolist() == ([*range(H)] if layer.cell.reads else [unit])
            assert np.isnan(y[1:]).all()
        with layer.editing() as p:
            p[name][unit] = clean


@pytest.mark.usefixtures("threads_and_serial")
@pytest.mark.parametrize("cell", [*WITHOUT_TWIN, "gru", "gru_original"])
def test_a_nan_reaches_no_other_sequence_and_nothing_past_the_end(cell: str, rng: np.random.Generator) -> None:
    """In the first sequence, wherever it comes in; with NaN past the ends of all: the other two keep their bits."""
    case = Case(cell, num_layers=2, bidirectional=True, lengths=True, sizes=(4, 3, 2, UNITS))
    layer, problem = case.layer(), with_padding(Problem.draw(case, rng))
    clean = run_and_call(layer, problem)
    assert all(np.isfinite(array).all() for array in clean.values())
    for field in fields(problem):
        if field.name != "lengths" and getattr(problem, field.name) is not None:
            array = getattr(problem, field.name).copy()
            array[0, 0, -1] = np.nan
            found = run_and_call(layer, replace(problem, **{field.name: array}))
            assert any(np.isnan(tensor).any() for tensor in found.values()), field.name
            for name, tensor in found.items():
                if not name.startswith("grad "):  # (steps, batch, features), or (layers, batch, units)
                    np.testing.assert_array_equal(tensor[:, 1:], clean[name][:, 1:], f"{field.name}: {name}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_hides_nothing(dtype: str) -> None:
    """A dropped NaN is 0 times NaN, as in PyTorch."""
    rnn = nblstm.RNN(3, 20, 2, dropout=0.9, dtype=dtype, seed=0)
    with rnn.editing() as p:
        p["bias_ih_l0"][4] = np.nan
    for _ in range(20):
        y, _, _ = rnn.forward(np.ones((1, 5, 3), dtype))
        assert np.isnan(y).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_and_embedding(dtype: str, rng: np.random.Generator) -> None:
    for poison in (np.nan, np.inf):
        linear, x, dy = nblstm.Linear(5, 19, dtype=dtype, seed=0), np.ones((4, 5), dtype), np.ones((4, 19), dtype)
        x[2, 4] = dy[1, 18] = poison
        y, tape = linear.forward(x)
        dx = linear.backward(dy, tape)
        with np.errstate(invalid="ignore"):
            w, b = linear.params["weight"], linear.params["bias"]
            expected = {"y": x @ w.T + b, "dx": (dy[:, :, None] * w).sum(1), "dw": (dy[:, :, None] * x[:, None]).sum(0)}
        found = {"y": y, "dx": dx, "dw": linear.grads["weight"]}
        assert_alike(found, expected, 1e-5, str(poison))
        np.testing.assert_array_equal(kinds(linear.grads["bias"]), kinds(dy.sum(0)))
        assert np.array_equal(linear(x), y, equal_nan=True)

        embedding = nblstm.Embedding(6, 5, dtype=dtype, seed=0)
        with embedding.editing() as p:
            p["weight"][3, 4] = poison
        indices, dy = np.array([3, 1, 3]), np.ones((3, 5), dtype)
        dy[1, 0] = poison
        y, tape = embedding.forward(indices)
        embedding.backward(dy, tape)
        for rows in (y, embedding(indices)):
            assert np.argwhere(~np.isfinite(rows)).tolist() == [[0, 4], [2, 4]]
        assert np.argwhere(~np.isfinite(embedding.grads["weight"])).tolist() == [[1, 0]]


# --------------------------------------------------------------------------------------------------- what is too large


def huge(dtype: str) -> list[float]:
    """Numbers whose square is none of the dtype, the largest there is, and infinity; of both signs."""
    positive = [1e30 if dtype == "float32" else 1e200, float(np.finfo(dtype).max), np.inf]
    return positive + [-number for number in positive]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("peephole", [False, True])
def test_huge_inputs_open_and_close_the_gates_whole(peephole: bool, dtype: str, rng: np.random.Generator) -> None:
    """Gates of exactly 0 and 1, g of exactly -1 and 1, and no gradient through any of them."""
    H = UNITS
    lstm = nblstm.LSTM(1, H, peephole=peephole, dtype=dtype, seed=0)
    signs = np.sign(lstm.params["weight_ih_l0"][:, 0]).reshape(4, H)
    c_0 = rng.standard_normal((1, 2, H)).astype(dtype)
    for x in huge(dtype):
        y, (_, c), tape = lstm.forward(np.full((1, 2, 1), x, dtype), (None, c_0))
        i, f, g, o = gates = np.where(np.arange(4)[:, None] == 2, signs * np.sign(x), signs * np.sign(x) > 0)
        expected = (f * c_0[0] + i * g).astype(dtype)
        assert np.array_equal(tape.gates(0, 0)[0], np.broadcast_to(gates, (2, 4, H)))
        assert np.array_equal(c[0], expected)
        np.testing.assert_allclose(y[0], o * np.tanh(expected), rtol=1e-6)
        dx, (dh_0, dc_0) = lstm.backward(np.ones((1, 2, H), dtype), tape)
        assert (dx == 0).all()
        assert (dh_0 == 0).all()
        np.testing.assert_allclose(dc_0[0], f * o * (1 - np.tanh(expected) ** 2), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_inputs_of_a_plain_rnn(dtype: str) -> None:
    for x in huge(dtype):
        rnn = nblstm.RNN(1, UNITS, dtype=dtype, seed=0)
        y, _, tape = rnn.forward(np.full((1, 2, 1), x, dtype))
        assert np.array_equal(y[0], np.broadcast_to(np.sign(rnn.params["weight_ih_l0"][:, 0] * x), (2, UNITS)))
        dx, _ = rnn.backward(np.ones((1, 2, UNITS), dtype), tape)
        assert (dx == 0).all()


def losses(dtype: str) -> dict[str, Callable[[], tuple[float, np.ndarray]]]:
    """Losses of logits and predictions as large as there are, by what they should be."""
    top = np.finfo(dtype).max

    def softmax(*logits: float) -> Callable[[], tuple[float, np.ndarray]]:
        return lambda: nblstm.cross_entropy(np.array([logits], dtype), np.array([0]))

    return {
        "certain": softmax(top, -top, 0),
        "equal": softmax(top, top, top),
        "equally small": softmax(-top, -top, -top),
        "masked": softmax(0, -np.inf, 0),
        "refuted": softmax(0, top, -np.inf),
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_the_largest_logits_there_are(dtype: str) -> None:
    third, top = 1 / 3, float(np.finfo(dtype).max)
    expected = {
        "certain": (0, [0, 0, 0]),
        "equal": (np.log(3), [-2 * third, third, third]),
        "equally small": (np.log(3), [-2 * third, third, third]),
        "masked": (np.log(2), [-0.5, 0, 0.5]),
        "refuted": (top, [-1, 1, 0]),
    }
    for name, loss in losses(dtype).items():
        value, gradient = loss()
        assert value == pytest.approx(expected[name][0], rel=1e-7), name
        np.testing.assert_allclose(gradient, [expected[name][1]], rtol=0, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_squared_errors_of_huge_targets(dtype: str) -> None:
    """Infinite where they are too large, without a warning; their gradient is not."""
    large = 1e38 if dtype == "float32" else 1e307
    loss, gradient = nblstm.mse_loss(np.zeros(4, dtype), np.array([large, 0, 0, 0], dtype))
    assert loss == pytest.approx(large**2 / 4 if dtype == "float32" else np.inf, rel=1e-6)
    np.testing.assert_allclose(gradient, np.array([-large / 2, 0, 0, 0]), rtol=1e-6)
    top = np.array([np.finfo(dtype).max], dtype)
    loss, gradient = nblstm.mse_loss(top, -top)
    assert (loss, gradient[0]) == (np.inf, np.inf)
    loss, gradient = nblstm.mse_loss(np.array([np.inf, 1], dtype), np.array([np.inf, 1], dtype))
    assert np.isnan(loss)
    assert np.array_equal(gradient, [np.nan, 0], equal_nan=True)


def test_temperatures_from_the_smallest_to_the_largest() -> None:
    model = nblstm.CharLM("abcdef", 4, 9, 1, dtype="float64", seed=0)
    with model.linear.editing() as p:
        p["bias"][:] = 0, 0, 3, 0, 0, 0
    cold = [model.sample("a", 50, temperature, seed=0) for temperature in (5e-324, 1e-300, 1e-3)]
    assert cold == ["a" + 50 * "c"] * 3
    hot = [model.sample("a", 50, temperature, seed=0) for temperature in (1e12, 1e300, float(np.finfo(float).max))]
    assert hot[0] == hot[1] == hot[2]
    assert set(hot[0]) == set("abcdef")
