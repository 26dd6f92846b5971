"""Draw the gallery of the README, pictures out of the lessons: python tools/draw_gallery.py (a few minutes).

A lesson's cell with the tag ``gallery:NAME`` draws docs/gallery/NAME.png: the lesson is run up to that cell, as a
learner would run it, and its picture is kept. Needs the extra `lessons`; `make gallery` installs it.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
COURSE, GALLERY = ROOT / "course", ROOT / "docs" / "gallery"
PREFIX = "gallery:"
AS_PIXELS = "%config InlineBackend.figure_formats = ['png']\n%config InlineBackend.print_figure_kwargs = {'dpi': 110}"


def tagged(lesson: NotebookNode) -> Iterator[tuple[int, str]]:
    """Place and name of every picture of a lesson that belongs in the gallery."""
    for place, cell in enumerate(lesson.cells):
        for tag in cell.metadata.get("tags", []):
            if tag.startswith(PREFIX):
                yield place, tag.removeprefix(PREFIX)


def pictures(path: Path) -> dict[str, bytes]:
    """The pictures of one lesson as PNG, by name; it is run no further than to the last of them."""
    lesson = nbformat.read(path, as_version=4)
    places = dict(tagged(lesson))
    if not places:
        return {}
    lesson.cells = lesson.cells[: max(places) + 1]
    first = next(cell for cell in lesson.cells if "begin(" in cell.source and cell.cell_type == "code")
    first.source += f"\n{AS_PIXELS}"
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(lesson, timeout=300, resources={"metadata": {"path": folder}}).execute()
    found = {}
    for place, name in places.items():
        data = [output.get("data", {}) for output in lesson.cells[place].outputs]
        images = [drawn["image/png"] for drawn in data if "image/png" in drawn]
        if len(images) != 1:
            raise ValueError(f"{path.name}: the cell tagged {PREFIX}{name} must draw one picture, got {len(images)}")
        found[name] = base64.b64decode(images[0])
    return found


def main() -> None:
    """Draw them all."""
    GALLERY.mkdir(exist_ok=True)
    for path in tqdm(sorted(COURSE.glob("[0-9]*.ipynb")), unit="lesson"):
        for name, png in pictures(path).items():
            file = GALLERY / f"{name}.png"
            Image.open(BytesIO(png)).convert("RGB").quantize(128).save(file, optimize=True)
            tqdm.write(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1024:.0f} KB, from {path.name}")


if __name__ == "__main__":
    main()
