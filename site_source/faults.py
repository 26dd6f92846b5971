"""What is wrong with built pages: links that lead nowhere, pictures without words, requests to other hosts."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"img": "src", "script": "src", "source": "src", "video": "src", "iframe": "src"}
"""The elements that a browser fetches by itself, and <link> but for `rel=canonical` and the like."""


class Page(HTMLParser):
    """The names, links and pictures of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.without_words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        have = {name: value or "" for name, value in attributes}
        self.names |= {have[key] for key in ("id", "name") if key in have}
        if tag == "a" and "href" in have:
            self.links.append(have["href"])
        if tag in LOADED and have.get(LOADED[tag]):
            self.loaded.append(have[LOADED[tag]])
        if tag == "link" and have.get("rel") in ("stylesheet", "icon", "preload", "shortcut icon"):
            self.loaded.append(have["href"])
        if tag == "img" and not have.get("alt"):
            self.without_words.append(have.get("src", ""))


def of_site(site: Path) -> list[str]:
    """The faults of all pages below a folder, a sentence each."""
    files = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]  # that is the theme's own
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in files}
    return [f"{path.relative_to(site)} {fault}" for path in files for fault in _of_page(path, pages[path], pages)]


def _of_page(path: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    for source in page.without_words:
        yield f"shows {source[:80]} without a text in its place (alt)"
    for link in dict.fromkeys(page.loaded):
        if urlsplit(link).netloc:
            yield f"loads {link} from another host"
    for link in dict.fromkeys(page.links + page.loaded):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.is_file():
            yield f"links to {link}, which is not there"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].names:
            yield f"links to {link}, where nothing has that name"
