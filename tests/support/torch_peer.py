"""PyTorch as a peer: the same case, parameters and problem through `torch.nn`'s layer on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from support.cases import Case, Problem, Results, named


def module(case: Case) -> torch.nn.RNNBase:
    """PyTorch's layer for the case."""
    form = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn_tanh": torch.nn.RNN, "rnn_relu": torch.nn.RNN}[case.cell]
    more = {} if case.cell in ("lstm", "gru") else {"nonlinearity": case.cell.removeprefix("rnn_")}
    _, _, I, H = case.sizes
    return form(
        I,
        H,
        num_layers=case.num_layers,
        bias=case.bias,
        batch_first=case.batch_first,
        bidirectional=case.bidirectional,
        dtype=torch.float64,
        **more,
    )


def run_torch(case: Case, params: Mapping[str, np.ndarray], problem: Problem) -> Results:
    """Outputs and every gradient, by PyTorch's autograd."""
    net = module(case)
    net.load_state_dict({name: torch.tensor(tensor) for name, tensor in params.items()})
    x, h_0 = (torch.tensor(array, requires_grad=True) for array in (problem.x, problem.h_0))
    state = (h_0,) if problem.c_0 is None else (h_0, torch.tensor(problem.c_0, requires_grad=True))
    time = 1 if case.batch_first else 0
    read = x
    if problem.lengths is not None:
        read = pack_padded_sequence(x, torch.tensor(problem.lengths), case.batch_first, enforce_sorted=False)
    y, final = net(read, state if len(state) == 2 else h_0)
    if problem.lengths is not None:
        y, _ = pad_packed_sequence(y, case.batch_first, total_length=x.shape[time])
    final = final if isinstance(final, tuple) else (final,)
    upstream = [torch.from_numpy(array) for array in (problem.dy, problem.dh_n, problem.dc_n) if array is not None]
    torch.autograd.backward([y, *final], upstream)
    return named(
        y.detach().numpy(),
        tuple(tensor.detach().numpy() for tensor in final),
        x.grad.numpy(),
        tuple(tensor.grad.numpy() for tensor in state),
        {name: tensor.grad.numpy() for name, tensor in net.named_parameters()},
    )
