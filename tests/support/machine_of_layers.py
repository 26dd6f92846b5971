"""A state machine for hypothesis: recurrent layers, made, run, edited, saved, converted and copied in any order."""

from __future__ import annotations

import copy
import importlib.util
import tempfile
from dataclasses import replace
from pathlib import Path

import naive
import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import nblstm
from nblstm import weights
from support.array_forms import FORMS
from support.cases import Case, assert_agree, named
from support.subjects import SEEDS, TOLERANCE, WAYS, WHICH, Pass, Subject, refused, there_and_back

MOST = 2  # layers at a time: few, so that rule after rule is about the same one
ONNX = importlib.util.find_spec("onnx") is not None


class Layers(RuleBasedStateMachine):
    """Layers that live side by side; each rule picks one of them by number."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.subjects: list[Subject] = []
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        self.folder.cleanup()

    def pick(self, which: int) -> Subject:
        return self.subjects[which % len(self.subjects)]

    def add(self, subject: Subject) -> None:
        self.subjects = [*self.subjects, subject][-MOST:]

    @invariant()
    def as_known(self) -> None:
        """Every layer holds the parameters, to the bit, and the gradients that the test knows of."""
        type(self).steps += 1
        for subject in self.subjects:
            for name, tensor in subject.layer.params.items():
                assert tensor.tobytes() == subject.params[name].tobytes(), name
            assert_agree(dict(subject.layer.grads), subject.grads, TOLERANCE[subject.layer.dtype.name])

    # ------------------------------------------------------------------------------------------------- made and run

    @initialize()
    def first(self) -> None:
        self.add(Subject.of(Case(sizes=(1, 1, 3, 2)), Case(sizes=(1, 1, 3, 2)).layer()))

    @rule(
        seed=SEEDS, cell=st.sampled_from(sorted(naive.CELLS)), formulation=st.sampled_from(["split", "concat"]),
        layers=st.integers(1, 2), bidirectional=st.booleans(), bias=st.booleans(), batch_first=st.booleans(),
        sizes=st.tuples(st.integers(1, 5), st.integers(1, 9)), dtype=st.sampled_from(sorted(TOLERANCE)),
        dropout=st.sampled_from([0.0, 0.5]), checkpoint=st.sampled_from([None, 1, 2]),
    )  # fmt: skip
    def make(
        self, seed: int, cell: str, formulation: str, layers: int, bidirectional: bool, bias: bool, batch_first: bool,
        sizes: tuple[int, int], dtype: str, dropout: float, checkpoint: int | None,
    ) -> None:  # fmt: skip
        formulation = "split" if cell == "gru" else formulation
        case = Case(cell, formulation, layers, bidirectional, bias, False, batch_first, (1, 1, *sizes))
        self.add(Subject.of(case, case.layer(dtype, seed, checkpoint, dropout if layers > 1 else 0.0)))

    @rule(
        which=WHICH, seed=SEEDS, T=st.integers(1, 4), B=st.integers(0, 3), lengths=st.booleans(), state=st.booleans(),
        form=st.sampled_from(sorted(FORMS)),
    )  # fmt: skip
    def call(self, which: int, seed: int, T: int, B: int, lengths: bool, state: bool, form: str) -> None:
        subject = self.pick(which)
        problem = subject.draw(seed, T, B, lengths, state)
        x = FORMS[form](problem.x) if problem.x.size else problem.x
        y, last = subject.layer(x, problem.state if state else None, problem.lengths)
        subject.agree(subject.outputs(y, last), subject.expected(problem))

    @rule(which=WHICH, seed=SEEDS, T=st.integers(1, 4), B=st.integers(1, 3), lengths=st.booleans(), reuse=st.booleans())
    def forward(self, which: int, seed: int, T: int, B: int, lengths: bool, reuse: bool) -> None:
        subject = self.pick(which)
        problem = subject.draw(seed, T, B, lengths)
        tape = subject.passes.pop(0).tape if reuse and subject.passes else None
        subject.passes = [one for one in subject.passes if one.tape is not tape]
        y, state, tape = subject.layer.forward(problem.x, problem.state, problem.lengths, tape)
        expected = subject.expected(problem)
        if not subject.drops:
            subject.agree(subject.outputs(y, state), expected)
        subject.passes.append(Pass(tape, problem, expected))

    @precondition(lambda self: any(subject.passes for subject in self.subjects))
    @rule(which=WHICH, entry=WHICH, own=st.booleans(), need_dx=st.booleans(), again=st.booleans())
    def backward(self, which: int, entry: int, own: bool, need_dx: bool, again: bool) -> None:
        waiting = [subject for subject in self.subjects if subject.passes]
        subject = waiting[which % len(waiting)]
        one = subject.passes.pop(entry % len(subject.passes))
        block = subject.layer.new_grads() if own else None
        if not one.allowed:
            with refused(RuntimeError):
                subject.layer.backward(one.problem.dy, one.tape, one.problem.dstate, need_dx, block)
            return
        dx, dstate = subject.layer.backward(one.problem.dy, one.tape, one.problem.dstate, need_dx, block)
        if subject.drops:
            subject.grads = {name: tensor.astype("float64") for name, tensor in subject.layer.grads.items()}
        else:
            found = named(None, None, dx, dstate, block or {})
            subject.agree({name: array for name, array in found.items() if array is not None}, one.expected)
            if not own:
                for name in subject.grads:
                    subject.grads[name] = subject.grads[name] + one.expected[f"grad {name}"]
        if again:
            one.allowed = False
            subject.passes.append(one)

    @rule(which=WHICH, seed=SEEDS)
    def stream(self, which: int, seed: int) -> None:
        """A step of the layer's stream, which is opened first; parameters may change between two steps."""
        subject = self.pick(which)
        if subject.case.bidirectional:
            with refused(ValueError):
                subject.layer.stream()
            return
        subject.stream = subject.stream or subject.layer.stream()
        h_0, c_0 = subject.stream_state
        problem = replace(subject.draw(seed, 1, 1, False), h_0=h_0, c_0=c_0)
        expected = subject.expected(problem)
        subject.agree({"y": subject.stream(problem.x[0, 0])[None, None]}, expected)
        subject.stream_state = expected["h_n"], expected.get("c_n")

    # ---------------------------------------------------------------------------------------------------- written

    @rule(which=WHICH, seed=SEEDS)
    def edit(self, which: int, seed: int) -> None:
        subject, rng = self.pick(which), np.random.default_rng(seed)
        name = str(rng.choice(list(subject.params)))
        new = rng.uniform(-0.5, 0.5, subject.params[name].shape).astype(subject.layer.dtype)
        with subject.layer.editing() as p:
            p[name] = new
        subject.written(subject.params | {name: new})

    @rule(which=WHICH, norm=st.one_of(st.none(), st.floats(0.01, 10)))
    def clip_or_zero(self, which: int, norm: float | None) -> None:
        subject, factor = self.pick(which), 0.0
        if norm is None:
            subject.layer.zero_grad()
        else:
            size = float(np.linalg.norm(subject.layer.flat_grads.astype("float64")))
            assert np.isclose(nblstm.clip_grad_norm([subject.layer], norm), size)
            factor = min(1, norm / (size + 1e-6))
        subject.grads = {name: tensor * factor for name, tensor in subject.grads.items()}

    @rule(which=WHICH, kind=st.sampled_from(["SGD", "Adam"]), lr=st.one_of(st.none(), st.floats(0, 0.1)))
    def step(self, which: int, kind: str, lr: float | None) -> None:
        """Of the layer's optimiser, made when first asked for; against NumPy, with the moments as they were."""
        subject = self.pick(which)
        optimizer = subject.optimizer = subject.optimizer or getattr(nblstm, kind)([subject.layer], lr=0.01)
        rate = 0.01 if lr is None else lr
        state = {name.rpartition(".")[2]: array.astype("float64") for name, array in optimizer.state_dict().items()}
        p, g = (array.astype("float64") for array in (subject.layer.flat_params, subject.layer.flat_grads))
        optimizer.step(lr)
        change = g
        if "m" in state:
            t = int(state["steps"]) + 1
            m, v = 0.9 * state["m"] + 0.1 * g, 0.999 * state["v"] + 0.001 * g * g
            change = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        tolerance = TOLERANCE[subject.layer.dtype.name] * (1 + abs(g).max())
        np.testing.assert_allclose(subject.layer.flat_params, p - rate * change, rtol=0, atol=tolerance)
        subject.written(subject.layer.state_dict())

    # ---------------------------------------------------------------------------------- saved, converted, copied

    @rule(which=WHICH, seed=SEEDS)
    def save_and_load(self, which: int, seed: int) -> None:
        subject = self.pick(which)
        path = Path(self.folder.name) / "layer"
        weights.save(path, subject.layer.state_dict(), {"cell": subject.case.cell})
        tensors, metadata = weights.load_with_metadata(path)
        assert metadata == {"cell": subject.case.cell}
        layer = subject.case.layer(subject.layer.dtype.name, seed)
        layer.load_state_dict(tensors)
        assert layer.flat_params.tobytes() == subject.layer.flat_params.tobytes()
        self.add(Subject.of(subject.case, layer))

    @rule(which=WHICH, form=st.sampled_from(["pytorch", "keras", "tensorflow", "onnx", "split", "concat"]), seed=SEEDS)
    def convert(self, which: int, form: str, seed: int) -> None:
        """There and back: the same function; what the other side does not have is refused."""
        subject = self.pick(which)
        case, peephole = subject.case, subject.case.cell == "peephole"
        if form == "onnx" and (not ONNX or case.num_layers > 1):  # which has a node for each layer
            return
        if (
            (form in ("pytorch", "keras", "tensorflow") and peephole)
            or (form == "tensorflow" and (case.bidirectional or not case.is_lstm))
            or (form == "concat" and case.cell == "gru")
        ):
            with refused(ValueError, TypeError):
                there_and_back(subject, form, self.folder.name)
            return
        layer = there_and_back(subject, form, self.folder.name)
        case = replace(
            case, formulation=form if form in ("split", "concat") else "split", batch_first=layer.batch_first,
            bias=any("bias" in name for name in layer.params),
        )  # fmt: skip
        again, problem = Subject.of(case, layer), subject.draw(seed, 3, 2, False)
        turned = case.batch_first != subject.case.batch_first
        y, state = layer(problem.x.swapaxes(0, 1) if turned else problem.x, problem.state)
        subject.agree(again.outputs(y.swapaxes(0, 1) if turned else y, state), subject.expected(problem))
        self.add(again)

    @rule(which=WHICH, way=st.sampled_from(sorted(WAYS)))
    def copied(self, which: int, way: str) -> None:
        """A layer of its own: what is written to one leaves the other as it is."""
        subject = self.pick(which)
        pair = subject.layer, subject.stream  # together: a deep copy of the stream alone has a layer of its own
        other, stream = map(copy.copy, pair) if way == "copy" else WAYS[way](pair)
        assert not np.shares_memory(other.flat_params, subject.layer.flat_params)
        if subject.passes:
            with refused(ValueError):
                other.backward(None, subject.passes[0].tape)
            with refused(TypeError):
                WAYS[way](subject.passes[0].tape)
        new = Subject(subject.case, other, dict(subject.params), dict(subject.grads))
        if way == "copy":  # of the same layer
            subject.stream = stream
        else:
            new.stream, new.stream_state = stream, subject.stream_state
        self.add(new)

    # -------------------------------------------------------------------------------------------------- forbidden

    @rule(which=WHICH, other=WHICH, seed=SEEDS)
    def refuse(self, which: int, other: int, seed: int) -> None:
        """Calls that are refused; what the layer holds is looked at after every rule, and its passes stay good."""
        subject, second = self.pick(which), self.pick(other)
        layer, problem = subject.layer, subject.draw(seed, 3, 2, True)
        wider = np.concatenate([problem.x, problem.x], axis=2)
        kept = subject.passes[0].tape if subject.passes else None
        with refused(ValueError):
            layer.forward(wider, problem.state, problem.lengths, kept)
        with refused(TypeError):
            layer.forward(problem.x.astype("float16"), problem.state, problem.lengths, kept)
        with refused(ValueError):
            layer.forward(problem.x, problem.state, problem.lengths + 4, kept)
        with refused(TypeError):
            layer.forward(problem.x, (problem.h_0, problem.h_0, problem.h_0), problem.lengths, kept)
        with refused(ValueError):
            layer.load_state_dict({**layer.state_dict(), "another": np.zeros(1)})
        if second is not subject:
            with refused(ValueError):
                layer.forward(problem.x, tape=second.layer.forward(second.draw(seed, 1, 1, False).x)[-1])
        if kept is not None and subject.passes[0].allowed:
            with refused(TypeError, ValueError):
                layer.backward(wider[:, :, :1], kept, (problem.h_0,) * 3)
