"""The benchmarks: table, clock, limits, report and command; the peers are in tests/bench/test_peers.py."""

from __future__ import annotations

import csv
import itertools
import math
import tomllib
from pathlib import Path

import numba
import numpy as np
import pytest
from click.testing import CliRunner, Result

from nblstm import environment
from nblstm.bench import cells, layers, limits, processes, run
from nblstm.bench.peers import PEERS, Peer
from nblstm.bench.report import Results, amount, report
from nblstm.bench.results import OURS, Measurement, to_csv
from nblstm.bench.sides import Ours, Problem, check_same
from nblstm.bench.table import DTYPES, MOST, RANGES, TABLE, Case, Shape, draw
from nblstm.bench.table import cases as cases_of
from nblstm.bench.timing import Timing, medians
from nblstm.cli import main
from nblstm.kernels.simd import BYTES
from nblstm.kernels.tag import ANY

ROOT = Path(__file__).resolve().parents[2]
ODD = Shape(5, 3, 7, 9, 2, 2)
FOR_HEADS = Shape(4, 3, 5, 8, 2, 1)
NAME = "maker-s-r-best-7-3-2ghz-core-x"
AT_ONCE = Timing(rounds=1, seconds=0.0, pause=0.0, warm_up=0.0)


@pytest.fixture(autouse=True)
def _restore_threads():
    yield
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No peer is installed."""
    monkeypatch.setattr(Peer, "installed", classmethod(lambda peer: False))


# ---------------------------------------------------------------------------------------------------------- the table


def test_the_table_has_its_rows_and_their_dtypes() -> None:
    rows = (
        "28,100,28,128,2,1 28,128,28,28,1,1 70,1,200,1000,1,1 12,3,30,20,1,1 100,32,64,128,1,1 100,64,128,256,2,1 "
        "50,64,512,512,2,1 100,32,128,128,1,2 200,1,64,128,1,1 128,50,128,512,2,1 1000,1,1,64,1,1 20,256,40,100,1,2 "
        "35,20,650,650,2,1 30,64,300,300,1,1 64,16,96,192,1,1 20,1,4,16,1,1 30,8,12,24,2,1 15,5,10,10,1,2"
    )
    assert tuple(Shape.parse(row) for row in rows.split()) == TABLE
    assert {name: len(shapes) for name, shapes in DTYPES.items()} == {"float32": 18, "float64": 6}
    assert DTYPES["float64"] == TABLE[:6]
    assert len(cases_of(TABLE, None, (2, 1))) == 2 * (18 + 6)
    assert cases_of([ODD], None, [1]) == [Case(ODD, "float32", 1)]
    assert cases_of([ODD, TABLE[11]], "float64", [1]) == [Case(ODD, "float64", 1), Case(TABLE[11], "float64", 1)]


@pytest.mark.parametrize("shape", [ODD, Shape(4, 2, 3, 5, 3, 1), Shape(1, 1, 1, 1, 1, 2)], ids=str)
def test_flops_are_those_of_the_products_counted_one_by_one(shape: Shape) -> None:
    T, B, I, H, layers_, directions = shape
    forward = backward = 0
    for layer, _, _, _ in itertools.product(range(layers_), range(directions), range(T), range(B)):
        for width in (I if layer == 0 else directions * H, H):
            for _ in itertools.product(range(4 * H), range(width)):
                forward += 2  # gate += weight * operand
                backward += 2 + 2  # d_operand += weight * d_gate, d_weight += operand * d_gate
    assert shape.forward_flops == forward
    assert shape.training_flops == forward + backward


def test_shapes_drawn_at_random_are_the_same_ones_within_their_ranges_and_not_too_large() -> None:
    shapes = draw(200)
    assert draw(50) == shapes[:50]
    sizes = np.array(shapes)
    low, high = np.array([*RANGES, (1, 2), (1, 2)]).T
    assert (sizes >= low).all()
    assert (sizes <= high).all()
    assert (sizes.min(axis=0) < 2 * low).all(), "all of a range is used"
    assert (2 * sizes.max(axis=0) > high).all()
    assert max(shape.training_flops for shape in shapes) <= MOST
    assert run.choose([], 2) == (shapes[:2], [])
    assert run.choose(["sampling", "1,2,3,4,1,1"], 1) == ([shapes[0], Shape(1, 2, 3, 4, 1, 1)], ["sampling"])


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,4,5,x", "1,2,3,4,5,6,7", "0,1,1,1,1,1", "1,1,1,1,1,3"])
def test_shapes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a shape must "):
        Shape.parse(text)


# ---------------------------------------------------------------------------------------------------------- the clock


def test_functions_take_turns_and_their_medians_are_taken_over_all_rounds() -> None:
    now, calls, pauses = [0.0], [], []

    def function(name: str, durations: list[float]):
        steps = itertools.cycle(durations)

        def call() -> None:
            calls.append(name)
            now[0] += next(steps)

        return call

    works = [function("a", [1.0, 2.0, 9.0]), function("b", [5.0])]  # in each round a is called to warm up, then timed
    found = medians(works, Timing(3, 0.0, 0.25, 0.0), clock=lambda: now[0], sleep=pauses.append)
    assert calls == ["a", "a", "b", "b"] * 3
    assert found == [2.0, 5.0], "of 2, 1 and 9; the calls before them, 1, 9 and 2, are not counted"
    assert pauses == [0.25] * 6

    calls.clear()
    medians(works[1:], Timing(1, 12.0, 0.0, 0.0), clock=lambda: now[0], sleep=pauses.append)
    assert calls == ["b"] * (1 + 3), "until 12 seconds are over"


# --------------------------------------------------------------------------------------------------------- the limits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_loops_behind_the_limits_do_their_work(dtype: str, threads: int) -> None:
    """Else the compiler has seen through them and their times mean nothing."""
    lanes = BYTES // np.dtype(dtype).itemsize
    sums = np.arange(threads * limits.SUMS * lanes).astype(dtype)
    expected = sums.reshape(threads, limits.SUMS, lanes)
    for _ in range(3):
        expected = 0.5 * expected + 1
    limits._multiply_add(ANY, threads, 3, sums)
    np.testing.assert_allclose(sums.reshape(expected.shape)[:, 0], expected.sum(axis=1), rtol=1e-6)

    data = np.arange(2 * threads * limits.STREAMS * lanes).astype(dtype)
    sums = np.empty(threads * lanes, dtype)
    limits._read(ANY, threads, 3, data, sums)
    np.testing.assert_array_equal(sums.reshape(threads, lanes).sum(axis=1), 3 * data.reshape(threads, -1).sum(axis=1))


def test_the_limit_is_whatever_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(Shape(10, 1, 20, 30, 1, 1), "float32", 1)
    flops, size = case.shape.forward_flops, 4 * 30 * 30 * 4
    monkeypatch.setattr(limits, "peak", lambda dtype, threads: flops / 2)  # 2 s forward
    monkeypatch.setattr(limits, "bandwidth", lambda size_, threads: {size: 10 * size / 5}[size_])  # 5 s forward
    assert limits.limit(case, "inference") == (5.0, "bandwidth")
    assert limits.limit(case, "training") == (10.0, "bandwidth"), "the recurrent weights twice, ten steps each"
    monkeypatch.setattr(limits, "bandwidth", lambda size, threads: 1e30)
    assert limits.limit(case, "training") == (6.0, "peak")


# ---------------------------------------------------------------------------------------------------------- the sides


def test_results_that_differ_are_refused() -> None:
    ours = {"y": np.array([1.0, 2.0]), "dx": np.array([3.0])}
    check_same("Peer", ours, {"y": np.array([1.0, 2.0001])}, "float32")
    with pytest.raises(FloatingPointError, match=r"Peer and nblstm differ in y by 5.0e-05 of its largest entry"):
        check_same("Peer", ours, {"dx": np.array([3.0]), "y": np.array([1.0, 2.0001])}, "float64")
    with pytest.raises(FloatingPointError, match="differ in dx by nan"):
        check_same("Peer", ours, {"y": np.array([1.0, 2.0]), "dx": np.array([np.nan])}, "float32")


class Wrong(Peer):
    """A peer that is off by a thousandth, and that does not want to be timed."""

    name = "Wrong"
    modules = ()

    def __init__(self, problem: Problem) -> None:
        self.right = Ours(problem)

    def results(self) -> dict[str, np.ndarray]:
        return {name: tensor * np.float32(1.001) for name, tensor in self.right.results().items()}

    def train(self) -> None:
        raise AssertionError("timed although its results differ")

    infer = train


def test_a_side_whose_results_differ_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "PEERS", (Wrong,))
    with pytest.raises(FloatingPointError, match="Wrong and nblstm differ in"):
        layers.measure(Case(ODD, "float32", 1), AT_ONCE)


def test_every_training_pass_packs_the_weights_anew() -> None:
    ours = Ours(Problem(Case(ODD, "float32", 1)))
    first = ours.results()
    version = ours.layer.version
    again = ours.results()
    assert ours.layer.version > version
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor, again[name])


def test_the_commands_that_bring_the_peers_name_what_the_extra_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = [requirement.partition(">=")[0] for requirement in project["optional-dependencies"]["bench"]]
    named = [word.strip('"') for peer in PEERS for word in peer.install.split()[2:]]
    assert sorted(named) == sorted(extra)


# ------------------------------------------------------------------------------------------------------- beyond layers


def test_what_takes_torch_compile_minutes_is_measured_by_name_only() -> None:
    shapes, names = run.choose([])
    assert (shapes, names) == (list(TABLE), [*run.IN_PROCESS, *run.APART])
    assert run.choose(["compile"]) == ([], ["compile"])
    (job,) = run.jobs(["compile"], None, [1], AT_ONCE)
    assert job.func is cells.beside_compiled


@pytest.mark.parametrize("name", run.IN_PROCESS)
def test_what_lies_beyond_layers_is_measured_without_peers_too(
    name: str, monkeypatch: pytest.MonkeyPatch, alone: None
) -> None:
    monkeypatch.setattr(cells, "GRUS", (ODD,))
    monkeypatch.setattr(cells, "OWN_LSTMS", (FOR_HEADS,))
    monkeypatch.setattr(cells, "OWN_CELLS", (FOR_HEADS,))
    found = run.IN_PROCESS[name](1, AT_ONCE)
    assert sum(each.side == OURS for each in found) == {"gru": 2, "cells": 6}.get(name, 1)
    for each in found:
        assert each.threads == 1
        assert (each.side, each.ratio is None) in ((OURS, True), (cells.PackageLSTM.name, False))
        assert 0 < each.value < math.inf


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.cold] * (name == "start")) for name in run.APART]
)
def test_processes_of_their_own_are_measured_without_peers_too(
    name: str, monkeypatch: pytest.MonkeyPatch, alone: None
) -> None:
    """Few times, and a shape of which one pass still takes megabytes."""
    monkeypatch.setattr(processes, "COLD", 1)
    monkeypatch.setattr(processes, "WARM", 1)
    monkeypatch.setattr(processes, "LONG", Shape(400, 16, 32, 64, 2, 1))
    monkeypatch.setattr(processes, "SHARED", ODD)
    monkeypatch.setattr(processes, "ALL", 1)  # processor
    found = run.APART[name](AT_ONCE)
    assert all(0 < m.value < math.inf for m in found)
    assert {m.side.partition(",")[0] for m in found} == ({OURS} if name != "allocator" else set())


# ------------------------------------------------------------------------------------------------- report and command


def measured(what: str, side: str, seconds: float, row: int = 0, threads: int = 2) -> Measurement:
    ours = 1.0 / threads
    flops = 100.0 if what == "inference" else 300.0
    return Measurement(
        str(TABLE[row]), "float32", threads, what, side, seconds, ratio=None if side == OURS else seconds / ours,
        gflops=flops / seconds, share=0.8 * ours / seconds, bound="peak",
    )  # fmt: skip


SAMPLE = [
    *(measured("training", side, t) for side, t in ((OURS, 0.5), ("PyTorch", 2.0), ("JAX", 3.0))),
    *(measured("inference", side, t) for side, t in ((OURS, 0.5), ("PyTorch", 1.0), ("ONNX Runtime", 0.75))),
    *(measured("training", side, t, row=5) for side, t in ((OURS, 0.5), ("PyTorch", 0.5))),
    *(measured("training", side, t, threads=1) for side, t in ((OURS, 1.0), ("PyTorch", 3.0))),
    Measurement("start", "float32", 2, "import", OURS, 0.25),
    Measurement("start", "float32", 2, "import", "PyTorch", 1.0, ratio=4.0),
]


def test_the_report_says_means_the_least_and_what_is_missing() -> None:
    results, row = Results(SAMPLE), str(TABLE[0])
    assert results.lead(row, "float32", 2, "inference") == 1.5, "against the faster of two"
    assert results.gain(row, "float32", 2, "training") == 2.0
    lines = report(SAMPLE, {"threads": "two"}).splitlines()
    for line in (
        "| threads | two |",
        "| training, float32, 2 threads | 2.00 | 2.50 | 0 of 2 | 1.00 (100, 64, 128, 256, 2, 1) | "
        "80% (28, 100, 28, 128, 2, 1) | 2.00 (28, 100, 28, 128, 2, 1) |",
        "| inference, float32, 2 threads | 1.50 | 1.50 | 0 of 1 | 1.50 (28, 100, 28, 128, 2, 1) | "
        "80% (28, 100, 28, 128, 2, 1) | - |",
        "| 28, 100, 28, 128, 2, 1 | 500 ms | 600 | 80% of peak | 4.00 | 6.00 |",
        "| 28, 100, 28, 128, 2, 1 | 500 ms | 200 | 80% of peak | 2.00 | 1.50 | - |",
        "| geometric mean |  |  |  | 2.00 | 6.00 |",
        "| start | import | 2 | 250 ms | PyTorch 1.00 s: 4.00 |",
    ):
        assert line in lines, line


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12.3456, "s", "12.3 s"),
        (0.0123456, "s", "12.3 ms"),
        (1.5e-5, "s", "15.0 µs"),
        (34988.1, "characters/s", "34,988 characters/s"),
        (889.6, "MB", "890 MB"),
        (1.966, "times", "1.97 times"),
    ],
)
def test_amounts_read_well(value: float, unit: str, text: str) -> None:
    assert amount(Measurement("", "", 1, "", OURS, value, unit)) == text


def test_csv_has_a_line_for_each_measurement() -> None:
    lines = list(csv.DictReader(to_csv(SAMPLE).splitlines()))
    assert len(lines) == len(SAMPLE)
    assert lines[1] == {
        "row": "28, 100, 28, 128, 2, 1", "dtype": "float32", "threads": "2", "what": "training", "side": "PyTorch",
        "value": "2", "unit": "s", "ratio": "4", "gflops": "150", "share": "0.2", "bound": "peak", "left_out": "",
    }  # fmt: skip


@pytest.fixture
def some_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "processor", lambda: "Maker's (R) Best 7 @ 3.2GHz (core-x)")


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments, "--rounds", "1", "--seconds", "0"])


def test_the_command_measures_writes_and_names_the_peers_that_are_missing(
    tmp_path: Path, alone: None, some_processor: None
) -> None:
    result = bench("3,2,5,7,1,2", "streaming", "--threads", "1", "--out", str(tmp_path / "new"))
    assert result.exit_code == 0, result.output
    for peer in PEERS:
        assert f"{peer.name} is not installed and is left out; this brings it: {peer.install}\n" in result.output
    assert "3, 2, 5, 7, 1, 2 | float32 | 1 | training | nblstm " in result.output
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == [f"{NAME}.csv", f"{NAME}.md", f"{NAME}.png"]
    text = (tmp_path / f"new/{NAME}.md").read_text(encoding="utf-8")
    assert "| extent | 2 of 2 measurements |" in text
    assert "JAX not installed (pip install" in text
    assert [line.endswith(" | - | - | - |") for line in text.splitlines() if line.startswith("| 3, 2, 5")] == [0, 1]
    assert (tmp_path / f"new/{NAME}.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_folder_chosen_rows_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: None
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bench("streaming", "--threads", "1").exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_shapes_at_random_have_files_of_their_own(
    tmp_path: Path, alone: None, some_processor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "draw", lambda count: [ODD, Shape(3, 2, 4, 5, 1, 1)][:count])
    result = bench("--random", "2", "--threads", "1", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"{NAME}-random{end}" for end in (".csv", ".md", ".png")
    ]
    assert "| extent | 2 of 2 measurements |" in (tmp_path / f"{NAME}-random.md").read_text(encoding="utf-8")


def test_ctrl_c_writes_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: None, some_processor: None
) -> None:
    def interrupted(threads: int, timing: Timing) -> list[Measurement]:
        raise KeyboardInterrupt

    monkeypatch.setitem(run.IN_PROCESS, "sampling", interrupted)
    result = bench("streaming", "sampling", "--threads", "1", "--out", str(tmp_path))
    assert result.exit_code == 130, result.output
    assert "| extent | 1 of 2 measurements |" in (tmp_path / f"{NAME}.md").read_text(encoding="utf-8")
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{NAME}.csv", f"{NAME}.md"], "nothing to draw"


def test_results_that_differ_end_the_command_with_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "PEERS", (Wrong,))
    result = bench("3,2,5,7,1,2", "--threads", "1")
    assert result.exit_code == 1
    assert "Error: Wrong and nblstm differ in" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["19"], "a row must be 1..18, six numbers T,B,I,H,layers,directions, or one of step, sampling"),
        (["nonsense"], "got 'nonsense'"),
        (["1,2,3"], "a shape must be six integers"),
        (["4", "--threads", "100000"], "threads must be at most"),
        (["4", "--dtype", "float16"], "'float16' is not one of"),
    ],
)
def test_bad_input_ends_with_code_2_and_one_sentence(arguments: list[str], message: str) -> None:
    result = bench(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output
