"""`Sequential` is its layers called one after the other, bit for bit, and loses nothing where it refuses."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nblstm import (
    GRU,
    LSTM,
    RNN,
    Adam,
    DotProductAttention,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    LSTMCell,
    MeanOverTime,
    Sequential,
    clip_grad_norm,
    gradcheck,
)  # fmt: skip

T, B, I = 5, 3, 4


def net(dtype: str = "float64", batch_first: bool = False) -> Sequential:
    """Units that differ by layer, two directions, a Linear between recurrent layers."""
    options: dict[str, Any] = {"dtype": dtype, "batch_first": batch_first}
    return Sequential(
        LSTM(I, 6, 2, bidirectional=True, dropout=0.5, seed=0, **options),
        Linear(12, 5, dtype=dtype, seed=1),
        RNN(5, 3, seed=2, **options),
        LSTM(3, 2, peephole=True, seed=3, **options),
    )


def drawn_states(owner: Sequential, rng: np.random.Generator) -> list[Any]:
    def member(layer: LSTM | RNN) -> np.ndarray:
        return rng.normal(size=(layer.num_layers * layer.directions, B, layer.hidden_size))

    return [
        None
        if isinstance(layer, Linear)
        else (member(layer), member(layer))
        if len(layer.cell.states) > 1
        else member(layer)
        for layer in owner.layers
    ]


def assert_equal(found: Any, expected: Any) -> None:
    """Nested lists and tuples of arrays, bit for bit."""
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [None, [2, 5, 1], [0, 5, 0]])
def test_calling_is_calling_one_layer_after_the_other(
    rng: np.random.Generator, batch_first: bool, lengths: list[int] | None
) -> None:
    model = net(batch_first=batch_first)
    x, states = rng.normal(size=(B, T, I) if batch_first else (T, B, I)), drawn_states(model, rng)
    first, linear, second, third = model.layers
    y, s0 = first(x, states[0], lengths)
    y, s2 = second(linear(y), states[2], lengths)
    y, s3 = third(y, states[3], lengths)
    assert_equal(model(x, states, lengths), (y, [s0, None, s2, s3]))


@pytest.mark.parametrize("lengths", [None, [2, 5, 1], [0, 5, 0]])
def test_passes_are_those_of_the_layers(rng: np.random.Generator, lengths: list[int] | None) -> None:
    model, twin = net(), net()
    x, states, dstates = rng.normal(size=(T, B, I)), drawn_states(model, rng), drawn_states(model, rng)
    dy = rng.normal(size=(T, B, 2))
    first, linear, second, third = twin.layers
    tape = None
    for _ in range(2):  # with a new tape, and with the one at hand
        y0, s0, t0 = first.forward(x, states[0], lengths)
        y1, t1 = linear.forward(y0)
        y2, s2, t2 = second.forward(y1, states[2], lengths)
        y3, s3, t3 = third.forward(y2, states[3], lengths)
        *found, tape = model.forward(x, states, lengths, tape)
        assert_equal(found, (y3, [s0, None, s2, s3]))
        dx, d3 = third.backward(dy, t3, dstates[3])
        dx, d2 = second.backward(dx, t2, dstates[2])
        dx, d0 = first.backward(linear.backward(dx, t1), t0, dstates[0])
        assert_equal(model.backward(dy, tape, dstates), (dx, [d0, None, d2, d3]))
        assert_equal(list(model.grads.values()), list(twin.grads.values()))
    model.zero_grad()
    assert not any(gradient.any() for gradient in model.grads.values())


def test_two_layers_of_one_size_are_a_stack(rng: np.random.Generator) -> None:
    """A Sequential's gradients are those of a layer with two layers, which are checked against differences."""
    stack = LSTM(I, I, 2, dtype="float64", seed=0)
    model = Sequential(LSTM(I, I, dtype="float64"), LSTM(I, I, dtype="float64"))
    model.load_state_dict({f"{name[-1]}.{name[:-1]}0": tensor for name, tensor in stack.state_dict().items()})
    x, dy = rng.normal(size=(T, B, I)), rng.normal(size=(T, B, I))
    y, _, tape = model.forward(x)
    expected, _, stacks_tape = stack.forward(x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(model.backward(dy, tape)[0], stack.backward(dy, stacks_tape)[0], rtol=0, atol=1e-14)
    for name, gradient in stack.grads.items():
        np.testing.assert_allclose(model.grads[f"{name[-1]}.{name[:-1]}0"], gradient, rtol=0, atol=1e-13)


def test_an_embedding_begins_and_has_no_dx() -> None:
    model = Sequential(Embedding(7, 3, seed=0), RNN(3, 2, seed=1))
    indices = np.array([[1, 6], [0, 1], [2, 2]])
    y, _, tape = model.forward(indices)
    dx, dstates = model.backward(np.ones_like(y), tape)
    assert dx is dstates[0] is None
    assert model.grads["0.weight"][[0, 1, 2, 6]].all()
    np.testing.assert_array_equal(model(indices)[0], y)
    np.testing.assert_array_equal(model(indices[:, 0])[0], y[:, 0])  # without a batch


def test_without_dx_the_parameters_gradients_are_the_same(rng: np.random.Generator) -> None:
    model, twin, x = net(), net(), rng.normal(size=(T, B, I))
    for one, need_dx in ((model, False), (twin, True)):
        y, _, tape = one.forward(x)
        dx, _ = one.backward(np.ones_like(y), tape, need_dx=need_dx)
        assert (dx is not None) == need_dx
    assert_equal(list(model.grads.values()), list(twin.grads.values()))


def test_linear_layers_alone_take_any_shape(rng: np.random.Generator) -> None:
    model = Sequential(Linear(3, 4, seed=0), Linear(4, 2, seed=1))
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    y, states = model(x)
    assert states == [None, None]
    np.testing.assert_array_equal(y, model.layers[1](model.layers[0](x)))


def test_optimisers_and_clipping_take_the_whole(rng: np.random.Generator) -> None:
    model, twin, x = net(), net(), rng.normal(size=(T, B, I))
    for one in (model, twin):
        y, _, tape = one.forward(x)
        one.backward(np.ones_like(y), tape)
    assert clip_grad_norm(model, 0.5) == clip_grad_norm(twin.layers, 0.5) > 0.5
    Adam(model).step()
    Adam(twin.layers).step()
    assert_equal(list(model.params.values()), list(twin.params.values()))


def test_names_are_those_of_torch_and_loading_is_all_or_nothing() -> None:
    model = net()
    state = model.state_dict()
    assert list(state)[-1] == "3.weight_peephole_l0"
    assert state.keys() == model.grads.keys()
    other = Sequential(*copy.deepcopy(model.layers))
    with other.layers[0].editing() as p:
        p.flat[:] = 0
    with pytest.raises(ValueError, match=r"Sequential: the state dict does not fit: missing: 3\.weight_peephole_l0"):
        other.load_state_dict({name: tensor for name, tensor in state.items() if "peephole" not in name})
    assert not other.layers[0].flat_params.any()
    other.load_state_dict(state)
    assert_equal(list(other.params.values()), list(model.params.values()))
    assert model.num_parameters == sum(layer.num_parameters for layer in model.layers)
    lines = model.summary().splitlines()
    assert lines[0] == repr(model)
    assert f"{model.num_parameters:,}" in lines[-1]
    assert repr(pickle.loads(pickle.dumps(model))) == repr(model)


@pytest.mark.peers
def test_torch_sequential_takes_the_state_dict() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    model = Sequential(LSTM(3, 5, seed=0), Linear(5, 4, seed=1))
    peer = torch.nn.Sequential(torch.nn.LSTM(3, 5), torch.nn.Linear(5, 4))
    peer.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in model.state_dict().items()})
    assert list(peer.state_dict()) == list(model.state_dict())


def pooled(batch_first: bool = False, dtype: str = "float64") -> Sequential:
    """From words to an answer for each sequence, under names."""
    return Sequential(
        embed=Embedding(9, 3, dtype=dtype, seed=0),
        gru=GRU(3, 4, bidirectional=True, batch_first=batch_first, dtype=dtype, seed=1),
        norm=LayerNorm(8, dtype=dtype),
        mean=MeanOverTime(batch_first=batch_first),
        drop=Dropout(0.5, seed=2),
        linear=Linear(8, 2, dtype=dtype, seed=3),
    )


@pytest.mark.gradients
@pytest.mark.parametrize("lengths", [None, [2, 5, 0]])
def test_gradients_of_the_whole(rng: np.random.Generator, lengths: list[int] | None) -> None:
    words = rng.integers(9, size=(T, B))
    table = gradcheck(pooled(), words, lengths=lengths)
    assert table.error < 1e-7
    assert (table.rows[0].name, table.rows[-1].name) == ("embed.weight", "gru.h_0")
    states = drawn_states(net(), rng)
    table = gradcheck(net(), rng.normal(size=(T, B, I)), states, lengths, entries=5)
    assert [row.name for row in table.rows][-6:] == ["x", "0.h_0", "0.c_0", "2.h_0", "3.h_0", "3.c_0"]
    assert table.error < 1e-7


@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths_go_to_all_that_read_sequences(rng: np.random.Generator, batch_first: bool) -> None:
    model, words, lengths = pooled(batch_first), rng.integers(9, size=(T, B)), [2, 5, 1]
    given = words.T if batch_first else words
    y, states = model(given, lengths=lengths)
    assert y.shape == (B, 2)
    assert [state is None for state in states] == [True, False, True, True, True, True]
    for b, n in enumerate(lengths):
        np.testing.assert_allclose(model(words[:n, b])[0], y[b], rtol=1e-13)
    trained, _, tape = model.forward(given, lengths=lengths)
    assert not np.array_equal(trained, y), "nothing was dropped"
    dx, _ = model.backward(trained, tape)
    assert dx is None
    assert all(gradient.any() for gradient in model.grads.values())


def test_names_stand_before_those_of_the_parameters() -> None:
    model = pooled()
    assert list(model.parts) == ["embed", "gru", "norm", "mean", "drop", "linear"]
    assert list(model.state_dict())[:2] == ["embed.weight", "gru.weight_ih_l0"]
    assert repr(model).startswith("Sequential(embed=Embedding(9, 3), gru=GRU(3, 4")
    assert model.parts["gru"] is model.layers[1]
    with pytest.raises(TypeError, match="layers must all have names or none"):
        Sequential(Linear(2, 3), more=Linear(3, 2))


# -------------------------------------------------------------------------------------------------------- bad input

SHARED = Linear(3, 3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Sequential(), ValueError, "layers must hold at least one layer, got none"),
        (lambda: Sequential([SHARED]), TypeError, r"got list at position 0: unpack it, Sequential\(\*layers\)"),
        (lambda: Sequential(LSTMCell(2, 3)), TypeError, "must be LSTM, GRU, RNN, .* got LSTMCell at"),
        (lambda: Sequential(SHARED, SHARED), ValueError, "layers must hold each layer once"),
        (lambda: Sequential(Sequential(SHARED)), TypeError, r"unpack it, Sequential\(\*net\.layers\)"),
        (lambda: Sequential(DotProductAttention()), TypeError, "which reads two: write a Composed"),
        (lambda: Sequential(SHARED, Dropout(), Linear(2, 3)), ValueError, "layer 2 reads 2 .* layer 1 returns 3"),
        (
            lambda: Sequential(mean=MeanOverTime(), gru=GRU(3, 3)),
            ValueError,
            "layers must not read sequences once layer mean has pooled them, got GRU in layer gru",
        ),
        (
            lambda: Sequential(GRU(3, 3), MeanOverTime(batch_first=True)),
            ValueError,
            "one layout, got batch_first=False in layer 0 and batch_first=True in layer 1",
        ),
        (
            lambda: Sequential(LSTM(2, 3, bidirectional=True), SHARED),
            ValueError,
            "layers must fit together: layer 1 reads 3 numbers a step, and layer 0 returns 6",
        ),
        (lambda: Sequential(SHARED, Embedding(3, 3)), ValueError, "an Embedding, .* at position 0 only, got one at 1"),
        (
            lambda: Sequential(SHARED, RNN(3, 3, dtype="float64")),
            ValueError,
            "one dtype, got float32 in layer 0 and float64 in layer 1",
        ),
        (
            lambda: Sequential(LSTM(3, 3), SHARED, LSTM(3, 3, batch_first=True)),
            ValueError,
            "one layout, got batch_first=False in layer 0 and batch_first=True in layer 2",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


STATE = np.zeros((1, B, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": np.zeros((T, B, 3))}, ValueError, r"x must have shape \(\.\.\., 4\), got \(5, 3, 3\)"),
        ({"x": np.zeros((T, B, 1, I))}, ValueError, r"x must have shape \(T, B, I\), or \(T, I\) without a batch, got"),
        ({"x": np.zeros((0, B, I))}, ValueError, "x must have at least one time step"),
        ({"lengths": [1, 2, 9]}, ValueError, r"lengths must be in 0\.\.5"),
        ({"states": STATE}, TypeError, "states must be a list with one member for each of the 4 layers, got ndarray"),
        ({"states": [None, STATE, None, None]}, TypeError, r"states\[1\] must be None, for a Linear has no state"),
        ({"states": [None, None, STATE[:, :1], None]}, ValueError, r"states\[2\] must have shape \(1, 3, 3\)"),
        ({"states": [None, None, None, STATE]}, TypeError, r"states\[3\] must be a pair \(h, c\), got ndarray"),
    ],
)
def test_what_is_refused_leaves_the_tape_as_it_was(
    rng: np.random.Generator, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    model, twin, x = net(), net(), rng.normal(size=(T, B, I))
    y, _, tape = model.forward(x)
    for run in (model.__call__, lambda **given: model.forward(**given, tape=tape)):
        with pytest.raises(error, match=message):
            run(**{"x": x} | arguments)
    twins_y, _, twins_tape = twin.forward(x)
    assert_equal(model.backward(np.ones_like(y), tape), twin.backward(np.ones_like(twins_y), twins_tape))


def test_a_refused_backward_changes_no_gradient(rng: np.random.Generator) -> None:
    model, x = net(), rng.normal(size=(T, B, I))
    y, _, tape = model.forward(x)
    with pytest.raises(ValueError, match=r"dstates\[0\]\[0\] must have shape \(4, 3, 6\), got \(1, 3, 3\)"):
        model.backward(y, tape, [(STATE, None), None, None, None])
    with pytest.raises(ValueError, match=r"dy must have shape \(5, 3, 2\)"):
        model.backward(y[:, :1], tape)
    with pytest.raises(ValueError, match="tape must be one of this layer's"):
        net().backward(y, tape)
    assert not any(gradient.any() for gradient in model.grads.values())
    model.backward(y, tape)
    with pytest.raises(RuntimeError, match="backward has already run on this forward"):
        model.backward(y, tape)
    model.forward(x, tape=tape)
    with model.layers[0].editing():
        pass
    with pytest.raises(RuntimeError, match="the parameters were written between"):
        model.backward(y, tape)


def test_a_forward_that_broke_off_allows_no_backward(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would go through the new pass of some layers and the old one of others."""
    model, x = net(), rng.normal(size=(T, B, I))
    y, _, tape = model.forward(x)

    def full(*_: Any) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr(model.layers[2], "forward", full)
    with pytest.raises(MemoryError, match="no more"):
        model.forward(x, tape=tape)
    with pytest.raises(RuntimeError, match="run forward again"):
        model.backward(y, tape)
    assert not any(gradient.any() for gradient in model.grads.values())


def test_lengths_need_a_layer_that_reads_sequences_and_a_batch() -> None:
    with pytest.raises(ValueError, match="lengths must be None for layers none of which reads sequences"):
        Sequential(SHARED)(np.zeros((2, 3), "float32"), lengths=[1, 2])
    with pytest.raises(ValueError, match="lengths must be None for x without a batch"):
        net()(np.zeros((T, I)), lengths=[1])
