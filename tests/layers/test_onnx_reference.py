"""ONNX as a peer: its reference evaluator in float64, with peepholes, and ONNX Runtime in float32, with lengths."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from support.cases import BOTH, Case, Problem, Results, assert_agree, grid

import nblstm

pytestmark = pytest.mark.peers
onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `peers`")

GATES = {  # i, o, f, c from i, f, g, o; z, r, h from r, z, n
    "lstm": [0, 3, 1, 2], "peephole": [0, 3, 1, 2], "gru": [1, 0, 2], "gru_original": [1, 0, 2],
    "rnn_tanh": [0], "rnn_relu": [0],
}  # fmt: skip


def operands(case: Case, params: Mapping[str, np.ndarray]) -> Results:
    """W, R, B and P of ONNX's operator, directions first."""
    suffixes, H = ("_l0", "_l0_reverse")[: case.directions], case.sizes[3]

    def reordered(kind: str, suffix: str) -> np.ndarray:
        blocks = params[kind + suffix].reshape(len(GATES[case.cell]), H, -1)
        return np.concatenate(blocks[GATES[case.cell]])

    found = {
        "W": np.stack([reordered("weight_ih", suffix) for suffix in suffixes]),
        "R": np.stack([reordered("weight_hh", suffix) for suffix in suffixes]),
        "B": np.stack(
            [np.concatenate([reordered(f"bias_{k}", suffix)[:, 0] for k in ("ih", "hh")]) for suffix in suffixes]
        ),
    }
    if case.cell == "peephole":
        found["P"] = np.stack([params["weight_peephole" + suffix][[0, 2, 1]].ravel() for suffix in suffixes])
    return found


def model(case: Case, feeds: Results) -> onnx.ModelProto:
    """A model of one node; inputs that `feeds` lacks are left out."""
    names = ["X", "W", "R", "B", "sequence_lens", "initial_h", *(["initial_c", "P"] if case.is_lstm else [])]
    outputs = ["Y", "Y_h", *(["Y_c"] if case.is_lstm else [])]
    activation = {"rnn_tanh": ["Tanh"], "rnn_relu": ["Relu"], "gru": ["Sigmoid", "Tanh"]}.get(
        case.cell.removesuffix("_original"), ["Sigmoid", "Tanh", "Tanh"]
    )
    own = {"linear_before_reset": int(case.cell == "gru")} if case.cell.startswith("gru") else {}
    node = onnx.helper.make_node(
        {4: "LSTM", 3: "GRU", 1: "RNN"}[len(GATES[case.cell])],
        [name if name in feeds else "" for name in names],
        outputs,
        hidden_size=case.sizes[3],
        direction="bidirectional" if case.bidirectional else "forward",
        activations=activation * case.directions,
        **own,
    )

    def info(name: str, dtype: np.dtype, shape: tuple[int, ...] | None) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(dtype), shape)

    inputs = [info(name, array.dtype, array.shape) for name, array in feeds.items()]
    graph = onnx.helper.make_graph([node], str(case), inputs, [info(name, feeds["X"].dtype, None) for name in outputs])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)


def feeds(case: Case, layer: nblstm.LSTM | nblstm.GRU | nblstm.RNN, problem: Problem) -> Results:
    found = operands(case, layer.params) | {"X": problem.x, "initial_h": problem.h_0}
    if case.is_lstm:
        found["initial_c"] = problem.c_0
    if problem.lengths is not None:
        found["sequence_lens"] = problem.lengths.astype("int32")
    return found


def assert_same(
    layer: nblstm.LSTM | nblstm.GRU | nblstm.RNN, problem: Problem, outputs: list[np.ndarray], tolerance: float
) -> None:
    """ONNX's Y is (T, D, B, H)."""
    y, state = layer(problem.x, problem.state, problem.lengths)
    found = {"y": y} | dict(zip(("h_n", "c_n"), state if isinstance(state, tuple) else (state,), strict=False))
    onnx_y = outputs[0].transpose(0, 2, 1, 3).reshape(y.shape)
    assert_agree(found, dict(zip(found, [onnx_y, *outputs[1:]], strict=True)), tolerance)


@pytest.mark.parametrize("case", grid(cell=[cell for cell in GATES if cell != "rnn_relu"], bidirectional=BOTH), ids=str)
def test_matches_the_reference_evaluator(case, rng):
    """It has no ReLU for the RNN, and passes over sequence_lens."""
    from onnx.reference import ReferenceEvaluator

    layer, problem = case.layer(), Problem.draw(case, rng)
    given = feeds(case, layer, problem)
    assert_same(layer, problem, ReferenceEvaluator(model(case, given)).run(None, given), 1e-13)


@pytest.mark.parametrize(
    "case", grid(cell=GATES, bidirectional=BOTH, lengths=BOTH, sizes=[(5, 3, 2, 7), (9, 6, 4, 20)]), ids=str
)
def test_matches_onnx_runtime(case, rng):
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: the extra `peers`")
    layer, problem = case.layer("float32"), Problem.draw(case, rng, "float32")
    given = feeds(case, layer, problem)
    session = runtime.InferenceSession(model(case, given).SerializeToString(), providers=["CPUExecutionProvider"])
    assert_same(layer, problem, session.run(None, given), 1e-5)
