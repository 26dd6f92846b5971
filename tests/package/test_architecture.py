"""The package's parts stand above one another: imports go downwards, as docs/architecture.png draws them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def architecture() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "tools" / "draw_architecture.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_imports_go_downwards(architecture: ModuleType) -> None:
    assert architecture.upwards(architecture.imports()) == []


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("nblstm.cells.lstm", "nblstm.kernels.sweeps"),  # the functions alone lie below the cells
        ("nblstm.kernels.functions", "nblstm.cells.cell"),
        ("nblstm.layers.linear", "nblstm.models"),
        ("nblstm.baselines", "nblstm.metrics.f1_scores"),  # beside it
        ("nblstm.jobs.text", "nblstm"),
    ],
)
def test_what_goes_up_is_found(architecture: ModuleType, module: str, imported: str) -> None:
    assert architecture.upwards([(module, imported), (imported, module)])[0] == (module, imported)


def test_every_part_has_its_place(architecture: ModuleType) -> None:
    parts = {architecture.part_of(module) for module in architecture.modules()} - {None}
    assert parts == architecture.PLACES.keys() == architecture.SAYS.keys()
    assert all(module in architecture.modules() for module in architecture.BENEATH_CELLS)


def test_the_picture_is_that_of_today(architecture: ModuleType) -> None:
    """If not: python tools/draw_architecture.py."""
    with Image.open(ROOT / "docs" / "architecture.png") as picture:
        assert picture.info["Description"] == architecture.description()
    assert (ROOT / "docs" / "architecture.png").stat().st_size < 60_000


def test_nothing_shared_by_tests_hides_a_module_of_python() -> None:
    """A file of tests/support that is run as a program has that folder first on its path."""
    assert [path for path in (ROOT / "tests" / "support").glob("*.py") if path.stem in sys.stdlib_module_names] == []
