"""Sizes from nothing to more than 32 bits can count: right results where there is a meaning, else an error at once.

The large ones take gigabytes and run on request: pytest -m large.
"""

from __future__ import annotations

import re
from dataclasses import replace

import naive
import numpy as np
import pytest
from support.cases import BOTH, Problem, assert_agree, grid, run_and_call, run_layer, run_naive

import nblstm

ONES = grid(
    cell=naive.KNOWN, formulation=("split", "concat"), bidirectional=BOTH,
    sizes=[(1, 1, 1, 1), (2, 1, 1, 1), (1, 2, 1, 1), (1, 1, 2, 1), (1, 1, 1, 2)],
)  # fmt: skip


@pytest.mark.parametrize("case", ONES, ids=str)
def test_one_of_everything(case, rng):
    layer, problem = case.layer(), Problem.draw(case, rng)
    found = run_and_call(layer, problem)
    called = {name: found.pop(f"called {name}") for name in ("y", "h_n", "c_n") if f"called {name}" in found}
    assert_agree(found, run_naive(case, layer.params, problem), 1e-13)
    assert all(np.array_equal(array, found[name]) for name, array in called.items())


NO_STEPS = [[0, 5, 2], [3, 0, 0], [0, 0, 0]]
STACKS = [
    *grid(cell=naive.KNOWN, num_layers=(2,), bidirectional=BOTH, lengths=(True,)),
    *grid(formulation=("concat",), num_layers=(2,), bidirectional=(True,), lengths=(True,), batch_first=(True,)),
]


@pytest.mark.usefixtures("threads_and_serial")
@pytest.mark.parametrize("lengths", NO_STEPS, ids=str)
@pytest.mark.parametrize("case", STACKS, ids=str)
def test_of_a_sequence_without_steps_the_last_state_is_the_initial_one(case, lengths, rng):
    """Its x is not read, its y and dx are zero, and the gradient of its state passes through."""
    layer, problem = case.layer(), replace(Problem.draw(case, rng), lengths=np.array(lengths))
    expected = run_naive(case, layer.params, problem)
    unread = problem.lengths <= np.arange(case.sizes[0])[:, None]
    problem.x[unread.T if case.batch_first else unread] = np.nan
    for net in (layer, case.layer(checkpoint=2)):
        found = run_and_call(net, problem)
        for name in ("y", "h_n", "c_n")[: 2 + case.is_lstm]:
            assert_agree({name: found.pop(f"called {name}")}, {name: expected[name]}, 1e-13)
        assert_agree(found, expected, 1e-13)
        none = problem.lengths == 0
        assert np.array_equal(found["h_n"][:, none], problem.h_0[:, none])
        assert np.array_equal(found["dh_0"][:, none], problem.dh_n[:, none])
    full = replace(problem, x=np.ones_like(problem.x), lengths=None)
    *_, tape = layer.forward(full.x)
    for other in (problem, full, problem):  # a tape used again forgets what it held
        again = run_layer(layer, other, tape)
        assert_agree(again, run_layer(layer, other), 0)


@pytest.mark.gradients
@pytest.mark.parametrize("case", [case for case in STACKS if case.cell != "rnn_relu"], ids=str)  # which has kinks
def test_gradients_beside_a_sequence_without_steps(case, rng):
    problem = Problem.draw(case, rng)
    nblstm.gradcheck(case.layer(), problem.x, problem.state, np.array([0, 5, 2]), entries=5)


def test_no_rows():
    """Forward, backward, and nothing in the gradients."""
    none = np.zeros((0, 3))
    for cell in (nblstm.LSTMCell(3, 5, dtype="float64"), nblstm.RNNCell(3, 5, dtype="float64")):
        state, tape = cell.forward(none)
        dx, _ = cell.backward(state, tape)
        assert dx.shape == (0, 3)
        assert not cell.flat_grads.any()
    linear = nblstm.Linear(3, 5, dtype="float64")
    for x in (none, np.zeros((4, 0, 3))):
        y, tape = linear.forward(x)
        assert y.shape == (*x.shape[:-1], 5)
        assert linear.backward(y, tape).shape == x.shape
        assert not linear.flat_grads.any()
    embedding = nblstm.Embedding(4, 5)
    y, tape = embedding.forward(np.zeros((3, 0), int))
    embedding.backward(y, tape)
    assert y.shape == (3, 0, 5)
    assert not embedding.flat_grads.any()
    for loss, gradient in (
        nblstm.cross_entropy(np.zeros((3, 0, 4)), np.zeros((3, 0), int)),
        nblstm.mse_loss(np.zeros((3, 0, 4)), np.zeros((3, 0, 4))),
    ):
        assert np.isnan(loss)
        assert gradient.shape == (3, 0, 4)


def test_a_model_on_no_sequences_and_on_no_steps():
    model = nblstm.CharLM("abc", 4, 5, seed=0)
    logits, _, tape = model.forward(np.zeros((6, 0), int))
    assert logits.shape == (6, 0, 3)
    model.backward(logits, tape)
    assert not any(layer.flat_grads.any() for layer in model.layers)
    with pytest.raises(ValueError, match=r"tokens must have shape .* T at least 1"):
        model(np.zeros((0, 2), int))


def test_steps_without_rows_take_no_time():
    y, (h_n, _) = nblstm.LSTM(3, 5)(np.zeros((10**12, 0, 3), "float32"))
    assert (y.shape, h_n.shape) == ((10**12, 0, 5), (1, 0, 5))


ABSURD = {
    "LSTM": (lambda: nblstm.LSTM(10**12, 10), "LSTM: no memory for 40,000,000,000,480 parameters", "weight_ih_l0"),
    # 2^64 and 2^66: in 64 bits 0, for which there is memory
    "Linear": (lambda: nblstm.Linear(2**33, 2**31), "Linear: no memory for 18,446,744,", "weight (2147483648, 85"),
    "Embedding": (lambda: nblstm.Embedding(2**33, 2**33), "Embedding: no memory for 73,786,", "weight (8589934592, 85"),
    "CharLM": (lambda: nblstm.CharLM("ab", 2, 10**12), "LSTM: no memory for", "weight_hh_l0"),
    "steps": (lambda: nblstm.RNN(1, 1)(np.broadcast_to(np.float32(1), (10**12, 1, 1))), "Unable to allocate", "TiB"),
    "batch": (lambda: nblstm.RNN(1, 1)(np.broadcast_to(np.float32(1), (1, 10**12, 1))), "Unable to allocate", "TiB"),
    "rows": (lambda: nblstm.Linear(1, 1)(np.broadcast_to(np.float32(1), (10**12, 1))), "Unable to allocate", "TiB"),
}


@pytest.mark.parametrize(("act", "first", "then"), ABSURD.values(), ids=ABSURD)
def test_absurd_sizes_are_refused_at_once(act, first, then):
    with pytest.raises(MemoryError, match=re.escape(first) + ".*" + re.escape(then)):
        act()


def test_sizes_past_64_bits():
    with pytest.raises(ValueError, match="input_size must be below 2.63, got 1" + 30 * "0"):
        nblstm.RNN(10**30, 10)


def test_too_many_layers():
    with pytest.raises(ValueError, match="num_layers must be at most 10000, got 1000000000000"):
        nblstm.LSTM(1, 1, 10**12)


# --------------------------------------------------------------------------------------------- more than 2^31 numbers


@pytest.fixture
def room():
    """Skips where there is not memory enough for the large tests, 15 GB for the largest of them."""
    try:
        with open("/proc/meminfo") as lines:
            free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20
    except (OSError, StopIteration):
        pytest.skip("cannot tell how much memory is free")
    if free < 17:
        pytest.skip(f"needs 17 GB of free memory, there are {free:.1f}")


def fresh(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, "float32")


@pytest.mark.large
@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("formulation", ["split", "concat"])
def test_a_long_output(formulation):
    """More than 2^31 numbers of h: the last sequence is what it is alone, the last steps what they are alone."""
    T, B, H = 2**15 + 1, 2**8, 2**8
    layer, x = nblstm.RNN(1, H, formulation=formulation, seed=0), fresh(T, B, 1)
    y, h_n = layer(x)
    assert y.size > 2**31
    assert np.array_equal(y[-1], h_n[0])
    assert np.array_equal(y[:, -1:], layer(x[:, -1:])[0])
    assert np.array_equal(y[-3:], layer(x[-3:], y[-4][None])[0])


@pytest.mark.large
@pytest.mark.usefixtures("room")
def test_training_on_a_long_sequence():
    """More than 2^31 numbers of gates; a layer that keeps none of them has the same gradients to the last bit."""
    T, B, H = 2**16 + 1, 2**7, 2**6
    x, dy = fresh(T, B, 1), np.broadcast_to(fresh(1, B, H), (T, B, H))
    results = []
    for checkpoint in (None, 2**8):
        layer = nblstm.LSTM(1, H, peephole=True, seed=0, checkpoint=checkpoint)
        y, _, tape = layer.forward(x)
        dx, _ = layer.backward(dy, tape)
        results.append([y[:: 2**10].copy(), y[-9:].copy(), dx.copy(), layer.flat_grads])
        assert T * B * 4 * H > 2**31
        del y, dx, tape
    assert all(np.array_equal(*pair) for pair in zip(*results, strict=True))
    assert results[0][3].any()


@pytest.mark.large
@pytest.mark.usefixtures("room")
def test_linear_and_loss_of_many_numbers():
    """The gradient in place of the logits; the last rows are those of five rows, but for what they are divided by."""
    rows, V = 2**21 + 3, 2**10
    layer, x, targets = nblstm.Linear(2, V, seed=0), fresh(rows, 2), np.arange(rows, dtype=np.int32) % V
    logits = layer(x)
    assert logits.size > 2**31
    assert np.array_equal(logits[-5:], layer(x[-5:]))
    parts = [slice(first, first + 2**18) for first in range(0, rows, 2**18)]
    losses = [nblstm.cross_entropy(logits[part], targets[part])[0] * len(targets[part]) for part in parts]
    _, expected = nblstm.cross_entropy(logits[-5:], targets[-5:])
    loss, gradient = nblstm.cross_entropy(logits, targets, out=logits)
    assert loss == pytest.approx(sum(losses) / rows, rel=1e-12)
    np.testing.assert_allclose(gradient[-5:] * rows, expected * 5, rtol=1e-5, atol=1e-6)


@pytest.mark.large
@pytest.mark.usefixtures("room")
def test_linear_back_over_many_numbers():
    """More than 2^31 numbers of dx, from the weights alone; sums of halves are exact."""
    rows, I = 2**21 + 3, 2**10
    layer, dy = nblstm.Linear(I, 1, seed=0), np.ones((rows, 1), "float32")
    dy[-1] = 3
    _, tape = layer.forward(np.broadcast_to(np.float32(0.5), (rows, I)))
    dx = layer.backward(dy, tape)
    assert dx.size > 2**31
    assert np.array_equal(dx[-2:], dy[-2:] * layer.params["weight"])
    assert np.all(layer.grads["weight"] == 0.5 * (rows + 2))


@pytest.mark.large
@pytest.mark.usefixtures("room")
def test_an_embedding_of_many_numbers():
    """The last index comes nowhere else, so its gradient is the last row of dy."""
    count, E = 2**22 + 3, 2**9
    layer, indices = nblstm.Embedding(1001, E, seed=0), np.arange(count, dtype=np.int32) % 1000
    indices[-1] = 1000
    y, tape = layer.forward(indices)
    assert y.size > 2**31
    assert np.array_equal(y[-1], layer.params["weight"][1000])
    layer.backward(y, tape)
    assert np.array_equal(layer.grads["weight"][1000], y[-1])
    np.testing.assert_allclose(layer.grads["weight"][7], np.count_nonzero(indices == 7) * y[7], rtol=1e-3)
