"""Notebooks as they are committed: without outputs, in one form, so that a diff shows what was written.

python tools/clean_notebooks.py            cleans all notebooks of course/ (`make format` does)
python tools/clean_notebooks.py --check    names those that are not clean, and fails (`make lint` does)
python tools/clean_notebooks.py FILE...    only these
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

COURSE = Path(__file__).resolve().parent.parent / "course"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def clean(text: str) -> str:
    """The notebook in `text` without outputs, counts and whatever else a run or an editor leaves in it.

    Cells keep their tags and whether their source is folded away, and are named by their place. Keys are sorted and
    sources written line by line, as Jupyter does when it saves.
    """
    cells = []
    for number, cell in enumerate(json.loads(text)["cells"]):
        metadata = {"tags": cell["metadata"]["tags"]} if cell["metadata"].get("tags") else {}
        if cell["metadata"].get("jupyter", {}).get("source_hidden"):
            metadata["jupyter"] = {"source_hidden": True}
        kept = {
            "cell_type": cell["cell_type"],
            "id": f"cell-{number:02d}",
            "metadata": metadata,
            "source": "".join(cell["source"]).strip("\n").splitlines(keepends=True),
        }
        if cell["cell_type"] == "code":
            kept |= {"execution_count": None, "outputs": []}
        cells.append(kept)
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": KERNEL, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    named = [Path(argument) for argument in arguments if argument != "--check"]
    unclean = 0
    for path in named or sorted([*COURSE.glob("*.ipynb"), *COURSE.glob("solutions/*.ipynb")]):
        text = path.read_text(encoding="utf-8")
        cleaned = clean(text)
        if text == cleaned:
            continue
        unclean += 1
        if check:
            print(f"{path} is not clean (make format cleans it)")
        else:
            path.write_text(cleaned, encoding="utf-8")
            print(f"{path} cleaned")
    return int(check and unclean > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
