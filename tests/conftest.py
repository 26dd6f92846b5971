"""What all tests share: seeded random numbers, and hypothesis without a clock and without chance."""

from __future__ import annotations

import collections
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

if side := os.environ.get("NBLSTM_GUARD"):  # before any test makes an array; see `make guard`
    from support import guard

    guard.install(side)

os.environ.setdefault("MKL_NUM_THREADS", "1")  # PyTorch's: on nets this small, threads that wait are most of its time

collect_ignore = ["support"]  # what it holds is imported by tests, run by them, or read by a type checker

ON_REQUEST = {
    "fuzz": "takes minutes: pytest -m fuzz",
    "exhaustive": "takes minutes: pytest -m exhaustive",
    "cold": "compiles from an empty cache: pytest -m cold",
    "restarts": "takes minutes: pytest -m restarts",
    "course": "with every notebook it takes minutes: make lessons",
    "large": "takes minutes and 17 GB of memory: pytest -m large",
    "browser": "needs JupyterLab and Chromium: make lessons",
    "site": "needs the built site and Chromium: make site, then pytest -m site",
    "wheel": "builds and installs packages: make wheel",
}

hypothesis.settings.register_profile(
    "seeded",
    derandomize=True,
    deadline=None,
    max_examples=25,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # a matter of the machine
)
hypothesis.settings.load_profile("seeded")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of minutes run when they are asked for; otherwise they are listed among the skipped."""
    for marker, reason in ON_REQUEST.items():
        if marker not in config.option.markexpr:
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was skipped, a line for each reason; and how long each lesson took, which no test judges."""
    places = [report.longrepr for report in terminalreporter.getreports("skipped")]
    reasons = collections.Counter(place[2].removeprefix("Skipped: ") for place in places if isinstance(place, tuple))
    passed = [dict(report.user_properties) for report in terminalreporter.getreports("passed")]
    parts = {
        "skipped": [f"{count:5} {reason}" for reason, count in reasons.most_common()],
        "seconds of each lesson": [properties["seconds"] for properties in passed if "seconds" in properties],
    }
    for title, lines in parts.items():
        if lines:
            terminalreporter.section(title)
            terminalreporter.write_line("\n".join(lines))


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20240607)


@pytest.fixture(params=[0, 10**12], ids=["threads", "serial"])
def threads_and_serial(request: pytest.FixtureRequest) -> Iterator[None]:
    """The test twice: with threads for the smallest piece of work, and with none."""
    from nblstm import thread_policy  # after guard mode was installed

    with thread_policy(serial_below=request.param):
        yield


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no pictures: that takes four times as long as all else they do. Other tests look at the pictures."""
    from nblstm.jobs import ClassificationJob, Job

    for kind in (Job, ClassificationJob):
        monkeypatch.setattr(kind, "pictures", lambda *_: {})


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """An HTTP server on this machine over ``tmp_path / "www"``."""
    folder = tmp_path / "www"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A gigabyte more than is in use: what would be absurd fails at once, and as a MemoryError, not a sentence."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux's limit of memory")
    import resource  # which not every system has

    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)
