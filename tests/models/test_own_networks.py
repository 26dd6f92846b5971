"""Networks of one's own, subclasses of `Network` or of a model that comes with nblstm: saved and opened again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import own_cells

import nblstm
from nblstm import Cell, SequenceClassifier
from nblstm.models import Network

X = np.linspace(-1, 1, 30, dtype="float32").reshape(5, 2, 3)


class Scores(Network):
    """A network without `num_layers`, `cell` or `recurrent` among its names."""

    def __init__(self, width: int, units: int = 4, seed: int | None = None) -> None:
        self.rnn, self.linear = nblstm.RNN(width, units, seed=seed), nblstm.Linear(units, 2, seed=seed)
        super().__init__({"rnn": self.rnn, "linear": self.linear}, {"width": width, "units": units})

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.linear(self.rnn(x)[0])


class OfCell(Network):
    """One that takes a cell, as the models do."""

    def __init__(self, cell: Cell | str) -> None:
        self.layer = nblstm.Recurrent(cell if isinstance(cell, Cell) else nblstm.cells.CELLS[cell], 3, 4)
        super().__init__({"layer": self.layer}, {"cell": cell})

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.layer(x)[0]


class Digits(SequenceClassifier):
    """One with arguments of its own."""

    def __init__(self, units: int, told: bool = True) -> None:
        super().__init__(3, units, 1, 10, seed=0)
        if told:
            self.config = {"units": units}


NETWORKS = {"scores": (Scores(3, seed=1), None), "digits": (Digits(4), None), "named": (OfCell("gru"), None)} | {
    "own cell": (OfCell(own_cells.COUPLED), own_cells.COUPLED)
}


@pytest.mark.parametrize(("network", "cell"), NETWORKS.values(), ids=NETWORKS)
def test_it_is_opened_as_it_was_saved(network: Any, cell: Cell | None, tmp_path: Path) -> None:
    network.save(tmp_path / "a.safetensors")
    for kind in (type(network), Network):
        same = kind.load(tmp_path / "a.safetensors", cell=cell)
        assert type(same) is type(network)
        assert repr(same) == repr(network)
        np.testing.assert_array_equal(same(X), network(X))


def test_a_config_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^config must be a dictionary, got list$"):
        Network({"linear": nblstm.Linear(2, 3)}, ["units"])  # type: ignore[arg-type]


def test_a_file_of_another_kind_is_refused_with_the_kind_that_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    Scores(3).save(path)
    with pytest.raises(ValueError, match=r"saved by SequenceClassifier\.save, got one of Scores\.save$"):
        SequenceClassifier.load(path)
    tensors, metadata = nblstm.weights.load_with_metadata(path)
    nblstm.weights.save(path, tensors, {"nblstm.Elsewhere": metadata["nblstm.Scores"]})
    with pytest.raises(ValueError, match=r"got one of Elsewhere\.save, a class that must be imported first"):
        Network.load(path)


def test_arguments_that_config_has_not_are_asked_for_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(
        TypeError, match=r"^config must be the arguments with which Digits .* to self\.config in Digits"
    ):
        Digits(4, told=False).save(tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_cell_for_a_network_that_names_none_is_refused(tmp_path: Path) -> None:
    Scores(3).save(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"cell must be left out for .*a\.safetensors, which names none, got Cell"):
        Scores.load(tmp_path / "a.safetensors", cell=own_cells.COUPLED)
