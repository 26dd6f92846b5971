"""Runs pytest as on an ARM processor, which QEMU emulates: `make arm`; the arguments are pytest's.

It needs Linux on x86-64 and the tools of Debian or a system made from it (apt-get, dpkg-deb), but neither root nor a
change to the system: Debian's arm64 packages of Python, wheels for aarch64 and QEMU, if it is not installed, are
downloaded and unpacked below the environment, a gigabyte, and stay there. An emulated core has a small part of its
host's speed: this shows whether results are right, never how fast they come.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / ".venv/arm"
ROOT, SITE, PYTHON = FOLDER / "root", FOLDER / "site", FOLDER / "python"
SOURCES = ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list.d/ubuntu.sources", "/etc/apt/sources.list")
PACKAGES = ("qemu-user-static", "python3:arm64", "libstdc++6:arm64", "libgomp1:arm64")
WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
TESTS = ("tests/cells", "tests/kernels", "tests/layers", "tests/test_naive.py", "tests/test_losses.py")


def download_and_unpack() -> None:
    """QEMU, Python and what it loads, by an apt of our own: the system's lists and packages stay as they are."""
    apt, archives = FOLDER / "apt", FOLDER / "apt/cache/archives"
    for folder in (apt / "lists/partial", archives / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    settings = {
        "Dir::State": apt, "Dir::State::status": apt / "status", "Dir::Cache": apt / "cache", "APT::Sandbox::User": "",
        "Dir::State::lists": apt / "lists", "Dir::Etc::sourcelist": next(filter(os.path.exists, SOURCES)),
        "Dir::Etc::sourceparts": "-", "APT::Architectures::": "arm64", "APT::Install-Recommends": "false",
        "Acquire::Languages": "none", "APT::Keep-Downloaded-Packages": "true",
    }  # fmt: skip
    options = [f"-o{name}={value}" for name, value in settings.items()]
    # What Debian's images for containers say, that packages go once they are installed, would empty the folder.
    options += ["-oAPT::Update::Post-Invoke=", "-oDPkg::Post-Invoke="]
    subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
    subprocess.run(["apt-get", "-qq", "-y", "--download-only", *options, "install", *PACKAGES], check=True)
    for package in archives.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, ROOT], check=True)


def install_wheels(version: str) -> None:
    """What the package and its tests need, built for ARM."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    wanted = [each for each in wanted if "platform_machine" not in each]  # there for x86 only; pip would ask the host
    platforms = [f"--platform={name}" for name in WHEELS]
    options = ["--quiet", "--only-binary=:all:", f"--python-version={version}", f"--target={SITE}", "--upgrade"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *platforms, *wanted], check=True)


def write_python(version: str) -> None:
    """A program that behaves like Python on ARM, also for the programs that tests start by `sys.executable`."""
    qemu = shutil.which("qemu-aarch64-static") or ROOT / "usr/bin/qemu-aarch64-static"
    (SITE / "sitecustomize.py").write_text(f"import sys\n\nsys.executable = {str(PYTHON)!r}\n")
    path = f"{SITE}:{REPOSITORY}${{PYTHONPATH:+:$PYTHONPATH}}"
    PYTHON.write_text(
        f'#!/bin/sh\nPYTHONPATH="{path}" NUMBA_CACHE_DIR="${{NUMBA_CACHE_DIR:-{FOLDER / "kernels"}}}" \\\n'
        f'    exec {qemu} -L {ROOT} {ROOT / "usr/bin" / f"python{version}"} "$@"\n'
    )
    PYTHON.chmod(0o755)


def main() -> int:
    """Set everything up the first time, then run pytest."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        print("make arm needs Linux on x86-64; on an ARM processor `make test` is all there is to it", file=sys.stderr)
        return 2
    missing = [name for name in ("apt-get", "dpkg-deb") if not shutil.which(name)]
    if missing:
        print(f"make arm needs {' and '.join(missing)}, as Debian and Ubuntu have them", file=sys.stderr)
        return 2
    if not PYTHON.exists():
        print(f"== downloading Python for ARM and what it needs into {FOLDER}", flush=True)
        download_and_unpack()
        interpreters = (ROOT / "usr/bin").glob("python3.*")
        version = next(found[1] for path in interpreters if (found := re.fullmatch(r"python(3\.\d+)", path.name)))
        install_wheels(version)
        write_python(version)
    arguments = sys.argv[1:] or [*TESTS, "-m", "not slow"]
    return subprocess.run(["nice", PYTHON, "-m", "pytest", *arguments], cwd=REPOSITORY, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
