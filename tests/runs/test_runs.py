"""A run and its folder: what is written, stopping and resuming to the same bits, and what is refused."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_jobs import QUICK, sequences

from nblstm import CharLM, SequenceClassifier, weights
from nblstm.jobs import ClassificationJob, Job, RegressionJob, SequenceSettings, TextJob, TextSettings
from nblstm.runs import Run
from nblstm.training import TextTrainer, Trainer, predict

FILES = {"best.safetensors", "checkpoint.safetensors", "loss.png", "model.safetensors", "run.json"}


@pytest.fixture
def settings(tmp_path: Path) -> TextSettings:
    """Of a run that takes a second: 40 steps, 17 a pass over the text, an evaluation after each tenth."""
    path = tmp_path / "text.txt"
    path.write_text("a rose is a rose is a rose, said the little prince to the fox\n" * 13, encoding="utf-8")
    return TextSettings(
        text=str(path),
        hidden_size=9,
        batch_size=4,
        window=10,
        steps=40,
        lr=0.02,
        dropout=0.3,
        seed=3,
        evaluate_every=10,
    )


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C during that step of the next training."""
    original = Trainer.step

    def pressing(self: Trainer, *args: Any) -> float:
        if self.steps + 1 == step:
            monkeypatch.setattr(Trainer, "step", original)
            signal.raise_signal(signal.SIGINT)
        return original(self, *args)

    monkeypatch.setattr(Trainer, "step", pressing)


def measured(folder: Path) -> list[tuple[int, float | None, float]]:
    """The evaluations in run.json, without their times."""
    report = json.loads((folder / "run.json").read_text())
    return [(record["step"], record["training"], record["validation"]) for record in report["evaluations"]]


def test_a_run_writes_its_files(tmp_path: Path, settings: TextSettings, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.create(tmp_path / "run", TextJob(settings))
    assert run.train()
    assert {path.name for path in run.folder.iterdir()} == FILES
    report = json.loads((run.folder / "run.json").read_text())
    assert report["finished"]
    assert report["steps"] == 40
    assert TextSettings(**report["settings"]) == settings
    assert report["baselines"] == run.job.baselines
    assert report["machine"]["threads"] >= 1
    assert {"python", "numpy", "numba", "nblstm"} <= report["machine"].keys()
    assert report["parameters"] == run.model.num_parameters
    steps, training, validation = zip(*measured(run.folder), strict=True)
    assert steps == (0, 10, 20, 30, 40)
    assert training[0] is None
    assert validation[0] == pytest.approx(run.job.baselines["uniform"], abs=0.5)
    assert validation[-1] < validation[1] < validation[0] - 0.2
    model = CharLM.load(run.folder / "model.safetensors")
    assert model.sample("a rose", 20, seed=0) == run.model.sample("a rose", 20, seed=0)
    assert (run.folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    out, err = capsys.readouterr()
    head, *rows, last = out.splitlines()
    assert head == "validation and training: bits per character"
    assert rows[0].startswith("to beat: uniform ")
    assert rows[1].split() == ["step", "validation", "training", "characters/s"]
    assert [row.split()[:2] for row in rows[2:]] == [
        [str(step), f"{loss:.3f}"] for step, loss in zip(steps, validation, strict=True)
    ]
    assert max(map(len, rows)) < 80
    name, value = min(run.job.baselines.items(), key=lambda pair: pair[1])
    beside = f"{abs(value - validation[-1]):.3f} {'better' if validation[-1] < value else 'worse'}"
    assert last == f"validation ends at {validation[-1]:.3f} bits per character, {beside} than {name} ({value:.3f})"
    assert err == "", "a bar, where nobody sees it move"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
@pytest.mark.parametrize("stops", [(1,), (10,), (17, 18), (5, 25, 40)])
def test_a_resumed_run_is_bit_identical(
    tmp_path: Path, settings: TextSettings, monkeypatch: pytest.MonkeyPatch, stops: tuple[int, ...], cell: str
) -> None:
    settings = replace(settings, cell=cell)
    whole = Run.create(tmp_path / "whole", TextJob(settings))
    assert whole.train()
    run = Run.create(tmp_path / "parts", TextJob(settings))
    for step in stops:
        stop_at(step, monkeypatch)
        assert run.train() is (step == 40)
        assert run.trainer.steps == step
        run = Run.resume(tmp_path / "parts", TextJob)
    assert run.train()
    for name in ("model.safetensors", "best.safetensors", "checkpoint.safetensors"):
        expected, found = (weights.load(tmp_path / folder / name) for folder in ("whole", "parts"))
        assert expected.keys() == found.keys()
        for key, tensor in expected.items():
            assert tensor.tobytes() == found[key].tobytes(), key
    assert measured(tmp_path / "parts") == measured(tmp_path / "whole")


@pytest.fixture
def listening() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where the tests run in the background and their shell has turned it off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_the_first_interrupt_is_noted_and_the_second_one_is_not_held_back(
    tmp_path: Path, settings: TextSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressing_twice(self: TextTrainer, *_: Any) -> float:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return 0.0

    run = Run.create(tmp_path / "run", TextJob(settings))
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(TextTrainer, "step", pressing_twice)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_trains_in_any_thread(tmp_path: Path, settings: TextSettings) -> None:
    """Python lets the main thread alone say what Ctrl-C does."""
    runs = [Run.create(tmp_path / name, TextJob(settings)) for name in ("main", "other")]
    other = threading.Thread(target=runs[1].train)
    other.start()
    other.join()
    assert runs[0].train()
    assert runs[1].progress == 1
    assert measured(tmp_path / "other") == measured(tmp_path / "main")


def test_other_settings_are_all_listed(tmp_path: Path, settings: TextSettings) -> None:
    Run.create(tmp_path / "run", TextJob(settings))
    given = {"hidden_size": 10, "window": 10, "steps": None, "seed": 4}
    with pytest.raises(ValueError, match="with its own settings") as caught:
        Run.resume(tmp_path / "run", TextJob, given=given)
    for part in ("hidden_size=9, got 10", "steps=40, got None", "seed=3, got 4"):
        assert part in str(caught.value)
    assert "window" not in str(caught.value)


def test_settings_are_compared_as_they_are_kept(tmp_path: Path) -> None:
    """An array has no truth value, and a list is no tuple."""
    data = sequences(ClassificationJob, 83, seed=0), sequences(ClassificationJob, 30, seed=1)
    own = np.array([1.0, 2.0])
    settings = replace(QUICK, class_weight=own)
    Run.create(tmp_path / "run", ClassificationJob(settings, *data))
    for same in (own, [1, 2]):
        given = {"class_weight": same, "hidden_size": np.int64(settings.hidden_size)}
        assert Run.resume(tmp_path / "run", ClassificationJob, *data, given=given).settings == settings
    for other, got in ((2 * own, r"\(2\.0, 4\.0\)"), (np.ones((2, 2)), "ndarray"), ("even", "even")):
        with pytest.raises(ValueError, match=rf"with its own settings: class_weight=\(1\.0, 2\.0\), got {got}$"):
            Run.resume(tmp_path / "run", ClassificationJob, *data, given={"class_weight": other})


def test_a_changed_text_is_noticed(tmp_path: Path, settings: TextSettings) -> None:
    Run.create(tmp_path / "run", TextJob(settings))
    path = Path(settings.text)
    path.write_text(path.read_text().replace("fox", "cat"))
    with pytest.raises(
        ValueError, match=r"are no longer those that the run in .* where they have moved, name their text"
    ):
        Run.resume(tmp_path / "run", TextJob)


def test_several_texts_are_kept_as_a_tuple(tmp_path: Path, settings: TextSettings) -> None:
    parts = [str(tmp_path / f"part{k}.txt") for k in range(2)]
    whole = Path(settings.text).read_text(encoding="utf-8")
    for part, content in zip(parts, (whole[:100], whole[100:]), strict=True):
        Path(part).write_text(content, encoding="utf-8")
    run = Run.create(tmp_path / "run", TextJob(replace(settings, text=parts)))
    assert run.settings.text == tuple(parts)
    assert run.job.digest == TextJob(settings).digest
    assert Run.resume(tmp_path / "run", TextJob).settings == run.settings
    for wrong in ([], 3, [parts[0], 3]):
        with pytest.raises(TypeError, match="text must be a string"):
            replace(settings, text=wrong)


def test_a_text_that_moved_goes_on_by_its_digest(tmp_path: Path, settings: TextSettings) -> None:
    before = Run.create(tmp_path / "run", TextJob(settings))
    moved = tmp_path / "elsewhere.txt"
    moved.write_bytes(Path(settings.text).read_bytes())
    Path(settings.text).unlink()
    with pytest.raises(
        ValueError, match=f"no such file; the run in .* SHA-256 {before.job.digest}: .* name their text"
    ):
        Run.resume(tmp_path / "run", TextJob)
    run = Run.resume(tmp_path / "run", TextJob, given={"text": str(moved), "window": 10})
    assert run.train()
    assert Run.resume(tmp_path / "run", TextJob).settings == replace(settings, text=str(moved))
    moved.write_text(moved.read_text(encoding="utf-8").upper(), encoding="utf-8")
    with pytest.raises(ValueError, match=f"SHA-256 .*, are no longer .* SHA-256 {before.job.digest}$"):
        Run.resume(tmp_path / "run", TextJob, given={"text": str(moved)})


def test_the_best_weights_stay_and_a_run_that_ends_worse_says_so(
    tmp_path: Path, settings: TextSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = iter([5.0, 3.0, 2.0, 4.0, 2.2])
    models: list[dict[str, np.ndarray]] = []

    def evaluate(self: TextJob) -> dict[str, float]:
        models.append(self.model.state_dict())
        return {"validation": next(losses)}

    monkeypatch.setattr(TextJob, "evaluate", evaluate)
    run = Run.create(tmp_path / "run", TextJob(settings))
    stop_at(25, monkeypatch)
    assert not run.train()
    run = Run.resume(tmp_path / "run", TextJob)
    assert run.best == {"step": 20, "validation": 2.0}
    capsys.readouterr()
    assert run.train()
    best = CharLM.load(tmp_path / "run" / "best.safetensors").state_dict()
    assert all(tensor.tobytes() == best[name].tobytes() for name, tensor in models[2].items())
    assert json.loads((tmp_path / "run" / "run.json").read_text())["best"] == {"step": 20, "validation": 2.0}
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("the last evaluation, 2.200 bits per character, is worse than the best, 2.000 at step 20,")


@pytest.mark.parametrize(("last", "said"), [(3.05, False), (3.9, True), (92.2, True)])
def test_a_little_worse_than_the_best_is_not_worth_a_word(
    tmp_path: Path,
    settings: TextSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    last: float,
    said: bool,
) -> None:
    losses = iter([5.0, 3.0, last] if last < 5 else [3.86, 50.0, last])
    monkeypatch.setattr(TextJob, "evaluate", lambda _: {"validation": next(losses)})
    assert Run.create(tmp_path / "run", TextJob(replace(settings, steps=20))).train()
    out = capsys.readouterr().out
    assert ("is worse than the best" in out) is said
    assert ("before the first step" in out) is (last == 92.2)


def test_no_folder_is_overwritten(tmp_path: Path, settings: TextSettings) -> None:
    (tmp_path / "empty").mkdir()
    Run.create(tmp_path / "empty", TextJob(settings))
    before = (tmp_path / "empty" / "checkpoint.safetensors").read_bytes()
    with pytest.raises(ValueError, match="the run's folder must be new or empty"):
        Run.create(tmp_path / "empty", TextJob(settings))
    assert (tmp_path / "empty" / "checkpoint.safetensors").read_bytes() == before
    for name in ("text.txt", "text.txt/below"):
        with pytest.raises(ValueError, match="the run's folder must be one that can be written"):
            Run.create(tmp_path / name, TextJob(settings))


def test_folders_that_hold_no_run_are_refused(tmp_path: Path, settings: TextSettings) -> None:
    with pytest.raises(ValueError, match="must be the folder of a run"):
        Run.resume(tmp_path / "nowhere", TextJob)
    run = Run.create(tmp_path / "run", TextJob(settings))
    path = run.folder / "checkpoint.safetensors"
    tensors, metadata = weights.load_with_metadata(path)
    weights.save(path, tensors, {"format": "pt"})
    with pytest.raises(ValueError, match="must be a checkpoint written by a run"):
        Run.resume(run.folder, TextJob)
    weights.save(
        path, tensors, {"nblstm.checkpoint": weights.seal({"job": "TextJob", "settings": {"depth": 3}}, tensors)}
    )
    with pytest.raises(ValueError, match="damaged checkpoint"):
        Run.resume(run.folder, TextJob)
    fewer = {name: tensor for name, tensor in tensors.items() if "linear" not in name}
    progress = weights.unseal(metadata["nblstm.checkpoint"], tensors)
    weights.save(path, fewer, {"nblstm.checkpoint": weights.seal(progress, fewer)})
    with pytest.raises(ValueError, match=r"damaged checkpoint: .*missing: linear\.weight"):
        Run.resume(run.folder, TextJob)
    progress["trainer"]["position"] = 1.5
    weights.save(path, tensors, {"nblstm.checkpoint": weights.seal(progress, tensors)})
    with pytest.raises(ValueError, match=r"damaged checkpoint: .* position must be an integer"):
        Run.resume(run.folder, TextJob)
    altered = tensors | {"optimizer.Adam.steps": np.array(-1)}
    weights.save(path, altered, metadata)
    with pytest.raises(ValueError, match="damaged checkpoint: what it holds does not match its digest"):
        Run.resume(run.folder, TextJob)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="damaged or no safetensors file"):
        Run.resume(run.folder, TextJob)


def test_a_diverging_run_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, settings: TextSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TextTrainer.step

    def spoiling(self: TextTrainer, *args: Any) -> float:
        if self.steps == 25:
            with self.model.linear.editing() as p:
                p["weight"][0, 0] = math.nan
        return original(self, *args)

    monkeypatch.setattr(TextTrainer, "step", spoiling)
    run = Run.create(tmp_path / "run", TextJob(settings))
    with pytest.raises(FloatingPointError, match=r"step 26: the loss is .* keeps the checkpoint of step 20"):
        run.train()
    monkeypatch.undo()
    resumed = Run.resume(tmp_path / "run", TextJob)
    assert resumed.trainer.steps == 20
    assert all(np.isfinite(layer.flat_params).all() for layer in resumed.model.layers)
    assert resumed.train()


def test_epochs_and_minutes_set_the_length(tmp_path: Path, settings: TextSettings) -> None:
    by_epochs = Run.create(tmp_path / "epochs", TextJob(replace(settings, steps=None, epochs=2)))
    assert by_epochs.total_steps == 2 * 18
    assert (TextSettings().steps, TextSettings().epochs) == (1700, None)
    assert (TextSettings(epochs=2).steps, TextSettings(epochs=2).epochs) == (None, 2)
    assert (SequenceSettings(steps=5).steps, SequenceSettings(steps=5).epochs) == (5, None)
    assert SequenceSettings().epochs == 40
    by_minutes = Run.create(tmp_path / "minutes", TextJob(replace(settings, steps=None, minutes=0.01)))
    assert by_minutes.train()
    assert by_minutes.seconds >= 0.6
    assert measured(tmp_path / "minutes")[-1][0] == by_minutes.trainer.steps > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"epochs": 3}, "at most one length must be given"),
        ({"steps": None, "epochs": 0}, "epochs must be at least 1"),
        ({"steps": None, "minutes": 0.0}, "minutes must be above 0"),
        ({"steps": None, "minutes": math.inf}, "minutes must be above 0 and finite"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"window": -3}, "window must be at least 1"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": math.nan}, "lr must be above 0"),
        ({"clip": -1.0}, "clip must be above 0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"text": Path("novel.txt")}, "text must be a string, or one or more of them, got"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        replace(TextSettings(), **changes)


def test_texts_too_short_for_the_streams_are_refused_before_a_folder_is_made(
    tmp_path: Path, settings: TextSettings
) -> None:
    with pytest.raises(ValueError, match="is too short for batch_size=4 with window=500"):
        Run.create(tmp_path / "run", TextJob(replace(settings, window=500)))
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------------- separate sequences


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("kind", [ClassificationJob, RegressionJob])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("stops", [(1,), (5, 11), (8, 9, 10)])  # ten steps are a pass
def test_a_resumed_run_over_sequences_is_bit_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Job], bidirectional: bool, stops: tuple[int, ...]
) -> None:
    class_weight = {1: 3.0} if kind is ClassificationJob else None
    settings = replace(QUICK, bidirectional=bidirectional, class_weight=class_weight)
    data = sequences(kind, 83, seed=0), sequences(kind, 30, seed=1)
    assert Run.create(tmp_path / "whole", kind(settings, *data)).train()
    run = Run.create(tmp_path / "parts", kind(settings, *data))
    for step in stops:
        stop_at(step, monkeypatch)
        assert not run.train()
        run = Run.resume(tmp_path / "parts", kind, *data)
        assert (run.trainer.steps, run.settings) == (step, settings)
    assert run.train()
    for name in ("model.safetensors", "checkpoint.safetensors"):
        expected, found = (weights.load(tmp_path / folder / name) for folder in ("whole", "parts"))
        assert {key: tensor.tobytes() for key, tensor in found.items()} == {
            key: tensor.tobytes() for key, tensor in expected.items()
        }
    assert measured(tmp_path / "parts") == measured(tmp_path / "whole")


def test_runs_over_sequences_learn_and_say_what_they_measure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, unit in ((ClassificationJob, "nats per sequence"), (RegressionJob, "squared error")):
        settings = replace(QUICK, hidden_size=16, epochs=12, dropout=0.0, evaluate_every=200)
        data = sequences(kind, 400, seed=0), sequences(kind, 200, seed=1)
        run = Run.create(tmp_path / kind.__name__, kind(settings, *data))
        assert run.train()
        last = run.evaluations[-1]
        assert last["validation"] < 0.5 * min(run.job.baselines.values())
        head, _, columns, *_, line = capsys.readouterr().out.splitlines()
        assert head == f"validation and training: {unit}"
        assert columns.endswith("  sequences/s")
        assert f"validation ends at {last['validation']:.3f} {unit}, " in line
        files = {path.name for path in run.folder.iterdir()}
        if kind is ClassificationJob:
            assert last["accuracy"] > 0.9
            assert line.endswith(f"; right {last['accuracy']:.1%}; F1 {last['f1']:.3f}")
            assert files == FILES | {"confusion.png"}
            model = SequenceClassifier.load(run.folder / "model.safetensors")
            found = predict(model, data[1].x, data[1].lengths).argmax(axis=1)
            assert (found == data[1].targets).mean() == last["accuracy"]
        else:
            assert line.endswith(f"; MAE {last['mae']:.4g}; R2 {last['r2']:.3f}")
            assert files == FILES


def test_runs_are_only_resumed_as_what_they_are(tmp_path: Path, settings: TextSettings) -> None:
    Run.create(tmp_path / "text", TextJob(settings))
    with pytest.raises(ValueError, match="must be one of RegressionJob, got one of TextJob"):
        Run.resume(tmp_path / "text", RegressionJob)
    data = sequences(RegressionJob, 20, seed=0), sequences(RegressionJob, 20, seed=1)
    Run.create(tmp_path / "numbers", RegressionJob(QUICK, *data))
    with pytest.raises(ValueError, match="are no longer those"):
        Run.resume(tmp_path / "numbers", RegressionJob, *data[::-1])
    with pytest.raises(ValueError, match=r"num_layers=2, got 3"):
        Run.resume(tmp_path / "numbers", RegressionJob, *data, given={"num_layers": 3})
    with pytest.raises(ValueError, match=r"depth is no setting, got 3"):
        Run.resume(tmp_path / "numbers", RegressionJob, *data, given={"depth": 3})


def test_numbers_of_numpy_become_those_of_python(tmp_path: Path, settings: TextSettings) -> None:
    given = replace(settings, hidden_size=np.int64(9), lr=np.float32(0.5), window=np.int8(10))
    assert given == replace(settings, lr=0.5)
    Run.create(tmp_path / "run", TextJob(given))
    Run.resume(tmp_path / "run", TextJob)


def test_every_class_has_its_place_in_the_picture(tmp_path: Path) -> None:
    data = sequences(ClassificationJob, 20, seed=0)
    seen = data._replace(targets=np.zeros(20, int))
    job = ClassificationJob(replace(QUICK, epochs=30), data._replace(targets=np.arange(20) // 19 * 4), seen)
    run = Run.create(tmp_path / "run", job)
    assert run.train()
    assert run.evaluations[-1]["accuracy"] == 1  # no answer is 4, and no target of the validation part
    axes = job.pictures(run.evaluations)["confusion.png"].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2", "3", "4"]


def test_small_losses_are_said_with_their_digits_and_none_at_all_is_no_lack_of_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers, classes = (sequences(kind, 20, seed=0) for kind in (RegressionJob, ClassificationJob))
    numbers = numbers._replace(targets=numbers.targets / 100)
    Run.create(tmp_path / "small", RegressionJob(QUICK, numbers, numbers)).train()
    assert " than mean (0.0009" in capsys.readouterr().out.splitlines()[-1]
    classes = classes._replace(targets=np.zeros(20, int))
    Run.create(tmp_path / "alone", ClassificationJob(QUICK, classes, classes)).train()
    *_, row, last = capsys.readouterr().out.splitlines()
    assert row.split()[2:5] == ["0.000", "100.0%", "1.000"]
    assert last == "validation ends at 0.000 nats per sequence, the same as frequencies (0.000); right 100.0%; F1 1.000"
