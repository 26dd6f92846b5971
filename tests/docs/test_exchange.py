"""The page docs/exchange.md keeps its word: its code runs as printed, and its table is what the tool makes of files."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nblstm
from nblstm import weights

pytestmark = pytest.mark.peers
pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: the extra `peers`")
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "exchange.md").read_text(encoding="utf-8")


def a_file_of_guitarmls(path: Path) -> None:
    lstm, head = nblstm.LSTM(1, 40, seed=0), nblstm.Linear(40, 1, seed=1)
    named = {f"rec.{name}": tensor for name, tensor in lstm.state_dict().items()}
    named |= {f"lin.{name}": tensor for name, tensor in head.state_dict().items()}
    state_dict = {name: tensor.tolist() for name, tensor in named.items()}
    path.write_text(json.dumps({"model_data": {"skip": 1, "hidden_size": 40}, "state_dict": state_dict}))


def test_the_code_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    a_file_of_guitarmls(tmp_path / "proteus.json")
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    six = next(block for block in blocks if "import onnxruntime" in block).split("\n\n")[1]
    assert len(six.strip().splitlines()) == 6
    for block in blocks:
        exec(compile(block, "docs/exchange.md", "exec"), names)
    tokens, model = names["tokens"], names["model"]
    np.testing.assert_allclose(names["logits"], model(tokens)[0], rtol=0, atol=1e-6)
    lengths = np.array([12, 3, 7, 1, 9])
    x = np.random.default_rng(0).standard_normal((12, 5, 3)).astype("float32")
    np.testing.assert_allclose(names["z"], names["classifier"](x, lengths), rtol=0, atol=1e-6)
    printed = capsys.readouterr().out
    assert f"next: {model.vocabulary[model(tokens)[0][-1, 0].argmax()]}" in printed
    assert float(printed.split("largest difference: ")[1].splitlines()[0]) < 1e-6
    assert "places of characters in the vocabulary" in printed
    assert names["y"].shape == (100, 1)


@pytest.mark.parametrize("function", [weights.to_onnx, weights.from_onnx])
def test_the_examples_in_docstrings_that_need_onnx_run(
    function: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are passed over by the plain run of docstrings, which has no such packages."""
    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(function)
    assert text.count("# doctest: +SKIP") >= 2
    found = doctest.DocTestParser().get_doctest(text.replace("# doctest: +SKIP", ""), {"np": np}, "it", None, None)
    assert doctest.DocTestRunner(verbose=False).run(found).failed == 0


def test_every_converter_has_its_place_in_the_table() -> None:
    table = PAGE.split("## The formats")[1].split("\n## ")[0]
    assert {name for name in weights.__all__ if name.startswith(("to_", "from_")) and f"`{name}`" not in table} == set()


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("read_public_onnx", ROOT / "tools" / "read_public_onnx.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_makes_a_row_of_a_package_and_notices_a_net_read_wrong(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "some_package-1.2-py3-none-any.whl", "w") as wheel:
        for seed in range(2):
            layer = nblstm.LSTM(3, 5, 2, bidirectional=True, peephole=True, seed=seed)
            weights.to_onnx(layer, tmp_path / "a.onnx")
            wheel.write(tmp_path / "a.onnx", f"some/{seed}.onnx")
    (row,) = tool.rows(tmp_path / "some_package-1.2-py3-none-any.whl")
    form = "peephole=True, bidirectional=True"
    assert row.startswith(
        f"| some_package 1.2 | `0.onnx` and 1 more | 2 LSTM | `LSTM(3, 5, {form})`; `LSTM(10, 5, {form})` | "
    )
    figures = [float(cell) for cell in row.split("|")[5:7]]
    assert max(figures) < 1e-6
    read = weights.from_onnx

    def wrong(path: Any) -> Any:
        found = read(path)
        for layer in found.values():
            with layer.editing() as p:
                p.flat[0] += 0.1
        return found

    monkeypatch.setattr(tool.weights, "from_onnx", wrong)
    (row,) = tool.rows(tmp_path / "a.onnx")
    assert min(float(cell) for cell in row.split("|")[5:7]) > 1e-3


def test_the_table_has_what_was_tried_and_how_near_it_came() -> None:
    table = PAGE.split("## Models of others")[1]
    rows = re.findall(r"^\| [a-z_]+ [\d.]+\w* \| .*\|$", table, flags=re.MULTILINE)
    assert len(rows) >= 20
    for row in rows:
        ours, exact = (cell.strip() for cell in row.split("|")[5:7])
        assert ("refused: " in row and not ours) or float(ours) < 1e-5 + 3 * float(exact), row
