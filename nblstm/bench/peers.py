"""The other sides: PyTorch, ONNX Runtime and JAX, each with the weights and the input of a `Problem`."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, ClassVar

import numba
import numpy as np

from nblstm.bench.sides import Problem, Side
from nblstm.bench.table import Case


class Peer(Side):
    """A side that need not be there."""

    modules: ClassVar[tuple[str, ...]]
    """What it imports; the first is the library itself."""

    install: ClassVar[str]
    """The command that brings them."""

    @classmethod
    def installed(cls) -> bool:
        """Whether all of its modules can be imported."""
        return all(find_spec(module) for module in cls.modules)

    @classmethod
    def version(cls) -> str:
        """Of the library."""
        return version(cls.modules[0])

    @classmethod
    def can(cls, case: Case) -> bool:
        """Whether it has such a case."""
        return True


class Torch(Peer):
    """torch.nn.LSTM, or its class of the same name as nblstm's layer."""

    name = "PyTorch"
    modules = ("torch",)
    install = "pip install torch==2.13.0"

    def __init__(self, problem: Problem) -> None:
        import torch

        torch.set_num_threads(problem.case.threads)
        _, _, I, H, layers, directions = problem.case.shape
        dtype = getattr(torch, problem.case.dtype)
        kind = getattr(torch.nn, type(problem.layer).__name__)
        self.net = kind(I, H, layers, bidirectional=directions == 2, dtype=dtype)
        self.net.load_state_dict({name: torch.from_numpy(w) for name, w in problem.layer.state_dict().items()})
        self.x, self.dy = torch.from_numpy(problem.x).requires_grad_(), torch.from_numpy(problem.dy)
        self.no_grad = torch.inference_mode()

    def infer(self) -> Any:
        """y."""
        with self.no_grad:
            return self.net(self.x)[0]

    def train(self) -> Any:
        """dx."""
        self.net.zero_grad()
        self.x.grad = None
        self.net(self.x)[0].backward(self.dy)
        return self.x.grad

    def results(self) -> dict[str, np.ndarray]:
        """See `Side`."""
        found = {"y": self.infer(), "dx": self.train()}
        found |= {name: parameter.grad for name, parameter in self.net.named_parameters()}
        return {name: tensor.numpy() for name, tensor in found.items()}


class OnnxRuntime(Peer):
    """A graph of ONNX's operator LSTM, one node a layer, in ONNX Runtime. It only infers, and only in float32."""

    name = "ONNX Runtime"
    modules = ("onnxruntime", "onnx")
    install = "pip install onnx onnxruntime"
    trains = False

    def __init__(self, problem: Problem) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = problem.case.threads
        graph = onnx_model(problem).SerializeToString()
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.feeds = {"x": problem.x}

    @classmethod
    def can(cls, case: Case) -> bool:
        """It has no LSTM in float64."""
        return case.dtype == "float32"

    def infer(self) -> np.ndarray:
        """y."""
        return self.session.run(["y"], self.feeds)[0]

    def results(self) -> dict[str, np.ndarray]:
        """See `Side`."""
        return {"y": self.infer()}


def onnx_model(problem: Problem) -> Any:
    """The layers as LSTM nodes, each followed by what turns its (T, D, B, H) into (T, B, D * H)."""
    from onnx import TensorProto, helper, numpy_helper

    T, B, I, H, layers, directions = problem.case.shape
    params = problem.layer.params

    def reordered(name: str) -> np.ndarray:
        """A parameter with its blocks in ONNX's order, i o f g."""
        i, f, g, o = np.split(params[name], 4)
        return np.concatenate([i, o, f, g])

    def stacked(names: list[list[str]]) -> np.ndarray:
        """For each direction, parameters one after the other."""
        return np.stack([np.concatenate([reordered(name) for name in group]) for group in names])

    nodes, constants, source = [], [], "x"

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    for k in range(layers):
        suffixes = problem.suffixes(k)
        inputs = [
            source,
            constant(f"W{k}", stacked([["weight_ih" + suffix] for suffix in suffixes])),
            constant(f"R{k}", stacked([["weight_hh" + suffix] for suffix in suffixes])),
            constant(f"B{k}", stacked([["bias_ih" + suffix, "bias_hh" + suffix] for suffix in suffixes])),
        ]
        direction = "bidirectional" if directions == 2 else "forward"
        nodes.append(helper.make_node("LSTM", inputs, [f"Y{k}"], hidden_size=H, direction=direction))
        source = "y" if k == layers - 1 else f"x{k + 1}"
        if directions == 1:
            nodes.append(helper.make_node("Squeeze", [f"Y{k}", constant(f"axis{k}", np.array([1]))], [source]))
        else:
            shape = constant(f"shape{k}", np.array([T, B, 2 * H]))
            nodes.append(helper.make_node("Transpose", [f"Y{k}"], [f"Z{k}"], perm=[0, 2, 1, 3]))
            nodes.append(helper.make_node("Reshape", [f"Z{k}", shape], [source]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in (("x", [T, B, I]), ("y", None))]
    graph = helper.make_graph(nodes, "lstm", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


class Jax(Peer):
    """`jax.lax.scan` over the steps, compiled by `jax.jit`; the products with x are taken out of the loop."""

    name = "JAX"
    modules = ("jax",)
    install = 'pip install "jax[cpu]"'

    def __init__(self, problem: Problem) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)  # float64 exists; what is float32 stays so
        self.weights = {name: jax.numpy.asarray(w) for name, w in problem.layer.state_dict().items()}
        self.x, self.dy = jax.numpy.asarray(problem.x), jax.numpy.asarray(problem.dy)

        def forward(weights: dict[str, Any], x: Any) -> Any:
            for k in range(problem.case.shape.layers):
                tracks = [_scan(weights, suffix, x) for suffix in problem.suffixes(k)]
                x = jax.numpy.concatenate(tracks, axis=-1)
            return x

        def gradients(weights: dict[str, Any], x: Any, dy: Any) -> Any:
            return jax.vjp(forward, weights, x)[1](dy)

        self.forward, self.gradients = jax.jit(forward), jax.jit(gradients)

    @classmethod
    def can(cls, case: Case) -> bool:
        """It takes all processors; a process cannot tell it otherwise."""
        return case.threads == numba.config.NUMBA_NUM_THREADS

    def infer(self) -> Any:
        """y."""
        return self.forward(self.weights, self.x).block_until_ready()

    def train(self) -> Any:
        """The weights' gradients by name, and dx."""
        import jax

        return jax.block_until_ready(self.gradients(self.weights, self.x, self.dy))

    def results(self) -> dict[str, np.ndarray]:
        """See `Side`."""
        grads, dx = self.train()
        return {name: np.asarray(tensor) for name, tensor in {"y": self.infer(), "dx": dx, **grads}.items()}


def _scan(weights: dict[str, Any], suffix: str, x: Any) -> Any:
    """One layer in one direction over x (T, B, I); the direction is the suffix's."""
    import jax

    W_ih, W_hh, b_ih, b_hh = (weights[name + suffix] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))

    def step(state: Any, products: Any) -> Any:
        h, c = state
        i, f, g, o = jax.numpy.split(products + h @ W_hh.T, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jax.numpy.tanh(g)
        h = jax.nn.sigmoid(o) * jax.numpy.tanh(c)
        return (h, c), h

    zeros = jax.numpy.zeros((x.shape[1], W_hh.shape[1]), x.dtype)
    return jax.lax.scan(step, (zeros, zeros), x @ W_ih.T + b_ih + b_hh, reverse=suffix.endswith("_reverse"))[1]


PEERS: tuple[type[Peer], ...] = (Torch, OnnxRuntime, Jax)


def load_before_threads() -> None:
    """Import PyTorch, if it is installed, while Numba has not yet started its threads.

    Both bring an OpenMP library. If Numba's is there first, PyTorch's parts use now one and now the other, whose
    threads then fight for the processors: an inference in float64 was measured to take 3 s in place of 0.03.
    """
    if Torch.installed():
        import_module("torch")
