"""``nblstm search``: settings with several values or a range, what it says at its end, and what it refuses."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from support import own_cells
from support.commands import call
from support.searches import DATA, SETTINGS, Here

from nblstm.jobs import RegressionJob, TextJob
from nblstm.search import Search
from nblstm.search import search as module

SIZES = ["--num-layers", "1", "--batch", "4", "--steps", "20", "--evaluate-every", "5"]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, undrawn: None) -> None:
    monkeypatch.setattr(module, "Processes", Here)


def test_a_search_ends_in_words_and_is_there_to_be_resumed(text: Path) -> None:
    result = call("search", "roses.txt", "--hidden-size", "4", "5", "--cell", "gru", "lstm", *SIZES, "--halving")
    assert result.exit_code == 0, result.output
    assert "4 trials in searches/roses, trained: 4 to 1/3 of it, 2 to the end\n" in result.output
    best = re.search(
        r"of 4 trials \(2 to the end, 2 stopped early\) trial (\d) is the best: \d\.\d+ bits per character at step "
        r"\d+, beside .*, with cell=(gru|lstm), hidden_size=[45]\nsearches/roses has results.csv and search.png\n"
        r"the best run is searches/roses/trials/00(\d), with model.safetensors, run.json and loss.png\n$",
        result.output,
    )
    assert best is not None, result.output
    assert best[1] == best[3]
    for name in ("results.csv", "search.png", "search.json"):
        assert Path("searches/roses", name).is_file()
    assert Search.resume("searches/roses", TextJob, ["window"]).finished
    again = call("search", "--resume", "searches/roses")
    assert (again.exit_code, again.output.splitlines()[-3:]) == (0, result.output.splitlines()[-3:])
    assert call("train", "--resume", f"searches/roses/trials/00{best[1]}", "--steps", "25").exit_code == 0


def test_a_dry_run_lists_the_trials(text: Path) -> None:
    arguments = ["roses.txt", "--lr", "1e-3:1e-1:log", "--hidden-size", "4:9", "--trials", "5", "--dry-run"]
    result = call("search", *arguments)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()] == ["1", "2", "3", "4", "5"]
    assert all(re.search(r"hidden_size=[4-9], lr=0\.\d+$", line) for line in result.output.splitlines())
    assert call("search", *arguments, "--random-state", "1").output != result.output
    assert not Path("searches").exists()


def test_all_kinds_of_jobs(text: Path) -> None:
    Path("tagged.txt").write_text("a\tX\nb\tY\n\n" * 40)
    sizes = ["--epochs", "1", "--hidden-size", "4"]
    result = call("search", "tagged.txt", "--job", "tag", "--bidirectional", "yes", "no", *sizes)
    assert result.exit_code == 0, result.output
    assert "bidirectional=" in result.output
    images = call("search", "mnist", "--job", "classify", "--lr", "0.1", "0.01", "--folder", "nowhere")
    assert "nowhere" in images.output.splitlines()[-1]


def test_a_flag_without_a_value_is_true(text: Path) -> None:
    result = call("search", "roses.txt", "--hidden-size", "4", "5", "--layer-norm", *SIZES, "--workers", "1")
    assert result.exit_code == 0, result.output
    assert all(settings.layer_norm for settings in Search.resume("searches/roses", TextJob, ["window"]).settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["roses.txt"], "Error: name a setting to search, with several values or a range: --hidden-size 64 128, say"),
        (["roses.txt", "--lr", "0.1"], "Error: name a setting to search"),
        (["roses.txt", "--lr", "0.1", "fast"], "'fast' is not a valid float"),
        (["roses.txt", "--lr", "0.1:0.01", "--trials", "2"], "'0.1:0.01' is no range: low must be below high"),
        (["roses.txt", "--lr", "0:0.01:log", "--trials", "2"], "is no range: low must be above 0 for a range by log"),
        (["roses.txt", "--lr", "0.1:0.2:cube"], "'0.1:0.2:cube' is no range LOW:HIGH or LOW:HIGH:log of numbers"),
        (["roses.txt", "--cell", "gru:lstm"], "'gru:lstm' is no FILE.py:NAME, a cell of your own"),
        (["roses.txt", "--cell", "lstm", "mine.py:COUPLED"], "Error: --cell must be the name of one of nblstm's in a"),
        (["roses.txt", "--cell", "lstm", "mine.py:COUPLED", "--dry-run"], "Error: --cell must be the name of one of"),
        (
            ["roses.txt", "--dry-run", "--lr", "0.1", "0.2", "--hidden-size"],
            "Option '--hidden-size' requires an argument",
        ),
        (
            ["roses.txt", "--dry-run", "--hidden-size", "--lr", "0.1", "0.2"],
            "Option '--hidden-size' requires an argument",
        ),
        (["roses.txt", "--lr", "0.1", "0.2", "--continue-from", "runs/x"], "No such option '--continue-from'"),
        (["roses.txt", "--lr", "0.1:0.2", "0.3", "--trials", "2"], "Error: --lr must have values or one range, got 2"),
        (["roses.txt", "--lr", "0.1:0.2"], "Error: --trials must say how many to draw, as lr has a range"),
        (["roses.txt", "--steps", "3", "4"], "Error: --steps must be the same in all trials"),
        (["roses.txt", "--units", "3", "4"], "No such option '--units'"),
        (["roses.txt", "--bidirectional", "yes", "no"], "bidirectional is no setting of TextSettings"),
        (["roses.txt", "--lr", "0.1", "0"], "Error: --lr must be above 0"),
        (["nowhere.txt", "--lr", "0.1", "0.2"], "Error: DATA must be python-reference, tinyshakespeare or a text file"),
        (["digits", "--lr", "0.1", "0.2"], "Error: DATA must be text, got digits, which are images: --job classify"),
        (["-", "--lr", "0.1", "0.2"], "Error: DATA must be a file in a search"),
        (["--job", "tag", "--lr", "0.1", "0.2"], "Error: DATA must be what nblstm tag takes, one name, got 0"),
        (["roses.txt", "--lr", "0.1", "0.2", "--resume", "searches/x"], "Error: --resume continues a search as it was"),
        (["--resume", "nowhere"], "nowhere must be the folder of a search, but its search.json cannot be read"),
        (
            ["roses.txt", "--lr", "1", "2", "--workers", "2", "--scheduler", "tcp://a:1"],
            "--workers are processes of",
        ),
    ],
)
def test_what_is_refused(text: Path, arguments: list[str], message: str) -> None:
    Path("mine.py").write_text(Path(own_cells.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    result = call("search", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output.strip().splitlines()[-1]
    assert not Path("searches").exists()


def test_a_start_that_fails_leaves_nothing(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = call("search", "roses.txt", "--lr", "0.1", "0.2", *SIZES, "--scheduler", "tcp://127.0.0.1:1")
    assert (result.exit_code, "Error: a scheduler needs Dask" in result.output) == (2, True), result.output
    assert not Path("searches").exists()


def test_a_search_over_arrays_is_resumed_in_python(text: Path) -> None:
    Search.create("arrays", RegressionJob, {"hidden_size": [4, 5]}, *DATA, settings=SETTINGS)
    result = call("search", "--resume", "arrays")
    assert (result.exit_code, "Search.resume(folder, RegressionJob, ...)" in result.output) == (2, True)


def test_what_failed_is_said(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> dict[str, object]:
        return {"status": "failed", "message": "OSError: no disk"}

    monkeypatch.setattr(module, "train", fail)
    result = call("search", "roses.txt", "--lr", "0.1", "0.2", *SIZES)
    assert result.exit_code == 1, result.output
    assert result.output.count("it is tried once more") == 2
    assert result.output.endswith("of 2 trials none has a result: 2 failed\nsearches/roses has results.csv\n")
    assert not Path("searches/roses/search.png").exists()


def test_ctrl_c_says_how_to_go_on(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Search, "run", lambda *_, **__: False)
    result = call("search", "roses.txt", "--lr", "0.1", "0.2", *SIZES)
    assert result.exit_code == 130
    assert result.output.endswith(
        "stopped with 0 of 2 trainings done; continue with: nblstm search --resume searches/roses\n"
    )
