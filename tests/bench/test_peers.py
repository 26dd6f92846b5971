"""The other sides of the benchmarks compute what nblstm does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numba
import numpy as np
import pytest

from nblstm.bench import cells, models, run
from nblstm.bench.peers import PEERS, Peer
from nblstm.bench.report import report
from nblstm.bench.results import to_csv
from nblstm.bench.sides import Ours, Problem, check_same
from nblstm.bench.table import Case, Shape
from nblstm.bench.timing import Timing
from nblstm.bench.torch_cells import STEPS, TorchLoop
from nblstm.bench.torch_models import TorchCharLM, torch_stream
from nblstm.layers import LSTMCell
from nblstm.models import CharLM
from nblstm.optim import Adam
from nblstm.training import TextTrainer


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    """A measurement sets them, Numba's and PyTorch's, for all that comes after it."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    yield
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    if torch:
        torch.set_num_threads(before)


pytestmark = pytest.mark.peers


@pytest.mark.parametrize("shape", [Shape(5, 3, 7, 9, 2, 2), Shape(4, 1, 3, 5, 1, 1), Shape(6, 17, 1, 2, 3, 1)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_all_sides_agree(peer: type[Peer], dtype: str, shape: Shape) -> None:
    case = Case(shape, dtype, numba.config.NUMBA_NUM_THREADS)
    if not peer.installed():
        pytest.skip(f"{peer.name} is not installed: {peer.install}")
    if not peer.can(case):
        pytest.skip(f"{peer.name} has no LSTM in {dtype}")
    problem = Problem(case)
    ours, theirs = Ours(problem).results(), peer(problem).results()
    check_same(peer.name, ours, theirs, dtype)
    assert theirs.keys() == (ours.keys() if peer.trains else {"y"})


@pytest.mark.parametrize("name", STEPS)
def test_a_cell_written_in_pytorch_is_the_same(name: str) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: the extra `bench`")
    problem = cells.problem_of(name, Shape(7, 3, 5, 8, 2, 1), 1)
    ours, theirs = Ours(problem).results(), TorchLoop(problem).results()
    check_same(TorchLoop.name, ours, theirs, "float32")
    assert theirs.keys() == ours.keys()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (subprocess.TimeoutExpired("python", cells.PATIENCE), "left out, it did not end within 120 s"),
        (subprocess.CalledProcessError(1, "python"), "left out, it failed with code 1"),
    ],
)
def test_what_does_not_compile_in_time_is_left_out_and_said(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = Shape(4, 2, 3, 8, 1, 1)

    def run_code(*arguments: object) -> str:
        raise error

    monkeypatch.setattr(cells, "run_code", run_code)
    monkeypatch.setattr(cells, "OWN_CELLS", (shape,))
    monkeypatch.setattr(Peer, "installed", classmethod(lambda peer: True))
    cells._why_left_out.cache_clear()
    found = cells.beside_compiled(1, Timing(rounds=1, seconds=0.0, pause=0.0, warm_up=0.0))
    cells._why_left_out.cache_clear()
    text, table = report(found, {}), to_csv(found)
    assert "\n".join(run.tell(found)).count(f"PyTorch, torch.compile: {said}") == 4
    assert table.count(f'"{said}"') == 4
    lines = [line for line in text.splitlines() if line.startswith(f"| {shape} | ")]
    assert [line.split(" | ")[1] for line in lines] == [
        f"{cell} as one's own{heads}, {work}"
        for cell, heads in (("coupled", ""), ("slstm", ", 4 heads"))
        for work in ("training", "inference")
    ]
    assert all(line.endswith(f"| PyTorch, torch.compile: {said} |") for line in lines)


def test_the_character_model_in_pytorch_is_the_same(rng: np.random.Generator) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: the extra `bench`")
    model = CharLM("abcdefg", 5, 9, 2, seed=0)
    streams = rng.integers(7, size=(3 * 4 + 1, 2))
    trainer = TextTrainer(model, Adam(model.layers, lr=0.01), streams, 4, clip=0.1)
    peer = TorchCharLM(model, streams, 4, lr=0.01, clip=0.1)
    losses = np.array([[trainer.step(), peer.step()] for _ in range(8)])  # more than two passes over the streams
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=1e-5)
    assert losses[-1, 0] < losses[0, 0]
    drawn = model.sample("c", 30, models.GREEDY, seed=0)
    assert [model.vocabulary.index(character) for character in drawn[1:]] == peer.sample(2, 30, models.GREEDY)


def test_the_stream_in_pytorch_is_the_same(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `bench`")
    cell = LSTMCell(3, 5, seed=0)
    ours, theirs = cell.stream(), torch_stream(cell)
    for x in rng.standard_normal((6, 3)).astype("float32"):
        with torch.inference_mode():
            expected = theirs(torch.from_numpy(x[None])).numpy()[0]
        np.testing.assert_allclose(ours(x), expected, atol=1e-6)
