"""The page docs/pictures.md and the README's gallery: what they show is there, and made by the tools."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

from nblstm import plot

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pictures.md").read_text()


def test_every_function_is_named_and_every_picture_is_there_and_small() -> None:
    assert {name for name in plot.__all__ if f"`{name}(" not in PAGE} == {"COLOURS"}
    named, there = re.findall(r'src="(pictures/\w+\.png)"', PAGE), (ROOT / "docs" / "pictures").iterdir()
    assert sorted(named) == sorted(f"pictures/{file.name}" for file in there)
    assert all((ROOT / "docs" / name).stat().st_size < 60_000 for name in named)


def test_the_tool_draws_just_these() -> None:
    spec = importlib.util.spec_from_file_location("draw_pictures", ROOT / "tools" / "draw_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert sorted(f"pictures/{name}.png" for name in tool.PICTURES) == sorted(re.findall(r'src="([^"]+)"', PAGE))
    ax = tool.gates_over_text()
    assert ax.get_images()[0].get_array().shape == (5, len(tool.TEXT))


def test_the_gallery_shows_eight_pictures_which_cells_of_the_course_draw() -> None:
    shown = re.findall(r'src="docs/gallery/(\w+)\.png"', (ROOT / "README.md").read_text())
    cells = [cell for path in (ROOT / "course").glob("*.ipynb") for cell in json.loads(path.read_text())["cells"]]
    tags = [tag for cell in cells for tag in cell["metadata"].get("tags", []) if tag.startswith("gallery:")]
    assert len(shown) == 8
    assert sorted(tags) == sorted(f"gallery:{name}" for name in shown)
    files = list((ROOT / "docs" / "gallery").iterdir())
    assert sorted(file.name for file in files) == sorted(f"{name}.png" for name in shown)
    assert all(file.stat().st_size < 120_000 for file in files)
