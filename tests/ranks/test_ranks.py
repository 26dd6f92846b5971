"""Who the ranks are: without MPI, without mpi4py, with another MPI; how they share out; how an error ends them all."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from nblstm.distributed import Alone, on_all_ranks, ranks, ranks_for, started, world


@pytest.fixture
def two_started(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As if mpirun had started this process and another one."""
    monkeypatch.setenv("PMI_SIZE", "2")
    world.cache_clear()
    yield monkeypatch
    world.cache_clear()


def test_without_mpirun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ranks.SIZES:
        monkeypatch.delenv(name, raising=False)
    world.cache_clear()
    monkeypatch.setitem(sys.modules, "mpi4py", None)  # which nobody asks for
    assert started() == 0
    for alone in (world(), ranks_for(4)):
        assert (type(alone), alone.rank, alone.size, alone.waited, alone.first("x")) == (Alone, 0, 1, 0.0, "x")


def test_one_shard_is_ordinary_training_of_every_process(two_started: pytest.MonkeyPatch) -> None:
    two_started.setitem(sys.modules, "mpi4py", None)
    assert ranks_for(1).size == 1
    with pytest.raises(ImportError, match="training by 2 ranks needs the package mpi4py and an MPI: pip install"):
        ranks_for(4)


def test_another_mpirun_is_named(two_started: pytest.MonkeyPatch) -> None:
    """Each process then believes to be rank 0 of 1."""
    mpi = SimpleNamespace(COMM_WORLD=SimpleNamespace(rank=0, size=1), Get_library_version=lambda: "Some MPI 1\nmore")
    two_started.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=mpi))
    with pytest.raises(ValueError, match="mpirun must be of the MPI that mpi4py has loaded, Some MPI 1, got another"):
        world()


def test_shares_are_neighbours_and_all_there_is() -> None:
    alone = Alone()
    for size in (1, 2, 3, 4, 7):
        alone.size = size
        shares = [list(alone.share(7, rank)) for rank in range(size)]
        assert [one for share in shares for one in share] == list(range(7))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("everyone", [False, True])
def test_an_error_of_one_rank_ends_all_and_one_of_all_is_shown_once(
    rank: int, everyone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[BaseException] = []
    ended: list[int] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: shown.append(error))
    one: Any = SimpleNamespace(rank=rank, abort=ended.append)
    ranks._end_all_on_error(one)
    try:
        try:
            raise ValueError("no such text")
        except ValueError as error:
            raise KeyError("text") from (on_all_ranks(error) if everyone else error)
    except KeyError as error:
        sys.excepthook(KeyError, error, None)
    assert (len(shown), ended) == ((int(rank == 0), []) if everyone else (1, [1]))
