"""Faults of built pages are found, each with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from site_source import faults


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="other.html#there">a</a> <a href="#here">b</a> <a href="https://numpy.org">c</a>', None),
        ('<img src="a.png" alt="A letter">', None),
        ('<img src="a.png">', "index.html shows a.png without a text in its place (alt)"),
        ('<img src="a.png" alt="">', "index.html shows a.png without a text in its place (alt)"),
        ('<a href="nowhere.html">a</a>', "index.html links to nowhere.html, which is not there"),
        ('<img src="b.png" alt="b">', "index.html links to b.png, which is not there"),
        ('<a href="other.html#nobody">a</a>', "index.html links to other.html#nobody, where nothing has that name"),
        ('<script src="//cdn.org/x.js"></script>', "index.html loads //cdn.org/x.js from another host"),
        ('<link rel="stylesheet" href="https://f.org/x">', "index.html loads https://f.org/x from another host"),
        ('<img alt="x" src="https://f.org/x.png">', "index.html loads https://f.org/x.png from another host"),
    ],
)
def test_faults_of_a_page(tmp_path: Path, body: str, fault: str | None) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "other.html").write_text('<p id="there">text</p>')
    (tmp_path / "index.html").write_text(f'<p id="here">{body}</p>')
    assert faults.of_site(tmp_path) == ([fault] if fault else [])
