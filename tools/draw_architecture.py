"""Draw docs/architecture.png, which part uses which, from the imports: python tools/draw_architecture.py (2 s)."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, FILE = ROOT / "nblstm", ROOT / "docs" / "architecture.png"

PLACES = {
    "cli": (5.4, 15), "experiments": (10.6, 14), "search": (10.6, 13),
    "check": (1.65, 12), "runs": (4.8, 12), "course": (7.5, 12), "bench": (9.6, 12),
    "ahead": (11.5, 12), "jobs": (4.8, 11), "sklearn": (2.35, 11), "environment": (11.3, 11),
    "distributed": (5.2, 10), "baselines": (0.6, 9),
    "metrics": (2.7, 9), "training": (4.6, 9), "weights": (8.75, 9), "ngrams": (0.6, 8), "models": (5.3, 8),
    "plot": (7.3, 8), "gradcheck": (1.65, 7), "optim": (3.6, 7), "layers": (5.1, 6), "losses": (5.1, 5),
    "files": (8.8, 2), "kernels": (5.1, 4), "cells": (5.1, 3), "datasets": (8.8, 3), "functions": (5.1, 2),
    "arguments": (5.1, 1),
}  # fmt: skip
"""Where each part is drawn, x and y. An import goes downwards, to a part of lower y."""

BENEATH_CELLS = ("nblstm.kernels.functions", "nblstm.kernels.simd")
"""The part "functions": what equations are written with, and the vectors that these run on. Nothing else that is in the
folder `kernels` may be used by cells."""

SAYS = {
    "cli": "the command nblstm", "search": "many runs, processes, Dask",
    "check": "on this machine", "runs": "trained, evaluated, kept, resumed",
    "course": "what lessons import", "bench": "beside others", "ahead": "all kernels compiled",
    "jobs": "model, data and settings", "sklearn": "estimators",
    "distributed": "ranks, shards of a batch",
    "training": "one batch after another", "weights": "PyTorch, ONNX ...", "models": "whole networks",
    "metrics": "F1, R2", "baselines": "what to beat", "gradcheck": "differences", "optim": "optimisers, clipping",
    "plot": "pictures", "environment": "processor, versions", "layers": "the API: arguments, parameters, tapes",
    "losses": "and softmax", "experiments": "of 1997, of 2017",
    "kernels": "passes over time, for any cell", "cells": "equations, there and back",
    "functions": "exp, tanh ... on vectors", "files": "safetensors", "datasets": "texts, images, tasks",
    "ngrams": "counts", "arguments": "their checks; used by nearly all, arrows left out",
}  # fmt: skip
WIDE = {
    "weights": 1.3,
    "layers": 2.9,
    "kernels": 2.9,
    "arguments": 3.8,
    "search": 2.0,
    "runs": 2.5,
    "cells": 2.2,
    "functions": 2.2,
}
SPINE = ("layers", "kernels", "cells", "functions")


def modules() -> dict[str, Path]:
    """The package's modules by name, and their files."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> Iterator[tuple[str, str]]:
    """Each module of the package, and each one that it imports, in a function too."""
    known = modules()
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nblstm":
                for name in node.names:
                    inside = f"{node.module}.{name.name}"
                    yield module, inside if inside in known else str(node.module)
            elif isinstance(node, ast.Import):
                yield from ((module, name.name) for name in node.names if name.name.split(".")[0] == "nblstm")


def part_of(module: str) -> str | None:
    """The part that a module belongs to; none for the package itself, which shows what all the parts have."""
    if module in ("nblstm", "nblstm.__main__"):
        return None
    return "functions" if module in BENEATH_CELLS else module.split(".")[1]


def upwards(found: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those imports that go up, or sideways, from one part to another; and all of the package by its own parts."""
    wrong = []
    for module, imported in found:
        part, other = part_of(module), part_of(imported)
        if part is not None and part != other and (other is None or PLACES[part][1] <= PLACES[other][1]):
            wrong.append((module, imported))
    return wrong


def arrows() -> list[tuple[str, str]]:
    """Which part uses which, without what follows from others: who uses `models` uses `layers` anyway."""
    used: dict[str, set[str]] = {part: set() for part in PLACES}
    for module, imported in imports():
        part, other = part_of(module), part_of(imported)
        if part and other and part != other and other != "arguments":
            used[part].add(other)
    beneath: dict[str, set[str]] = {}
    for part in sorted(PLACES, key=lambda part: PLACES[part][1]):  # from the bottom, so that what it uses is known
        beneath[part] = used[part].union(*(beneath[other] for other in used[part]))
    return sorted(
        (part, other) for part in used for other in used[part]
        if not any(other in beneath[third] for third in used[part])
    )  # fmt: skip


def main() -> None:
    """Draw it; the picture's own metadata have the arrows, by which a test knows that it is not of yesterday."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    figure = Figure(figsize=(11, 11.8), layout="constrained")
    ax = figure.subplots()
    ax.set(xlim=(-0.4, 12.5), ylim=(0.55, 15.45))
    ax.axis("off")
    for part, other in arrows():
        (x, y), (to_x, to_y) = PLACES[part], PLACES[other]
        ends = [max(-0.4, min(0.4, (to_x - x) / 8)) * WIDE.get(name, 1.75) for name in (part, other)]
        ax.annotate(
            "", (to_x - ends[1], to_y + 0.3), (x + ends[0], y - 0.3),
            arrowprops={"arrowstyle": "-|>", "color": "#666666", "linewidth": 1, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    for part, (x, y) in PLACES.items():
        wide, colour = WIDE.get(part, 1.75), "#CFE6F5" if part in SPINE else "#F2F2F2"
        style = "round,pad=0,rounding_size=0.08"
        box = FancyBboxPatch((x - wide / 2, y - 0.3), wide, 0.6, boxstyle=style, facecolor=colour, edgecolor="#444444")
        ax.add_patch(box).set_zorder(4)  # arrows, which have 3, pass behind it
        ax.text(x, y + 0.13, part, ha="center", va="center", weight="bold", fontsize=10, zorder=5)
        ax.text(x, y - 0.13, SAYS[part], ha="center", va="center", fontsize=7.5, zorder=5)
    drawn, described = BytesIO(), PngInfo()
    figure.savefig(drawn, dpi=100)
    described.add_text("Description", description())
    Image.open(drawn).convert("RGB").quantize(32).save(FILE, optimize=True, pnginfo=described)


def description() -> str:
    """The arrows as a text."""
    return "; ".join(f"{part} uses {other}" for part, other in arrows())


if __name__ == "__main__":
    main()
