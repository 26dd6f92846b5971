"""The README keeps its word: its example runs as printed, and what it names exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nblstm import weights
from nblstm.cli import main

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
)


def test_examples_run_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layer, run, travel = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in layer.splitlines() if line]) <= 10, "more than can be seen at a glance"
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(layer, "README.md", "exec"), names)
    assert names["y"].shape == (28, 100, 128)
    assert names["h_n"].shape == names["c_n"].shape == (2, 100, 128)
    assert names["dx"].shape == names["x"].shape
    assert "212,992" in capsys.readouterr().out, "the count of parameters of PyTorch's layer of the same form"
    assert (tmp_path / "lstm.safetensors").is_file()
    for folder in ("mine", "mine-2"):  # as a script that is run again
        exec(compile(run, "README.md", "exec"), {})  # and by itself
        assert float(capsys.readouterr().out.splitlines()[-1]) > 0.8
        assert (tmp_path / "runs" / folder / "confusion.png").is_file()
    names = {}
    exec(compile(travel, "README.md", "exec"), names)
    assert (names["same"].flat_params == names["lstm"].flat_params).all()
    assert "(28, 512)" in capsys.readouterr().out


def test_converters_exist() -> None:
    named = set(re.findall(r"`((?:to|from)_\w+)`", README))
    assert named == {name for name in weights.__all__ if name.startswith(("to_", "from_"))}


def test_changes_tell_of_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    (newest, *_) = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert newest == version


def test_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r'pip install "\.\[(\w+)\]"', README))
    assert named == {"course", "test", "peers"}
    assert named <= project["optional-dependencies"].keys()


def test_make_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^    |`)make (\w+)", README, flags=re.MULTILINE))
    assert {"train", "test", "course", "lessons"} <= named
    assert [name for name in sorted(named) if not re.search(rf"^{name}:", makefile, flags=re.MULTILINE)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_to_files_resolve(document: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / document).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / document).parent.joinpath(link).exists()] == []


def test_folders_exist() -> None:
    named = re.findall(r"^\| `(\w+)/` \|", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    assert {"docs", "examples"} <= set(named)
    assert [folder for folder in named if not (ROOT / folder).is_dir() and not (ROOT / "tests" / folder).is_dir()] == []


def test_commands_exist() -> None:
    named = set(re.findall(r"(?:^    |`)nblstm (\w+)", README, flags=re.MULTILINE))
    assert {"train", "sample", "course", "info"} <= named <= main.commands.keys()
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^    nblstm (\w+)", page, flags=re.MULTILINE)) == main.commands.keys()


def test_every_page_is_linked() -> None:
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert pages <= set(re.findall(r"\]\((docs/\w+\.md)\)", README))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_package_index_is_told_to_have_it(document: str) -> None:
    """Except for the extras of one that is installed already, as the page on wheels has them."""
    told = re.findall(r"pip install \"?nblstm.*", (ROOT / document).read_text(encoding="utf-8"))
    assert len(told) == (document == "docs/install.md")
