"""What `nblstm compile` does: every kernel there is, in every version, so that nothing is left for a first use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.processes import run_python

import nblstm
from nblstm.kernels.embedding import add_rows

COURSE = Path(__file__).parents[1] / "course"
UNUSED = """
import sys
from nblstm.cli import main
main(["compile"], standalone_mode=False)
import numba
from nblstm.kernels.driver import Driver, PlanKernel

kernels = [each for name, module in sys.modules.items() if name.startswith("nblstm.") for each in vars(module).values()]
versions = {each.parallel for each in kernels if isinstance(each, Driver)}
versions |= {each.serial for each in kernels if isinstance(each, Driver)}
for kernel in {each for each in kernels if isinstance(each, PlanKernel)}:
    if {dtype.name for dtype in kernel.compiled} != {"float32", "float64"}:
        print(f"{kernel.function.__qualname__} only for {sorted(map(str, kernel.compiled))}")
for version in versions:
    types = {each.dtype.name for arguments in version.signatures for each in arguments if hasattr(each, "dtype")}
    if not {"float32", "float64"} <= types:
        print(f"{version.__module__}.{version.__qualname__} only for {sorted(types)}")
"""
SPY = """
import atexit, sys
import matplotlib
from numba.core import event
matplotlib.use("Agg")
compiled = set()

class Spy(event.Listener):
    def on_start(self, event):
        if event.data["module"].startswith("nblstm."):
            compiled.add(event.data["module"] + "." + event.data["qualname"])

    def on_end(self, event):
        pass

event.register("numba:run_pass", Spy())
atexit.register(lambda: print("compiled:", sorted(compiled)))
"""
TRAINING = """
from nblstm.cli import main
main(["train", "--steps", "3"], standalone_mode=False)
"""
CELLS = """
import json
from pathlib import Path

names = {"__name__": "__main__"}
for cell in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), "cell", "exec"), names)
"""


def test_every_kernel_is_compiled_in_every_version_for_both_types(tmp_path: Path) -> None:
    found, _ = run_python("-c", UNUSED, env={"NUMBA_NUM_THREADS": "2"}, cwd=tmp_path)
    lines = found.splitlines()
    assert all(line.startswith("kernels in ") for line in lines), found
    assert lines


def test_gradients_that_may_be_written_take_the_kernel_of_those_that_may_not() -> None:
    """Numba has two types for them."""
    embedding = nblstm.Embedding(3, 4, seed=0)
    for writeable in (True, False):
        y, tape = embedding.forward(np.array([0, 2]))
        dy = np.ones_like(y)
        dy.flags.writeable = writeable
        embedding.backward(dy, tape)
    types = {arguments[3] for arguments in add_rows.serial.signatures if arguments[3].dtype.name == "float32"}
    assert len(types) == 1


@pytest.mark.cold
def test_afterwards_a_training_and_lessons_compile_nothing(tmp_path: Path) -> None:
    """Lessons 1, 11 and 12: layers in both types, both directions, gradients, classes, and cells of the package's."""
    env = {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    said, _ = run_python("-m", "nblstm", "compile", env=env, cwd=tmp_path)
    assert str(tmp_path / "kernels") in said
    programs = [(TRAINING,), *((CELLS, next(COURSE.glob(f"{number}_*.ipynb"))) for number in ("01", "11", "12"))]
    for program, *arguments in programs:
        found, _ = run_python("-c", SPY + program, *arguments, env=env, cwd=tmp_path)
        assert found.splitlines()[-1] == "compiled: []"
