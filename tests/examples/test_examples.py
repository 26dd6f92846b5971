"""The programs in examples/ run as they stand, learn what they should, and are as short as they are said to be."""

from __future__ import annotations

import ast
import io
import re
import runpy
import tokenize
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PAGE = (EXAMPLES / "README.md").read_text(encoding="utf-8")
LEARNED = {
    "classify_sequences": (r"before training: (\d+)%, after: (\d+)%", lambda before, after: after >= 90 > before + 20),
    "tag_words": (r"right: ([\d.]+)%", lambda right: right > 95),
    "forecast": (r"degrees: ([\d.]+), ([\d.]+) by", lambda error, yesterday: error < 0.6 * yesterday),
    "write_text": (r"([\d.]+) bits .* ([\d.]+) by guessing", lambda bits, guessing: bits < 0.5 * guessing),
    "read_reviews": (r"reviews: ([\d.]+)%", lambda right: right > 95),
}
"""What each prints, and which numbers there are those of a net that has learned."""

LINES = {"classify_sequences": 15, "tag_words": 15, "forecast": 12, "write_text": 22, "read_reviews": 15}
"""Half of what such programs took before there were containers, jobs and helpers, where that was above 20."""


def check_output(name: str, said: str) -> None:
    pattern, learned = LEARNED[name]
    found = re.search(pattern, said)
    assert found, said
    assert learned(*map(float, found.groups())), said


@pytest.mark.parametrize("name", LEARNED)
def test_it_learns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    check_output(name, capsys.readouterr().out)


@pytest.mark.peers
@pytest.mark.parametrize("name", LEARNED)
def test_its_like_in_pytorch_learns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine two take several times as long for nets as small as these
    try:
        with torch.random.fork_rng():
            runpy.run_path(str(EXAMPLES / "pytorch" / f"{name}.py"), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    check_output(name, capsys.readouterr().out)


def lines_of_code(source: str) -> int:
    """Without imports, comments, docstrings, and functions at the top of a program, which make its data."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = {line for token in tokens if token.type not in silent for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.parse(source).body:
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if text or isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


@pytest.mark.parametrize("name", LEARNED)
def test_it_is_short(name: str) -> None:
    (said,) = re.findall(rf"^\| \[{name}.*?\| (\d+) \|", PAGE, flags=re.MULTILINE)
    assert lines_of_code((EXAMPLES / f"{name}.py").read_text(encoding="utf-8")) == int(said) <= LINES[name]


def test_each_is_named_with_its_like_in_pytorch() -> None:
    linked = re.findall(r"\]\(([\w/]+)\.py\)", PAGE)
    assert linked == [place for name in LEARNED for place in (name, f"pytorch/{name}")]
    for folder in (EXAMPLES, EXAMPLES / "pytorch"):
        assert {path.stem for path in folder.glob("*.py")} == set(LEARNED)
