"""`nblstm check`: what it prints, and that it notices."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from click.testing import CliRunner

from nblstm import check
from nblstm.check import accuracy, recorded
from nblstm.check import run as checks
from nblstm.cli import main
from nblstm.gradcheck import gradcheck
from nblstm.layers.sequence import SequenceLayer


def test_everything_passes_and_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SAMPLE", 1 << 8)  # the sample that the suite takes is in test_functions
    monkeypatch.setattr(
        checks, "gradcheck", functools.partial(gradcheck, entries=5)
    )  # and all entries in test_gradients
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    header = [line.split() for line in lines].index(["check", "error", "allowed"])
    lines = lines[header:]  # to click 8.1 the progress bar is output too
    assert lines[-1] == f"{len(lines) - 3} of {len(lines) - 3} checks passed"
    for what, count in (("gradients:", 13), ("as PyTorch:", 9), ("accuracy:", 8), ("the same bits", 1)):
        assert sum(line.startswith(what) for line in lines) == count
    nets = {line.split("  ")[0] for line in lines if line.startswith("as PyTorch:")}
    assert {"as PyTorch: LSTM", "as PyTorch: RNN, ReLU, two layers, both directions, lengths"} < nets
    assert "as PyTorch: GRU, batch first, no bias" in nets
    assert len(nets) == 9
    assert all(" ok " in line for line in lines[2:-1])
    assert check.count() == len(lines) - 3


def test_a_wrong_gradient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = SequenceLayer.backward

    def wrong(self: SequenceLayer, *arguments, **options):
        found = original(self, *arguments, **options)
        options.get("grads", self.grads).flat[0] *= 1.001
        return found

    monkeypatch.setattr(SequenceLayer, "backward", wrong)
    assert not next(check.rows()).passed
    (case,) = [case for name, case in recorded.recorded().items() if name == "lstm-split-1layer"]
    assert recorded.largest_error(case) > checks.RECORDED


def test_a_result_that_is_not_a_number_is_noticed_wherever_it_is() -> None:
    case = recorded.recorded()["lstm-split-1layer"]
    for array in case.results.values():
        before = array.flat[-1]
        array.flat[-1] = np.nan
        assert np.isnan(recorded.largest_error(case))
        array.flat[-1] = before
    assert recorded.largest_error(case) <= checks.RECORDED


def test_an_inexact_activation_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    tanh = accuracy.FUNCTIONS["tanh"]
    rough = tanh._replace(found=lambda x: tanh.found(x) * (1 + 8 * np.finfo(x.dtype).eps))
    monkeypatch.setattr(accuracy, "FUNCTIONS", {"tanh": rough})
    monkeypatch.setattr(checks, "SAMPLE", 1 << 8)
    assert [one().passed for one in checks._accuracy()] == [False, False]


@pytest.mark.parametrize(("error", "passed"), [(0.0, True), (1.0, True), (1.5, False), (np.nan, False)])
def test_failures_end_with_code_1(monkeypatch: pytest.MonkeyPatch, error: float, passed: bool) -> None:
    monkeypatch.setattr(check, "rows", lambda: iter([check.Row("something", error, 1.0, "ulp")]))
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == (0 if passed else 1)
    assert ("FAILED" in result.output) is not passed
