"""`SequenceClassifier` and `SequenceRegressor`: their gradients, what they read, their names and files, and PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest

import nblstm
from nblstm import CharLM, SequenceClassifier, SequenceRegressor, SequenceTagger
from nblstm.cells import CELLS
from nblstm.models import Network, SequenceModel

T, B, I, H, OUTPUTS = 6, 3, 4, 2, 5
LENGTHS = [[6, 6, 6], [2, 6, 0]]


def made(kind: type[SequenceModel], cell: str = "lstm", num_layers: int = 2, **options: Any) -> Any:
    return kind(I, H, num_layers, OUTPUTS, cell=cell, seed=5, **({"dtype": "float64"} | options))


def targets_of(model: SequenceModel, rng: np.random.Generator) -> np.ndarray:
    if isinstance(model, SequenceClassifier):
        return rng.integers(0, OUTPUTS, B)
    return rng.normal(size=(B, OUTPUTS)).astype(model.dtype)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", naive.CELLS)
@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
def test_gradients_against_centred_differences(
    rng: np.random.Generator, kind: type[SequenceModel], cell: str, bidirectional: bool
) -> None:
    """Of fifty numbers of x and of each layer; what is whole for one kind is ragged for the other."""
    model = made(kind, cell, bidirectional=bidirectional)
    lengths = LENGTHS[bidirectional != (kind is SequenceRegressor)]
    x, targets = rng.normal(size=(T, B, I)), targets_of(model, rng)
    z, tape = model.forward(x, lengths)
    dx = model.backward(model.loss(z, targets)[1], tape, need_dx=True)
    for where, analytic in (("x", dx), *((layer, layer.flat_grads) for layer in model.layers)):
        chosen = rng.permutation(analytic.size)[:50]
        numeric = []
        for index in chosen:
            losses = []
            for step in (1e-5, -2e-5, 1e-5):  # up, down, and back
                if isinstance(where, str):
                    x.flat[index] += step
                else:
                    with where.editing() as p:
                        p.flat[index] += step
                losses.append(model.loss(model(x, lengths), targets)[0])
            numeric.append((losses[0] - losses[1]) / 2e-5)
        assert np.abs(analytic.flat[chosen] - numeric).max() <= 1e-7 * np.abs(analytic).max(), where


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", naive.CELLS)
def test_what_lies_past_the_end_is_not_read_and_a_batch_is_its_members(
    rng: np.random.Generator, cell: str, bidirectional: bool
) -> None:
    model = made(SequenceClassifier, cell, bidirectional=bidirectional)
    x, lengths = rng.normal(size=(T, B, I)), [2, 6, 1]
    z = model(x, lengths)
    np.testing.assert_array_equal(model.forward(x, lengths)[0], z)
    for b, length in enumerate(lengths):
        np.testing.assert_allclose(model(x[:length, b : b + 1]), z[b : b + 1], rtol=1e-12)
        x[length:, b] = np.nan
    np.testing.assert_array_equal(model(x, lengths), z)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "rnn_relu"])
@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
def test_one_sequence_without_a_batch_is_a_batch_of_one(
    rng: np.random.Generator, kind: type[SequenceModel], cell: str, bidirectional: bool
) -> None:
    model = made(kind, cell, bidirectional=bidirectional)
    x, targets = rng.normal(size=(T, I)), targets_of(model, rng)
    found = []
    for one, target in ((x, targets[0]), (x[:, None], targets[:1])):
        model.zero_grad()
        z, tape = model.forward(one)
        np.testing.assert_array_equal(model(one), z)
        loss, dz = model.loss(z, target)
        dx = model.backward(dz, tape, need_dx=True)
        found.append([z.ravel(), loss, dx.ravel(), *(layer.flat_grads.copy() for layer in model.layers)])
        assert (z.shape[-1:], dx.shape) == ((OUTPUTS,), one.shape)
    for alone, in_a_batch in zip(*found, strict=True):
        np.testing.assert_array_equal(alone, in_a_batch)
    for wrong in (x[0], x[None, None]):
        with pytest.raises(ValueError, match=r"x must have 2 dimensions \(T, I\) or 3 with a batch, got [14]"):
            model(wrong)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", naive.CELLS)
def test_of_a_sequence_without_steps_the_answer_is_that_of_a_state_of_zeros(
    rng: np.random.Generator, cell: str, bidirectional: bool
) -> None:
    model = made(SequenceClassifier, cell, bidirectional=bidirectional)
    x = rng.normal(size=(T, B, I))
    x[:, 1] = np.nan
    z, tape = model.forward(x, [6, 0, 2])
    np.testing.assert_array_equal(model(x, [6, 0, 2]), z)
    np.testing.assert_array_equal(z[1], model.linear.params["bias"])
    dx = model.backward(np.ones_like(z), tape, need_dx=True)
    assert not dx[:, 1].any()
    assert dx[:, ::2].any()


def test_a_tape_is_used_again_for_other_sizes(rng: np.random.Generator) -> None:
    model, tape = made(SequenceClassifier), None
    for steps, batch in ((6, 3), (6, 3), (2, 1), (5, 4)):
        x, targets = rng.normal(size=(steps, batch, I)), rng.integers(0, OUTPUTS, batch)
        model.zero_grad()
        z, tape = model.forward(x, tape=tape)
        model.backward(model.loss(z, targets)[1], tape)
        found = [layer.flat_grads.copy() for layer in model.layers]
        model.zero_grad()
        z, fresh = model.forward(x)
        model.backward(model.loss(z, targets)[1], fresh)
        for layer, expected in zip(model.layers, found, strict=True):
            np.testing.assert_array_equal(layer.flat_grads, expected)


@pytest.mark.parametrize("tape", [5, (1, 2), CharLM("ab", 2, 3, 1).forward(np.zeros((2, 1), int))[2]])
def test_what_is_no_tape_of_such_a_network_is_refused(tape: Any) -> None:
    model, x = made(SequenceClassifier), np.zeros((T, B, I))
    message = "tape must be a tape that forward returned, got"
    with pytest.raises(TypeError, match=message):
        model.forward(x, tape=tape)
    with pytest.raises(TypeError, match=message):
        model.backward(np.zeros((B, OUTPUTS)), tape)


@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor, SequenceTagger])
def test_gradcheck_takes_it_and_so_does_a_chain(rng: np.random.Generator, kind: Any) -> None:
    model, x = kind(3, 4, 1, 2, dtype="float64", seed=1), rng.normal(size=(5, 2, 3))
    rows = nblstm.gradcheck(model, x, lengths=[5, 2]).rows
    assert {"x", "lstm.weight_ih_l0", "linear.bias"} <= {row.name for row in rows}
    chain = nblstm.Sequential(nblstm.Linear(3, 3, dtype="float64", seed=2), model)
    assert {row.name for row in nblstm.gradcheck(chain, x, lengths=[5, 2]).rows} >= {"0.weight", "1.lstm.weight_ih_l0"}


def test_names_shapes_and_count() -> None:
    model = SequenceClassifier(3, 5, 1, 7, bidirectional=True)
    names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert list(model.shapes) == [
        *(f"lstm.{name}{suffix}" for suffix in ("", "_reverse") for name in names),
        "linear.weight",
        "linear.bias",
    ]
    assert model.shapes["linear.weight"] == (7, 10)
    assert model.num_parameters == 2 * 4 * 5 * (3 + 5 + 2) + 77
    assert set(SequenceRegressor(3, 5, 1, 2, cell="rnn_relu").state_dict()) >= {"rnn.weight_ih_l0", "linear.bias"}
    assert "num_classes=7" in repr(model)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", naive.CELLS)
@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
def test_a_saved_model_comes_back(
    tmp_path: Path, rng: np.random.Generator, kind: type[SequenceModel], cell: str, bidirectional: bool
) -> None:
    formulation = "split" if CELLS[cell].apart else "concat"
    model = made(kind, cell, bidirectional=bidirectional, formulation=formulation, dropout=0.25)
    model.save(tmp_path / "model.safetensors")
    found = kind.load(tmp_path / "model.safetensors")
    assert repr(found) == repr(model) == repr(Network.load(tmp_path / "model.safetensors"))
    x = rng.normal(size=(T, B, I))
    np.testing.assert_array_equal(found(x), model(x))
    for other in {SequenceClassifier, SequenceRegressor, CharLM} - {kind}:
        message = rf"must be a model saved by {other.__name__}\.save, got one of {kind.__name__}\.save"
        with pytest.raises(ValueError, match=message):
            other.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "elman"}, "cell must be .*'gru', .*'indrnn'.* 'sru'.* got 'elman'"),
        ({"cell": "gru", "formulation": "concat"}, "formulation must be 'split' for cell 'gru'"),
        ({"cell": "rnn_tanh", "forget_bias": 1.0}, "forget_bias must be 0"),
        ({"num_classes": 0}, "num_classes must be at least 1"),
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
        ({"dropout": 1.5}, "dropout must be in"),
        ({"dtype": "float16"}, "dtype must be"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceClassifier(**({"input_size": 3, "hidden_size": 5, "num_layers": 2, "num_classes": 4} | arguments))


def test_a_network_without_a_loss_is_none() -> None:
    with pytest.raises(TypeError, match="abstract"):
        SequenceModel(
            3, 5, 1, ("size", 2), cell="lstm", bidirectional=False, dropout=0.0, forget_bias=0.0, formulation="split",
            heads=1, layer_norm=False, dtype="float32", seed=0,
        )  # type: ignore[abstract]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "targets", "message"),
    [
        (SequenceClassifier, np.zeros(B + 1, int), "targets must have shape"),
        (SequenceClassifier, np.full(B, OUTPUTS), "targets"),
        (SequenceRegressor, np.zeros(B), "targets must have shape"),
    ],
)
def test_targets_that_do_not_fit_are_refused(kind: type[SequenceModel], targets: np.ndarray, message: str) -> None:
    model = made(kind)
    with pytest.raises(ValueError, match=message):
        model.loss(model(np.zeros((T, B, I))), targets)


@pytest.mark.peers
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_state_dict_fits_a_pytorch_module_that_gives_the_same(
    rng: np.random.Generator, bidirectional: bool
) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    model = made(SequenceClassifier, bidirectional=bidirectional)

    class Peer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(I, H, 2, bidirectional=bidirectional)
            self.linear = torch.nn.Linear((1 + bidirectional) * H, OUTPUTS)

        def forward(self, x: Any) -> Any:
            _, (h_n, _) = self.lstm(x)
            return self.linear(torch.cat(tuple(h_n[-1 - bidirectional :]), dim=1))

    peer = Peer().double()
    peer.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in model.state_dict().items()})
    x, targets = rng.normal(size=(T, B, I)), rng.integers(0, OUTPUTS, B)
    expected = peer(torch.from_numpy(x))
    z, tape = model.forward(x)
    np.testing.assert_allclose(z, expected.detach().numpy(), rtol=0, atol=1e-13)
    torch.nn.functional.cross_entropy(expected, torch.from_numpy(targets)).backward()
    model.backward(model.loss(z, targets)[1], tape)
    found = {
        f"{part}.{name}": gradient
        for part, layer in (("lstm", model.recurrent), ("linear", model.linear))
        for name, gradient in layer.grads.items()
    }
    for name, parameter in peer.named_parameters():
        np.testing.assert_allclose(found[name], parameter.grad.numpy(), rtol=0, atol=1e-13, err_msg=name)


def test_a_refused_forward_leaves_the_pass_before_it_and_a_parts_own_does_not(rng: np.random.Generator) -> None:
    model = SequenceClassifier(3, 5, 1, 2, seed=0)
    x = rng.standard_normal((4, 2, 3)).astype("float32")
    z, tape = model.forward(x)
    with pytest.raises(ValueError, match="input_size"):
        model.forward(x[:, :, :2], tape=tape)
    model.backward(np.ones_like(z), tape)
    z, tape = model.forward(x, tape=tape)
    model.recurrent.forward(x, tape=tape.kept[0])
    with pytest.raises(RuntimeError, match="a part has run forward since"):
        model.backward(np.ones_like(z), tape)
