"""Every form of layer whose weights travel, as parameters of tests."""

from __future__ import annotations

from typing import Any

import pytest

from nblstm import GRU, LSTM, RNN
from support.record_exchange import H, I

FORMS: list[tuple[type[LSTM | GRU | RNN], dict[str, Any]]] = [
    (LSTM, {}),
    (LSTM, {"bias": False}),
    (LSTM, {"formulation": "concat"}),
    (LSTM, {"peephole": True}),
    (GRU, {}),
    (GRU, {"bias": False}),
    (GRU, {"reset_after": False}),
    (RNN, {}),
    (RNN, {"nonlinearity": "relu"}),
]
BOTH = [False, True]


def by_form(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else "-".join(map(str, value.values())) or "plain"


forms = pytest.mark.parametrize(("form", "options"), FORMS, ids=by_form)
depths = pytest.mark.parametrize("num_layers", [1, 2])
directions = pytest.mark.parametrize("bidirectional", BOTH)


def made(form: type[LSTM | GRU | RNN], num_layers: int, bidirectional: bool, dtype: str, **options: Any) -> Any:
    return form(I, H, num_layers, bidirectional=bidirectional, dtype=dtype, seed=5, **options)
