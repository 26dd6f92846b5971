"""What all layers share: names and shapes, the start, writing and reading parameters, summaries."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from support.cases import Case, grid

import nblstm
from nblstm.kernels import products

NAMES = {
    ("lstm", "split"): {"weight_ih": (28, 2), "weight_hh": (28, 7), "bias_ih": (28,), "bias_hh": (28,)},
    ("lstm", "concat"): {"weight": (28, 9), "bias": (28,)},
    ("peephole", "split"): {
        "weight_ih": (28, 2),
        "weight_hh": (28, 7),
        "bias_ih": (28,),
        "bias_hh": (28,),
        "weight_peephole": (3, 7),
    },
    ("rnn_tanh", "split"): {"weight_ih": (7, 2), "weight_hh": (7, 7), "bias_ih": (7,), "bias_hh": (7,)},
    ("rnn_relu", "concat"): {"weight": (7, 9), "bias": (7,)},
}


@pytest.mark.parametrize(("cell", "formulation"), NAMES)
def test_names_and_shapes(cell, formulation):
    layer = Case(cell, formulation).layer()
    expected = {f"{name}_l0": shape for name, shape in NAMES[cell, formulation].items()}
    assert {name: tensor.shape for name, tensor in layer.params.items()} == expected
    assert layer.num_parameters == layer.flat_params.size == sum(int(np.prod(shape)) for shape in expected.values())


def test_names_of_a_stack_in_two_directions_are_in_pytorchs_order():
    layer = Case("lstm", num_layers=2, bidirectional=True).layer()
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    suffixes = ("_l0", "_l0_reverse", "_l1", "_l1_reverse")
    assert list(layer.params) == [kind + suffix for suffix in suffixes for kind in kinds]
    assert layer.params["weight_ih_l1_reverse"].shape == (28, 14)


@pytest.mark.parametrize("case", grid(cell=("lstm", "peephole", "rnn_tanh"), formulation=("split", "concat")), ids=str)
def test_starts_uniform_and_from_the_seed(case):
    layers = [case.layer(seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(layers[0].flat_params, layers[1].flat_params)
    assert not np.array_equal(layers[0].flat_params, layers[2].flat_params)
    bound = 1 / np.sqrt(7)
    assert 0.95 * bound < np.abs(layers[0].flat_params).max() <= bound
    assert abs(layers[0].flat_params.mean()) < 0.1 * bound


@pytest.mark.parametrize("formulation", ["split", "concat"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_forget_bias_is_added_once(formulation, bidirectional):
    """Whatever the number of biases, the forget gate's sum goes up by it, in every layer and direction."""
    plain, raised = (
        nblstm.LSTM(2, 7, 2, bidirectional=bidirectional, formulation=formulation, forget_bias=extra, seed=1)
        for extra in (0.0, 1.5)
    )
    for suffix in ("_l0", "_l1", "_l0_reverse", "_l1_reverse")[: 4 if bidirectional else 2]:
        names = [name for name in plain.params if name.startswith("bias") and name.endswith(suffix)]
        more = sum(raised.params[name] - plain.params[name] for name in names)
        np.testing.assert_allclose(more, np.repeat([0, 1.5, 0, 0], 7), atol=1e-6)
    for name in plain.params:
        if name.startswith("weight"):
            assert np.array_equal(plain.params[name], raised.params[name])


def test_forget_bias_of_a_cell():
    plain, raised = (nblstm.LSTMCell(2, 7, forget_bias=extra, seed=1) for extra in (0.0, 1.0))
    more = raised.params["bias_ih"] - plain.params["bias_ih"]
    np.testing.assert_allclose(more, np.repeat([0, 1, 0, 0], 7), atol=1e-6)


def test_writing_goes_through_editing_and_is_counted():
    layer = Case().layer()
    version = layer.version
    with layer.editing() as p:
        p["weight_hh_l0"][2, 3] = 42
        p.flat[0] = 7
    assert layer.params["weight_hh_l0"][2, 3] == 42
    assert layer.params["weight_ih_l0"][0, 0] == layer.flat_params[0] == 7
    assert layer.version > version
    with pytest.raises(ValueError, match="read-only"):
        layer.params["weight_hh_l0"][2, 3] = 0


def test_named_gradients_are_views_into_the_flat_ones():
    layer = Case().layer()
    layer.flat_grads[:] = np.arange(layer.num_parameters)
    flattened = np.concatenate([tensor.ravel() for tensor in layer.grads.values()])
    assert np.array_equal(flattened, layer.flat_grads)
    layer.grads["bias_hh_l0"][-1] = -1
    assert layer.flat_grads[-1] == -1


def test_a_state_dict_is_a_copy_and_comes_back():
    layer, other = Case().layer(seed=1), Case().layer(seed=2)
    taken = layer.state_dict()
    other.load_state_dict(taken)
    assert np.array_equal(other.flat_params, layer.flat_params)
    taken["weight_ih_l0"][...] = 0
    assert layer.params["weight_ih_l0"].all()
    assert other.params["weight_ih_l0"].all()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "peephole", "rnn_tanh"])
def test_from_concatenated_to_split_the_bias_goes_to_bias_ih(cell, bias):
    concat = Case(cell, "concat", num_layers=2, bias=bias).layer()
    split = concat.to_formulation("split")
    for k in range(2):
        W, H = concat.params[f"weight_l{k}"], 7
        assert np.array_equal(split.params[f"weight_hh_l{k}"], W[:, :H])
        assert np.array_equal(split.params[f"weight_ih_l{k}"], W[:, H:])
        if bias:
            assert np.array_equal(split.params[f"bias_ih_l{k}"], concat.params[f"bias_l{k}"])
            assert not split.params[f"bias_hh_l{k}"].any()


def test_to_the_same_formulation_is_a_copy():
    layer = Case("rnn_relu", num_layers=2, bidirectional=True).layer()
    same = layer.to_formulation("split")
    assert np.array_equal(same.flat_params, layer.flat_params)
    with same.editing() as p:
        p.flat[:] = 0
    assert layer.flat_params.any()


@pytest.mark.parametrize(
    "layer",
    [
        nblstm.LSTM(28, 128, 2),
        nblstm.RNN(28, 128, formulation="concat"),
        nblstm.LSTMCell(100, 20),
        nblstm.Linear(128, 10),
        nblstm.Embedding(50, 8),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_summary_lists_every_tensor_and_the_total(layer):
    lines = layer.summary().splitlines()
    for name, tensor in layer.params.items():
        assert any(name in line and str(tensor.shape) in line and f"{tensor.size:,}" in line for line in lines)
    assert "total" in lines[-1]
    assert f"{layer.num_parameters:,}" in lines[-1]


def test_gradients_can_be_changed_in_place_and_set():
    layer = Case("lstm").layer()
    layer.grads["bias_ih_l0"] += 3
    layer.grads["bias_ih_l0"] *= 2
    layer.grads["bias_hh_l0"] = np.arange(28.0)
    start = layer.grads.starts["bias_ih_l0"]
    assert (layer.flat_grads[start : start + 28] == 6).all()
    np.testing.assert_array_equal(layer.flat_grads[start + 28 :], np.arange(28.0))
    with pytest.raises(ValueError, match=r"bias_hh_l0 must have shape \(28,\), got \(1,\)"):
        layer.grads["bias_hh_l0"] = np.ones(1)
    with pytest.raises(TypeError, match="bias_hh_l0 must be float64, got float32"):
        layer.grads["bias_hh_l0"] = np.ones(28, "float32")
    with pytest.raises(ValueError, match="read-only"):
        layer.params["bias_hh_l0"] *= 2


@pytest.mark.parametrize("sizes", [(3, 5), (40, 70)])
def test_what_runs_while_parameters_are_edited_goes_by_the_values_of_that_moment(sizes):
    I, H = sizes
    x = np.random.default_rng(0).normal(size=(4, 2, I))
    layer, head = nblstm.LSTM(I, H, dtype="float64", seed=0), nblstm.Linear(H, 2, dtype="float64", seed=0)
    version = layer.version
    with layer.editing() as p, head.editing() as q:
        for scale in (0.5, 2.0, 0.3):
            p["weight_ih_l0"] *= scale
            q["weight"] *= scale
            fresh, fresh_head = nblstm.LSTM(I, H, dtype="float64"), nblstm.Linear(H, 2, dtype="float64")
            fresh.load_state_dict(layer.state_dict())
            fresh_head.load_state_dict(head.state_dict())
            expected = fresh_head(fresh(x)[0])
            np.testing.assert_array_equal(head(layer(x)[0]), expected)
            y, _, tape = layer.forward(x)
            np.testing.assert_array_equal(head.forward(y)[0], expected)
            with pytest.raises(RuntimeError, match="parameters"):
                layer.backward(y, tape)
    assert layer.version == version + 1


def trains(layer, x):
    """Whether forward and backward go together, as they do when nobody writes in between."""
    y, *_, tape = layer.forward(x)
    layer.backward(np.ones_like(y), tape)
    return layer.flat_grads.any()


def test_edits_of_two_threads_may_overlap():
    layer, x = nblstm.LSTM(2, 3, seed=0), np.ones((4, 1, 2), "float32")
    version = layer.version
    first, second = layer.editing(), layer.editing()
    first.__enter__()["bias_ih_l0"][...] = 1
    second.__enter__()["bias_hh_l0"][...] = 2
    first.__exit__(None, None, None)
    assert math.isnan(layer.version)
    second.__exit__(None, None, None)
    assert layer.version > version
    assert trains(layer, x)


def test_a_copy_made_while_parameters_are_edited_is_edited_by_nobody():
    layer = nblstm.LSTM(2, 3, seed=0)
    with layer.editing():
        twin = copy.deepcopy(layer)
    assert trains(twin, np.ones((4, 1, 2), "float32"))


@pytest.mark.parametrize("make", [nblstm.LSTM, nblstm.Linear])
@pytest.mark.parametrize("kernel", ["pack_forward", "pack_backward"])
def test_what_is_written_while_weights_are_packed_counts_from_then_on(make, kernel, monkeypatch):
    """Written as by another thread, just after the old weights were read."""
    layer, twin, x, dy = make(2, 3), make(2, 3), np.ones((4, 1, 2), "float32"), np.ones((4, 1, 3), "float32")
    pack = getattr(products, kernel)

    def pack_then_write(*arguments):
        pack(*arguments)
        monkeypatch.undo()
        with layer.editing() as p:
            p.flat[:] += 1

    monkeypatch.setattr(products, kernel, pack_then_write)
    *_, tape = layer.forward(x)
    if kernel == "pack_forward":
        with pytest.raises(RuntimeError, match="written between"):
            layer.backward(dy, tape)
    else:
        layer.backward(dy, tape)
    twin.load_state_dict(layer.params)
    results = []
    for net, used in ((layer, tape), (twin, None)):
        y, *_, used = net.forward(x, tape=used)
        dx = net.backward(dy, used)
        results.append((y.copy(), np.copy(dx[0] if isinstance(dx, tuple) else dx)))
    (y, dx), (expected_y, expected_dx) = results
    assert np.array_equal(y, expected_y)
    assert np.array_equal(dx, expected_dx)


def test_a_write_counts_although_its_block_ends_in_an_error():
    layer, x = nblstm.LSTM(3, 5, seed=0), np.ones((2, 1, 3), "float32")
    before, _ = layer(x)

    def write_and_fail():
        with layer.editing() as p:
            p.flat[:] = 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert before.any()
    assert not layer(x)[0].any()
