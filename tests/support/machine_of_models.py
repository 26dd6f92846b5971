"""A state machine for hypothesis: cells, Linear, Embedding and whole models, trained, saved, copied and resumed."""

from __future__ import annotations

import copy
import pickle
import tempfile
from pathlib import Path
from typing import Any

import naive
import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import nblstm
from nblstm.models import Network
from nblstm.training import BatchTrainer, TextTrainer
from support.subjects import SEEDS, TOLERANCE, WAYS, WHICH, refused

T, N, I, V = 4, 6, 2, 5
MOST = 2  # trainers at a time


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def answers(model: Any, x: np.ndarray) -> np.ndarray:
    """What the model says to tokens or sequences x, by the naive layers and NumPy, in float64."""
    p = {name: tensor.astype("float64") for name, tensor in model.state_dict().items()}
    name = type(model.recurrent).__name__.lower()
    recurrent = {key.removeprefix(name + "."): tensor for key, tensor in p.items() if key.startswith(name)}
    net = naive.Net(
        model.config["cell"], recurrent, model.config["num_layers"], model.config.get("bidirectional", False)
    )
    read = p["embedding.weight"][x] if "embedding.weight" in p else x.astype("float64")
    y, h_n, _, _ = naive.forward(net, read)
    top = y if "embedding.weight" in p else np.concatenate(h_n[-net.directions :], axis=1)
    return top @ p["linear.weight"].T + p["linear.bias"]


class Models(RuleBasedStateMachine):
    """Trainers that live side by side, each with a model of its own; each rule picks one of them by number."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.trainers: list[Any] = []
        self.known: list[bytes] = []  # the parameters of each
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        self.folder.cleanup()

    def add(self, trainer: Any) -> None:
        self.trainers, self.known = [*self.trainers, trainer][-MOST:], [*self.known, parameters(trainer.model)][-MOST:]

    def pick(self, which: int) -> Any:
        return self.trainers[which % len(self.trainers)]

    def written(self, which: int) -> None:
        self.known[which % len(self.trainers)] = parameters(self.pick(which).model)

    @invariant()
    def as_known(self) -> None:
        """No model has other parameters than after the last rule that was to write them."""
        type(self).steps += 1
        assert [parameters(trainer.model) for trainer in self.trainers] == self.known

    # ------------------------------------------------------------------------------------------- made and run

    @initialize()
    def first(self) -> None:
        self.make("text", "lstm", 1, False, 0.0, "float32", "Adam", 0)

    @rule(
        kind=st.sampled_from(["text", "classes", "numbers"]), cell=st.sampled_from(sorted(naive.CELLS)),
        layers=st.integers(1, 2), bidirectional=st.booleans(), dropout=st.sampled_from([0.0, 0.5]),
        dtype=st.sampled_from(sorted(TOLERANCE)), optimizer=st.sampled_from(["SGD", "RMSprop", "Adam", "AdamW"]),
        seed=SEEDS,
    )  # fmt: skip
    def make(
        self, kind: str, cell: str, layers: int, bidirectional: bool, dropout: float, dtype: str, optimizer: str,
        seed: int,
    ) -> None:  # fmt: skip
        dropout = dropout if layers > 1 else 0.0  # of which one layer would warn
        form = {"cell": cell, "dropout": dropout, "dtype": dtype, "seed": seed}
        if kind == "text":
            model: Any = nblstm.CharLM("abcde", 3, 4, layers, **form)
        else:
            made = nblstm.SequenceClassifier if kind == "classes" else nblstm.SequenceRegressor
            model = made(I, 4, layers, 3, bidirectional=bidirectional, **form)
        self.add(self.trainer(model, optimizer))

    def trainer(self, model: Any, optimizer: str) -> Any:
        rng = np.random.default_rng(1)
        chosen = getattr(nblstm, optimizer)(model.layers, lr=0.01)
        if isinstance(model, nblstm.CharLM):
            return TextTrainer(model, chosen, rng.integers(0, V, (13, 2)), T, clip=1.0)
        targets = rng.integers(0, 3, N)
        if isinstance(model, nblstm.SequenceRegressor):
            targets = rng.standard_normal((N, 3)).astype(model.dtype)
        x = rng.standard_normal((T, N, I)).astype(model.dtype)
        return BatchTrainer(model, chosen, x, targets, 2, lengths=[1, 2, 3, 4, 0, 2], clip=1.0)

    @rule(which=WHICH, seed=SEEDS, B=st.integers(1, 3))
    def call(self, which: int, seed: int, B: int) -> None:
        model, rng = self.pick(which).model, np.random.default_rng(seed)
        if isinstance(model, nblstm.CharLM):
            x = rng.integers(0, V, (T, B))
            found, _ = model(x)
            assert len(model.sample("a", 3, seed=seed)) == 4
        else:
            x = rng.standard_normal((T, B, I)).astype(model.dtype)
            found = model(x)
        np.testing.assert_allclose(found, answers(model, x), rtol=0, atol=TOLERANCE[model.dtype.name])

    @rule(which=WHICH, lr=st.one_of(st.none(), st.floats(0, 0.1)))
    def train(self, which: int, lr: float | None) -> None:
        """One step; without dropout its loss is that of the naive answers, where sequences are of full length."""
        trainer = self.pick(which)
        text = isinstance(trainer, TextTrainer)
        if text and trainer.state is None and not trainer.model.recurrent.dropout:
            windows = trainer.streams[trainer.position : trainer.position + T + 1]
            p = softmax(answers(trainer.model, windows[:-1]))
            expected = -np.log2(np.take_along_axis(p, windows[1:, :, None], axis=2)).mean()
            np.testing.assert_allclose(trainer.step(lr), expected, rtol=TOLERANCE[trainer.model.dtype.name])
        else:
            assert np.isfinite(trainer.step(lr))
        self.written(which)

    # ----------------------------------------------------------------------------- saved, resumed, copied, edited

    @rule(which=WHICH, lr=st.floats(0, 0.1))
    def resume(self, which: int, lr: float) -> None:
        """A trainer made anew goes on, bit for bit, from where another one was."""
        old = self.pick(which)
        kind, config = type(old.model), {**old.model.config, "seed": 99}
        new = self.trainer(kind(**config), type(old.optimizer).__name__)
        new.load_state_dict(*old.state_dict())
        assert old.step(lr) == new.step(lr)
        assert parameters(old.model) == parameters(new.model)
        self.written(which)
        self.add(new)

    @rule(which=WHICH)
    def save_and_load(self, which: int) -> None:
        trainer = self.pick(which)
        path = Path(self.folder.name) / "model"
        trainer.model.save(path)
        model = Network.load(path)
        assert type(model) is type(trainer.model)
        assert model.config == trainer.model.config
        assert parameters(model) == parameters(trainer.model)
        self.add(self.trainer(model, type(trainer.optimizer).__name__))

    @rule(which=WHICH, way=st.sampled_from(sorted(WAYS)))
    def copied(self, which: int, way: str) -> None:
        """Deep copies go on as the original does; a shallow one is refused, as it would share what it must not."""
        trainer = self.pick(which)
        if way == "copy":
            with refused(TypeError):
                copy.copy(trainer)
            return
        other = WAYS[way](trainer)
        assert other.step() == trainer.step()
        assert parameters(other.model) == parameters(trainer.model)
        self.written(which)
        self.add(other)

    @rule(which=WHICH, seed=SEEDS)
    def edit(self, which: int, seed: int) -> None:
        layer = self.pick(which).model.layers[seed % len(self.pick(which).model.layers)]
        with layer.editing() as p:
            p.flat[:] = np.random.default_rng(seed).uniform(-0.5, 0.5, p.flat.size)
        self.written(which)

    # --------------------------------------------------------------------------------------------------- forbidden

    @rule(which=WHICH, other=WHICH)
    def refuse(self, which: int, other: int) -> None:
        """After calls that are refused a trainer goes on like one that never heard them."""
        trainer, second = self.pick(which), self.pick(other)
        twin, model = pickle.loads(pickle.dumps(trainer)), trainer.model
        tensors, plain = trainer.state_dict()
        x = np.zeros((T, 2), int) if isinstance(model, nblstm.CharLM) else np.zeros((T, 2, I), model.dtype)
        tape, others = trainer._tape, {name: np.zeros_like(tensor) for name, tensor in tensors.items()}
        with refused(TypeError):
            trainer.step("fast")
        with refused(ValueError):
            trainer.load_state_dict(others, {**plain, "steps": -1})
        with refused(ValueError):
            trainer.load_state_dict({**tensors, "model.another": np.zeros(1)}, plain)
        with refused(TypeError, ValueError):
            model.forward(x.astype("complex64"), tape=tape)
        with refused(TypeError, ValueError):
            model.forward(x, np.ones(3), tape=tape)
        with refused(ValueError):
            model.forward(x[:0], tape=tape)
        with refused(ValueError):
            model.load_state_dict({**model.state_dict(), "another": np.zeros(1)})
        if second.model is not model and tape is not None and type(second.model) is type(model):
            with refused(ValueError):
                second.model.forward(x.astype(second.model.dtype) if x.dtype.kind == "f" else x, tape=tape)
        assert trainer.step() == twin.step()
        assert parameters(model) == parameters(twin.model)
        self.written(which)

    @rule(which=WHICH)
    def go_back_after_a_refusal(self, which: int) -> None:
        """A forward that is refused leaves the tape to the one before it."""
        grads = []
        for model in (copy.deepcopy(self.pick(which).model) for _ in range(2)):
            x = np.ones((T, 2), int) if isinstance(model, nblstm.CharLM) else np.ones((T, 2, I), model.dtype)
            z, *_, tape = model.forward(x)
            if not grads:
                with refused(TypeError, ValueError):
                    model.forward(0 * x, np.ones(3), tape=tape)
            model.backward(np.ones_like(z), tape)
            grads.append([layer.flat_grads.tobytes() for layer in model.layers])
        assert grads[0] == grads[1]

    @rule(which=WHICH)
    def go_back_too_late(self, which: int) -> None:
        """One layer was written since the forward: none of them adds to its gradients."""
        model = copy.deepcopy(self.pick(which).model)
        x = np.zeros((T, 2), int) if isinstance(model, nblstm.CharLM) else np.zeros((T, 2, I), model.dtype)
        model.zero_grad()
        z, *_, tape = model.forward(x)
        with model.recurrent.editing():
            pass
        with refused(RuntimeError):
            model.backward(np.ones_like(z), tape)
        assert not any(layer.flat_grads.any() for layer in model.layers)

    # -------------------------------------------------------------------------------------------- the other layers

    @rule(cell=st.sampled_from(sorted(naive.CELLS)), formulation=st.sampled_from(["split", "concat"]), seed=SEEDS)
    def single_steps(self, cell: str, formulation: str, seed: int) -> None:
        """A cell over and over is a layer, forward and back."""
        common, rng = {"dtype": "float64", "seed": seed}, np.random.default_rng(seed)
        made: Any
        if cell == "gru":
            made = nblstm.GRUCell(I, 3, **common)
        elif cell.startswith("rnn"):
            made = nblstm.RNNCell(I, 3, nonlinearity=cell.removeprefix("rnn_"), formulation=formulation, **common)
        else:
            made = nblstm.LSTMCell(I, 3, peephole=cell == "peephole", formulation=formulation, **common)
        net = naive.Net(cell, {name + "_l0": tensor for name, tensor in made.params.items()})
        x, dh = rng.standard_normal((T, 2, I)), rng.standard_normal((1, 2, 3))
        _, h_n, _, record = naive.forward(net, x)
        state, tapes = None, []
        for row in x:
            state, tape = made.forward(row, state)
            tapes.append(tape)
        np.testing.assert_allclose(state[0] if len(made.cell.states) > 1 else state, h_n[0], atol=1e-12)
        dstate: Any = (dh[0], None) if len(made.cell.states) > 1 else dh[0]
        for tape in reversed(tapes):
            dx, dstate = made.backward(dstate, tape)
        expected, _, _, grads = naive.backward(net, record, np.zeros((T, 2, 3)), dh)
        np.testing.assert_allclose(dx, expected[0], atol=1e-12)
        for name, tensor in made.grads.items():
            np.testing.assert_allclose(tensor, grads[name + "_l0"], atol=1e-12)

    @rule(seed=SEEDS, bias=st.booleans(), rows=st.integers(0, 4), way=st.sampled_from(sorted(WAYS)))
    def linear_and_embedding(self, seed: int, bias: bool, rows: int, way: str) -> None:
        rng = np.random.default_rng(seed)
        table = WAYS[way](nblstm.Embedding(V, 3, dtype="float64", seed=seed))
        linear = WAYS[way](nblstm.Linear(3, 2, bias, dtype="float64", seed=seed))
        indices, dy = rng.integers(0, V, (rows, 2)), rng.standard_normal((rows, 2, 2))
        x, first = table.forward(indices)
        y, second = linear.forward(x)
        p = {"bias": np.zeros(2), **linear.params}
        np.testing.assert_allclose(y, table.params["weight"][indices] @ p["weight"].T + p["bias"], atol=1e-12)
        dx = linear.backward(dy, second)
        table.backward(dx, first)
        np.testing.assert_allclose(linear.grads["weight"], np.einsum("rbo,rbi->oi", dy, x), atol=1e-12)
        expected = np.zeros((V, 3))
        np.add.at(expected, indices, dy @ p["weight"])
        np.testing.assert_allclose(table.grads["weight"], expected, atol=1e-12)


def parameters(model: Any) -> bytes:
    return b"".join(layer.flat_params.tobytes() for layer in model.layers)
