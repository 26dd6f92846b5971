"""Short inference is one compiled call; its bits are those of the sweeps that training runs."""

from __future__ import annotations

import weakref

import naive
import numpy as np
import pytest
from support.cases import BOTH, grid

import nblstm
from nblstm.layers import passes
from nblstm.layers.packs import Packs

CASES = grid(
    cell=naive.KNOWN, formulation=("split", "concat"), num_layers=(1, 3), bias=BOTH,
    sizes=[(5, 2, 3, 7), (1, 1, 20, 17), (4, 9, 1, 33), (2, 12, 1, 33)],  # of 12 rows tiles are full
)  # fmt: skip


def parts(y, state) -> list[np.ndarray]:
    return [y, *(state if isinstance(state, tuple) else [state])]


@pytest.fixture(autouse=True)
def _only_short(monkeypatch):
    """A call that takes the long way fails."""

    def refuse(*arguments, **options):
        raise AssertionError("not one compiled call")

    monkeypatch.setattr(passes, "Tape", refuse)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_computes_the_bits_of_the_sweeps(case, dtype, rng, monkeypatch):
    layer, (T, B, I, H) = case.layer(dtype), case.sizes
    x = rng.standard_normal((T, B, I)).astype(dtype)
    members = list(rng.standard_normal((1 + case.is_lstm, case.num_layers, B, H)).astype(dtype))
    state = tuple(members) if case.is_lstm else members[0]
    found = [parts(*layer(x, given)) for given in (state, None)]
    monkeypatch.undo()
    expected = [parts(*layer.forward(x, given)[:2]) for given in (state, None)]
    for some, others in zip(found, expected, strict=True):
        for one, other in zip(some, others, strict=True):
            assert np.array_equal(one, other)
            assert one.dtype == dtype


def test_any_strides_and_read_only_arrays_and_no_batch(rng):
    layer = nblstm.LSTM(3, 7, 2, batch_first=True, seed=0)
    x, h, c = (rng.standard_normal(shape).astype("float32") for shape in ((4, 5, 3), (2, 4, 7), (2, 4, 7)))
    y, (h_n, c_n) = layer(x, (h, c))
    turned = [np.asfortranarray(array) for array in (x, h, c)]
    for array in turned:
        array.flags.writeable = False
    again, (h_again, c_again) = layer(turned[0], tuple(turned[1:]))
    assert all(np.array_equal(*pair) for pair in ((y, again), (h_n, h_again), (c_n, c_again)))
    assert np.array_equal(layer(x[2], (h[:, 2], c[:, 2]))[0], y[2])
    assert np.array_equal(layer(x[:, ::-1][:, ::-1], (h, c))[0], y)


def test_what_is_given_stays_and_what_comes_is_fresh(rng):
    layer, x = nblstm.LSTM(3, 7, seed=0), rng.standard_normal((4, 2, 3)).astype("float32")
    h = rng.standard_normal((1, 2, 7)).astype("float32")
    kept = h.copy()
    y, (h_n, _) = layer(x, (h, None))
    first = y.copy()
    layer(x)
    assert np.array_equal(h, kept)
    assert np.array_equal(y, first)
    assert not np.shares_memory(h_n, h)
    y[...] = 0
    assert np.array_equal(layer(x, (kept, None))[0], first)


def test_it_goes_by_the_newest_weights(rng):
    layer, x = nblstm.RNN(3, 7, seed=0), rng.standard_normal((4, 2, 3)).astype("float32")
    before = layer(x)[0]
    with layer.editing() as p:
        p["weight_ih_l0"][...] *= 2
    other = nblstm.RNN(3, 7, seed=1)
    other.load_state_dict(layer.state_dict())
    assert not np.array_equal(layer(x)[0], before)
    assert np.array_equal(layer(x)[0], other(x)[0])


def test_an_empty_batch():
    y, (h_n, c_n) = nblstm.LSTM(3, 7, 2, seed=0)(np.zeros((4, 0, 3), "float32"))
    assert (y.shape, h_n.shape, c_n.shape) == ((4, 0, 7), (2, 0, 7), (2, 0, 7))


def test_weights_in_use_outlive_those_that_replace_them(monkeypatch):
    """As when another thread calls the layer after a write: it publishes newly packed weights."""
    layer, x = nblstm.LSTM(3, 5, seed=0), np.ones((4, 2, 3), "float32")
    packs, step = weakref.ref(layer.inference_packs(1)), Packs.run

    def while_another_publishes(self, *arguments):
        layer._packs = None
        assert packs() is not None
        step(self, *arguments)

    monkeypatch.setattr(Packs, "run", while_another_publishes)
    layer(x)
    assert packs() is None
