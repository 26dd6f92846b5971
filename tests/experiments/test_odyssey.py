"""The odyssey: its tasks, its trials in miniature, and an analysis that finds the truth where it is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import call
from support.searches import Here

from nblstm.experiments import odyssey
from nblstm.experiments.odyssey import SPACE, VARIANTS, OdysseyJob, OdysseySettings
from nblstm.experiments.odyssey_analysis import (
    Comparison,
    at_the_same_settings,
    compare,
    effects,
    effects_by_task,
    holm,
    in_words,
)
from nblstm.experiments.odyssey_pictures import draw
from nblstm.experiments.odyssey_tasks import DEEPEST, KINDS, LETTERS, TASKS, draw_brackets
from nblstm.experiments.odyssey_trials import Trial, collect
from nblstm.experiments.rows import read, write
from nblstm.models.tagger import IGNORED
from nblstm.runs import Run
from nblstm.search import search as search_module

MINIATURE = {"steps": 4, "evaluate_every": 2, "batch_size": 4}
RNG = np.random.default_rng
WORSE = "NFG"


def made_up(
    loss: Callable[[dict[str, Any]], float], count: int = 60, tasks: tuple[str, ...] = ("digits",)
) -> list[Trial]:
    """Trials of four variants with settings as they are drawn, and a loss that is known; that of one is 0.2 higher."""
    state, trials = np.random.RandomState(0), []
    for task in tasks:
        for variant in ("V", "NIG", WORSE, "NP"):
            for number in range(1, count + 1):
                point: dict[str, Any] = {name: drawn.rvs(random_state=state) for name, drawn in SPACE.items()}
                found = loss(point) + 0.2 * (variant == WORSE) + 0.01 * state.standard_normal()
                trials.append(Trial(
                    task, variant, f"{task}-{variant}-0-0000", number, "finished", **point, at_step=50,
                    validation=found, test=found + 0.01 * state.standard_normal(), test_accuracy=0.5,
                ))  # fmt: skip
    return trials


def by_rate(point: dict[str, Any]) -> float:
    return 0.3 * float(np.log10(point["lr"])) ** 2


def test_brackets_close_what_is_open() -> None:
    symbols = draw_brackets(RNG(0), 30, 60)
    depths = []
    for sequence in symbols.T:
        still: list[int] = []
        for symbol in sequence.tolist():
            if symbol < KINDS:
                still.append(symbol)
            else:
                assert symbol - KINDS == still.pop()
            depths.append(len(still))
    assert (min(depths), max(depths)) == (0, DEEPEST)


@pytest.mark.parametrize("task", ["characters", "brackets"])
def test_the_next_symbol_is_the_answer(task: str) -> None:
    training, validation, test = TASKS[task](0)
    for part in (training, validation, test):
        assert np.all(part.x.sum(axis=2) == 1)
        assert np.array_equal(part.x[1:].argmax(axis=2), part.targets[:-1])
    if task == "characters":
        said = "".join(LETTERS[symbol] for symbol in training.targets.T.ravel())
        assert " the " in said
        assert said.count("e") > said.count("q")


def test_each_digit_is_named_at_its_last_row() -> None:
    from nblstm import datasets

    images, labels = datasets.digits()
    training, _, test = TASKS["digits"](0)
    answers = test.targets[7::8]
    assert np.all((answers >= 0) & (answers < 10))
    assert np.all(np.delete(test.targets, np.s_[7::8], axis=0) == IGNORED)
    shown = {image.tobytes(): label for image, label in zip(images[1500:], labels[1500:], strict=True)}
    for n in range(20):
        found = [shown[np.ascontiguousarray(test.x[first : first + 8, n]).tobytes()] for first in (0, 8, 16, 24)]
        assert found == answers[:, n].tolist()
    learned = {training.x[:8, n].tobytes() for n in range(1000)}
    assert learned.isdisjoint(shown)


def small_job(**settings: Any) -> OdysseyJob:
    return OdysseyJob(OdysseySettings(hidden_size=5, cell="peephole", **(MINIATURE | settings)), *TASKS["brackets"](0))


def test_noise_is_fresh_at_each_step_and_comes_from_the_seed() -> None:
    seen: list[np.ndarray] = []

    def steps(**settings: Any) -> list[np.ndarray]:
        seen.clear()
        job = small_job(batch_size=1000, lr=0.1, **settings)
        forward = job.model.forward
        job.model.forward = lambda x, *rest: (seen.append(x.copy()), forward(x, *rest))[1]  # type: ignore[method-assign]
        chosen = []
        for _ in range(2):
            chosen.append(job.trainer._chosen().copy())  # type: ignore[attr-defined]
            job.trainer.step()
        return [x - job.training.x[:, order] for x, order in zip(seen, chosen, strict=True)]

    assert not any(noise.any() for noise in steps(noise=0.0))
    first, second = steps(noise=0.5, seed=3)
    assert abs(first.std() - 0.5) < 0.01
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02
    assert np.array_equal(steps(noise=0.5, seed=3)[1], second)
    assert not np.array_equal(steps(noise=0.5, seed=4)[1], second)


def test_momentum_is_that_of_the_setting() -> None:
    trainers = {momentum: small_job(lr=0.5, momentum=momentum).trainer for momentum in (0.0, 0.9)}
    found = {momentum: [trainer.step() for _ in range(3)] for momentum, trainer in trainers.items()}
    assert found[0.0][0] == found[0.9][0]
    assert found[0.9][2] < found[0.0][2]  # it has gone further
    drawn = [SPACE["momentum"].rvs(random_state=np.random.RandomState(seed)) for seed in range(300)]
    assert 0 <= min(drawn) < 0.1
    assert 0.98 < max(drawn) <= 0.99
    assert 100 < sum(momentum > 0.9 for momentum in drawn) < 200


@pytest.mark.parametrize(("name", "value"), [("momentum", 1.0), ("noise", -0.1)])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        OdysseySettings(**{name: value})


def test_a_trial_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    parts, settings = TASKS["brackets"](0), {"noise": 0.3, "momentum": 0.8, "lr": 0.5}

    def stop(run: Run) -> None:
        if run.trainer.steps == 2:
            raise InterruptedError

    whole = Run.create(tmp_path / "whole", small_job(**settings))
    whole.train(progress=False)
    broken = Run.create(tmp_path / "broken", small_job(**settings))
    with pytest.raises(InterruptedError):
        broken.train(progress=False, on_evaluation=stop)
    again = Run.resume(tmp_path / "broken", OdysseyJob, *parts)
    assert again.train(progress=False)
    assert [each["test"] for each in again.evaluations] == [each["test"] for each in whole.evaluations]
    assert not list(tmp_path.glob("*/*.png"))


def test_the_whole_in_miniature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two variants on one task, interrupted in the second search, continued, and then made longer."""
    trained: list[Path] = []

    class Counted(Here):
        def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
            if len(trained) == most:
                raise KeyboardInterrupt
            trained.append(arguments[0].folder)
            return super().submit(function, *arguments)

    monkeypatch.setattr(search_module, "Processes", Counted)
    options: dict[str, Any] = {"tasks": ("brackets",), "variants": ("V", "NP"), "settings": MINIATURE}
    most = 3
    with pytest.raises(KeyboardInterrupt):
        list(odyssey.run(tmp_path, 2, **options))
    most = -1
    assert list(odyssey.run(tmp_path, 2, **options)) == [2, 2]
    assert [path.parents[1].name[9:] for path in trained] == ["V-0-0000"] * 2 + ["NP-0-0000"] * 3  # one of them again
    kept, failed = collect(tmp_path)
    assert [(each.task, each.variant, each.trial) for each in kept] == [
        ("brackets", variant, number) for variant in ("V", "NP") for number in (1, 2)
    ]
    assert failed == 0
    assert len({(each.lr, each.seed) for each in kept}) == 4
    assert all(each.validation < 3 and SPACE["lr"].low <= each.lr <= SPACE["lr"].high for each in kept)  # type: ignore[attr-defined]
    assert list(odyssey.run(tmp_path, 3, **options)) == [3, 3]
    longer, _ = collect(tmp_path)
    assert (len(trained), len(longer)) == (7, 6)
    assert set(kept) < set(longer)
    assert not list(tmp_path.glob("*/trials"))
    words = in_words(longer)
    assert "| brackets | NP | 3 |" in words
    assert set(draw(longer)) == {"best"}  # hardly enough for a forest


def test_a_table_is_read_as_it_was_written_and_another_one_refused(tmp_path: Path) -> None:
    trials = made_up(by_rate, 3)
    write(tmp_path / "odyssey.csv", Trial, trials)
    assert read(tmp_path / "odyssey.csv", Trial) == trials
    text = (tmp_path / "odyssey.csv").read_text()
    (tmp_path / "odyssey.csv").write_text(text.replace("finished,", "finished,much"))
    with pytest.raises(ValueError, match=r"line 2, is no trial: could not convert string to float: 'much"):
        read(tmp_path / "odyssey.csv", Trial)
    (tmp_path / "odyssey.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="must be a table of trials, with the columns task, variant"):
        read(tmp_path / "odyssey.csv", Trial)


def test_a_variant_that_is_worse_is_found_and_one_that_is_the_same_is_not() -> None:
    found = {each.variant: each for each in compare(made_up(by_rate))}
    assert [found[variant].verdict for variant in ("V", "NIG", WORSE, "NP")] == [
        "-", "no difference shown", "worse", "no difference shown",
    ]  # fmt: skip
    assert found[WORSE].p is not None
    assert found[WORSE].p < 1e-4
    assert 0.15 < found[WORSE].difference < 0.25
    assert found["V"].trials == 60
    assert len(found["V"].losses) == 6
    assert compare([each for each in made_up(by_rate) if each.variant != "V"]) == []  # nothing to compare with


def test_a_variant_that_is_better_is_found() -> None:
    trials = [dataclasses.replace(each, test=each.test - 0.3 * (each.variant == "NP")) for each in made_up(by_rate)]
    assert {each.variant: each.verdict for each in compare(trials)}["NP"] == "better"


def test_the_best_are_chosen_by_validation_not_by_test() -> None:
    trials = made_up(by_rate, 20)
    lucky = dataclasses.replace(trials[0], validation=9.0, test=-9.0)
    compared = compare([lucky, *trials[1:]])
    assert isinstance(compared[0], Comparison)
    assert min(compared[0].losses) > -1


def test_holm_is_that_of_the_textbook() -> None:
    assert np.allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_what_matters_has_the_largest_share() -> None:
    found = effects(made_up(by_rate))
    assert found.shares["lr",] > 0.9
    assert sum(found.shares[name,] for name in ("hidden_size", "noise", "momentum")) < 0.03
    assert found.explained > 0.9
    best = found.values["lr"][found.marginals["lr",].argmin()]
    assert abs(best) < 0.35  # log10 of the rate 1, where the loss that was made up is lowest


def test_at_the_same_settings_a_worse_variant_is_found_and_one_that_is_the_same_is_not() -> None:
    found = {each.variant: each for each in at_the_same_settings(made_up(by_rate))}
    assert found.keys() == {"NIG", WORSE, "NP"}
    assert {variant: each.verdict for variant, each in found.items()} == {
        "NIG": "no difference shown", WORSE: "worse", "NP": "no difference shown",
    }  # fmt: skip
    assert 0.15 < found[WORSE].difference < 0.25


def test_an_interaction_is_found_where_there_is_one() -> None:
    def product(point: dict[str, Any]) -> float:
        return 2 * (float(np.log10(point["lr"])) + 1) * (point["noise"] - 0.5)

    shares = effects(made_up(product, 150)).shares
    pair = shares["lr", "noise"]
    assert pair > 0.5
    assert all(share < 0.15 for names, share in shares.items() if names != ("lr", "noise"))


def test_words_and_pictures_of_made_up_trials() -> None:
    trials = made_up(by_rate, 20) + made_up(by_rate, 4, ("brackets",))
    words = in_words(trials)
    assert "| digits | V | 20 |" in words
    assert f"| brackets | {WORSE} | 4 |" in words
    assert "| worse |" in words
    assert list(effects_by_task(trials)) == ["digits"]  # the other has too few
    assert draw([]) == {}  # all have failed
    pictures = draw(trials)
    assert set(pictures) == {"best", "marginals", "shares", "pairs"}
    for figure in pictures.values():
        figure.canvas.draw()
    assert [ax.get_title() for ax in pictures["best"].axes] == ["digits", "brackets"]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Greff" in call("experiments").output
    for given in (["--cell", "paper"], ["--hours", "1"]):
        assert "--cell and --hours must be left out of the odyssey" in call("experiments", "odyssey", *given).output
    assert "--trials must be 2 or more for the odyssey" in call("experiments", "odyssey", "--trials", "1").output
    refused = call("experiments", "reber", "--workers", "2")
    assert "--workers must be left out but for the odyssey, got it for reber" in refused.output
    asked: list[Any] = []

    def one(folder: Path, trials: int, **options: Any) -> Iterator[int]:
        asked.append((trials, options))
        yield 1
        if len(asked) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(odyssey, "run", one)
    monkeypatch.setattr("nblstm.experiments.odyssey_trials.collect", lambda folder: (made_up(by_rate, 3), 2))
    command = ("experiments", "odyssey", "--trials", "3", "--workers", "1", "--output", str(tmp_path))
    stopped = call(*command)
    assert stopped.exit_code == 130
    assert "the same command continues" in stopped.output
    result = call(*command)
    assert result.exit_code == 0, result.output
    assert asked[1] == (3, {"seed": 0, "workers": 1})
    assert "12 trials, and 2 that failed" in result.output
    assert len(read(tmp_path / "odyssey.csv", Trial)) == 12
    assert "| digits | NIG | 3 |" in (tmp_path / "odyssey.md").read_text()
    assert (tmp_path / "odyssey-best.png").read_bytes()[:4] == b"\x89PNG"


def test_variants_are_the_papers_but_for_one() -> None:
    from nblstm.cells import CELLS

    assert len(VARIANTS) == 8
    assert "FGR" not in VARIANTS
    assert all(cell in CELLS for cell in VARIANTS.values())
