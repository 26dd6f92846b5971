"""Sums without a part from x or from h, and heads: parameters that are not there, and results that are as without."""

from __future__ import annotations

import copy
from typing import Any

import numba
import numpy as np
import pytest
from support import own_cells
from support.cases import assert_agree
from support.own_cells import run_plain
from support.threading_layers import PATIENT

import nblstm
from nblstm import weights
from nblstm.cells import CELLS, Cell
from nblstm.kernels import driver

T, B, I = 5, 3, 2
PARTS = [own_cells.MIXED, own_cells.HOISTED, own_cells.ALONE, own_cells.OPENED, CELLS["ran"], CELLS["indrnn"]]
PARTS += [own_cells.STAGED, own_cells.AFTER, CELLS["gru_original"]]
HEADS = [own_cells.COUPLED, own_cells.MIXED, own_cells.STAGED, own_cells.AFTER]
HEADS += [CELLS[name] for name in ("slstm", "lstm", "gru", "ugrnn", "rnn_tanh")]


@pytest.mark.parametrize("cell", PARTS, ids=repr)
def test_only_sums_that_read_x_or_h_have_rows_for_it(cell: Cell) -> None:
    layer, H = nblstm.Recurrent(cell, I, 7, 2, seed=0), 7
    of_x, of_h = (len(cell.sums) - len(part) for part in (cell.hidden_only, cell.inputs_only))
    expected = {}
    for k, inputs in enumerate((I, H)):
        expected |= {f"weight_ih_l{k}": (of_x * H, inputs), f"bias_ih_l{k}": (of_x * H,)}
        expected |= {f"weight_hh_l{k}": (of_h * H, H), f"bias_hh_l{k}": (of_h * H,)} if of_h else {}
        expected |= {f"weight_peephole_l{k}": (len(cell.peepholes), H)} if cell.peepholes else {}
    assert {name: tensor.shape for name, tensor in layer.state_dict().items()} == expected


@pytest.mark.parametrize("cell", PARTS, ids=repr)
@pytest.mark.usefixtures("threads_and_serial")
def test_units_in_several_panels_give_the_numbers_of_a_plain_loop(cell: Cell, rng: np.random.Generator) -> None:
    layer = nblstm.Recurrent(cell, I, 37, bidirectional=True, dtype="float64", seed=1)
    x, lengths = rng.standard_normal((T, 2, I)), [5, 3]
    expected, _ = run_plain(layer, x, lengths)
    for y in (layer(x, lengths=lengths)[0], layer.forward(x, lengths=lengths)[0]):
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
    nblstm.gradcheck(layer, x, lengths=np.array(lengths), entries=4)


@pytest.mark.parametrize("cell", PARTS, ids=repr)
def test_without_biases_is_as_with_zeros(cell: Cell, rng: np.random.Generator) -> None:
    bare, zeros = (nblstm.Recurrent(cell, I, 5, bias=bias, dtype="float64", seed=0) for bias in (False, True))
    zeros.load_state_dict(
        {name: bare.params.get(name, np.zeros(tensor.shape)) for name, tensor in zeros.params.items()}
    )
    x = rng.standard_normal((T, B, I))
    np.testing.assert_array_equal(bare(x)[0], zeros(x)[0])


@pytest.mark.parametrize(
    ("cell", "name", "block"),
    [
        (own_cells.OPENED, "bias_hh_l0", 0), (own_cells.HOISTED, "bias_ih_l0", 2), (own_cells.ALONE, "bias_ih_l0", 1),
        (CELLS["ran"], "bias_ih_l0", 2),
    ],
)  # fmt: skip
def test_the_forget_bias_is_added_to_the_rows_of_its_sum(cell: Cell, name: str, block: int) -> None:
    plain, other = (nblstm.Recurrent(cell, I, 3, forget_bias=bias, dtype="float64", seed=0) for bias in (0.0, 2.0))
    for each in plain.params:
        expected = plain.params[each].copy()
        if each == name:
            expected[3 * block : 3 * block + 3] += 2
        np.testing.assert_array_equal(other.params[each], expected)


def unread_forward(a, b, e):
    return (), (a + b * e,)


def test_an_infinite_h_that_no_sum_reads_reaches_no_other_unit() -> None:
    """Of three sums in the room of four: not even by a product with zeros."""
    cell = Cell("unread", sums=("a", "b", "e"), forward=unread_forward, inputs_only=("a", "b", "e"))
    layer = nblstm.Recurrent(cell, I, 5, dtype="float64", seed=0)
    with layer.editing() as p:
        p["bias_ih_l0"][0] = np.inf
    for y in (layer(np.ones((3, 4, I)))[0], layer.forward(np.ones((3, 4, I)))[0]):
        assert np.isinf(y).all(axis=(0, 1)).tolist() == [True] + 4 * [False]
        assert not np.isnan(y).any()


# ---------------------------------------------------------------------------------------------------------------- heads


def without_heads(layer: nblstm.Recurrent) -> nblstm.Recurrent:
    """A layer of the same weights and zeros."""
    L, D = layer.num_layers, layer.bidirectional
    other = nblstm.Recurrent(layer.cell, I, layer.hidden_size, L, bidirectional=D, dtype=layer.dtype.name)
    other.load_state_dict({name: spread(name, tensor, layer) for name, tensor in layer.params.items()})
    return other


def spread(name: str, tensor: np.ndarray, layer: nblstm.Recurrent) -> np.ndarray:
    """A recurrent matrix with zeros where heads do not read, and anything else as it is."""
    if not name.startswith("weight_hh"):
        return tensor
    return np.tile(tensor, layer.heads) * own_heads(layer, len(tensor)).astype(layer.dtype)


def own_heads(layer: nblstm.Recurrent, rows: int) -> np.ndarray:
    """Which units a row reads, (rows, H)."""
    head = np.arange(layer.hidden_size) // layer.head
    return head[np.arange(rows) % layer.hidden_size, None] == head


def run(layer: nblstm.Recurrent, lengths: list[int] | None) -> dict[str, Any]:
    rng, dtype, H = np.random.default_rng(3), layer.dtype, layer.hidden_size
    x, dy = (
        rng.standard_normal((T, B, I)).astype(dtype),
        rng.standard_normal((T, B, H * layer.directions)).astype(dtype),
    )
    called = layer(x, lengths=lengths)[0]
    layer.zero_grad()
    y, _, tape = layer.forward(x, lengths=lengths)
    found = {"called": called, "y": y.copy()}
    dx, dstate = layer.backward(dy, tape)
    return found | copy.deepcopy({"dx": dx, "dstate": np.array(dstate), **layer.grads})


def assert_as_without(layer: nblstm.Recurrent, lengths: list[int] | None = None) -> None:
    found, expected = run(layer, lengths), run(without_heads(layer), lengths)
    for name in [name for name in expected if name.startswith("weight_hh")]:
        dense = expected[name].reshape(len(expected[name]), layer.heads, layer.head)
        mine = own_heads(layer, len(dense)).reshape(dense.shape)
        expected[name] = dense[mine].reshape(-1, layer.head)
    assert_agree(found, expected, tolerance=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("units", "heads"), [(6, 3), (64, 4), (64, 1), (70, 5), (144, 3), (7, 7)])
@pytest.mark.parametrize("cell", HEADS, ids=repr)
def test_heads_are_recurrent_matrices_in_blocks(cell: Cell, units: int, heads: int, dtype: str) -> None:
    """Heads of whole panels, of less than a vector, and that share vectors: the bits of a matrix with zeros."""
    assert_as_without(nblstm.Recurrent(cell, I, units, heads=heads, dtype=dtype, seed=0))


@pytest.mark.parametrize("cell", [CELLS["slstm"], CELLS["gru"]], ids=repr)
@pytest.mark.usefixtures("threads_and_serial")
def test_heads_go_with_stacks_lengths_and_both_directions(cell: Cell) -> None:
    layer = nblstm.Recurrent(cell, I, 48, 2, bidirectional=True, heads=3, dtype="float64", seed=0)
    assert repr(layer) == f"Recurrent({cell.name!r}, 2, 48, num_layers=2, heads=3, bidirectional=True, dtype='float64')"
    assert layer.params["weight_hh_l1_reverse"].shape == (len(cell.sums) * 48, 16)
    assert_as_without(layer, [4, 1, 5])


@pytest.mark.parametrize("cell", [CELLS["slstm"], CELLS["gru"]], ids=repr)
def test_heads_go_with_teams(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("NUMBA_NUM_THREADS is 1: there is no team")
    monkeypatch.setattr(driver.MEETINGS, "missed", 0)
    monkeypatch.setattr(driver.MEETINGS, "skips", {})
    with nblstm.thread_policy(serial_below=0, team_rows=100, team_above=0, team_patience=PATIENT):
        assert_as_without(nblstm.Recurrent(cell, I, 150, 2, heads=6, seed=0))


def test_heads_are_checked_by_differences_and_kept_by_copies_and_streams(rng: np.random.Generator) -> None:
    layer, x = nblstm.Recurrent("slstm", I, 6, heads=2, dtype="float64", seed=0), rng.standard_normal((T, I))
    y, state = layer(x)
    nblstm.gradcheck(layer, x, state, entries=6)
    stream = copy.deepcopy(layer).to_formulation("split").stream()
    np.testing.assert_array_equal([stream(row) for row in x], y)


def test_other_libraries_have_no_heads() -> None:
    with pytest.raises(
        ValueError, match="layer must be one without heads, which other libraries do not have, got Recu"
    ):
        weights.to_pytorch(nblstm.Recurrent("lstm", I, 4, heads=2))
