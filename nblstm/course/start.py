"""``nblstm course``: the notebooks copied to a folder of the learner's, and JupyterLab opened there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from nblstm.weights import atomic_write

FIRST_LESSON = "00_start_here.ipynb"
"""What JupyterLab opens when the folder is new."""


QUIET = [
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LanguageServerManager.autodetect=False",
]
"""No question about news over the first lesson, no look for updates, no list of language servers that are missing."""


class Copied(NamedTuple):
    """What became of the course's files in the learner's folder, by their paths in it."""

    new: list[str]
    kept: list[str]


def originals() -> Path:
    """The folder of the notebooks as they came: inside the installed package, or ``course/`` of the repository.

    Raises
    ------
    FileNotFoundError
        Neither is there.
    """
    installed = Path(__file__).parent / "notebooks"
    repository = Path(__file__).parents[2] / "course"
    for folder in (installed, repository):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the notebooks of the course are missing: neither {installed} nor {repository} exists")


def copy(folder: str | os.PathLike[str], *, solutions: bool = True) -> Copied:
    """Copy the course to `folder`, which is made if need be. What exists there stays as it is, whatever it holds.

    So a learner's work is never overwritten, and the lessons that a later version adds still arrive.

    Parameters
    ----------
    folder : str or os.PathLike
        The learner's own.
    solutions : bool
        Whether the folder ``solutions`` is copied, too.

    Returns
    -------
    Copied
        Names of the files that are new, and of those that were there.

    Raises
    ------
    ValueError
        `folder` is a file, or the place of the originals.
    OSError
        The folder cannot be made or written.

    Examples
    --------
    >>> import tempfile
    >>> from nblstm.course import start
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = start.copy(folder), start.copy(folder)
    >>> "README.md" in first.new, first.kept, second.new
    (True, [], [])
    """
    source, target = originals(), Path(folder)
    if target.exists() and not target.is_dir():
        raise ValueError(f"folder must be a folder, {target} is a file")
    if target.resolve() == source.resolve():
        raise ValueError(f"{target} holds the originals: name another folder for your own copy")
    copied = Copied([], [])
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if path.is_dir() or any(part.startswith((".", "__")) for part in name.parts):
            continue
        if name.parts[0] == "solutions" and not solutions:
            continue
        if os.path.lexists(target / name):
            copied.kept.append(name.as_posix())
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target / name) as file:
            file.write(path.read_bytes())
        copied.new.append(name.as_posix())
    return copied


def require_jupyterlab() -> None:
    """Say what to install where JupyterLab is missing.

    Raises
    ------
    ValueError
        It, or the sliders' package, is not installed.
    """
    missing = [name for name in ("jupyterlab", "ipywidgets") if find_spec(name) is None]
    if missing:
        raise ValueError(f'the course needs {" and ".join(missing)}: pip install "nblstm[course]"')


def command(folder: str | os.PathLike[str], *, browser: bool, port: int | None, first: bool) -> list[str]:
    """The command that opens JupyterLab on `folder`: with the first lesson, or with what was open the last time.

    Examples
    --------
    >>> from nblstm.course import start
    >>> start.command("mine", browser=False, port=9000, first=False)[1:3]
    ['-m', 'jupyterlab']
    """
    words = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={Path(folder).resolve()}"]
    words += QUIET
    if first:
        words.append(f"--LabApp.default_url=/lab/tree/{FIRST_LESSON}")
    if not browser:
        words.append("--no-browser")
    if port is not None:
        words.append(f"--port={port}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        words.append("--allow-root")  # without it Jupyter refuses in most containers
    return words


def run(words: list[str]) -> int:
    """Run JupyterLab to its end and return its exit code. Ctrl-C is JupyterLab's: it asks back, and ends or goes on."""
    before = signal.signal(signal.SIGINT, lambda *_: None)  # not ignored: a child would inherit that
    try:
        with subprocess.Popen(words) as process:
            return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
