"""The training step: truncated backpropagation through time against PyTorch, evaluation, learning."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import naive
import numpy as np
import pytest

from nblstm import Adam, CharLM, SequenceClassifier, SequenceRegressor, WordLM, clip_grad_norm, cross_entropy
from nblstm.baselines import baselines
from nblstm.datasets import encode, split, streams, vocabulary_of
from nblstm.training import BatchTrainer, TextTrainer, Trainer, evaluate, predict

TEXT = "the cat sat on the mat and the dog sat on the log\n" * 12


def trainer_of(text: str, batch_size: int, window: int, lr: float = 0.01, **options: Any) -> TextTrainer:
    vocabulary = vocabulary_of(text)
    model = CharLM(vocabulary, **({"embedding_size": 5, "hidden_size": 12, "seed": 0} | options))
    tokens = encode(text, vocabulary)
    return TextTrainer(model, Adam(model.layers, lr=lr), streams(tokens, batch_size, window), window, clip=1.0)


@pytest.mark.peers
@pytest.mark.parametrize(
    ("cell", "dtype", "tolerance"),
    [("lstm", "float32", 1e-3), *((cell, "float64", 1e-9) for cell in ("lstm", "gru", "rnn_tanh", "rnn_relu"))],
)
def test_losses_are_those_of_pytorch_for_40_steps(cell: str, dtype: str, tolerance: float) -> None:
    """Over four times the text: every ninth step begins it anew."""
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `peers`")
    trainer = trainer_of(TEXT, 3, 20, cell=cell, dtype=dtype)
    model, name = trainer.model, cell.partition("_")[0]

    class Peer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            more = {"nonlinearity": cell.removeprefix("rnn_")} if "rnn" in cell else {}
            form = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(cell, torch.nn.RNN)
            self.embedding = torch.nn.Embedding(len(model.vocabulary), 5)
            setattr(self, name, form(5, 12, 2, **more))
            self.linear = torch.nn.Linear(12, len(model.vocabulary))

        def forward(self, tokens: Any, state: Any) -> Any:
            y, state = getattr(self, name)(self.embedding(tokens), state)
            return self.linear(y), state

    peer = Peer().to(getattr(torch, dtype))
    peer.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in model.state_dict().items()})
    optimizer = torch.optim.Adam(peer.parameters(), lr=0.01)
    columns = torch.from_numpy(trainer.streams)
    position, state = 0, None
    for step in range(40):
        tokens = columns[position : position + 21]
        logits, state = peer(tokens[:-1], state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()
        state = state.detach() if torch.is_tensor(state) else tuple(member.detach() for member in state)
        position += 20
        if position + 20 > len(columns) - 1:
            position, state = 0, None
        assert trainer.step() * math.log(2) == pytest.approx(loss.item(), abs=tolerance), f"step {step}"


@pytest.mark.parametrize("cell", naive.CELLS)
def test_a_small_text_is_learned_beyond_the_bigram(cell: str) -> None:
    lr = 0.003 if cell == "rnn_relu" else 0.01  # at 0.01 this one's loss jumps up and down between 0.3 and 1
    trainer = trainer_of(TEXT, 4, 25, lr, cell=cell, hidden_size=24)
    training, validation = split(encode(TEXT, trainer.model.vocabulary))
    bigram = baselines(training, validation, len(trainer.model.vocabulary))["bigram"]
    for _ in range(300):
        trainer.step()
    assert evaluate(trainer.model, validation, batch_size=1) < 0.6 * bigram


def test_the_state_is_carried_over_windows_and_cleared_after_a_pass() -> None:
    trainer = trainer_of("ab" * 41, 2, 13)  # 40 places a stream: three windows, one place left over
    for position, carried in ((13, True), (26, True), (0, False), (13, True)):
        trainer.step()
        assert (trainer.position, trainer.state is not None) == (position, carried)
    assert trainer.steps == 4


def test_the_loss_of_a_window_is_that_of_the_model_with_the_carried_state() -> None:
    trainer = trainer_of(TEXT, 3, 20, dtype="float64", lr=1e-3)
    trainer.step()
    logits, _ = trainer.model(trainer.streams[20:40], tuple(member.copy() for member in trainer.state))
    expected = cross_entropy(logits, trainer.streams[21:41])[0] / math.log(2)
    assert trainer.step() == pytest.approx(expected, rel=1e-12)


def test_a_loss_that_is_not_finite_stops_before_the_update() -> None:
    trainer = trainer_of(TEXT, 3, 20)
    with trainer.model.linear.editing() as p:
        p["bias"][0] = np.nan
    before = trainer.model.state_dict()
    with pytest.raises(FloatingPointError, match="step 1: the loss is nan"):
        trainer.step()
    assert trainer.steps == 0
    for name, tensor in trainer.model.state_dict().items():
        np.testing.assert_array_equal(tensor, before[name])


def test_a_window_longer_than_the_streams_is_refused() -> None:
    trainer = trainer_of(TEXT, 3, 20)
    with pytest.raises(ValueError, match="window must be at most the streams' length of 199, got 201"):
        TextTrainer(trainer.model, trainer.optimizer, trainer.streams, 201)


def test_evaluation_of_many_words_needs_little_memory() -> None:
    model = WordLM(("<unk>", *(f" w{k}" for k in range(19_999))), 2, 3, 1, seed=0)
    tokens = np.random.default_rng(0).integers(0, 20_000, 3201)
    evaluate(model, tokens[:33])
    tracemalloc.start()
    try:
        whole = evaluate(model, tokens)
        assert tracemalloc.get_traced_memory()[1] < 40e6  # of a window all logits are 256 MB
    finally:
        tracemalloc.stop()
    parts = [evaluate(model, tokens, window=steps) for steps in (1, 7)]
    assert parts == pytest.approx([whole, whole], rel=1e-9)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
@pytest.mark.parametrize("size", [2, 40, 101])
def test_evaluation_predicts_every_character_once(size: int, batch_size: int) -> None:
    model = CharLM("abcde", 3, 6, 1, dtype="float64", seed=0)
    tokens = np.random.default_rng(1).integers(0, 5, size)
    length = math.ceil((size - 1) / batch_size)
    bits = 0.0
    for start in range(0, size - 1, length):  # each stream alone, from a state of zeros
        stream = tokens[start : start + length + 1]
        logits = model(stream[:-1, None])[0][:, 0]
        bits -= sum(z[target] - np.log(np.exp(z).sum()) for z, target in zip(logits, stream[1:], strict=True))
    found = evaluate(model, tokens, batch_size, window=7)
    assert found == pytest.approx(bits / math.log(2) / (size - 1), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(1, int),), "tokens must be at least two in one row, got shape"),
        ((np.zeros(5, int), 0), "batch_size must be at least 1"),
        ((np.zeros(5, int), 2, 0), "window must be at least 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(CharLM("abcde", 3, 6, 1, seed=0), *arguments)


def batches_of(count: int, batch_size: int, **options: Any) -> BatchTrainer:
    """A trainer over sequences whose first number is their place in the whole."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, count, 2))
    x[0, :, 0] = np.arange(count)
    model = SequenceRegressor(2, 6, 1, 1, dtype="float64", seed=1)
    return BatchTrainer(model, Adam(model.layers, lr=0.01), x, rng.normal(size=(count, 1)), batch_size, **options)


def test_every_pass_reads_whole_batches_in_a_new_order(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, read = batches_of(23, 5, seed=3), []
    forward = trainer.model.forward

    def listening(x: np.ndarray, *rest: Any) -> Any:
        read.append(x[0, :, 0].astype(int).tolist())
        return forward(x, *rest)

    monkeypatch.setattr(trainer.model, "forward", listening)
    for _ in range(8):
        trainer.step()
    first, second = np.concatenate(read[:4]), np.concatenate(read[4:])
    assert len(set(first)) == len(set(second)) == 20
    assert (first != second).any()
    assert (trainer.passes, trainer.position, trainer.steps) == (2, 0, 8)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_over_a_batch_is_the_one_written_by_hand(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    x, targets, lengths = rng.normal(size=(6, 12, 3)), rng.integers(0, 4, 12), rng.integers(1, 7, 12)
    sample_weight = rng.uniform(0.5, 2, 12) if weighted else None
    by_hand, trained = (SequenceClassifier(3, 5, 2, 4, dtype="float64", seed=1) for _ in "ab")
    optimizer = Adam(by_hand.layers, lr=0.01)
    trainer = BatchTrainer(
        trained, Adam(trained.layers, lr=0.01), x, targets, 4, lengths=lengths, sample_weight=sample_weight, clip=0.1,
        seed=2,
    )  # fmt: skip
    for step in range(7):
        order = np.random.default_rng([2, step // 3]).permutation(12)[step % 3 * 4 :][:4]
        logits, tape = by_hand.forward(x[:, order], lengths[order])
        weights = None if sample_weight is None else sample_weight[order]
        loss, dlogits = cross_entropy(logits, targets[order], sample_weight=weights)
        by_hand.zero_grad()
        by_hand.backward(dlogits, tape)
        clip_grad_norm(by_hand.layers, 0.1)
        optimizer.step()
        assert trainer.step() == loss
    for name, tensor in by_hand.state_dict().items():
        np.testing.assert_array_equal(trained.state_dict()[name], tensor, err_msg=name)


@pytest.mark.parametrize(
    "make", [lambda: trainer_of(TEXT, 3, 20, dropout=0.5), lambda: batches_of(23, 5)], ids=["text", "batches"]
)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors, plain: tensors.pop(next(iter(tensors))),
        lambda tensors, plain: tensors.pop(list(tensors)[-1]),
        lambda tensors, plain: tensors.update({"model.linear.bias": np.zeros(99)}),
        lambda tensors, plain: tensors.update({"optimizer.Adam.steps": np.array(-1)}),
        lambda tensors, plain: tensors.update({"place.another": np.zeros(3)}),
        lambda tensors, plain: tensors.update({"elsewhere.x": np.zeros(3)}),
        lambda tensors, plain: plain.pop("steps"),
        lambda tensors, plain: plain.update(steps=-1),
        lambda tensors, plain: plain.update(dropout={}),
        lambda tensors, plain: plain.update(position=10**6),
        lambda tensors, plain: plain.update(position="0"),
    ],
)
def test_of_a_state_that_is_refused_nothing_is_taken_over(make: Callable[[], Trainer], spoil: Callable) -> None:
    """Whatever part is bad: of weights, moments, place and dropout all are as before, and so is the next step."""
    trainer, twin, other = make(), make(), make()
    for _ in range(7):
        other.step()
    for _ in range(2):
        assert trainer.step() == twin.step()
    tensors, plain = other.state_dict()
    spoil(tensors, plain)
    with pytest.raises(ValueError, match="tensors and plain must be what state_dict of such a trainer gave"):
        trainer.load_state_dict(tensors, plain)
    assert trainer.state_dict()[1] == twin.state_dict()[1]
    for _ in range(2):
        assert trainer.step() == twin.step()
    for name, tensor in trainer.state_dict()[0].items():
        np.testing.assert_array_equal(tensor, twin.state_dict()[0][name], err_msg=name)


def test_predictions_do_not_depend_on_the_batches() -> None:
    trainer = batches_of(23, 5)
    lengths = np.random.default_rng(1).integers(1, 6, 23)
    whole = trainer.model(trainer.x, lengths)
    for batch_size in (1, 7, 23, 100):
        np.testing.assert_allclose(predict(trainer.model, trainer.x, lengths, batch_size), whole, rtol=1e-12)
    assert predict(trainer.model, trainer.x[:, :0]).shape == (0, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 24}, "batch_size must be at most the 23 sequences there are, got 24"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 5, "lengths": np.ones(22, int)}, "lengths must have shape"),
        ({"batch_size": 5, "sample_weight": np.ones(22)}, r"sample_weight must have shape \(23,\), got \(22,\)"),
        ({"batch_size": 5, "sample_weight": [0] + [1] * 22}, r"sample_weight must be above 0 and finite, got 0\.0 at"),
        ({"batch_size": 5, "seed": -1}, "seed must be at least 0"),
        ({"batch_size": 5, "clip": 0.0}, "clip must be above 0, got 0"),
    ],
)
def test_batches_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batches_of(23, **options)


def test_arrays_that_disagree_are_refused() -> None:
    trainer = batches_of(23, 5)
    with pytest.raises(ValueError, match=r"targets must be one for each of the 23 sequences, got shape \(22, 1\)"):
        BatchTrainer(trainer.model, trainer.optimizer, trainer.x, trainer.targets[1:])
    with pytest.raises(TypeError, match="x must be float64, got float32"):
        BatchTrainer(trainer.model, trainer.optimizer, trainer.x.astype("float32"), trainer.targets)
    for sequences, transposed in ((trainer.x[..., 0], ""), (trainer.x[..., 0].T, r"\.T")):
        with pytest.raises(ValueError, match=rf"of one feature take x{transposed}\[\.\.\., None\]$"):
            BatchTrainer(trainer.model, trainer.optimizer, sequences, trainer.targets)
    with pytest.raises(ValueError, match=r"x must have at least one time step, got shape \(0, 23, 2\)"):
        BatchTrainer(trainer.model, trainer.optimizer, trainer.x[:0], trainer.targets)
    with pytest.raises(ValueError, match="x must have shape"):
        predict(trainer.model, trainer.x[0])
    with pytest.raises(ValueError, match=r"targets must have shape \(23, 1\), got \(23,\)"):
        BatchTrainer(trainer.model, trainer.optimizer, trainer.x, trainer.targets[:, 0])
    with pytest.raises(ValueError, match="optimizer must be over the layers of the model"):
        BatchTrainer(trainer.model, batches_of(23, 5).optimizer, trainer.x, trainer.targets)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.array([0, 1, 2, 0, 1, 3]), r"targets must lie in 0\.\.2, .* got 3 at \(5,\)"),
        (np.zeros(6), "targets must be integers, got float64"),
        (np.ma.masked_array(np.zeros(6, int), [True] * 6), "targets must be a plain array, got a masked array"),
    ],
)
def test_targets_that_no_batch_may_hold_are_refused_before_the_first_step(targets: np.ndarray, message: str) -> None:
    model = SequenceClassifier(2, 5, 1, 3, seed=0)
    x = np.zeros((4, 6, 2), "float32")
    with pytest.raises((ValueError, TypeError), match=message):
        BatchTrainer(model, Adam(model.layers), x, targets, 2)
