"""The wheel and the sdist: what they hold, and every command from the wheel alone, in an environment of its own.

Both are built and installed with packages from the registry, so that it runs only when it is asked for: ``make wheel``.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
from support.processes import LIMIT, last_lines

pytestmark = [pytest.mark.wheel, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
SIZE = 400e6
"""Bytes that `pip install` may bring, the bytecode that it compiles among them."""


def alone() -> dict[str, str]:
    """The variables of a user who has no others of Python's: no source tree is found by them."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*words: str | Path, cwd: Path, code: int = 0) -> str:
    """What a command says that ends with `code`."""
    done = subprocess.run(words, cwd=cwd, env=alone(), capture_output=True, text=True, timeout=LIMIT)
    said = last_lines(done.stdout, done.stderr)
    assert done.returncode == code, f"expected exit code {code}, got {done.returncode}; it said last:\n{said}"
    return done.stdout + done.stderr


def build(out: Path, *options: str) -> dict[str, Path]:
    """What `python -m build` makes of the repository, by suffix."""
    run(sys.executable, "-m", "build", *options, "--outdir", out, ROOT, cwd=out.parent)
    return {path.suffix: path for path in out.iterdir()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel built from it."""
    pytest.importorskip("build", reason="needs build: the extra `wheel`")
    return build(tmp_path_factory.mktemp("built") / "dist")


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """The files of the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a clone, to know which files are the repository's")
    return set(run("git", "ls-files", cwd=ROOT).splitlines())


@pytest.fixture(scope="module")
def environment(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment into which the wheel was installed, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", files[".whl"], cwd=folder)
    return folder / "bin"


# ---- what they hold ----


def test_the_sdist_holds_the_repository(files: dict[str, Path], tracked: set[str]) -> None:
    with tarfile.open(files[".gz"]) as archive:
        assert {name.partition("/")[2] for name in archive.getnames()} == tracked | {"PKG-INFO"}


def test_the_wheel_holds_package_course_and_texts(files: dict[str, Path], tracked: set[str]) -> None:
    places = {"nblstm": "nblstm", "course": "nblstm/course/notebooks", "data": "nblstm/datasets/data"}
    homes = {name: name.partition("/") for name in tracked}
    expected = {f"{places[folder]}/{rest}" for folder, _, rest in homes.values() if folder in places}
    described = {f"nblstm-{VERSION}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
    described.add(f"nblstm-{VERSION}.dist-info/licenses/LICENSE")
    assert set(zipfile.ZipFile(files[".whl"]).namelist()) == expected | described
    assert {
        "nblstm/py.typed", "nblstm/check/torch.npz", "nblstm/plot/course.mplstyle", "nblstm/datasets/data/words-en.txt",
        "nblstm/course/notebooks/00_start_here.ipynb", "nblstm/course/notebooks/solutions/00_start_here.ipynb",
        "nblstm/course/notebooks/project/recorded.npz", "nblstm/course/notebooks/solutions/project/lstm.py",
    } <= expected  # fmt: skip


def test_the_same_bytes_each_time(files: dict[str, Path], tmp_path: Path) -> None:
    """Built once more, and now the wheel from the repository in place of the sdist."""
    again = build(tmp_path / "dist", "--sdist", "--wheel")
    assert again.keys() == files.keys() == {".gz", ".whl"}
    assert [suffix for suffix in files if again[suffix].read_bytes() != files[suffix].read_bytes()] == []


# ---- the wheel installed, and nothing else ----


def test_less_than_400_mb(environment: Path) -> None:
    (site,) = environment.parent.glob("lib/python*/site-packages")
    sizes = {
        package.metadata["Name"]: sum(Path(str(file.locate())).stat().st_size for file in package.files or [])
        for package in distributions(path=[str(site)])
    }
    brought = {name: size for name, size in sizes.items() if name not in ("pip", "setuptools")}
    print(*(f"{name:<20} {size / 1e6:6.1f} MB" for name, size in brought.items()), sep="\n")
    assert {"nblstm", "numba", "llvmlite", "numpy"} <= brought.keys()
    assert sum(brought.values()) < SIZE


def test_the_commands(environment: Path, tmp_path: Path) -> None:
    def nblstm(*words: str, code: int = 0) -> str:
        return run(environment / "nblstm", *words, cwd=tmp_path, code=code)

    assert nblstm("--version") == f"nblstm {VERSION}\n"
    assert f"nblstm           {VERSION}" in nblstm("info").splitlines()
    assert re.search(r"^(\d+) of \1 checks passed$", nblstm("check"), flags=re.MULTILINE)
    trained = nblstm("train", "--steps", "20", "--hidden-size", "16", "--layers", "1", "--output", "mine")
    assert "mine has model.safetensors, run.json and loss.png" in trained
    assert len(nblstm("sample", "mine", "--length", "30", "--seed", "0")) > 30
    assert "training | nblstm" in nblstm("bench", "12,3,30,20,1,1", "--seconds", "0.01", "--rounds", "1")
    assert "files copied to lessons" in nblstm("course", "lessons", "--copy-only")
    assert "20 of 20 points" in nblstm("course", "--grade", "lessons/solutions/project")
    assert "pip install onnx" in nblstm("export", "mine", "mine.onnx", code=2)
    assert 'pip install "nblstm[course]"' in nblstm("course", code=2)
    assert 'pip install "nblstm[course]"' in nblstm("classify", "digits", code=2)


def test_strict_checks_of_types(environment: Path, tmp_path: Path) -> None:
    """The README's examples, and a script that says which types the public functions return."""
    pytest.importorskip("mypy", reason="needs mypy: the extra `wheel`")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "readme.py").write_text("\n".join(blocks), encoding="utf-8")
    shutil.copy(ROOT / "tests" / "support" / "typed.py", tmp_path)
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", environment / "python")
    assert run(*mypy, "readme.py", "typed.py", cwd=tmp_path) == "Success: no issues found in 2 source files\n"


def page_at(address: str, process: subprocess.Popen) -> bytes:
    """The page, as soon as there is an answer: JupyterLab tells its address a moment before it listens."""
    while True:
        try:
            with urllib.request.urlopen(address, timeout=LIMIT) as page:
                return page.read()
        except urllib.error.URLError:
            assert process.poll() is None, "JupyterLab has ended"
            time.sleep(0.2)


def test_the_course_in_jupyterlab(environment: Path, tmp_path: Path) -> None:
    """The last of this environment's tests: from now on it has what the message of `nblstm course` told to install."""
    run(environment / "python", "-m", "pip", "install", "--quiet", "nblstm[course]", cwd=tmp_path)
    with subprocess.Popen(
        [environment / "nblstm", "course", "--no-browser"],
        cwd=tmp_path, env=alone(), stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stderr
        deadline = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
        deadline.start()
        try:
            addresses = (re.search(r"http://127\.0\.0\.1:\S+/lab\S*", line) for line in process.stderr)
            address = next(filter(None, addresses), None)
            assert address, "JupyterLab never said where it is"
            assert b"<title>JupyterLab</title>" in page_at(address[0], process)
        finally:
            deadline.cancel()
            os.killpg(process.pid, signal.SIGTERM)
    assert (tmp_path / "nblstm-course" / "00_start_here.ipynb").is_file()
