"""The page docs/pictures.md: every function of nblstm.plot is on it, every picture is there and made by the tool."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from nblstm import plot

ROOT = Path(__file__).parents[1]
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
