"""All experiments in miniature, their tasks, and what is kept of their trials."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.commands import call

from nblstm.experiments import EXPERIMENTS, long_lags, multiplication, reber, two_sequences
from nblstm.experiments.experiment import CELLS, Case, Experiment
from nblstm.experiments.rows import read
from nblstm.experiments.tasks import HeldOut, LastRight, Sequences, Task
from nblstm.experiments.trials import Trial, run, run_trial, table
from nblstm.runs.safeguards import alone

CASES = [(each, case) for each in EXPERIMENTS.values() for case in each.cases]
RNG = np.random.default_rng


@pytest.mark.parametrize(("experiment", "case"), CASES, ids=lambda each: getattr(each, "label", ""))
def test_nets_have_the_papers_number_of_weights(experiment: Experiment, case: Case) -> None:
    assert case.make_net("paper", RNG(0)).weights == case.weights


def in_miniature(case: Case, tested: int) -> Case:
    """Two times 20 sequences, and a test of few."""

    def task(rng: np.random.Generator) -> Task:
        whole = case.task(rng)
        few: dict[str, object] = {"tested": tested} if isinstance(whole, LastRight) else {"new": None}
        return dataclasses.replace(whole, **few)

    return dataclasses.replace(case, task=task, most=40, every=20)


@pytest.mark.parametrize(("experiment", "case"), CASES, ids=lambda each: getattr(each, "label", ""))
def test_each_case_runs_in_miniature(experiment: Experiment, case: Case) -> None:
    seen: list[int] = []
    trial = run_trial(experiment.name, in_miniature(case, 20), "paper", 0, 0, seen.append)
    assert (trial.learned, trial.sequences, seen) == (False, 40, [20, 40])
    assert 0 < trial.wrong <= trial.tested
    assert 0 < trial.mean_error < 1


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_todays_net_runs_in_miniature(name: str) -> None:
    trial = run_trial(name, in_miniature(EXPERIMENTS[name].cases[0], 20), "today", 0, 0)
    assert (trial.learned, trial.sequences) == (False, 40)
    assert 0 < trial.wrong <= trial.tested
    assert 0 < trial.mean_error < 1


@pytest.mark.parametrize("cell", CELLS)
def test_an_easy_task_is_learned(cell: str) -> None:
    """Which of two symbols came first, after two steps."""

    def draw(rng: np.random.Generator, count: int) -> Sequences:
        kind = rng.integers(2, size=count)
        return Sequences(np.stack([kind, np.full(count, 2)]), np.full(count, 2), np.eye(2)[kind][None])

    case = dataclasses.replace(
        EXPERIMENTS["temporal-order"].cases[0], task=lambda rng: LastRight(draw, 0.3, 0.2, window=200, tested=160),
        inputs=3, outputs=2, steps=2, most=20_000,
    )  # fmt: skip
    trial = run_trial("easy", case, cell, 0, 0)
    assert (trial.learned, trial.wrong, trial.tested) == (True, 0, 160)
    assert 200 <= trial.sequences < 20_000


def test_window_counts_the_last_ones_alone() -> None:
    one = Sequences(np.zeros((1, 2), int), np.ones(2, int), np.ones((1, 2, 1)))
    window = LastRight(lambda rng, count: one, off=0.1, mean=0.06, window=4, wrong=1)
    net = EXPERIMENTS["adding"].cases[0].make_net("paper", RNG(0))
    said = [window.learned(one, np.array(each)[None, :, None], net) for each in ([0, 1], [1, 1], [1, 1], [0.8, 1])]
    assert said == [False, False, True, True]
    assert not window.learned(one, np.array([0.8, 1])[None, :, None], net)


def test_a_net_that_has_learned_is_tested_with_new_sequences_without_noise() -> None:
    case = next(case for case in two_sequences.EXPERIMENT.cases if case.label.startswith("3c"))
    task = case.task(RNG(0))
    assert isinstance(task, HeldOut)
    assert task.new is not None
    assert set(np.unique(task.new(RNG(1), 9).targets)) == {0.2, 0.8}
    assert len(np.unique(task.draw(RNG(1), 9).targets)) == 9
    net = case.make_net("paper", RNG(2))
    assert task.test(net, RNG(3))[1] == 2560
    assert task.test(net, RNG(3)) != task.test(net, RNG(4))


def test_reber_strings_follow_the_grammar() -> None:
    for seed in range(50):
        symbols, legal = reber.string(RNG(seed))
        assert symbols[0] == "B"
        assert symbols[1] == symbols[-2]
        assert len(legal) == len(symbols) - 1
        assert all(each in may for each, may in zip(symbols[1:], legal, strict=True))


def test_a_prediction_is_right_only_if_all_legal_symbols_lead() -> None:
    sequences = reber.sequences([reber.string(RNG(seed)) for seed in range(3)])
    assert sequences.legal is not None
    outputs = sequences.legal.astype(float)
    assert sequences.predicted(outputs).all()
    outputs[1, 0][~sequences.legal[1, 0]] = 1  # as active as the legal ones
    outputs[-1, sequences.lengths < len(outputs)] = 0  # past the end
    np.testing.assert_array_equal(sequences.predicted(outputs), [False, True, True])


def test_no_string_of_the_training_set_is_tested() -> None:
    both = reber.sets(RNG(0))
    strings = [tuple(both.inputs[:length, b]) for b, length in enumerate(both.lengths)]
    assert not set(strings[: reber.SET]) & set(strings[reber.SET :])
    assert len(strings) == 2 * reber.SET


def test_one_wrong_sequence_of_the_last_part_says_not_learned() -> None:
    held_out = Sequences(np.zeros((1, 161), int), np.ones(161, int), np.zeros((1, 161, 1)))
    held_out.targets[0, 160] = 1
    net = EXPERIMENTS["adding"].cases[0].make_net("paper", RNG(0))
    for wrong, learned in ((0, False), (1, True)):
        task = HeldOut(lambda rng, count: held_out, held_out, off=0.6, wrong=wrong)
        net.output[:] = [[0, 0, 0, 0, -1]]  # all say 0.27
        assert task.learned(held_out, np.zeros((1, 161, 1)), net) is learned


def test_targets_are_what_the_sections_say() -> None:
    product = multiplication.draw(RNG(0), 50)
    at_first = product.inputs[0, :, 1] == 1
    assert at_first.any()
    assert (product.inputs[0, at_first, 0] == 1).all()
    marked = np.where(product.inputs[..., 1] == 1, product.inputs[..., 0], 1)
    np.testing.assert_allclose(product.targets[0, :, 0], marked.prod(0))
    lags = long_lags.draw(50, 50)(RNG(0), 8)
    np.testing.assert_array_equal(lags.targets[0].argmax(1), lags.inputs[1] - 52)
    assert (lags.inputs[lags.lengths - 1, np.arange(8)] == 51).all()
    assert (np.count_nonzero(lags.inputs >= 50, axis=0) == 3).all()
    regular, irregular = long_lags.regular(RNG(0)), long_lags.irregular(RNG(0))
    np.testing.assert_array_equal(regular.held_out.inputs[:, 0], [99, *range(99)])
    np.testing.assert_array_equal(regular.held_out.inputs[:, 1], [100, *range(99)])
    for some, at in ((regular.held_out, -1), (irregular.held_out, 0), (irregular.draw(RNG(1), 9), -1)):
        np.testing.assert_array_equal(some.targets[at].argmax(1), some.inputs[0])
    assert irregular.held_out.targets.shape == (1, 10_000, 101)
    two = two_sequences.draw(100, 3, "3a", noisy_targets=True)(RNG(0), 8)
    np.testing.assert_array_equal(two.inputs[:3, :, 0], np.broadcast_to(2 * two.targets[0, :, 0] - 1, (3, 8)))


def small(**changed: int) -> Experiment:
    experiment = EXPERIMENTS["temporal-order"]
    case = dataclasses.replace(experiment.cases[0], most=20, every=20, **changed)
    return dataclasses.replace(experiment, cases=(case,))


def test_an_interrupted_run_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    experiment, file, whole = small(), tmp_path / "kept.csv", tmp_path / "whole.csv"
    trials = run(experiment, experiment.cases, "paper", range(3), 0, file)
    first = next(trials)
    trials.close()
    assert read(file, Trial) == [first]
    assert next(run(experiment, experiment.cases, "paper", range(3), 0, file)) == first
    list(run(experiment, experiment.cases, "paper", range(3), 0, file))
    list(run(experiment, experiment.cases, "paper", range(3), 0, whole))
    without_time = [[dataclasses.replace(each, cpu_seconds=0) for each in read(path, Trial)] for path in (file, whole)]
    assert without_time[0] == without_time[1]
    assert len({each.mean_error for each in without_time[0]}) == 3
    assert "| 6a | paper | 0 of 3 | none |" in table(experiment, read(file, Trial))


def test_another_table_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"must be a table of trials, with the columns experiment, case"):
        read(file, Trial)
    list(run(small(), small().cases, "paper", [0], 0, tmp_path / "kept.csv"))
    text = (tmp_path / "kept.csv").read_text()
    for right, wrong, fault in (
        ("False", "Maybe", "one of its columns must be True or False, got Maybe"),
        ("paper", "other", "cell must be 'paper' or 'today', got 'other'"),
    ):
        file.write_text(text.replace(right, wrong))
        with pytest.raises(ValueError, match=f"line 2, is no trial: {fault}"):
            read(file, Trial)


def test_the_command_lists_runs_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = call("experiments")
    assert all(case.label in listed.output for _, case in CASES)
    assert "NAME must be one of reber, long-lags" in call("experiments", "rebre").output
    assert "--case must be one of 6a; 6b, got 6c" in call("experiments", "temporal-order", "--case", "6c").output
    assert "--case needs the NAME of one experiment, got all" in call("experiments", "all", "--case", "6a").output
    refused = call("experiments", "--case", "6a")
    assert (refused.exit_code, "NAME must be one of reber" in refused.output) == (2, True)
    for hours in ("0", "nan", "inf"):
        output = call("experiments", "reber", "--hours", hours, "--output", str(tmp_path / "none")).output
        assert f"--hours must be above 0 and finite, got {hours}" in output.replace("0.0", "0")
    assert not (tmp_path / "none").exists()
    monkeypatch.setitem(EXPERIMENTS, "temporal-order", small())
    result = call(
        "experiments", "temporal-order", "--trials", "2", "--cell", "paper", "--output", str(tmp_path / "out")
    )
    assert result.exit_code == 0, result.output
    assert "0 of 2" in result.output
    assert (tmp_path / "out" / "temporal-order.png").read_bytes()[:4] == b"\x89PNG"
    assert len(read(tmp_path / "out" / "temporal-order.csv", Trial)) == 2


def test_all_are_run_round_by_round_until_the_hours_are_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, experiment in list(EXPERIMENTS.items()):
        monkeypatch.delitem(EXPERIMENTS, name)
        if name in ("reber", "temporal-order"):
            case = in_miniature(experiment.cases[0], 20)
            monkeypatch.setitem(EXPERIMENTS, name, dataclasses.replace(experiment, cases=(case,)))
    seconds = iter([0, *range(1, 6), 3600, 3601])  # at the begin, then each time that 20 more sequences are through
    monkeypatch.setattr("nblstm.cli.experiments.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    command = ("experiments", "all", "--cell", "paper", "--trials", "2", "--hours", "1", "--output", str(tmp_path))
    first = call(*command)
    assert first.exit_code == 0, first.output
    assert "the hours are over" in first.output
    kept = {name: [each.trial for each in read(tmp_path / f"{name}.csv", Trial)] for name in EXPERIMENTS}
    assert kept == {"reber": [0, 1], "temporal-order": [0]}
    monkeypatch.setattr("nblstm.cli.experiments.time", SimpleNamespace(monotonic=lambda: 0))
    before = (tmp_path / "reber.csv").read_text()
    again = call(*command)
    assert again.exit_code == 0, again.output
    assert again.output.count("0 of 2") == 2
    assert (tmp_path / "reber.csv").read_text() == before
    assert [each.trial for each in read(tmp_path / "temporal-order.csv", Trial)] == [0, 1]
    assert all((tmp_path / f"{name}.png").exists() for name in EXPERIMENTS)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_two_commands_do_not_write_over_each_other(tmp_path: Path) -> None:
    with alone(tmp_path, "experiment"):
        result = call("experiments", "reber", "--output", str(tmp_path))
    assert result.exit_code == 2
    assert f"the experiment in {tmp_path} is being trained already" in result.output


def test_ctrl_c_keeps_what_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **_: object) -> Iterator[object]:
        yield next(run(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setitem(EXPERIMENTS, "temporal-order", small())
    monkeypatch.setattr("nblstm.experiments.trials.run", interrupted)
    result = call("experiments", "temporal-order", "--cell", "paper", "--output", str(tmp_path))
    assert result.exit_code == 130
    assert "has the trials that have ended, and the same command continues" in result.output
    assert len(read(tmp_path / "temporal-order.csv", Trial)) == 1
