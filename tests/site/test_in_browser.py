"""The built site in headless Chromium, served on this machine: nothing fails, nothing is fetched from elsewhere.

Screenshots go to the folder $NBLSTM_SCREENSHOTS, or to pytest's own. `make site` builds the site.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import browser
from support.processes import LIMIT

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.site,
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Playwright's own
]

SITE = Path(__file__).resolve().parents[2] / "site"
LESSONS = ("a_net_without_memory", "the_lstm_gate_by_gate", "characters")
HEAVIEST = 5_000_000  # bytes that a lesson may take


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The site, served."""
    if not (SITE / "index.html").exists():
        pytest.skip("needs the built site: make site")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module", name="chromium")
def started_chromium() -> Iterator[Any]:
    with browser.chromium() as started:
        yield started


@pytest.fixture
def page(chromium: Any, address: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """A page whose console stays empty, and which asks nobody but us; a picture of it is kept."""
    look = getattr(request, "param", {})
    page = chromium.new_page(base_url=address, **{"viewport": {"width": 1366, "height": 900}, **look})
    page.set_default_timeout(1000 * LIMIT)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
    page.on("request", lambda asked: None if asked.url.startswith((address, "data:")) else errors.append(asked.url))
    page.on("response", lambda came: errors.append(f"{came.status} {came.url}") if came.status >= 400 else None)
    yield page
    folder = Path(os.environ.get("NBLSTM_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "-", request.node.name)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
    page.close()
    assert errors == []


def lesson(name: str) -> str:
    """The address of a lesson whose number may change."""
    (found,) = SITE.glob(f"course/[0-9]*_{name}.html")
    return f"course/{found.name}"


LOOKS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}


@pytest.mark.parametrize("page", LOOKS.values(), ids=LOOKS, indirect=True)
@pytest.mark.parametrize(
    "name", ["index.html", "course/README.html", *LESSONS, "reference/names/nblstm.LSTM.html", "docs/coming_from.html"]
)
def test_a_page_shows_itself_whole(page: Page, name: str) -> None:
    page.goto(lesson(name) if name in LESSONS else name, wait_until="networkidle")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the window"
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    page.wait_for_load_state("networkidle")
    pictures = page.locator("article img")
    for k in range(pictures.count()):
        pictures.nth(k).scroll_into_view_if_needed()
        assert pictures.nth(k).evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "opened, it is wider than the window"


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_asks_before_it_answers(page: Page, name: str) -> None:
    page.goto(lesson(name), wait_until="networkidle")
    came, solutions = page.locator("details.came"), page.locator("details.solution")
    assert came.count() >= 3
    assert solutions.count() >= 3
    saw = page.get_by_text("What we saw.", exact=True)
    assert not any(saw.nth(k).is_visible() for k in range(saw.count()))
    came.first.locator("summary").first.click()
    assert came.first.locator("pre").first.is_visible()
    assert page.locator("mjx-container").count() > 5, "formulas are set"
    assert page.locator(".cell_output .traceback").count() == 0
    with page.expect_download() as download:
        page.get_by_text("Download the notebook").click()
    assert download.value.suggested_filename.endswith(f"{name}.ipynb")


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_light(page: Page, name: str) -> None:
    sizes: list[int] = []
    page.on("requestfinished", lambda asked: sizes.append(asked.sizes()["responseBodySize"]))
    page.goto(lesson(name), wait_until="networkidle")
    print(f"{name}: {sum(sizes) / 1e6:.2f} MB in {len(sizes)} requests")
    assert 100_000 < sum(sizes) < HEAVIEST


def test_the_search_finds_the_forget_gate(page: Page) -> None:
    page.goto("search.html?q=forget+gate")
    page.locator("#search-results li a").first.wait_for()
    found = page.locator("#search-results li > a").all_inner_texts()
    assert any("gate by gate" in title for title in found), found


def test_dark_is_chosen_by_the_switch_too(page: Page) -> None:
    page.goto("index.html", wait_until="networkidle")
    shades = set()
    for _ in range(3):
        page.locator(".theme-switch-button:visible, .theme-switch-button").first.click()
        dark = page.get_by_text("Dark", exact=True)
        if dark.count():
            dark.first.click()
        shades.add(page.evaluate("document.documentElement.dataset.theme"))
    assert "dark" in shades
