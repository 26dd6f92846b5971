"""The repository's pages as the site has them: every link leads to a page, a picture, a download or the repository."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "course/*.md", "course/solutions/project/report.md",
    "examples/README.md", "benchmarks/README.md", "benchmarks/results/*.md",
]  # fmt: skip
LESSONS = "course/[0-9]*.ipynb"
OWN_PAGES = [PurePosixPath(name) for name in ("index.md", "guides.md", "project.md")]
"""Those that are the site's alone, and lie beside this file."""
LESSONS_IN_ORDER = """
```{toctree}
:hidden:
:glob:

[0-9]*
project
solutions/project/report
formulas
often_written
glossary
teachers
```
"""
"""What the course's page has at its end."""

REPOSITORY = os.environ.get("GITHUB_REPOSITORY", "")
"""The one setting: "owner/name" on GitHub, which a workflow there sets by itself. Without it nothing links to files."""

PICTURES = (".png", ".svg", ".gif", ".webp", ".jpg", ".mp4", ".webm")
FENCE = re.compile(r"^(```.*?^```|~~~.*?^~~~)", flags=re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?P<mark>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
RAW_PICTURE = re.compile(r"""<(?:img|video|source)\b[^>]*?\bsrc=["'](?P<target>[^"']+)["']""")


def found(pattern: str) -> list[PurePosixPath]:
    """Files of the repository, by their paths in it."""
    return [PurePosixPath(path.relative_to(ROOT).as_posix()) for path in sorted(ROOT.glob(pattern))]


PAGES = {path for pattern in (*SOURCES, LESSONS) for path in found(pattern)}


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """A text changed everywhere but in blocks of code."""
    return "".join(part if FENCE.fullmatch(part) else change(part) for part in FENCE.split(text))


def address(path: PurePosixPath) -> str | None:
    """Where a file or folder of the repository can be read, if its address is known."""
    kind = "tree" if (ROOT / path).is_dir() else "blob"
    return f"https://github.com/{REPOSITORY}/{kind}/main/{path}" if REPOSITORY else None


def target_of(link: str, page: PurePosixPath) -> PurePosixPath | None:
    """The file of the repository that a link on a page leads to; None for other hosts and for places on the page."""
    name = link.partition("#")[0]
    if re.match(r"\w+:", link) or not name:
        return None
    target = PurePosixPath(os.path.normpath(page.parent / name))
    if not (ROOT / target).exists():
        raise ValueError(f"{page} links to {link}, which is not there")
    return target


def with_links(text: str, page: PurePosixPath) -> str:
    """The text of a page, its links to files that are no pages turned into addresses, or into their words alone.

    Pictures stay, and so does what belongs to the course, which can be downloaded.
    """

    def turned(link: re.Match[str]) -> str:
        target = target_of(link["target"], page)
        stays = target is None or target in PAGES or target.suffix in PICTURES
        if not stays and target.suffix == ".ipynb":
            return f"[{link['text']}](path:{link['target']})"  # MyST: the file, not a page made of it
        if stays or (target.parts[0] == "course" and (ROOT / target).is_file()):
            return link[0]
        where = address(target)
        return f"[{link['text']}]({where})" if where else link["text"]

    return outside_fences(text, lambda part: LINK.sub(turned, part))


def linked_files(text: str, page: PurePosixPath) -> set[PurePosixPath]:
    """The files that a page links to or shows, and that are no pages themselves."""
    targets = {target_of(link["target"], page) for link in LINK.finditer(FENCE.sub("", text))}
    return {path for path in targets - {None} - PAGES if (ROOT / path).is_file()}


def pictures_of_html(text: str, page: PurePosixPath) -> set[PurePosixPath]:
    """The files that HTML in the text of a page shows; Sphinx does not look into that."""
    return {target_of(picture["target"], page) for picture in RAW_PICTURE.finditer(FENCE.sub("", text))} - {None}
