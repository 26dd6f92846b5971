"""Build the site into `site/`: python -m site_source (`make site` installs what it needs).

Gathers the pages in build/site/, the lessons with their outputs; Sphinx makes HTML of them, and that is checked.
A lesson whose outputs are not kept yet is run by its own test, once; build/executed/ keeps them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import nbformat
from sphinx.cmd.build import build_main

from site_source import faults, lessons, pages, reference

sys.path.append(str(pages.ROOT / "tests"))  # whose tests run the lessons
from support import executed

ROOT = pages.ROOT
HERE = ROOT / "site_source"
SITE, WORK = ROOT / "site", ROOT / "build" / "site"
SOURCE, FILES, HTML = WORK / "source", WORK / "files", WORK / "html"
KEPT = Path(os.environ.get(executed.VARIABLE, ROOT / "build" / "executed"))


def run_missing(paths: list[PurePosixPath]) -> None:
    """Run the tests of the lessons whose outputs are not kept."""
    missing = [path for path in paths if not executed.place(ROOT / path, KEPT).exists()]
    if missing:
        print(f"== running {len(missing)} of the lessons; their outputs are kept in {KEPT}", flush=True)
        tests = [f"tests/course/test_notebooks.py::test_run_from_top_to_bottom[course-{path.stem}]" for path in missing]
        command = [sys.executable, "-m", "pytest", "-q", "-m", "course", *tests]
        if subprocess.run(command, cwd=ROOT, env={**os.environ, executed.VARIABLE: str(KEPT)}).returncode:
            raise SystemExit("error: a lesson did not pass its test, as is said above; the site was not built")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def copy(path: PurePosixPath, folder: Path) -> None:
    """Copy a file of the repository to the same place below a folder."""
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / path, folder / path)


def gather() -> None:
    """All pages and what they show: for Sphinx into SOURCE, and into FILES what is copied as it is."""
    shutil.rmtree(WORK, ignore_errors=True)
    for folder in (SOURCE, FILES):
        folder.mkdir(parents=True)
    for name, text in reference.pages().items():
        write(SOURCE / "reference" / name, text)
    for page in [*pages.OWN_PAGES, *sorted(pages.PAGES)]:
        if page.suffix == ".ipynb":
            text = gather_lesson(page)
        else:
            text = ((HERE if page in pages.OWN_PAGES else ROOT) / page).read_text(encoding="utf-8")
            write(SOURCE / page, pages.with_links(text, page))
        for path in pages.linked_files(text, page):
            copy(path, SOURCE)
        for path in pages.pictures_of_html(text, page):
            copy(path, FILES)
    with (SOURCE / "course" / "README.md").open("a", encoding="utf-8") as course:
        course.write(pages.LESSONS_IN_ORDER)


def gather_lesson(page: PurePosixPath) -> str:
    """Write the page of a lesson, and the lesson to be downloaded; returns the page's text."""
    lesson = nbformat.read(executed.place(ROOT / page, KEPT), as_version=4)
    solution = nbformat.read(ROOT / page.parent / "solutions" / page.name, as_version=4)
    shown = lessons.page_of(lesson, solution, page)
    write(SOURCE / page, nbformat.writes(shown))
    write(FILES / lessons.download_of(page), (ROOT / page).read_text(encoding="utf-8"))
    return "\n\n".join(cell.source for cell in shown.cells if cell.cell_type == "markdown")


def main() -> None:
    run_missing(pages.found(pages.LESSONS))
    try:
        gather()
    except ValueError as error:
        raise SystemExit(f"error: {error}; the site was not built") from None
    options = ["-q", "-W", "--keep-going", "-j", "auto", "-c", str(HERE), "-d", str(WORK / "doctrees")]
    if build_main([*options, str(SOURCE), str(HTML)]):
        raise SystemExit("error: Sphinx has warned, as is said above; the site was not built")
    if found := faults.of_site(HTML):
        raise SystemExit(
            "\n".join([*found, "error: links or pictures have faults, as is said above; the site was not built"])
        )
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.move(HTML, SITE)
    size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file())
    print(f"== {SITE}: {len(list(SITE.rglob('*.html')))} pages, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
