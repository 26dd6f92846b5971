"""Lessons in a real browser: JupyterLab as ``nblstm course`` starts it, headless Chromium, every cell, every slider.

Screenshots in both themes go to the folder $NBLSTM_SCREENSHOTS, or to pytest's own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import browser
from support.processes import LIMIT, last_lines, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Playwright's own
]

COURSE = Path(__file__).resolve().parents[2] / "course"
LESSONS = ("05_the_lstm_gate_by_gate.ipynb", "16_characters.ipynb")

SETTINGS: dict[str, dict[str, Any]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight stay in the page
}
ERRORS = '[data-mime-type="application/vnd.jupyter.error"], [data-mime-type="application/vnd.jupyter.stderr"]'
PICTURES = ".jp-Notebook .jp-RenderedSVG img, .jp-Notebook .jp-RenderedSVG svg, .jp-Notebook .jp-RenderedImage img"
SLIDER = ".jp-Notebook .widget-slider .noUi-handle"

BROKEN = [
    "raise ValueError('this cell is meant to fail')",
    "import warnings\nwarnings.warn('this cell is meant to warn')",
    "from ipywidgets import interact\ninteract(lambda k: print('always the same'), k=(0, 5));",
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on a learner's copy of the course, with a notebook in it that is meant to fail."""
    pytest.importorskip("jupyterlab", reason="needs JupyterLab: the extra `lessons`")
    folder = tmp_path_factory.mktemp("learner")
    broken = [
        {"cell_type": "code", "id": str(k), "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        for k, source in enumerate(BROKEN)
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    notebook = {"cells": broken, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "course").mkdir()
    (folder / "course" / "broken.ipynb").write_text(json.dumps(notebook))
    for name, setting in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(setting))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "JUPYTER_TOKEN": "only-this-test",
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    environment.pop("MPLBACKEND", None)
    command = [sys.executable, "-m", "nblstm", "course", str(folder / "course"), "--no-browser", "--port", str(port)]
    with (folder / "log.txt").open("w+") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(f"http://127.0.0.1:{port}/api", process, folder / "log.txt")
            yield f"http://127.0.0.1:{port}/lab/tree/{{}}?token=only-this-test&reset"  # without what was open before
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(LIMIT)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        assert process.poll() is None, f"expected JupyterLab to go on, it ended:\n{last_lines(log.read_text())}"
        try:
            with urllib.request.urlopen(url, timeout=LIMIT):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    wait_until(answers, "JupyterLab answers")


@pytest.fixture(scope="module", name="chromium")
def started_chromium() -> Iterator[Any]:
    with browser.chromium() as started:
        yield started


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where the screenshots go."""
    folder = Path(os.environ.get("NBLSTM_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(chromium: Any, pictures: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    page = chromium.new_page(viewport={"width": 1366, "height": 900})
    page.set_default_timeout(1000 * LIMIT)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.screenshot(path=pictures / f"last-of-{request.node.name}.png")  # whatever happened
    page.close()
    assert errors == [], "errors of the page itself"


def menu(page: Page, *names: str) -> None:
    """Choose from JupyterLab's menu bar, as one does with the mouse."""
    first, *others = names
    page.locator(".lm-MenuBar-itemLabel", has_text=first).first.click()
    for name in others:
        page.locator(".lm-Menu:visible .lm-Menu-itemLabel").get_by_text(name, exact=True).click()


def run_all(page: Page, url: str) -> None:
    """Open a notebook, run all cells, and wait for the last; after an error JupyterLab runs no more."""
    page.goto(url)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text("(ipykernel) | Idle").wait_for()  # before its kernel is there, JupyterLab asks which one to take
    menu(page, "Run", "Run All Cells")
    page.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')];
            const indicator = document.querySelector('.jp-Notebook-ExecutionIndicator');
            return prompts.some(prompt => /[0-9]/.test(prompt.textContent))
                && !prompts.some(prompt => prompt.textContent.includes('*'))
                && indicator.dataset.status === 'idle';
        }""",
        polling=500,
    )


def errors(page: Page) -> list[str]:
    """Errors and warnings; that kernels are compiled, where that is so, is said on the same stream and is neither."""
    shown = page.locator(f".jp-Notebook :is({ERRORS})").all_inner_texts()
    return [text for text in shown if not re.fullmatch(r"(nblstm: compiling kernels .*\s*)+", text)]


def sizes(page: Page) -> list[list[float]]:
    """Width and height of every picture, and the width that there is for it."""
    script = """all => all.map(one => {
        const {width, height} = one.getBoundingClientRect();
        return [width, height, one.closest('.jp-OutputArea').getBoundingClientRect().width];
    })"""
    return page.locator(PICTURES).evaluate_all(script)


def picture_beside(page: Page, slider: int) -> str:
    """What the slider's function has drawn: all outputs of its cell, but for the one that holds the slider."""
    script = """slider => [...slider.closest('.jp-CodeCell').querySelectorAll('.jp-OutputArea-output')]
        .filter(output => !output.contains(slider)).map(output => output.innerHTML).join()"""
    return page.locator(SLIDER).nth(slider).evaluate(script)


def move(page: Page, slider: int, key: str = "ArrowRight", times: int = 3, limit: float = LIMIT) -> bool:
    """Move a slider by the keyboard; whether another picture came of it within so many seconds."""
    handle = page.locator(SLIDER).nth(slider)
    before, value = picture_beside(page, slider), handle.get_attribute("aria-valuenow")
    handle.focus()
    for _ in range(times):
        page.keyboard.press(key)
    assert handle.get_attribute("aria-valuenow") != value, "the handle itself did not move"
    for _ in range(round(4 * limit)):
        page.wait_for_timeout(250)
        if picture_beside(page, slider) != before:
            return True
    return False


def photograph(page: Page, folder: Path, name: str) -> list[Path]:
    """The whole notebook, one screen after the other."""
    scroll = page.locator(".jp-WindowedPanel-outer").first
    height, step = scroll.evaluate("one => [one.scrollHeight, one.clientHeight]")
    taken = []
    for number, top in enumerate(range(0, height, step)):
        scroll.evaluate("(one, top) => one.scrollTo(0, top)", top)
        page.wait_for_timeout(100)
        taken.append(folder / f"{name}-{number:02d}.png")
        page.screenshot(path=taken[-1])
    return taken


def background(page: Page) -> float:
    """Lightness of the notebook's own background, from 0 to 255."""
    script = "one => getComputedStyle(one).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number)"
    return sum(page.locator(".jp-Notebook").first.evaluate(script)) / 3


def put_on(page: Page, theme: str) -> None:
    """Choose "Light" or "Dark"; JupyterLab keeps it for the next page."""
    menu(page, "Settings", "Theme", f"JupyterLab {theme}")
    page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=str(theme == "Light").lower())


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson[:2])
def test_lesson_in_the_browser(address: str, page: Page, pictures: Path, lesson: str) -> None:
    run_all(page, address.format(lesson))
    assert errors(page) == []
    shown = sizes(page)
    assert len(shown) >= 3
    assert all(width > 200 and height > 100 and room >= width for width, height, room in shown), shown

    sliders = page.locator(SLIDER).count()
    assert sliders
    for slider in range(sliders):
        assert move(page, slider, limit=60) or move(page, slider, "ArrowLeft", 6), f"slider {slider} changes nothing"
    assert errors(page) == []

    put_on(page, "Light")
    assert background(page) > 200
    assert len(photograph(page, pictures, f"{lesson[:2]}-light")) > 3
    put_on(page, "Dark")
    assert background(page) < 60
    assert len(photograph(page, pictures, f"{lesson[:2]}-dark")) > 3
    assert len(sizes(page)) == len(shown)


def test_the_browser_sees_what_is_broken(address: str, page: Page) -> None:
    """Were something wrong, the test above would find it: an error, a warning, a slider that changes nothing."""
    run_all(page, address.format("broken.ipynb"))
    (seen,) = errors(page)
    assert "ValueError: this cell is meant to fail" in seen
    assert sizes(page) == []
    for number in (1, 2):
        cell = page.locator(".jp-Notebook .jp-CodeCell").nth(number)
        cell.locator(".jp-InputArea-editor").click()
        page.keyboard.press("Control+Enter")
    page.locator(SLIDER).wait_for()
    assert "UserWarning: this cell is meant to warn" in "".join(errors(page))
    assert not move(page, 0, limit=5)
