"""Layer norm across the units of a step: against the twin, differences and PyTorch; the same bits in whatever way."""

from __future__ import annotations

import copy
from typing import Any

import naive
import numba
import numpy as np
import pytest
from support import own_cells
from support.cases import (
    BOTH,
    Case,
    Problem,
    Results,
    assert_agree,
    grid,
    named,
    run_and_call,
    run_layer,
    run_naive,
)
from support.own_cells import run_plain
from support.threading_layers import PATIENT

import nblstm
from nblstm import weights
from nblstm.cells import CELLS, Cell
from nblstm.kernels import driver

NORM: dict[str, Any] = {"layer_norm": (True,), "formulation": ("split", "concat")}
STACK: dict[str, Any] = {"num_layers": (2,), "bidirectional": (True,), "lengths": (True,)}
SIZES = [(1, 1, 2, 2), (1, 4, 3, 8), (7, 1, 5, 20), (3, 17, 28, 33), (2, 40, 3, 16)]
DTYPES = {"float64": 1e-12, "float32": 1e-4}
EVERY_CELL = [
    *(cell for cell in CELLS.values() if not cell.reads),
    own_cells.MIXED, own_cells.HOISTED, own_cells.ALONE, own_cells.OPENED,
]  # fmt: skip


# ------------------------------------------------------------------------------------------------------- the equations


@pytest.mark.parametrize(
    "case",
    [
        *grid(cell=naive.CELLS, **NORM, bidirectional=BOTH, bias=BOTH, batch_first=BOTH),
        *grid(cell=naive.CELLS, **NORM, **STACK, bias=BOTH),
    ],
    ids=str,
)
def test_matches_the_twin(case: Case, rng: np.random.Generator) -> None:
    layer, problem = case.layer(), Problem.draw(case, rng)
    assert_agree(run_layer(layer, problem), run_naive(case, layer.params, problem), DTYPES["float64"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", grid(cell=naive.CELLS, layer_norm=(True,), sizes=SIZES), ids=str)
def test_matches_the_twin_for_any_sizes(case: Case, dtype: str, rng: np.random.Generator) -> None:
    """Padding does not count: fewer units than lanes, whole vectors, one more; more rows than are multiplied at once.

    Of a single input, or of a single unit's h', only the sign is left, and of its gradient what rounding leaves.
    """
    layer, problem = case.layer(dtype), Problem.draw(case, rng, dtype)
    assert_agree(run_layer(layer, problem), run_naive(case, layer.params, problem), DTYPES[dtype])


@pytest.mark.parametrize("cell", EVERY_CELL, ids=repr)
def test_every_cell_gives_the_numbers_of_a_plain_loop_and_the_gradients_of_differences(
    cell: Cell, rng: np.random.Generator
) -> None:
    layer = nblstm.Recurrent(cell, 4, 5, 2, bidirectional=True, dtype="float64", seed=1, layer_norm=True)
    with layer.editing() as p:
        p.flat[:] *= rng.uniform(0.5, 1.5, p.flat.size)
    x, lengths = rng.standard_normal((4, 3, 4)), [4, 1, 3]
    expected, last = run_plain(layer, x, lengths)
    for y, states in (layer(x, lengths=lengths), layer.forward(x, lengths=lengths)[:2]):
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
        for member, plain in zip(states if isinstance(states, tuple) else (states,), last, strict=True):
            np.testing.assert_allclose(member, plain, rtol=0, atol=1e-12)
    if cell.name not in naive.CELLS:  # whose gradients are the twin's
        nblstm.gradcheck(layer, x, steep_nowhere(layer, 3, rng), np.array(lengths), entries=4)


def steep_nowhere(layer: nblstm.Recurrent, B: int, rng: np.random.Generator) -> Any:
    """An initial state for differences: at h' = 0 the norm is as steep as 1 / sqrt(1e-5), and an sLSTM's n jumps."""
    shape = layer.num_layers * layer.directions, B, layer.hidden_size
    members = [1 + np.abs(rng.standard_normal(shape)) for _ in layer.cell.states]
    return tuple(members) if len(members) > 1 else members[0]


@pytest.mark.gradients
@pytest.mark.parametrize(
    "case",
    [
        *grid(cell=("lstm", "peephole", "gru", "rnn_tanh"), **NORM, **STACK, bias=BOTH),
        *grid(cell=("lstm", "gru"), layer_norm=(True,), batch_first=(True,), sizes=[(4, 1, 3, 9)]),
    ],
    ids=str,
)
def test_differences_tensor_by_tensor(case: Case, rng: np.random.Generator) -> None:
    problem = Problem.draw(case, rng)
    nblstm.gradcheck(case.layer(), problem.x, problem.state, problem.lengths, entries=6)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_single_steps(kind: str, rng: np.random.Generator) -> None:
    cell = getattr(nblstm, kind)(3, 7, dtype="float64", seed=0, layer_norm=True)
    layer = getattr(nblstm, kind.removesuffix("Cell"))(3, 7, dtype="float64", seed=0, layer_norm=True)
    assert [name + "_l0" for name in cell.params] == [*layer.params]
    layer.load_state_dict({name + "_l0": tensor for name, tensor in cell.params.items()})
    x, state = rng.standard_normal((2, 4, 3)), None
    for row in x:
        state = cell(row, state)
    assert np.array_equal(state, np.asarray(layer(x)[1]).reshape(np.shape(state)))
    h, tape = cell.forward(x[0])
    expected_y, _, layers_tape = layer.forward(x[:1])
    assert np.array_equal(np.reshape(h, (-1, 4, 7))[0], expected_y[0])
    dy = rng.standard_normal((1, 4, 7))
    dx, _ = cell.backward((dy[0], None) if kind == "LSTMCell" else dy[0], tape)
    assert np.array_equal(dx, layer.backward(dy, layers_tape)[0][0])
    assert_agree({name + "_l0": each for name, each in cell.grads.items()}, dict(layer.grads), tolerance=0)


# ------------------------------------------------------------------------------------------------------------- PyTorch


def run_autograd(case: Case, params: dict[str, np.ndarray], problem: Problem) -> Results:
    """One layer of LSTM or GRU in PyTorch: a loop over steps with `torch.nn.functional.layer_norm`."""
    import torch
    from torch.nn.functional import layer_norm

    p = {name.removesuffix("_l0"): torch.tensor(array, requires_grad=True) for name, array in params.items()}
    given = [array for array in (problem.h_0, problem.c_0) if array is not None]
    x, *first = (torch.tensor(array, requires_grad=True) for array in (problem.x, *given))
    h, c = first[0][0], first[-1][0]
    rows, ys = p["weight_ih"].shape[:1], []
    for x_t in x:
        a_x = layer_norm(x_t @ p["weight_ih"].T, rows, p["gain_ih"], p["bias_ih"])
        a_h = layer_norm(h @ p["weight_hh"].T, rows, p["gain_hh"], p["bias_hh"])
        if case.cell == "lstm":
            i, f, g, o = (a_x + a_h).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        else:
            (x_r, x_z, x_n), (h_r, h_z, h_n) = a_x.chunk(3, dim=1), a_h.chunk(3, dim=1)
            z = (x_z + h_z).sigmoid()
            h = (1 - z) * (x_n + (x_r + h_r).sigmoid() * h_n).tanh() + z * h
        ys.append(h)
    last = [h[None], c[None]] if case.cell == "lstm" else [h[None]]
    upstream = [torch.tensor(array) for array in (problem.dy, problem.dh_n, problem.dc_n) if array is not None]
    torch.autograd.backward([torch.stack(ys), *last], upstream)
    return named(
        torch.stack(ys).detach().numpy(), tuple(member.detach().numpy() for member in last), x.grad.numpy(),
        tuple(member.grad.numpy() for member in first),
        {name + "_l0": tensor.grad.numpy() for name, tensor in p.items()},
    )  # fmt: skip


PEERS = grid(cell=("lstm", "gru"), layer_norm=(True,), sizes=[(5, 3, 2, 7), (9, 4, 20, 33)])
PROJECTIONS = {
    "lstm": [
        -0.758769488578316, 1.9766687025238, -0.881095446445869, -3.57104889153146, -0.406230104694679,
        -0.406230104694679, 0.357242165511148, -0.21098073706028, 0.327359446405157, -4.60765568424659,
        -0.530837242936514, -1.18423793839541,
    ],
    "gru": [
        9.6536998496797, 29.5654845395352, 2.36724682017231, 6.78470753831658, 2.08178656038107, 2.9935289780496,
        -0.275632761167475, 2.90513287990737, -2.80203054204235, 4.02891913561713,
    ],
}  # fmt: skip
"""What `projected` made of PyTorch's results for the smaller nets: ``run_autograd`` in PyTorch 2.13.0, in float64."""


def drawn(case: Case) -> tuple[nblstm.LSTM | nblstm.GRU, Problem]:
    """The layer with parameters that rest on NumPy's generator alone, and a problem."""
    layer, rng = case.layer(), np.random.default_rng(7)
    with layer.editing() as p:
        p.flat[:] = rng.uniform(-1, 1, p.flat.size)
    return layer, Problem.draw(case, rng)


def projected(results: Results) -> list[float]:
    """Each tensor along a direction, sin(1), sin(2) ...; in the order of the names."""
    return [float(np.sin(1 + np.arange(results[name].size)) @ results[name].ravel()) for name in sorted(results)]


@pytest.mark.peers
@pytest.mark.parametrize("case", PEERS, ids=str)
def test_as_in_pytorch(case: Case) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    layer, problem = drawn(case)
    assert_agree(run_layer(layer, problem), run_autograd(case, dict(layer.params), problem), 1e-11)


@pytest.mark.parametrize("case", PEERS[::2], ids=str)
def test_as_recorded_from_pytorch(case: Case) -> None:
    np.testing.assert_allclose(projected(run_layer(*drawn(case))), PROJECTIONS[case.cell], rtol=1e-10)


# ------------------------------------------------------------------------------------------- the same bits in every way

BITS = grid(cell=("lstm", "peephole", "gru", "slstm", "own"), layer_norm=(True,), **STACK, sizes=[(6, 7, 3, 40)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", BITS, ids=str)
def test_threads_that_share_out_rows_or_units_change_no_bit(
    case: Case, dtype: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, layer = Problem.draw(case, rng, dtype), case.layer(dtype)
    monkeypatch.setattr(driver.MEETINGS, "missed", 0)
    monkeypatch.setattr(driver.MEETINGS, "skips", {})
    found = []
    for policy in (
        {"serial_below": 10**15},
        {"serial_below": 0, "team_rows": 1, "team_above": 10**15},
        {"serial_below": 0, "team_rows": 100, "team_above": 0, "team_patience": PATIENT},
    ):
        with nblstm.thread_policy(**policy):
            found.append(run_and_call(layer, problem))
    for other in found[1:]:
        assert_agree(other, found[0], tolerance=0)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="NUMBA_NUM_THREADS is 1: there is no team")
def test_a_team_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above compares was made by threads that met."""
    from nblstm.layers import passes

    monkeypatch.setattr(driver.MEETINGS, "skips", {})
    met, run_as_team = [], driver.run_as_team
    monkeypatch.setattr(passes, "run_as_team", lambda *arguments: met.append(run_as_team(*arguments)) or met[-1])
    numba.get_num_threads()
    if driver._threading_layer() != "omp":
        pytest.skip("there are no teams without OpenMP")
    with nblstm.thread_policy(serial_below=0, team_rows=100, team_above=0, team_patience=PATIENT):
        layer = nblstm.LSTM(3, 130, seed=0, layer_norm=True)
        y, _, tape = layer.forward(np.ones((5, 2, 3), "float32"))
        layer.backward(y, tape)
    assert met == [True, True]


@pytest.mark.parametrize("checkpoint", [1, 4])
@pytest.mark.parametrize("case", BITS, ids=str)
@pytest.mark.usefixtures("threads_and_serial")
def test_checkpoint_changes_no_bit(case: Case, checkpoint: int, rng: np.random.Generator) -> None:
    problem = Problem.draw(case, rng)
    assert_agree(
        run_and_call(case.layer(checkpoint=checkpoint), problem), run_and_call(case.layer(), problem), tolerance=0
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", [*naive.CELLS, "slstm", "own"])
def test_a_stream_gives_the_bits_of_the_whole_sequence_in_training(
    cell: str, dtype: str, rng: np.random.Generator
) -> None:
    layer = Case(cell, num_layers=2, layer_norm=True, sizes=(7, 1, 3, 21)).layer(dtype)
    x = rng.standard_normal((7, 3)).astype(dtype)
    y, last, _ = layer.forward(x)
    stream = layer.stream()
    assert np.array_equal([*(stream(row) for row in x[:3]), *stream.process(x[3:])], y)
    assert np.array_equal(stream.state, last)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_model_writes_what_its_steps_make_likeliest_and_is_opened_as_it_was(cell: str, tmp_path: Any) -> None:
    model = nblstm.CharLM("abcdefgh", 5, 70, 2, cell=cell, layer_norm=True, dtype="float64", seed=2)
    text = "ab"
    while len(text) < 12:
        logits = model(np.array([[model.vocabulary.index(each)] for each in text]))[0]
        text += model.vocabulary[logits[-1, 0].argmax()]
    assert model.sample("ab", 10, 0.0) == text
    model.save(tmp_path / "model.safetensors")
    opened = nblstm.CharLM.load(tmp_path / "model.safetensors")
    assert opened.recurrent.layer_norm
    assert opened.sample("ab", 10, 0.0) == text


def test_a_tape_is_used_again_and_dropout_is_there(rng: np.random.Generator) -> None:
    layer = nblstm.LSTM(3, 9, 2, dropout=0.5, dtype="float64", seed=0, layer_norm=True)
    same = copy.deepcopy(layer)
    x, dy, tape = rng.standard_normal((4, 2, 3)), rng.standard_normal((4, 2, 9)), None
    for _ in range(3):
        y, _, tape = layer.forward(x, tape=tape)
        fresh_y, _, fresh = same.forward(x)
        assert np.array_equal(y, fresh_y)
        assert np.array_equal(layer.backward(dy, tape)[0], same.backward(dy, fresh)[0])
        assert_agree(dict(layer.grads), dict(same.grads), tolerance=0)


def test_heads_are_normalised_together(rng: np.random.Generator) -> None:
    """A head's sums read its own h, and all heads' products have one mean."""
    layer = nblstm.Recurrent("slstm", 3, 6, heads=2, dtype="float64", seed=0, layer_norm=True)
    x = rng.standard_normal((4, 2, 3))
    np.testing.assert_allclose(layer(x)[0], run_plain(layer, x, [4, 4])[0], rtol=0, atol=1e-12)
    nblstm.gradcheck(layer, x, steep_nowhere(layer, 2, rng), entries=6)


# ---------------------------------------------------------------------------------------------------- what is no number


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.usefixtures("threads_and_serial")
def test_what_is_not_finite_stays_in_its_sequence(cell: str, rng: np.random.Generator) -> None:
    case = Case(cell, num_layers=2, bidirectional=True, layer_norm=True, sizes=(4, 3, 2, 21))
    problem, layer = Problem.draw(case, rng, "float32"), case.layer("float32")
    clean = run_and_call(layer, problem)
    for poison in (np.nan, np.inf):
        for name in ("x", "h_0", "dy"):
            spoiled = copy.deepcopy(problem)
            getattr(spoiled, name)[0, 0, -1] = poison
            found = run_and_call(layer, spoiled)
            assert np.isnan(found["dx"][:, 0]).any(), (poison, name)
            for tensor, array in found.items():
                if not tensor.startswith("grad "):
                    np.testing.assert_array_equal(array[:, 1:], clean[tensor][:, 1:], f"{poison} in {name}: {tensor}")


def test_equal_numbers_are_normalised_to_zero() -> None:
    """sigma is never 0: h' = 0 at the first step, and an x of zeros."""
    layer = nblstm.LSTM(3, 5, dtype="float64", seed=0, layer_norm=True)
    y, _, tape = layer.forward(np.zeros((1, 2, 3)))
    i, _, g, o = layer.params["bias_ih_l0"].reshape(4, 5) + layer.params["bias_hh_l0"].reshape(4, 5)
    np.testing.assert_allclose(y[0, 0], np.tanh(np.tanh(g) / (1 + np.exp(-i))) / (1 + np.exp(-o)), rtol=1e-12)
    dx, (dh, _) = layer.backward(np.ones_like(y), tape)
    assert np.isfinite(dx).all()
    assert np.isfinite(dh).all()
    rnn = nblstm.RNN(3, 1, dtype="float64", seed=0, layer_norm=True)  # a single number is its own mean
    bias = rnn.params["bias_ih_l0"] + rnn.params["bias_hh_l0"]
    np.testing.assert_allclose(rnn(np.ones((2, 1, 3)))[0], np.full((2, 1, 1), np.tanh(bias)), rtol=1e-14)


# ------------------------------------------------------------------------------------------ names, files and the others


def test_gains_begin_as_ones_and_have_names_beside_the_weights() -> None:
    layer = nblstm.GRU(3, 5, 2, bidirectional=True, seed=0, layer_norm=True)
    suffixes = "_l0", "_l0_reverse", "_l1", "_l1_reverse"
    gains = [name for name in layer.params if name.startswith("gain")]
    assert gains == [name + suffix for suffix in suffixes for name in ("gain_ih", "gain_hh")]
    assert all(layer.params[name].shape == (15,) and (layer.params[name] == 1).all() for name in gains)
    assert repr(layer) == "GRU(3, 5, num_layers=2, bidirectional=True, layer_norm=True)"
    assert "gain_hh_l1_reverse" in layer.summary()
    assert not any(name.startswith("gain") for name in nblstm.GRU(3, 5, seed=0).params)
    alone = nblstm.Recurrent("indrnn", 3, 5, seed=0, layer_norm=True)  # which has no product with h
    assert [*alone.params] == ["weight_ih_l0", "bias_ih_l0", "weight_peephole_l0", "gain_ih_l0"]


def test_saved_and_loaded(tmp_path: Any, rng: np.random.Generator) -> None:
    layer, x = Case(layer_norm=True).layer(), rng.standard_normal((4, 3, 2))
    weights.save(tmp_path / "lstm.safetensors", layer.state_dict())
    other = nblstm.LSTM(2, 7, dtype="float64", seed=9, layer_norm=True)
    before = other(x)[0]
    other.load_state_dict(weights.load(tmp_path / "lstm.safetensors"))
    assert not np.array_equal(other(x)[0], before)
    assert np.array_equal(other(x)[0], layer(x)[0])
    with pytest.raises(ValueError, match=r"unexpected: gain_ih_l0; unexpected: gain_hh_l0"):
        nblstm.LSTM(2, 7, dtype="float64").load_state_dict(layer.state_dict())


def test_gains_are_those_of_the_other_formulation(rng: np.random.Generator) -> None:
    split = Case("peephole", layer_norm=True, num_layers=2).layer()
    x = rng.standard_normal((5, 3, 2))
    for other in (split.to_formulation("concat"), split.to_formulation("concat").to_formulation("split")):
        assert other.layer_norm
        np.testing.assert_allclose(other(x)[0], split(x)[0], rtol=0, atol=1e-13)


def test_other_libraries_have_no_such_layer() -> None:
    with pytest.raises(ValueError, match="layer must be one without layer norm, which other libraries do not have"):
        weights.to_pytorch(nblstm.LSTM(2, 4, layer_norm=True))


def test_cells_of_two_stages_have_none() -> None:
    message = "layer_norm must be False for cell 'gru_original', whose sum n reads something else than h, got True"
    with pytest.raises(ValueError, match=message):
        nblstm.GRU(2, 3, reset_after=False, layer_norm=True)
