"""PyTorch, live and in float64: outputs and every gradient of every net of the grid that it has, and both cells."""

from __future__ import annotations

import numpy as np
import pytest
from support.cases import WHOLE_GRID, Problem, assert_agree, run_layer

import nblstm

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")

GRID = [case for case in WHOLE_GRID if case.formulation == "split" and case.cell not in ("peephole", "gru_original")]


@pytest.mark.parametrize("case", GRID, ids=str)
def test_matches_pytorch(case, rng):
    from support.torch_peer import run_torch

    layer, problem = case.layer(), Problem.draw(case, rng)
    assert_agree(run_layer(layer, problem), run_torch(case, layer.params, problem), 1e-11)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("LSTMCell", {}), ("GRUCell", {}), ("RNNCell", {"nonlinearity": "tanh"}), ("RNNCell", {"nonlinearity": "relu"})],
    ids=["lstm", "gru", "rnn_tanh", "rnn_relu"],
)
def test_cells_match_pytorch(kind, options, rng):
    ours = getattr(nblstm, kind)(3, 7, dtype="float64", seed=0, **options)
    theirs = getattr(torch.nn, kind)(3, 7, dtype=torch.float64, **options)
    bare = kind != "LSTMCell"  # the state is h alone
    theirs.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in ours.state_dict().items()})
    x, *state = (rng.standard_normal((5, width)) for width in (3, 7, 7))
    dstate = [rng.standard_normal((5, 7)) for _ in state]
    pair = (lambda members: members[0]) if bare else tuple

    leaves = [torch.from_numpy(array).requires_grad_() for array in (x, *state)]
    expected = theirs(leaves[0], pair(leaves[1:]))
    torch.autograd.backward(expected, pair([torch.from_numpy(d) for d in dstate]))
    found, tape = ours.forward(x, pair(state))
    dx, d_old = ours.backward(pair(dstate), tape)

    def listed(members):
        return [members] if bare else list(members)

    wanted = [*listed(expected), *(leaf.grad for leaf in leaves[: 2 if bare else 3])]
    for ours_, theirs_ in zip([*listed(found), dx, *listed(d_old)], wanted, strict=True):
        np.testing.assert_allclose(ours_, theirs_.detach().numpy(), rtol=1e-11, atol=1e-14)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(ours.grads[name], parameter.grad.numpy(), rtol=1e-11, atol=1e-14)
