"""Nodes DynamicQuantizeLSTM, whose weights are rounded to 8 bits: read as the numbers that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.onnx_files import H, I, drawn32, floats, lstm, write

from nblstm import LSTM, weights

onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")
pytestmark = pytest.mark.peers
FORMS = {"signed": ("i1", False), "by row": ("i1", True), "unsigned": ("u1", False), "unsigned by row": ("u1", True)}


def rounded(rng: np.random.Generator, D: int, dtype: str, by_row: bool) -> dict[str, np.ndarray]:
    """W and R as whole numbers (D, inputs, rows), with their scales and zero points."""
    limits, found = np.iinfo(dtype), {}
    for name, inputs in (("W", I), ("R", H)):
        per = (D, 4 * H) if by_row else (D,)
        found[name] = rng.integers(limits.min, limits.max + 1, (D, inputs, 4 * H)).astype(dtype)
        found[f"{name}_scale"] = rng.uniform(0.001, 0.002, per).astype("f4")
        found[f"{name}_zero"] = np.full(per, 131 if dtype == "u1" else 0, dtype)
    return found | {"B": drawn32(D, 8 * H)}


def plain(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same weights as an LSTM node has them, number by number."""
    found = {"B": tensors["B"]}
    for name in ("W", "R"):
        whole, scale, zero = (tensors[name + end] for end in ("", "_scale", "_zero"))
        found[name] = np.zeros((len(whole), whole.shape[2], whole.shape[1]), "f4")
        for d, inputs, row in np.ndindex(whole.shape):
            place = (d, row) if scale.ndim == 2 else d
            found[name][d, row, inputs] = scale[place] * (int(whole[d, inputs, row]) - int(zero[place]))
    return found


def quantized(tensors: dict[str, np.ndarray], **attributes: Any) -> Any:
    rest = ["W_scale", "W_zero", "R_scale", "R_zero"]
    inputs = ["x", "W", "R", "B", "", "", "", "", *(name if name in tensors else "" for name in rest)]
    return onnx.helper.make_node(
        "DynamicQuantizeLSTM", inputs, ["y"], "n", domain="com.microsoft", hidden_size=H, **attributes
    )


def write_rounded(path: Path, tensors: dict[str, np.ndarray], **attributes: Any) -> Path:
    D = len(tensors["W"])
    node = quantized(tensors, direction="bidirectional" if D == 2 else "forward", **attributes)
    model = onnx.load(write(path, [node], tensors, outputs=[floats("y", "T", D, "B", H)]))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("D", [1, 2])
@pytest.mark.parametrize(("dtype", "by_row"), FORMS.values(), ids=FORMS)
def test_the_layer_has_the_numbers_that_they_stand_for(
    dtype: str, by_row: bool, D: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    tensors = rounded(rng, D, dtype, by_row)
    with pytest.warns(UserWarning, match="node n has weights rounded to 8 bits, which the layer has as they are"):
        (layer,) = weights.from_onnx(write_rounded(tmp_path / "a.onnx", tensors)).values()
    assert type(layer) is LSTM
    node = lstm(direction="bidirectional" if D == 2 else "forward")
    path = write(tmp_path / "b.onnx", [node], plain(tensors), outputs=[floats("y_n", "T", D, "B", H)])
    (expected,) = weights.from_onnx(path).values()
    np.testing.assert_allclose(layer.flat_params, expected.flat_params, rtol=1e-6, atol=0)
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: the extra `peers`")
    session = runtime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    x = rng.integers(0, 256, (1, 1, I)).astype("f4")  # which need no rounding
    x[0, 0, :2] = 0, 255
    (y,) = session.run(None, {"x": x})
    np.testing.assert_allclose(layer(x)[0], y.transpose(0, 2, 1, 3).reshape(1, 1, D * H), rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore:node n has weights rounded")
def test_a_zero_point_may_be_left_out(tmp_path: Path, rng: np.random.Generator) -> None:
    tensors = rounded(rng, 1, "i1", by_row=False)
    (whole,) = weights.from_onnx(write_rounded(tmp_path / "a.onnx", tensors)).values()
    few = {name: tensor for name, tensor in tensors.items() if not name.endswith("zero")}
    (same,) = weights.from_onnx(write_rounded(tmp_path / "a.onnx", few)).values()
    np.testing.assert_array_equal(same.flat_params, whole.flat_params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("W_scale"), "W of node n must be numbers of 8 bits, .* with a scale of float32"),
        (lambda t: t.update(R=t["R"].astype("f4")), "R of node n must be numbers of 8 bits"),
        (lambda t: t.update(R=t["R"][0]), "R of node n must be numbers of 8 bits"),
        (lambda t: t.update(W_scale=np.ones(3, "f4")), "W of node n must have a scale and a zero point for each"),
        (lambda t: t.update(W_zero=np.zeros(1, "u1")), "W of node n must have a scale and a zero point for each"),
        (lambda t: t.update(R_zero=np.zeros(0, "i1")), "R of node n must have a scale and a zero point for each"),
    ],
)
def test_weights_that_make_no_sense_are_refused(
    change: Any, message: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    tensors = rounded(rng, 1, "i1", by_row=False)
    change(tensors)
    with pytest.raises(ValueError, match=message):
        weights.from_onnx(write_rounded(tmp_path / "a.onnx", tensors))


def test_what_an_lstm_may_not_have_this_one_may_not_either(tmp_path: Path, rng: np.random.Generator) -> None:
    tensors = rounded(rng, 1, "i1", by_row=False)
    with pytest.raises(ValueError, match="node n has clip, which nblstm does not have"):
        weights.from_onnx(write_rounded(tmp_path / "a.onnx", tensors, clip=2.0))
