"""The cells that make one step: against the layers, which make many."""

from __future__ import annotations

import numpy as np
import pytest
from support.cases import assert_agree, named

import nblstm
from nblstm.layers.packs import Packs
from nblstm.layers.tape import Tape

B, I, H = 3, 2, 7
CELLS = {
    "lstm": (nblstm.LSTMCell, nblstm.LSTM, {}),
    "peephole": (nblstm.LSTMCell, nblstm.LSTM, {"peephole": True}),
    "lstm-nobias": (nblstm.LSTMCell, nblstm.LSTM, {"bias": False}),
    "gru": (nblstm.GRUCell, nblstm.GRU, {}),
    "gru_original": (nblstm.GRUCell, nblstm.GRU, {"reset_after": False}),
    "rnn_tanh": (nblstm.RNNCell, nblstm.RNN, {}),
    "rnn_relu": (nblstm.RNNCell, nblstm.RNN, {"nonlinearity": "relu"}),
}
FORMS = CELLS | {
    f"{name}-concat": (*made, options | {"formulation": "concat"})
    for name, (*made, options) in CELLS.items()
    if not name.startswith("gru")
}


@pytest.fixture(params=CELLS.values(), ids=CELLS)
def pair(request, rng):
    """A cell and a layer of one step with the same weights."""
    make_cell, make_layer, options = request.param
    cell = make_cell(I, H, dtype="float64", seed=1, **options)
    layer = make_layer(I, H, dtype="float64", seed=2, **options)
    layer.load_state_dict({f"{name}_l0": tensor for name, tensor in cell.params.items()})
    return cell, layer


def states(layer, rng):
    h, c = rng.standard_normal((2, B, H))
    return (h, c) if isinstance(layer, nblstm.LSTM) else h


def lift(state):
    """(L * D, B, H) from (B, H), member by member."""
    return tuple(member[None] for member in state) if isinstance(state, tuple) else state[None]


def test_a_cell_is_a_layer_of_one_step(pair, rng):
    cell, layer = pair
    x, state, dstate = rng.standard_normal((B, I)), states(layer, rng), states(layer, rng)
    y, last, tape = layer.forward(x[None], lift(state))
    dx, dfirst = layer.backward(None, tape, lift(dstate))
    new, cell_tape = cell.forward(x, state)
    cell_dx, cell_dstate = cell.backward(dstate, cell_tape)
    grads = {f"{name}_l0": tensor for name, tensor in cell.grads.items()}
    found = named(y, lift(new), cell_dx[None], lift(cell_dstate), grads)
    assert_agree(found, named(y, last, dx, dfirst, layer.grads), 1e-14)


def test_calling_is_forward_without_a_tape(pair, rng):
    cell, layer = pair
    x, state = rng.standard_normal((B, I)), states(layer, rng)
    assert np.array_equal(cell(x, state), cell.forward(x, state)[0])


@pytest.mark.parametrize("rows", [B, 1, None])
@pytest.mark.parametrize("stateful", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("make_cell", "make_layer", "options"), FORMS.values(), ids=FORMS)
def test_a_call_is_one_compiled_call(make_cell, make_layer, options, dtype, stateful, rows, rng, monkeypatch):
    """Without a tape, and with the bits of `forward`, of a layer, and of the long way that much work takes."""
    form = {"dtype": dtype} | options
    cell, layer = make_cell(I, H, seed=1, **form), make_layer(I, H, seed=2, **form)
    layer.load_state_dict({f"{name}_l0": tensor for name, tensor in cell.params.items()})
    batch = () if rows is None else (rows,)
    x = rng.standard_normal((*batch, I)).astype(dtype)
    members = tuple(rng.standard_normal((len(cell.cell.states), *batch, H)).astype(dtype))
    state = None if not stateful else members if len(cell.cell.states) > 1 else members[0]
    expected = [lift(cell.forward(x, state)[0]), layer.forward(x[None], None if state is None else lift(state))[1]]
    with nblstm.thread_policy(serial_below=0):
        expected += [lift(cell(x, state))]
    calls, step = [], Packs.run
    monkeypatch.setattr(Packs, "run", lambda *arguments: (calls.append(arguments), step(*arguments)))
    monkeypatch.setattr(Tape, "__init__", None)
    found = cell(x, state)
    assert len(calls) == 1
    expected += [layer(x[None], None if state is None else lift(state))[1]]
    assert [np.array_equal(lift(found), one) for one in expected] == [True] * 4
    assert np.asarray(found).dtype == dtype


def test_no_state_is_zeros(pair, rng):
    cell, layer = pair
    x = rng.standard_normal((B, I))
    zeros = np.zeros((B, H))
    assert np.array_equal(cell(x), cell(x, (zeros, zeros) if isinstance(layer, nblstm.LSTM) else zeros))


def test_one_sequence_needs_no_batch(pair, rng):
    cell, layer = pair
    x, state = rng.standard_normal((B, I)), states(layer, rng)
    bare = tuple(member[0] for member in state) if isinstance(state, tuple) else state[0]
    assert np.array_equal(cell(x[0], bare), np.asarray(cell(x, state))[..., 0, :])


def test_chained_over_time_cells_are_a_layer(pair, rng):
    """T tapes, walked through backwards: BPTT by hand."""
    cell, layer = pair
    xs, state, dstate = rng.standard_normal((5, B, I)), states(layer, rng), states(layer, rng)
    dy = rng.standard_normal((5, B, H))
    y, last, tape = layer.forward(xs, lift(state))
    dx, dfirst = layer.backward(dy, tape, lift(dstate))
    hidden, tapes, dxs = [], [], []
    for x in xs:
        state, tape = cell.forward(x, state)
        hidden.append(np.copy(state[0] if isinstance(state, tuple) else state))
        tapes.append(tape)
    for tape, dh in zip(reversed(tapes), reversed(dy), strict=True):
        dstate = (dstate[0] + dh, dstate[1]) if isinstance(dstate, tuple) else dstate + dh
        dx_t, dstate = cell.backward(dstate, tape)
        dxs.insert(0, dx_t)
    grads = {f"{name}_l0": tensor for name, tensor in cell.grads.items()}
    found = named(np.stack(hidden), lift(state), np.stack(dxs), lift(dstate), grads)
    assert_agree(found, named(y, last, dx, dfirst, layer.grads), 1e-13)


def test_gradients(pair, rng):
    cell, layer = pair
    x = rng.standard_normal((B, I))
    table = nblstm.gradcheck(cell, x, states(layer, rng))
    assert {row.name for row in table.rows} == {*cell.params, "x", "h_0"} | (
        {"c_0"} if isinstance(layer, nblstm.LSTM) else set()
    )


def test_a_cell_in_the_other_formulation_is_the_same_function(pair, rng):
    cell, layer = pair
    x, state = rng.standard_normal((B, I)), states(layer, rng)
    if cell.cell.apart or cell.cell.reads:
        with pytest.raises(ValueError, match=f"formulation must be 'split' for cell '{cell.cell.name}'"):
            cell.to_formulation("concat")
        return
    joined = cell.to_formulation("concat")
    assert type(joined) is type(cell)
    assert joined.params["weight"].shape == (len(cell.cell.sums) * H, H + I)
    np.testing.assert_allclose(joined(x, state), cell(x, state), rtol=1e-13)
    assert np.array_equal(joined.to_formulation("split")(x, state), joined(x, state))
