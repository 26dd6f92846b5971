"""Properties that hold for every net and all sizes: hypothesis chooses."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.cases import Case, Problem, assert_agree, run_layer

import nblstm

SIZES = st.tuples(st.integers(1, 8), st.integers(1, 9), st.integers(1, 6), st.integers(1, 20))
CASES = st.builds(
    Case,
    cell=st.sampled_from(sorted(naive.CELLS)),
    formulation=st.sampled_from(["split", "concat"]),
    num_layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    lengths=st.booleans(),
    batch_first=st.just(False),
    sizes=SIZES,
)
SEEDS = st.integers(0, 2**32 - 1)
LSTMS = {"formulation": st.sampled_from(["split", "concat"]), "sizes": SIZES, "seed": SEEDS}


def draw(case: Case, seed: int) -> tuple[nblstm.LSTM | nblstm.RNN, Problem]:
    return case.layer(seed=seed), Problem.draw(case, np.random.default_rng(seed))


def rows(problem: Problem, chosen) -> Problem:
    """The same problem for some sequences of the batch, in some order."""
    arrays = {
        name: array[:, chosen] for name, array in vars(problem).items() if array is not None and name != "lengths"
    }
    return replace(problem, **arrays, lengths=None if problem.lengths is None else problem.lengths[chosen])


def reverse(array: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """(T, B, ...) with every sequence read from its own end; the padding stays where it is."""
    reversed_ = array.copy()
    for b in range(array.shape[1]):
        length = len(array) if lengths is None else lengths[b]
        reversed_[:length, b] = array[:length, b][::-1]
    return reversed_


def set_gates(lstm: nblstm.LSTM, i: float, f: float, g: np.ndarray, o: float) -> None:
    """Open and shut the gates by their biases alone; the candidate is g @ x."""
    H = lstm.hidden_size
    bias, weight = ("bias_ih_l0", "weight_ih_l0") if lstm.formulation == "split" else ("bias_l0", "weight_l0")
    with lstm.editing() as p:
        p.flat[:] = 0
        for gate, value in enumerate((i, f, 0, o)):
            p[bias][gate * H : (gate + 1) * H] = value
        p[weight][2 * H : 3 * H, -g.shape[1] :] = g


@given(**LSTMS)
def test_an_lstm_whose_gates_pass_everything_is_the_identity(formulation, sizes, seed):
    """i = o = 1, f = 0 and a candidate so small that tanh is straight: h = x, and the gradient passes as it is."""
    T, B, I, _ = sizes
    small = 1e-5
    lstm = nblstm.LSTM(I, I, formulation=formulation, dtype="float64")
    set_gates(lstm, i=800, f=-800, g=small * np.eye(I), o=800)
    x, dy = np.random.default_rng(seed).standard_normal((2, T, B, I))
    y, _, tape = lstm.forward(x)
    np.testing.assert_allclose(y / small, x, rtol=1e-8)
    dx, _ = lstm.backward(dy, tape)
    np.testing.assert_allclose(dx / small, dy, rtol=1e-8)


@given(**LSTMS)
def test_an_lstm_whose_gates_keep_everything_remembers(formulation, sizes, seed):
    """i = 0, f = 1: the cell never changes, and its gradient flows back through all steps as it is."""
    T, B, I, H = sizes
    lstm = nblstm.LSTM(I, H, formulation=formulation, dtype="float64")
    set_gates(lstm, i=-800, f=800, g=np.ones((H, I)), o=-800)
    rng = np.random.default_rng(seed)
    x, (c_0, dc_n) = rng.standard_normal((T, B, I)), rng.standard_normal((2, 1, B, H))
    y, (_, c_n), tape = lstm.forward(x, (None, c_0))
    assert not y.any()
    assert np.array_equal(c_n, c_0)
    _, (_, dc_0) = lstm.backward(None, tape, (None, dc_n))
    assert np.array_equal(dc_0, dc_n)


@given(case=CASES, seed=SEEDS, cut=st.integers(1, 7))
def test_two_halves_make_the_whole(case, seed, cut):
    """The state carried over; and backwards the gradient of the state, which makes BPTT over both halves exact."""
    case = replace(case, bidirectional=False, lengths=False)
    assume(cut < case.sizes[0])
    layer, whole = draw(case, seed)
    expected = run_layer(layer, whole)
    grads = layer.new_grads()
    y_1, state, first = layer.forward(whole.x[:cut], whole.state)
    y_2, final, second = layer.forward(whole.x[cut:], state)
    dx_2, dstate = layer.backward(whole.dy[cut:], second, whole.dstate, grads=grads)
    dx_1, dfirst = layer.backward(whole.dy[:cut], first, dstate, grads=grads)
    final, dfirst = (value if case.is_lstm else (value,) for value in (final, dfirst))
    exact = {"y": np.vstack([y_1, y_2]), "dx": np.vstack([dx_1, dx_2])}
    exact |= dict(zip(("h_n", "c_n"), final, strict=False)) | dict(zip(("dh_0", "dc_0"), dfirst, strict=False))
    assert_agree(exact, {name: expected.pop(name) for name in exact}, tolerance=0)
    assert_agree({f"grad {name}": tensor for name, tensor in grads.items()}, expected, 1e-13)


@given(case=CASES, seed=SEEDS)
def test_reading_backwards_with_the_directions_exchanged_changes_nothing(case, seed):
    """x reversed and the two sets of weights exchanged: y comes out reversed with its halves exchanged."""
    case = replace(case, bidirectional=True, num_layers=1)
    layer, problem = draw(case, seed)
    other = case.layer()
    partner = {name: name.removesuffix("_reverse") if "reverse" in name else name + "_reverse" for name in layer.params}
    other.load_state_dict({partner[name]: tensor for name, tensor in layer.params.items()})
    H = case.sizes[3]

    def exchanged(results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        ways = {
            "y": lambda y: np.roll(reverse(y, problem.lengths), H, axis=2),
            "dx": lambda dx: reverse(dx, problem.lengths),
            **dict.fromkeys(("h_n", "c_n", "dh_0", "dc_0"), lambda state: state[::-1]),
        }
        return {
            f"grad {partner[name[5:]]}" if "grad" in name else name: ways.get(name, np.asarray)(array)
            for name, array in results.items()
        }

    mirrored = replace(
        problem,
        x=reverse(problem.x, problem.lengths),
        dy=np.roll(reverse(problem.dy, problem.lengths), H, axis=2),
        **{
            name: state[::-1].copy()
            for name in ("h_0", "c_0", "dh_n", "dc_n")
            if (state := getattr(problem, name)) is not None
        },
    )
    assert_agree(exchanged(run_layer(other, mirrored)), run_layer(layer, problem), 1e-13)


@given(case=CASES, seed=SEEDS)
def test_permuting_the_batch_permutes_the_results(case, seed):
    layer, problem = draw(case, seed)
    order = np.random.default_rng(seed).permutation(case.sizes[1])
    expected, found = run_layer(layer, problem), run_layer(layer, rows(problem, order))
    exact = {name: array[:, order] for name, array in expected.items() if "grad" not in name}
    assert_agree({name: found.pop(name) for name in exact}, exact, tolerance=0)
    assert_agree(found, {name: array for name, array in expected.items() if "grad" in name}, 1e-13)


@given(case=CASES, seed=SEEDS)
@example(case=Case("lstm", num_layers=2, bidirectional=True, lengths=True, sizes=(9, 40, 3, 13)), seed=0)
def test_a_sequence_knows_nothing_of_its_neighbours(case, seed):
    """Every row of the batch is, bit for bit, what it is alone."""
    layer, problem = draw(case, seed)
    together = run_layer(layer, problem)
    for b in range(case.sizes[1]):
        alone = run_layer(layer, rows(problem, [b]))
        alone = {name: array for name, array in alone.items() if "grad" not in name}
        assert_agree(alone, {name: together[name][:, [b]] for name in alone}, tolerance=0)


@given(case=CASES, seed=SEEDS)
def test_padding_is_never_read(case, seed):
    layer, problem = draw(replace(case, lengths=True), seed)
    past = np.arange(case.sizes[0])[:, None] >= problem.lengths
    spoilt = replace(problem, x=problem.x.copy(), dy=problem.dy.copy())
    spoilt.x[past] = spoilt.dy[past] = np.nan
    assert_agree(run_layer(layer, spoilt), run_layer(layer, problem), tolerance=0)


@given(case=CASES, seed=SEEDS)
def test_batch_first_is_a_matter_of_layout(case, seed):
    layer, problem = draw(case, seed)
    swapped = replace(case, batch_first=True).layer(seed=seed)
    turned = replace(problem, x=problem.x.swapaxes(0, 1), dy=problem.dy.swapaxes(0, 1))
    found = run_layer(swapped, turned)
    found |= {name: found[name].swapaxes(0, 1) for name in ("y", "dx")}
    assert_agree(found, run_layer(layer, problem), tolerance=0)


@given(case=CASES, seed=SEEDS)
def test_one_sequence_needs_no_batch(case, seed):
    T, _, I, H = case.sizes
    layer, problem = draw(replace(case, lengths=False, sizes=(T, 1, I, H)), seed)
    bare = replace(problem, **{name: array[:, 0] for name, array in vars(problem).items() if array is not None})
    expected = {name: array if "grad" in name else array[:, 0] for name, array in run_layer(layer, problem).items()}
    assert_agree(run_layer(layer, bare), expected, tolerance=0)
